//! What is measured side by side, and how each is started: as a process of its own, on one and the same database.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use host_tests::logs::Logs;
use host_tests::machine::{Host, Machine, Setup, repository};
use host_tests::postgres::{Cluster, PRIMARY, USER};
use host_tests::process::{Process, free_address};

/// The region that everybody reads in; its replica is the database of all contenders.
pub const REGION: &str = "fra";

/// Programs that were built for this run, or are there.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The in-house host.
    pub host: PathBuf,
    /// The native server.
    pub native: PathBuf,
    /// A real Spin, where `SPIN` names one.
    pub spin: Option<PathBuf>,
    /// Ruby with what the recipe needs, where it is installed.
    pub ruby: Option<PathBuf>,
}

/// One of those that are compared.
#[derive(Clone, Debug)]
pub struct Contender {
    /// Its name in the report.
    pub name: String,
    serving: Serving,
}

#[derive(Clone, Debug)]
enum Serving {
    /// A Spin application on the in-house host or on a real Spin.
    Application { spin: PathBuf, application: Application },
    /// axum, deadpool-postgres, a prepared statement.
    Native(PathBuf),
    /// Sinatra and Puma.
    Recipe,
}

/// A Spin application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Application {
    /// The component of this repository.
    Ours,
    /// A connection opened for each request, by hand.
    Open,
    /// A connection kept for the life of the instance, by hand, with these extras.
    Kept(&'static str),
}

/// A contender that runs. Dropping it stops it.
pub struct Running {
    address: SocketAddr,
    process: u32,
    _held: Held,
}

#[expect(dead_code, reason = "kept for their Drop")]
enum Held {
    Machine(Machine),
    Process(Process),
}

impl Programs {
    /// Everybody who can be had here; those that are set against each other stand side by side.
    #[must_use]
    pub fn contenders(&self) -> Vec<Contender> {
        let mut contenders =
            vec![Contender { name: "native".to_owned(), serving: Serving::Native(self.native.clone()) }];
        for (prefix, spin) in [("", Some(&self.host)), ("spin-", self.spin.as_ref())] {
            let Some(spin) = spin else { continue };
            for (name, application) in
                [("kept", Application::Kept("")), ("open", Application::Open), ("ours", Application::Ours)]
            {
                contenders.push(Contender::application(&format!("{prefix}{name}"), spin, application));
            }
        }
        if self.ruby.is_some() {
            contenders.push(Contender { name: "recipe".to_owned(), serving: Serving::Recipe });
        }
        contenders
    }

    /// The real Spin where there is one, the in-house host otherwise, and what it is called.
    #[must_use]
    pub fn best_spin(&self) -> (&Path, &'static str) {
        self.spin.as_deref().map_or((&self.host, "the in-house host"), |spin| (spin, "Spin"))
    }
}

impl Contender {
    /// A Spin application on a host.
    #[must_use]
    pub fn application(name: &str, spin: &Path, application: Application) -> Self {
        Self { name: name.to_owned(), serving: Serving::Application { spin: spin.to_owned(), application } }
    }

    /// Whether it is the component, or the one by hand that opens a connection each time.
    #[must_use]
    pub fn is_ours_or_opens(&self) -> bool {
        matches!(self.serving, Serving::Application { application: Application::Ours | Application::Open, .. })
    }

    /// Starts it in front of the cluster's replica in [`REGION`].
    ///
    /// # Errors
    /// With what it wrote when it does not come up.
    pub async fn start(&self, cluster: &Cluster) -> Result<Running> {
        self.start_at(cluster.primary().address(), cluster.server(REGION).address(), &[]).await
    }

    /// Starts it with a primary, the replica of its region, and more environment for a Spin application.
    ///
    /// # Errors
    /// With what it wrote when it does not come up.
    pub async fn start_at(
        &self,
        primary: SocketAddr,
        replica: SocketAddr,
        environment: &[(&str, &str)],
    ) -> Result<Running> {
        let started = match &self.serving {
            Serving::Application { spin, application } => application.start(spin, primary, replica, environment).await,
            Serving::Native(program) => {
                let mut command = Command::new(program);
                command.env("DATABASE_URL", url(replica));
                serve(command, |command, port| {
                    command.env("PORT", port.to_string());
                })
                .await
            }
            Serving::Recipe => {
                let mut command = Command::new("puma");
                command
                    .args(["--quiet", "--threads", "5:5", "--environment", "production"])
                    .env("DATABASE_URL", url(primary))
                    .env("REPLICA_PORT", replica.port().to_string())
                    .env("FLY_REGION", REGION)
                    .env("PRIMARY_REGION", PRIMARY);
                serve(command, |command, port| {
                    command.args(["--bind", &format!("tcp://127.0.0.1:{port}")]);
                    command.arg(repository().join("bench/recipe/config.ru"));
                })
                .await
            }
        };
        started.with_context(|| format!("starting `{}`", self.name))
    }
}

impl Application {
    async fn start(
        self,
        spin: &Path,
        primary: SocketAddr,
        replica: SocketAddr,
        environment: &[(&str, &str)],
    ) -> Result<Running> {
        let mut setup = match self {
            Self::Ours => Setup::default()
                .env("DATABASE_URL", url(primary))
                .env("FLY_REGION", REGION)
                .env("SPIN_VARIABLE_PRIMARY_REGION", PRIMARY)
                .env("SPIN_VARIABLE_REPLICA_PORT", replica.port().to_string())
                .env("SPIN_VARIABLE_ALLOWED_HOST", "postgres://127.0.0.1:*"),
            Self::Open => Setup::default().env("DATABASE_URL", by_hand(replica)),
            Self::Kept(extras) => {
                Setup::default().env("DATABASE_URL", by_hand(replica)).env("SPIN_VARIABLE_EXTRAS", extras)
            }
        };
        setup.manifest = match self {
            Self::Ours => None,
            Self::Open => Some(repository().join("bench/open/spin.toml")),
            Self::Kept(_) => Some(repository().join("bench/kept/spin.toml")),
        };
        for (name, value) in environment {
            setup = setup.env(name, *value);
        }
        let machine = Machine::start(&Host::Spin(spin.to_owned()), setup).await?;
        let process = machine.process().context("it is a process of its own")?;
        Ok(Running { address: machine.address(), process, _held: Held::Machine(machine) })
    }
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id; there may be others below it.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.process
    }
}

async fn serve(mut command: Command, listen: impl FnOnce(&mut Command, u16)) -> Result<Running> {
    let address = free_address()?;
    listen(&mut command, address.port());
    let process = Process::start(command, address, "/", &Logs::default()).await?;
    Ok(Running { address, process: process.id(), _held: Held::Process(process) })
}

fn url(database: SocketAddr) -> String {
    format!("postgres://{USER}@{database}/postgres")
}

fn by_hand(database: SocketAddr) -> String {
    format!("{}?sslmode=disable", url(database))
}

/// Ruby, where the recipe can run.
#[must_use]
pub fn ruby() -> Option<PathBuf> {
    let gems = "require 'sinatra/base'; require 'pg'; require 'connection_pool'; require 'puma'";
    let mut command = Command::new("ruby");
    command.args(["-e", gems]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success()).then(|| PathBuf::from("ruby"))
}
