//! What the tests start from: a cluster, and the program with a Machine's environment.

use std::fmt;
use std::process::Command;

use host_tests::postgres::Cluster;
use serde_json::Value;
use tokio::sync::OnceCell;

/// A primary in `sjc` and a replica in `fra`, for tests that change nothing.
pub(crate) async fn shared() -> &'static Cluster {
    // Never dropped: the cluster's watchdog stops it.
    static SHARED: OnceCell<Cluster> = OnceCell::const_new();
    SHARED.get_or_init(async || Cluster::start(&["fra"]).await.unwrap()).await
}

/// The program before it is started.
pub(crate) struct Doctor {
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
}

impl Doctor {
    /// With nothing in its environment.
    pub(crate) fn new() -> Self {
        Self { environment: Vec::new(), arguments: Vec::new() }
    }

    /// On a Machine in `fra`, whose databases are on this machine.
    pub(crate) fn in_fra(url: &str, replica_port: u16) -> Self {
        Self::new()
            .with("DATABASE_URL", url)
            .with("FLY_REGION", "fra")
            .with("SPIN_VARIABLE_PRIMARY_REGION", "sjc")
            .with("SPIN_VARIABLE_REPLICA_PORT", &replica_port.to_string())
            .with("SPIN_VARIABLE_ALLOWED_HOST", "postgres://127.0.0.1:*")
    }

    /// The same, with the two servers of a cluster where they should be.
    pub(crate) fn of(cluster: &Cluster) -> Self {
        Self::in_fra(&url(cluster.primary().address().port()), cluster.server("fra").address().port())
    }

    /// The last of a name counts.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Runs it for people.
    pub(crate) async fn text(self) -> (i32, String) {
        self.run().await
    }

    /// Runs it for programs.
    pub(crate) async fn examine(self) -> Told {
        let (status, text) = self.argument("--json").run().await;
        let report = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let told = Told { report, status };
        assert_eq!(told.report["exit_status"], told.status, "{told}");
        told
    }

    /// Nothing may come on standard error.
    async fn run(self) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doctor"));
        command.env_clear().envs(self.environment).args(self.arguments);
        // A proxy of the test goes on meanwhile.
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }
}

/// A URL for the superuser.
pub(crate) fn url(port: u16) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/postgres")
}

/// What it has said.
pub(crate) struct Told {
    pub(crate) report: Value,
    pub(crate) status: i32,
}

impl Told {
    /// The candidate of this name.
    pub(crate) fn candidate(&self, name: &str) -> &Value {
        let candidates = self.report["candidates"].as_array().unwrap();
        candidates.iter().find(|candidate| candidate["candidate"] == name).unwrap_or_else(|| panic!("{name}: {self}"))
    }

    /// The finding about a candidate, or about none.
    pub(crate) fn finding(&self, code: &str, candidate: Option<&str>) -> (&str, &str) {
        let findings = self.report["findings"].as_array().unwrap();
        let is = |finding: &&Value| finding["code"] == code && finding["candidate"].as_str() == candidate;
        let finding = findings.iter().find(is).unwrap_or_else(|| panic!("no {code}: {self}"));
        (finding["wrong"].as_str().unwrap(), finding["instead"].as_str().unwrap())
    }

    /// The codes of everything that is more than a note.
    pub(crate) fn wrong(&self) -> Vec<&str> {
        let findings = self.report["findings"].as_array().unwrap().iter();
        let bad = findings.filter(|finding| finding["severity"] != "note");
        bad.map(|finding| finding["code"].as_str().unwrap()).collect()
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.report)
    }
}
