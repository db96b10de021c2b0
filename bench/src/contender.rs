//! What is compared: the one description that the measurements, tables, plots and verdicts go by, and how each is
//! started, as a process of its own, on one and the same database.

use std::any::Any;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use host_tests::logs::Logs;
use host_tests::machine::{Host, Machine, Setup, repository};
use host_tests::postgres::{PRIMARY, USER};
use host_tests::process::{Process, free_address};

use Kind::{App, AppWithAdapter, AppWithBoth, AppWithPlain, Axum, Component, PerInstance, PerRequest, Recipe};
use Runtime::{InHouse, Spin};

/// The region that everybody reads in; its replica is the database of all contenders.
pub(crate) const REGION: &str = "fra";

/// One of those that are compared.
pub(crate) struct Contender {
    /// Its name in `report.json`, tables and pictures.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    runtime: Runtime,
    /// Of its lines.
    pub(crate) colour: (u8, u8, u8),
    environment: &'static [(&'static str, &'static str)],
}

/// What serves it, where it is not a program itself: the in-house host, or a real Spin where there is one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runtime {
    InHouse,
    Spin,
}

/// What it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// axum, deadpool-postgres, a prepared statement.
    Axum,
    /// Sinatra and Puma.
    Recipe,
    /// The component of this repository.
    Component,
    /// A connection opened for each request, by hand.
    PerRequest,
    /// A connection kept for the life of the instance, by hand.
    PerInstance,
    /// The tests' app, which knows nothing of regions.
    App,
    /// The same behind the adapter.
    AppWithAdapter,
    /// And the middleware.
    AppWithBoth,
    /// Or middleware that does nothing.
    AppWithPlain,
}

/// This component, on the in-house host and on a real Spin; and those that verdicts and tables set it against.
pub(crate) const COMPONENT: [&str; 2] = ["this component", "Spin: this component"];
pub(crate) const PER_REQUEST: [&str; 2] = ["connection per request", "Spin: connection per request"];
pub(crate) const PER_INSTANCE: [&str; 2] =
    ["connection per instance (unsafe)", "Spin: connection per instance (unsafe)"];
pub(crate) const RECIPE: &str = "the recipe (Puma, 5 threads)";

/// All of them, in the order in which they are measured and shown: those that are set against each other side by side.
pub(crate) const CONTENDERS: [Contender; 8] = [
    contender("native axum", Axum, InHouse, (0, 0, 0)),
    contender(PER_INSTANCE[0], PerInstance, InHouse, (204, 121, 167)),
    contender(PER_REQUEST[0], PerRequest, InHouse, (213, 94, 0)),
    contender(COMPONENT[0], Component, InHouse, (0, 114, 178)),
    contender(PER_INSTANCE[1], PerInstance, Spin, (86, 180, 233)),
    contender(PER_REQUEST[1], PerRequest, Spin, (230, 159, 0)),
    contender(COMPONENT[1], Component, Spin, (0, 158, 115)),
    contender(RECIPE, Recipe, InHouse, (120, 120, 120)),
];

const fn contender(name: &'static str, kind: Kind, runtime: Runtime, colour: (u8, u8, u8)) -> Contender {
    Contender { name, kind, runtime, colour, environment: &[] }
}

const EXTRAS: &str = "SPIN_VARIABLE_EXTRAS";
const IN_PRIMARY: (&str, &str) = ("FLY_REGION", PRIMARY);

/// Steps from the component that is written by hand to ours: what our own rules cost. Those by hand have the SDK's own
/// handler; ours has a leaner one, which makes up for a part of its rules, and returns a response when nothing else is
/// ready.
pub(crate) const STEPS: [Contender; 7] = [
    step("by hand (the SDK's handler, `SELECT 1`), connection kept for the life of the instance", PerInstance, &[]),
    step("and our response headers", PerInstance, &[(EXTRAS, "headers")]),
    step("and a deadline", PerInstance, &[(EXTRAS, "headers and deadline")]),
    step(
        "and our statement, of which only the number of rows leaves Spin",
        PerInstance,
        &[(EXTRAS, "headers, deadline and count")],
    ),
    step(
        "ours in the primary region, one candidate, leases of a second",
        Component,
        &[IN_PRIMARY, ("SPIN_VARIABLE_LEASE_MS", "1000")],
    ),
    step("ours in the primary region, one candidate", Component, &[IN_PRIMARY]),
    step("ours in another region", Component, &[]),
];

/// The app behind the adapter and what it is set against, its database beside it: on each host and in either region.
pub(crate) const WITH_AND_ALONE: [[&str; 2]; 4] = [
    ["app with the adapter, primary region", "app alone"],
    ["app with the adapter, another region", "app alone"],
    ["Spin: app with the adapter, primary region", "Spin: app alone"],
    ["Spin: app with the adapter, another region", "Spin: app alone"],
];

/// All of these.
pub(crate) const APPS: [Contender; 6] = [
    app(WITH_AND_ALONE[0][1], App, InHouse, &[IN_PRIMARY]),
    app(WITH_AND_ALONE[0][0], AppWithAdapter, InHouse, &[IN_PRIMARY]),
    app(WITH_AND_ALONE[1][0], AppWithAdapter, InHouse, &[]),
    app(WITH_AND_ALONE[2][1], App, Spin, &[IN_PRIMARY]),
    app(WITH_AND_ALONE[2][0], AppWithAdapter, Spin, &[IN_PRIMARY]),
    app(WITH_AND_ALONE[3][0], AppWithAdapter, Spin, &[]),
];

/// The app behind the middleware as well, outside the primary region, and what that is set against, of which one has
/// middleware that does nothing: on each host.
pub(crate) const WITH_AND_WITHOUT_MIDDLEWARE: [[&str; 3]; 2] = [
    [
        "app with the adapter and the middleware",
        "app with the adapter",
        "app with the adapter and middleware that does nothing",
    ],
    [
        "Spin: app with the adapter and the middleware",
        "Spin: app with the adapter",
        "Spin: app with the adapter and middleware that does nothing",
    ],
];

/// All of these.
pub(crate) const APPS_WITH_BOTH: [Contender; 6] = [
    app(WITH_AND_WITHOUT_MIDDLEWARE[0][1], AppWithAdapter, InHouse, &[]),
    app(WITH_AND_WITHOUT_MIDDLEWARE[0][2], AppWithPlain, InHouse, &[]),
    app(WITH_AND_WITHOUT_MIDDLEWARE[0][0], AppWithBoth, InHouse, &[]),
    app(WITH_AND_WITHOUT_MIDDLEWARE[1][1], AppWithAdapter, Spin, &[]),
    app(WITH_AND_WITHOUT_MIDDLEWARE[1][2], AppWithPlain, Spin, &[]),
    app(WITH_AND_WITHOUT_MIDDLEWARE[1][0], AppWithBoth, Spin, &[]),
];

const fn app(
    name: &'static str,
    kind: Kind,
    runtime: Runtime,
    environment: &'static [(&'static str, &'static str)],
) -> Contender {
    Contender { environment, ..contender(name, kind, runtime, (0, 0, 0)) }
}

/// The application that the adapter and the middleware are put in front of, with them or as it is.
pub(crate) fn app_manifest(kind: Kind) -> PathBuf {
    let file = match kind {
        AppWithAdapter => "host-tests/postgres-guest/with-adapter.toml",
        AppWithBoth => "host-tests/postgres-guest/with-both.toml",
        AppWithPlain => "bench/plain-middleware/spin.toml",
        App | Axum | Recipe | Component | PerRequest | PerInstance => "host-tests/postgres-guest/spin.toml",
    };
    repository().join(file)
}

const fn step(name: &'static str, kind: Kind, environment: &'static [(&'static str, &'static str)]) -> Contender {
    Contender { environment, ..contender(name, kind, Spin, (0, 0, 0)) }
}

/// Programs that were built for this run, or are there.
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
        self.available(&CONTENDERS)
    }

    /// Those of a list that can be had here.
    pub(crate) fn available(&self, of: &'static [Contender]) -> impl Iterator<Item = &'static Contender> {
        of.iter().filter(|contender| match (contender.kind, contender.runtime) {
            (Recipe, _) => self.ruby.is_some(),
            (_, Spin) => self.spin.is_some(),
            _ => true,
        })
    }

    /// The component where it is measured best: on the real Spin where there is one.
    pub(crate) fn component(&self) -> &'static Contender {
        let name = COMPONENT[usize::from(self.spin.is_some())];
        CONTENDERS.iter().find(|contender| contender.name == name).expect("both are in the list")
    }

    /// Starts a contender with a primary and the replica in [`REGION`].
    pub(crate) async fn start(&self, contender: &Contender, databases: [SocketAddr; 2]) -> Result<Running> {
        let started = self.run(contender, databases).await;
        started.with_context(|| format!("starting `{}`", contender.name))
    }

    async fn run(&self, of: &Contender, [primary, replica]: [SocketAddr; 2]) -> Result<Running> {
        // The replica stands for a primary then: everybody reads from the same server.
        let primary = if of.environment.contains(&IN_PRIMARY) { replica } else { primary };
        let url = |database| format!("postgres://{USER}@{database}/postgres");
        let address = free_address()?;
        let (port, replica_port) = (address.port().to_string(), replica.port().to_string());
        let by_hand = |folder| Some(repository().join("bench").join(folder).join("spin.toml"));
        let (url, manifest) = match of.kind {
            Axum => (url(replica), None),
            Recipe | Component => (url(primary), None),
            App | AppWithAdapter | AppWithBoth | AppWithPlain => {
                (url(primary) + "?sslmode=disable", Some(app_manifest(of.kind)))
            }
            PerRequest => (url(replica) + "?sslmode=disable", by_hand("connection-per-request")),
            PerInstance => (url(replica) + "?sslmode=disable", by_hand("connection-per-instance")),
        };
        // What one of them does not know does not matter to it.
        let environment = [
            ("DATABASE_URL", url.as_str()),
            ("PORT", &port),
            ("REPLICA_PORT", &replica_port),
            ("FLY_REGION", REGION),
            ("PRIMARY_REGION", PRIMARY),
            ("SPIN_VARIABLE_PRIMARY_REGION", PRIMARY),
            ("SPIN_VARIABLE_REPLICA_PORT", &replica_port),
            ("SPIN_VARIABLE_ALLOWED_HOST", "postgres://127.0.0.1:*"),
        ];
        let environment = environment.iter().chain(of.environment).copied();
        if matches!(of.kind, Axum | Recipe) {
            let mut command = Command::new(if of.kind == Axum { self.native.as_path() } else { "puma".as_ref() });
            if of.kind == Recipe {
                command.args(["--quiet", "--threads", "5:5", "--environment", "production"]);
                command.args(["--bind", &format!("tcp://{address}")]).arg(repository().join("bench/recipe/config.ru"));
            }
            command.envs(environment);
            let process = Process::start(command, address, "/", &Logs::default()).await?;
            return Ok(Running { address, process: process.id(), _held: Box::new(process) });
        }
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let setup = Setup { manifest, environment, listen: Some(address), ..Setup::default() };
        let spin = self.spin.as_ref().filter(|_| of.runtime == Spin).unwrap_or(&self.host);
        let machine = Machine::start(&Host::Spin(spin.clone()), setup).await?;
        let process = machine.process().context("it is a process of its own")?;
        Ok(Running { address, process, _held: Box::new(machine) })
    }
}

/// A contender that runs. Dropping it stops it.
pub(crate) struct Running {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its process id; there may be others below it.
    pub(crate) process: u32,
    _held: Box<dyn Any>,
}

fn ruby() -> Option<PathBuf> {
    let gems = "require 'sinatra/base'; require 'pg'; require 'connection_pool'; require 'puma'";
    let mut command = Command::new("ruby");
    command.args(["-e", gems]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success()).then(|| PathBuf::from("ruby"))
}
