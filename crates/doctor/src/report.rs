//! The report: what programs read with `--json`, and what people read as text.

use nearest_replica::Candidate;
use nearest_replica::parts::Freshness;
use serde::Serialize;

use crate::facts::{Bookmarks, Connections, Facts, Lag, Options, Pooler};
use crate::finding::{Finding, Severity};

/// What is expected of the servers.
#[derive(Clone, Debug)]
pub struct Load {
    /// How many Machines connect to the same database.
    pub machines: u32,
    /// How many connections each pool of Spin may have.
    pub max_connections: u32,
    /// From how many seconds on a replica lags.
    pub max_lag: u32,
}

impl Load {
    /// Spin keeps so many connections for each URL.
    pub const PER_POOL: u32 = 64;
    /// URLs for each candidate: the shared one, and one for connections that must not wait behind it.
    pub const POOLS: u32 = 2;

    /// How many connections may be opened to one candidate.
    pub(crate) fn connections(&self) -> u32 {
        self.machines * Self::POOLS * self.max_connections
    }
}

impl Default for Load {
    fn default() -> Self {
        Self { machines: 1, max_connections: Self::PER_POOL, max_lag: 10 }
    }
}

/// All that was found. Holds no password.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What the program ends with: 0, 1 or 2.
    pub exit_status: u8,
    /// The Machine's region.
    pub region: Option<String>,
    /// The primary's region.
    pub primary_region: Option<String>,
    /// How long a request may take.
    pub deadline_ms: Option<u128>,
    /// Where each variable was found.
    pub variables: Vec<Origin>,
    /// In the component's order.
    pub candidates: Vec<CandidateReport>,
    /// The worst first.
    pub findings: Vec<Finding>,
}

/// Where a variable was found.
#[derive(Debug, Serialize)]
pub struct Origin {
    /// The component's name for it.
    pub variable: &'static str,
    /// The name in the environment; nothing where it is the default.
    pub from: Option<String>,
}

/// A candidate. What is not known is `null`.
#[derive(Debug, Serialize)]
pub struct CandidateReport {
    /// `local`, `nearest`, `replica-port` or `configured`.
    pub candidate: &'static str,
    /// The role that it should have.
    pub expected: &'static str,
    /// The host, or several with their ports.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What the host's name leads to.
    pub addresses: Vec<String>,
    /// Whether a connection could be opened.
    pub reachable: bool,
    /// How long that took.
    pub open_ms: Option<f64>,
    /// The median of some statements.
    pub round_trip_ms: Option<f64>,
    /// `primary` or `replica`, as the server says it.
    pub role: Option<&'static str>,
    /// PostgreSQL's version.
    pub version: Option<String>,
    /// Tells clusters apart.
    pub system_identifier: Option<String>,
    /// Grows with each promotion.
    pub timeline: Option<u32>,
    /// The place in the log: what has been written, or replayed.
    pub lsn: Option<String>,
    /// Of a replica.
    pub lag: Option<LagReport>,
    /// `fresh`, `behind`, `foreign`, `not-compared` or `unavailable`.
    pub bookmarks: Option<&'static str>,
    /// The server's limits.
    pub connections: Option<ConnectionsReport>,
    /// `none-seen`, `keeps-connections`, `shares-connections` or `transaction-mode`.
    pub pooler: Option<&'static str>,
    /// Whether reads are read-only: `taken`, `refused`, `ignored` or `not-sent`.
    pub options: Option<&'static str>,
}

/// How far a replica is.
#[derive(Debug, Serialize)]
pub struct LagReport {
    /// Behind the primary, asked at the same moment.
    pub bytes_behind_primary: Option<u64>,
    /// Received and not replayed.
    pub bytes_to_replay: Option<u64>,
    /// Since the commit that was replayed last.
    pub seconds_since_replay: Option<f64>,
    /// `running` or `paused`.
    pub replay: &'static str,
    /// Whether it is connected to a server that it receives from.
    pub streaming: bool,
}

/// A server's limits.
#[derive(Debug, Serialize)]
pub struct ConnectionsReport {
    /// `max_connections`.
    pub max: u32,
    /// Of these, for superusers and the like.
    pub reserved: u32,
    /// A limit of the user or of the database.
    pub limit: Option<u32>,
    /// At this moment, without those of the doctor.
    pub in_use: u32,
    /// What Spin's pools may want.
    pub spin_may_open: u32,
}

impl Report {
    /// The worst finding first, each once, and the exit status by it.
    pub(crate) fn finish(mut self) -> Self {
        self.findings = once(self.findings, self.candidates.len());
        self.findings.sort_by_key(|finding| finding.severity);
        let broken = self.findings.iter().any(|finding| finding.severity == Severity::Error);
        if broken && self.exit_status == 0 {
            self.exit_status = 1;
        }
        self
    }

    /// One JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings, numbers and lists of them")
    }
}

/// What is the same of every candidate is told once, of none in particular.
fn once(findings: Vec<Finding>, candidates: usize) -> Vec<Finding> {
    let mut told: Vec<Finding> = Vec::new();
    for finding in &findings {
        let is_of_all = findings.iter().filter(|other| other.says_the_same_as(finding)).count() == candidates;
        if is_of_all && told.iter().any(|earlier| earlier.says_the_same_as(finding)) {
            continue;
        }
        let candidate = if is_of_all && candidates > 1 { None } else { finding.candidate };
        told.push(Finding { candidate, ..finding.clone() });
    }
    told
}

impl CandidateReport {
    pub(crate) fn new(candidate: &Candidate, facts: &Facts, load: &Load) -> Self {
        let server = facts.server();
        let position = server.and_then(|server| server.position);
        Self {
            candidate: candidate.kind.name(),
            expected: candidate.expected.name(),
            host: candidate.url.host().to_owned(),
            port: candidate.url.port(),
            addresses: facts.addresses.clone(),
            reachable: server.is_some(),
            open_ms: facts.open_ms.map(rounded),
            round_trip_ms: server.and_then(|server| server.round_trip_ms).map(rounded),
            role: server.and_then(|server| server.role).map(|role| role.name()),
            version: server.and_then(|server| server.version.clone()),
            system_identifier: server.and_then(|server| server.system.clone()),
            timeline: position.map(|position| position.timeline),
            lsn: position.map(|position| position.parameters().2),
            lag: server.and_then(|server| server.lag.as_ref()).map(LagReport::new),
            bookmarks: server.and_then(|server| server.bookmarks.as_ref()).map(bookmarks),
            connections: server.and_then(|server| server.connections).map(|it| ConnectionsReport::new(it, load)),
            pooler: server.and_then(|server| server.pooler).map(pooler),
            options: server.map(|server| options(server.options)),
        }
    }
}

/// To microseconds: more is noise.
fn rounded(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}

fn bookmarks(bookmarks: &Bookmarks) -> &'static str {
    match bookmarks {
        Bookmarks::Compared(Freshness::Fresh) => "fresh",
        Bookmarks::Compared(Freshness::Behind) => "behind",
        Bookmarks::Compared(Freshness::ForeignReplica | Freshness::ForeignPrimary) => "foreign",
        Bookmarks::Alone => "not-compared",
        Bookmarks::Unavailable(_) => "unavailable",
    }
}

fn pooler(pooler: Pooler) -> &'static str {
    match pooler {
        Pooler::NoneSeen => "none-seen",
        Pooler::KeepsConnections => "keeps-connections",
        Pooler::SharesConnections => "shares-connections",
        Pooler::TransactionMode => "transaction-mode",
    }
}

fn options(options: Options) -> &'static str {
    match options {
        Options::Taken => "taken",
        Options::Refused => "refused",
        Options::Ignored => "ignored",
        Options::NotSent => "not-sent",
    }
}

impl LagReport {
    fn new(lag: &Lag) -> Self {
        Self {
            bytes_behind_primary: lag.bytes_behind_primary,
            bytes_to_replay: lag.bytes_to_replay,
            seconds_since_replay: lag.seconds_since_replay.map(rounded),
            replay: if lag.paused { "paused" } else { "running" },
            streaming: lag.streaming,
        }
    }
}

impl ConnectionsReport {
    fn new(connections: Connections, load: &Load) -> Self {
        let Connections { max, reserved, in_use, limit } = connections;
        Self { max, reserved, limit, in_use, spin_may_open: load.connections() }
    }
}
