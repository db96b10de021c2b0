//! Fly Machines: the component served with a Machine's environment, on the in-house host or on a real Spin.

use std::collections::HashMap;
use std::io::stderr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::client::Client;
use crate::logs::Logs;
use crate::names::Names;
use crate::postgres::{Cluster, PRIMARY, USER};
use crate::process::{Process, free_address};
#[cfg(feature = "in-house")]
use crate::spin::{Options, Server, Store};

/// What serves the component.
#[derive(Clone, Debug)]
pub enum Host {
    /// The imitation in this crate.
    #[cfg(feature = "in-house")]
    InHouse,
    /// A real Spin, or the imitation as a program: its path.
    Spin(PathBuf),
}

impl Host {
    /// The real Spin that the variable `SPIN` names, or else the in-house host.
    #[cfg(feature = "in-house")]
    #[must_use]
    pub fn from_environment() -> Self {
        match std::env::var_os("SPIN") {
            Some(path) if !path.is_empty() => Self::Spin(path.into()),
            _ => Self::InHouse,
        }
    }

    /// Whether names of a private network can be made up for it.
    #[must_use]
    pub fn knows_private_names(&self) -> bool {
        !matches!(self, Self::Spin(_))
    }

    /// Builds the component of this repository.
    ///
    /// # Errors
    /// When the build fails.
    pub fn build_component(&self) -> Result<()> {
        self.build(&repository().join("spin.toml"))
    }

    /// Builds an application with the commands in its manifest, which print to stderr.
    ///
    /// # Errors
    /// When the build fails.
    pub fn build(&self, manifest: &Path) -> Result<()> {
        ensure!(manifest.is_file(), "{} is missing", manifest.display());
        match self {
            #[cfg(feature = "in-house")]
            Self::InHouse => crate::spin::build(manifest),
            Self::Spin(program) => {
                let mut command = Command::new(program);
                let status = command.args(["build", "--from"]).arg(manifest).stdout(stderr()).status();
                let status = status.with_context(|| format!("starting {}", program.display()))?;
                ensure!(status.success(), "`spin build` failed: {status}");
                Ok(())
            }
        }
    }
}

/// What a Machine is told.
#[derive(Clone, Default)]
pub struct Setup {
    /// The application; the one of this repository where this is `None`.
    pub manifest: Option<PathBuf>,
    /// Its environment; nothing of this process's own gets in.
    pub environment: HashMap<String, String>,
    /// Its variables providers; those of this repository's runtime-config.toml where this is `None`.
    pub runtime_config: Option<PathBuf>,
    /// Its private network, for the in-house host.
    pub names: Names,
    /// Its key-value store, for the in-house host.
    #[cfg(feature = "in-house")]
    pub store: Store,
    /// Where to listen; a free port where this is `None`.
    pub listen: Option<SocketAddr>,
    /// Where its output goes.
    pub logs: Logs,
    /// Whether the in-house host logs each request; Spin does that itself when asked with RUST_LOG.
    pub access_log: bool,
}

/// The app name of the database cluster on the private network.
const APP: &str = "db";
const PORT: u16 = 5432;
const REPLICA_PORT: u16 = 5433;

impl Setup {
    /// The same with one more environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    fn manifest(&self) -> PathBuf {
        self.manifest.clone().unwrap_or_else(|| repository().join("spin.toml"))
    }

    fn runtime_config(&self) -> PathBuf {
        self.runtime_config.clone().unwrap_or_else(|| repository().join("runtime-config.toml"))
    }

    /// A Machine in `region` that reads from `cluster`.
    #[must_use]
    pub fn in_region(region: &str, cluster: &Cluster, host: &Host) -> Self {
        Self::with_routes(region, USER, &Routes::to(cluster, region), host)
    }

    /// A Machine in `region` with a private network of the test's own, which logs in as `user`.
    ///
    /// With private names its DATABASE_URL is the one that `fly postgres attach` writes. Without them the recipe's
    /// rule for `127.0.0.1` does the same: the replica port is the port of the region's replica.
    #[must_use]
    pub fn with_routes(region: &str, user: &str, routes: &Routes, host: &Host) -> Self {
        if host.knows_private_names() {
            return Self::with_private_names(region, user, routes);
        }
        Self::in_regions(region)
            .env("DATABASE_URL", format!("postgres://{user}@127.0.0.1:{}/postgres", routes.configured.port()))
            .env("SPIN_VARIABLE_REPLICA_PORT", routes.local.port().to_string())
            .env("SPIN_VARIABLE_ALLOWED_HOST", "postgres://127.0.0.1:*")
    }

    /// The same with private names, which a real Spin has to find for itself.
    #[must_use]
    pub fn with_private_names(region: &str, user: &str, routes: &Routes) -> Self {
        let names = routes.private_names().into_iter();
        let names = names.fold(Names::default(), |names, (name, port, address)| names.with(name, port, address));
        let url = format!("postgres://{user}@{APP}.flycast:{PORT}/postgres?sslmode=disable");
        Self { names, ..Self::in_regions(region).env("DATABASE_URL", url) }
    }

    fn in_regions(region: &str) -> Self {
        Self::default().env("FLY_REGION", region).env("SPIN_VARIABLE_PRIMARY_REGION", PRIMARY)
    }
}

/// Where the databases of a cluster are reached from a Machine.
#[derive(Clone, Debug)]
pub struct Routes {
    /// The port 5432 of the cluster: its primary.
    pub configured: SocketAddr,
    /// The replica of the Machine's region, for hosts without private names.
    pub local: SocketAddr,
    /// What is nearest to the Machine; the local one where this is `None`.
    pub nearest: Option<SocketAddr>,
    /// Region -> its server; a region that is not here has no name either.
    pub private: Vec<(String, SocketAddr)>,
}

impl Routes {
    /// Straight to the servers of a cluster, for a Machine in `region`.
    #[must_use]
    pub fn to(cluster: &Cluster, region: &str) -> Self {
        let here = cluster.servers().find(|server| server.name() == region).unwrap_or(cluster.primary());
        let private = cluster.servers().map(|server| (server.name().to_owned(), server.address())).collect();
        Self { configured: cluster.primary().address(), local: here.address(), nearest: None, private }
    }

    /// The names of the private network, with their ports and where they lead.
    #[must_use]
    pub fn private_names(&self) -> Vec<(String, u16, SocketAddr)> {
        let nearest = self.nearest.unwrap_or(self.local);
        let cluster = [
            (format!("{APP}.flycast"), PORT, self.configured),
            (format!("{APP}.flycast"), REPLICA_PORT, nearest),
            (format!("top1.nearest.of.{APP}.internal"), REPLICA_PORT, nearest),
        ];
        let regions = self.private.iter().map(|(region, at)| (format!("{region}.{APP}.internal"), REPLICA_PORT, *at));
        cluster.into_iter().chain(regions).collect()
    }
}

/// A running Machine. Dropping it stops what serves it; in a test that panics, its log is printed.
pub struct Machine {
    address: SocketAddr,
    logs: Logs,
    served_by: ServedBy,
}

enum ServedBy {
    #[cfg(feature = "in-house")]
    InHouse(#[expect(dead_code, reason = "kept for its Drop")] Server),
    Spin(Process),
}

impl Machine {
    /// Starts to serve the component of this repository, which must be built.
    ///
    /// # Errors
    /// Where `spin up` would not start.
    pub async fn start(host: &Host, setup: Setup) -> Result<Self> {
        let logs = setup.logs.clone();
        let (address, served_by) = match host {
            #[cfg(feature = "in-house")]
            Host::InHouse => {
                let mut options = Options::new(setup.manifest());
                options.runtime_config = Some(setup.runtime_config());
                options.environment = setup.environment;
                options.names = setup.names;
                options.store = setup.store;
                let listen = setup.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
                let server = Server::start(listen, options, setup.logs, setup.access_log).await?;
                (server.address(), ServedBy::InHouse(server))
            }
            Host::Spin(program) => {
                let address = setup.listen.map_or_else(free_address, Ok)?;
                let command = spin_up(program, address, &setup);
                let process = Process::start(command, address, "/.well-known/spin/health", &logs).await?;
                (address, ServedBy::Spin(process))
            }
        };
        Ok(Self { address, logs, served_by })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process that serves it, where that is not this one.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        match &self.served_by {
            #[cfg(feature = "in-house")]
            ServedBy::InHouse(_) => None,
            ServedBy::Spin(process) => Some(process.id()),
        }
    }

    /// What it wrote.
    #[must_use]
    pub fn logs(&self) -> String {
        self.logs.text()
    }

    /// A new keep-alive connection to it.
    ///
    /// # Errors
    /// When it does not listen.
    pub async fn client(&self) -> Result<Client> {
        Client::connect(self.address).await
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the Machine at {}:\n{}---", self.address, self.logs.text());
        }
    }
}

/// The path of a `spin` program, out of a command line or the variable `SPIN`.
///
/// # Errors
/// When there is no such file; says what to write instead.
pub fn program(value: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(value);
    if path.is_file() { Ok(path) } else { Err("not a file: write the path of a `spin` program".to_owned()) }
}

/// The folder of `spin.toml`.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is in the repository")
}

/// The command line of a `spin up`.
fn spin_up(program: &Path, address: SocketAddr, setup: &Setup) -> Command {
    let mut command = Command::new(program);
    command
        .args(["up", "--state-dir", "", "--from"])
        .arg(setup.manifest())
        .arg("--runtime-config-file")
        .arg(setup.runtime_config())
        .args(["--listen", &address.to_string()])
        .envs(&setup.environment);
    command
}

/// Builds the component of this repository, as [`Host::build`] does.
///
/// # Errors
/// When the build fails.
#[cfg(feature = "in-house")]
pub fn build_component() -> Result<()> {
    Host::InHouse.build_component()
}
