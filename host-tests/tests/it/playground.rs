//! What tests of sessions start from: the session guest as Machines in regions, and scripts for it.

use host_tests::client::Answer;
use host_tests::machine::{Host, Machine, Setup, repository};
use host_tests::postgres::{Cluster, Server};
use host_tests::region::{Options, ReplicaRegion};
use host_tests::spin::build;
use host_tests::wait::eventually;
use http::Method;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::fixtures::host;
use crate::scenario::DEADLINE;
use crate::turn::{Turn, beside_others};

/// A cluster with replicas in `fra` and `syd`.
pub(crate) struct Playground {
    pub(crate) cluster: Cluster,
    host: Host,
    _turn: Option<Turn>,
}

const SCHEMA: &str = "CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text UNIQUE)";

/// What became of a script.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) results: Vec<Value>,
    pub(crate) bookmark: String,
    pub(crate) wrote: bool,
    pub(crate) answer: Answer,
}

impl Playground {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With more settings for every server.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let turn = beside_others().await;
        Self { _turn: Some(turn), ..Self::beside_nobody(settings).await }
    }

    /// For a test that has its turn.
    pub(crate) async fn beside_nobody(settings: &[(&str, &str)]) -> Self {
        let host = host();
        build_guest().await;
        let cluster = Cluster::start_with(&["fra", "syd"], settings).await.unwrap();
        cluster.primary().ask(SCHEMA).await.unwrap();
        for region in ["fra", "syd"] {
            replayed(&cluster, region).await;
        }
        Self { cluster, host, _turn: None }
    }

    pub(crate) fn setup(&self, region: &str) -> Setup {
        self.setup_of(Setup::in_region(region, &self.cluster, &self.host))
    }

    pub(crate) fn setup_of(&self, setup: Setup) -> Setup {
        Setup { manifest: Some(manifest()), ..setup }
    }

    pub(crate) async fn machine(&self, region: &str) -> Machine {
        self.start(self.setup(region)).await
    }

    pub(crate) async fn start(&self, setup: Setup) -> Machine {
        Machine::start(&self.host, setup).await.unwrap()
    }

    /// A Machine for this `DATABASE_URL`, without regions.
    pub(crate) async fn machine_for(&self, url: &str) -> Machine {
        let setup = self.setup_of(Setup::default());
        self.start(setup.env("DATABASE_URL", url).env("SPIN_VARIABLE_ALLOWED_HOST", "postgres://127.0.0.1:*")).await
    }

    pub(crate) fn primary(&self) -> &Server {
        self.cluster.primary()
    }

    /// Stops the replay of a region's replica.
    pub(crate) async fn pause(&self, region: &str) {
        self.cluster.server(region).pause_replay().await.unwrap();
    }

    pub(crate) async fn resume(&self, region: &str) {
        self.cluster.server(region).resume_replay().await.unwrap();
    }

    /// How many notes there are with this text.
    pub(crate) async fn count(&self, note: &str) -> String {
        let question = format!("SELECT count(*)::text FROM notes WHERE note LIKE '{note}%'");
        self.primary().ask(&question).await.unwrap()
    }
}

/// A region with counting proxies before its databases, in which the session guest runs.
pub(crate) async fn region_of_sessions() -> ReplicaRegion {
    build_guest().await;
    let manifest = manifest();
    let options = Options { manifest: Some(&manifest), ..Options::default() };
    let region = ReplicaRegion::start(&host(), options).await.unwrap();
    for statement in [SCHEMA, "GRANT ALL ON notes TO PUBLIC"] {
        region.cluster.primary().ask(statement).await.unwrap();
    }
    replayed(&region.cluster, "fra").await;
    region
}

/// Waits until a replica has replayed what the primary has now.
pub(crate) async fn replayed(cluster: &Cluster, region: &str) {
    let lsn = cluster.primary().ask("SELECT pg_current_wal_insert_lsn()::text").await.unwrap();
    // The start of the page says the same, where nothing is on it yet.
    let question = format!("SELECT (pg_last_wal_replay_lsn() >= '{lsn}'::pg_lsn - 40)::text");
    let replica = cluster.server(region);
    let there =
        eventually(DEADLINE, "the replica", async || (replica.ask(&question).await.ok()? == "true").then_some(()));
    there.await.unwrap();
}

fn manifest() -> std::path::PathBuf {
    repository().join("host-tests/session-guest/spin.toml")
}

async fn build_guest() {
    static BUILT: OnceCell<()> = OnceCell::const_new();
    BUILT.get_or_init(async || tokio::task::spawn_blocking(|| build(&manifest()).unwrap()).await.unwrap()).await;
}

/// Plays a script in one session, begun with a bookmark.
pub(crate) async fn play(machine: &Machine, bookmark: &str, steps: &[Value]) -> Played {
    let answer = send(machine, bookmark, steps).await.unwrap();
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    let results: Vec<_> = body["results"].as_array().unwrap_or_else(|| panic!("{body}")).clone();
    let bookmark = body["bookmark"].as_str().unwrap().to_owned();
    assert!(bookmark.len() <= 64 && bookmark.is_ascii() && !answer.body.contains("127.0.0.1"), "{}", answer.body);
    Played { results, bookmark, wrote: body["wrote"].as_bool().unwrap(), answer }
}

/// The same where there may be no answer.
pub(crate) async fn send(machine: &Machine, bookmark: &str, steps: &[Value]) -> anyhow::Result<Answer> {
    let script = json!({ "bookmark": bookmark, "steps": steps }).to_string();
    machine.client().await?.send_with(Method::POST, "/", &[], script).await
}

pub(crate) fn read(statement: &str) -> Value {
    json!({ "read": statement })
}

pub(crate) fn write(statement: &str) -> Value {
    json!({ "write": statement })
}

pub(crate) fn transaction(statements: &[&str]) -> Value {
    json!({ "transaction": statements })
}

pub(crate) fn read_transaction(statements: &[&str]) -> Value {
    json!({ "read-transaction": statements })
}

/// Adds a note.
pub(crate) fn add(note: &str) -> Value {
    write(&format!("INSERT INTO notes (note) VALUES ('{note}')"))
}

/// How many notes the session sees with this text.
pub(crate) fn see(note: &str) -> Value {
    read(&format!("SELECT count(*) FROM notes WHERE note = '{note}'"))
}

impl Played {
    /// Where the last step ran and why, and its rows.
    #[track_caller]
    pub(crate) fn last(&self) -> (&str, &str, &Value) {
        let last = self.results.last().unwrap();
        let text = |key: &str| last[key].as_str().unwrap_or_else(|| panic!("{last}"));
        (text("candidate"), text("reason"), &last["rows"])
    }

    /// The problem of the last step: its name, status and SQLSTATE.
    #[track_caller]
    pub(crate) fn problem(&self) -> (&str, u64, &str) {
        let last = self.results.last().unwrap();
        let name = last["problem"].as_str().unwrap_or_else(|| panic!("no problem: {last}"));
        (name, last["status"].as_u64().unwrap(), last["body"]["sqlstate"].as_str().unwrap_or_default())
    }

    /// The last step has rows, of one value.
    #[track_caller]
    pub(crate) fn assert_value(&self, expected: impl Into<Value>) {
        assert_eq!(self.last().2, &json!([[expected.into()]]), "{self:?}");
    }
}
