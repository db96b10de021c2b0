//! What is compared: the one description that the measurements, tables, plots and verdicts go by, and how each is
//! started, as a process of its own, on one and the same database.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use host_tests::logs::Logs;
use host_tests::machine::{Host, Machine, Setup, repository};
use host_tests::postgres::{Cluster, PRIMARY, USER};
use host_tests::process::{Process, free_address};

/// The region that everybody reads in; its replica is the database of all contenders.
pub(crate) const REGION: &str = "fra";

/// One of those that are compared.
pub(crate) struct Contender {
    /// Its name in `report.json`.
    pub(crate) key: &'static str,
    /// Its name for people.
    pub(crate) label: &'static str,
    /// Of its lines.
    pub(crate) colour: (u8, u8, u8),
    kind: Kind,
    runtime: Runtime,
}

/// What serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    /// It is a program itself.
    Native,
    /// The in-house host.
    InHouse,
    /// A real Spin.
    Spin,
}

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// axum, deadpool-postgres, a prepared statement.
    Axum,
    /// Sinatra and Puma.
    Recipe,
    /// The component of this repository.
    Component,
    /// A connection opened for each request, by hand.
    ConnectionPerRequest,
    /// A connection kept for the life of the instance, by hand, with these extras.
    ConnectionPerInstance(&'static str),
}

const KEPT: Kind = Kind::ConnectionPerInstance("");
const OPENED: Kind = Kind::ConnectionPerRequest;

/// All of them, in the order in which they are measured and shown: those that are set against each other side by side.
pub(crate) const CONTENDERS: [Contender; 8] = [
    contender("native", "native axum", (0, 0, 0), Kind::Axum, Runtime::Native),
    contender("connection-per-instance", "connection per instance (unsafe)", (204, 121, 167), KEPT, Runtime::InHouse),
    contender("connection-per-request", "connection per request", (213, 94, 0), OPENED, Runtime::InHouse),
    contender("component", "this component", (0, 114, 178), Kind::Component, Runtime::InHouse),
    contender(
        "spin-connection-per-instance",
        "Spin: connection per instance (unsafe)",
        (86, 180, 233),
        KEPT,
        Runtime::Spin,
    ),
    contender("spin-connection-per-request", "Spin: connection per request", (230, 159, 0), OPENED, Runtime::Spin),
    contender("spin-component", "Spin: this component", (0, 158, 115), Kind::Component, Runtime::Spin),
    contender("recipe", "the recipe (Puma, 5 threads)", (120, 120, 120), Kind::Recipe, Runtime::Native),
];

const fn contender(
    key: &'static str,
    label: &'static str,
    colour: (u8, u8, u8),
    kind: Kind,
    runtime: Runtime,
) -> Contender {
    Contender { key, label, colour, kind, runtime }
}

impl Contender {
    /// The component, or the one by hand that opens a connection each time.
    pub(crate) fn is_component_or_opens(&self) -> bool {
        matches!(self.kind, Kind::Component | Kind::ConnectionPerRequest)
    }

    /// Those, and the recipe.
    pub(crate) fn is_at_fixed_rate(&self) -> bool {
        self.is_component_or_opens() || self.kind == Kind::Recipe
    }

    /// Starts it in front of the cluster's replica in [`REGION`].
    pub(crate) async fn start(&self, programs: &Programs, cluster: &Cluster) -> Result<Running> {
        let started = programs.start(self.kind, self.runtime, databases(cluster), &[]).await;
        started.with_context(|| format!("starting `{}`", self.key))
    }
}

/// The primary, and the replica in [`REGION`].
pub(crate) fn databases(cluster: &Cluster) -> [SocketAddr; 2] {
    [cluster.primary().address(), cluster.server(REGION).address()]
}

/// Programs that were built for this run, or are there.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    host: PathBuf,
    native: PathBuf,
    /// A real Spin, where one is named.
    pub(crate) spin: Option<PathBuf>,
    /// Ruby with what the recipe needs, where it is installed.
    pub(crate) ruby: Option<PathBuf>,
}

impl Programs {
    /// Looks for them.
    pub(crate) fn find(spin: Option<PathBuf>) -> Result<Self> {
        let here = std::env::current_exe().context("looking for the programs that were built with this one")?;
        let built = |name: &str| {
            let path = here.with_file_name(name);
            ensure!(path.is_file(), "{} is missing: `make bench` builds it", path.display());
            Ok(path)
        };
        Ok(Self { host: built("host")?, native: built("native")?, spin, ruby: ruby() })
    }

    /// Everybody who can be had here.
    pub(crate) fn contenders(&self) -> impl Iterator<Item = &'static Contender> {
        CONTENDERS.iter().filter(|contender| match (contender.kind, contender.runtime) {
            (Kind::Recipe, _) => self.ruby.is_some(),
            (_, Runtime::Spin) => self.spin.is_some(),
            _ => true,
        })
    }

    /// The real Spin where there is one, the in-house host otherwise.
    pub(crate) fn best(&self) -> Runtime {
        if self.spin.is_some() { Runtime::Spin } else { Runtime::InHouse }
    }

    /// Starts something with a primary, the replica of its region, and more environment for a Spin application.
    pub(crate) async fn start(
        &self,
        kind: Kind,
        runtime: Runtime,
        [primary, replica]: [SocketAddr; 2],
        environment: &[(&str, &str)],
    ) -> Result<Running> {
        let by_hand = |folder: &str| Setup {
            manifest: Some(repository().join("bench").join(folder).join("spin.toml")),
            ..Setup::default().env("DATABASE_URL", format!("{}?sslmode=disable", url(replica)))
        };
        let mut setup = match kind {
            Kind::Axum => {
                let address = free_address()?;
                let mut command = Command::new(&self.native);
                command.env("DATABASE_URL", url(replica)).env("PORT", address.port().to_string());
                return Running::process(command, address).await;
            }
            Kind::Recipe => {
                let address = free_address()?;
                let mut command = Command::new("puma");
                command
                    .args(["--quiet", "--threads", "5:5", "--environment", "production"])
                    .args(["--bind", &format!("tcp://{address}")])
                    .arg(repository().join("bench/recipe/config.ru"))
                    .env("DATABASE_URL", url(primary))
                    .env("REPLICA_PORT", replica.port().to_string())
                    .env("FLY_REGION", REGION)
                    .env("PRIMARY_REGION", PRIMARY);
                return Running::process(command, address).await;
            }
            Kind::Component => Setup::default()
                .env("DATABASE_URL", url(primary))
                .env("FLY_REGION", REGION)
                .env("SPIN_VARIABLE_PRIMARY_REGION", PRIMARY)
                .env("SPIN_VARIABLE_REPLICA_PORT", replica.port().to_string())
                .env("SPIN_VARIABLE_ALLOWED_HOST", "postgres://127.0.0.1:*"),
            Kind::ConnectionPerRequest => by_hand("connection-per-request"),
            Kind::ConnectionPerInstance(extras) => {
                by_hand("connection-per-instance").env("SPIN_VARIABLE_EXTRAS", extras)
            }
        };
        for (name, value) in environment {
            setup = setup.env(name, *value);
        }
        let spin = self.spin.as_ref().filter(|_| runtime == Runtime::Spin).unwrap_or(&self.host);
        let machine = Machine::start(&Host::Spin(spin.clone()), setup).await?;
        let process = machine.process().context("it is a process of its own")?;
        Ok(Running { address: machine.address(), process, _held: Held::Machine(machine) })
    }
}

/// A contender that runs. Dropping it stops it.
pub(crate) struct Running {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its process id; there may be others below it.
    pub(crate) process: u32,
    _held: Held,
}

#[expect(dead_code, reason = "kept for their Drop")]
enum Held {
    Machine(Machine),
    Process(Process),
}

impl Running {
    async fn process(command: Command, address: SocketAddr) -> Result<Self> {
        let process = Process::start(command, address, "/", &Logs::default()).await?;
        Ok(Self { address, process: process.id(), _held: Held::Process(process) })
    }
}

fn url(database: SocketAddr) -> String {
    format!("postgres://{USER}@{database}/postgres")
}

fn ruby() -> Option<PathBuf> {
    let gems = "require 'sinatra/base'; require 'pg'; require 'connection_pool'; require 'puma'";
    let mut command = Command::new("ruby");
    command.args(["-e", gems]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success()).then(|| PathBuf::from("ruby"))
}
