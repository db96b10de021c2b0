//! What tests of the adapter start from: an app that knows nothing of regions, behind the adapter and without it.

use std::path::PathBuf;

use host_tests::client::Answer;
use host_tests::machine::{Host, Machine, Setup, repository};
use host_tests::postgres::{Cluster, Server};
use host_tests::spin::build;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::fixtures::host;
use crate::playground::replayed;
use crate::turn::{Turn, beside_others};

/// The versions of Spin's interface, and the two ways of the newest one.
pub(crate) const VERSIONS: [&str; 4] = ["4.2.0", "4.2.0-blocking", "4.0.0", "3.0.0"];

/// Which server has answered, in words that the adapter takes for a plain read.
pub(crate) const PLACE: &str = "SELECT name FROM place";

const SCHEMA: &str =
    "CREATE VIEW place AS SELECT current_setting('cluster_name') AS name; GRANT ALL ON place TO PUBLIC;
    CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text UNIQUE);
    GRANT ALL ON notes TO PUBLIC";

/// A cluster with replicas in `fra` and `syd`.
pub(crate) struct Adapted {
    pub(crate) cluster: Cluster,
    pub(crate) host: Host,
    _turn: Turn,
}

/// What the app is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum App {
    WithAdapter,
    /// And the middleware.
    WithBoth,
    Alone,
}

/// What one step has brought.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<String>,
    pub(crate) count: u64,
    pub(crate) error: Option<String>,
}

impl App {
    pub(crate) fn manifest(self) -> PathBuf {
        let file = match self {
            Self::WithAdapter => "with-adapter.toml",
            Self::WithBoth => "with-both.toml",
            Self::Alone => "spin.toml",
        };
        repository().join("host-tests/postgres-guest").join(file)
    }
}

impl Adapted {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With more settings for every server.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        Self::start_on(host(), settings).await
    }

    /// For Machines on this host.
    pub(crate) async fn on(host: Host) -> Self {
        Self::start_on(host, &[]).await
    }

    async fn start_on(host: Host, settings: &[(&str, &str)]) -> Self {
        let turn = beside_others().await;
        build_app().await;
        let cluster = Cluster::start_with(&["fra", "syd"], settings).await.unwrap();
        cluster.primary().ask(SCHEMA).await.unwrap();
        for region in ["fra", "syd"] {
            replayed(&cluster, region).await;
        }
        Self { cluster, host, _turn: turn }
    }

    pub(crate) fn setup(&self, region: &str, app: App) -> Setup {
        Setup { manifest: Some(app.manifest()), ..Setup::in_region(region, &self.cluster, &self.host) }
    }

    pub(crate) async fn start(&self, setup: Setup) -> Machine {
        Machine::start(&self.host, setup).await.unwrap()
    }

    /// A Machine with the app behind the adapter.
    pub(crate) async fn machine(&self, region: &str) -> Machine {
        self.start(self.setup(region, App::WithAdapter)).await
    }

    pub(crate) fn primary(&self) -> &Server {
        self.cluster.primary()
    }
}

/// Builds the app, the adapter and the middleware.
pub(crate) async fn build_app() {
    static BUILT: OnceCell<()> = OnceCell::const_new();
    let build = async || {
        let manifest = App::WithBoth.manifest();
        tokio::task::spawn_blocking(move || build(&manifest).unwrap()).await.unwrap();
    };
    BUILT.get_or_init(build).await;
}

/// Runs steps by one version of the interface.
pub(crate) async fn run(machine: &Machine, version: &str, steps: &[Value]) -> Vec<Outcome> {
    outcomes(&send(machine, version, &json!({ "steps": steps })).await.unwrap().body)
}

/// Out of the body of an answer; without the backtraces that Spin's texts have where RUST_BACKTRACE is set.
pub(crate) fn outcomes(body: &str) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    for error in outcomes.iter_mut().filter_map(|outcome| outcome.error.as_mut()) {
        if let Some(at) = error.find("\\n\\nStack backtrace") {
            error.truncate(at);
        }
    }
    outcomes
}

pub(crate) async fn send(machine: &Machine, version: &str, script: &Value) -> anyhow::Result<Answer> {
    machine.client().await?.send_with(Method::POST, &format!("/{version}"), &[], script.to_string()).await
}

/// A statement on connection `on`.
pub(crate) fn on(on: usize, statement: &str) -> Value {
    json!({ "on": on, "statement": statement })
}

impl Outcome {
    /// The only value of the only row, as it is printed.
    #[track_caller]
    pub(crate) fn value(&self) -> &str {
        assert_eq!((self.count, &self.error), (1, &None), "{self:?}");
        let inner = self.rows[0].split_once('(').and_then(|(_, rest)| rest.strip_suffix(")]"));
        inner.unwrap_or(&self.rows[0]).trim_matches('"')
    }
}

pub(crate) fn values(outcomes: &[Outcome]) -> Vec<&str> {
    outcomes.iter().map(Outcome::value).collect()
}

/// Steps that are begun at the same time.
pub(crate) fn at_once(steps: &[Value]) -> Vec<Value> {
    let mut steps = steps.to_vec();
    let before_last = steps.len().saturating_sub(1);
    for step in &mut steps[..before_last] {
        step["with_next"] = true.into();
    }
    steps
}

/// What has no rows: a synchronous query without them hangs on Spin (its issue 3671).
pub(crate) fn does(number: usize, statement: &str) -> Value {
    json!({ "on": number, "statement": statement, "execute": true })
}

pub(crate) fn add(number: usize, note: &str) -> Value {
    does(number, &format!("INSERT INTO notes (note) VALUES ('{note}')"))
}

pub(crate) const NOTES: &str = "SELECT count(*) FROM notes";
