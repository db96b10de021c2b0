//! A finding: what is wrong, and what to write instead.

use std::fmt;

use serde::{Serialize, Serializer};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It must be mended.
    Error,
    /// It works, and not as it should or not for long.
    Warning,
    /// It is meant, perhaps.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal, $severity:ident;)*) => {
        /// What a finding is about: stable words for programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As it stands in a report.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// How bad it is.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity),* }
            }
        }
    };
}

codes! {
    /// A variable makes no sense.
    Variable = "variable", Error;
    /// Spin refuses the host.
    HostNotAllowed = "host-not-allowed", Error;
    /// The name leads nowhere.
    NameNotFound = "name-not-found", Error;
    /// Nothing listens on the port.
    ConnectionRefused = "connection-refused", Error;
    /// Nothing came back in time.
    TimedOut = "timed-out", Error;
    /// The connection was closed before the server had said anything.
    ConnectionClosed = "connection-closed", Error;
    /// TLS failed.
    Tls = "tls", Error;
    /// The server does not let this user in.
    PasswordRefused = "password-refused", Error;
    /// The URL has no user, and the server does not let in the one that is taken instead.
    NoUser = "no-user", Error;
    /// The server has no such user.
    NoSuchUser = "no-such-user", Error;
    /// The server has no such database.
    NoSuchDatabase = "no-such-database", Error;
    /// The server has no connection left.
    NoConnectionLeft = "no-connection-left", Error;
    /// The server starts or stops.
    NotReady = "not-ready", Error;
    /// Something else than PostgreSQL answers.
    NotPostgres = "not-postgres", Error;
    /// Any other reason.
    Unreachable = "unreachable", Error;
    /// The primary's port and the replicas' are confused.
    PortsSwapped = "ports-swapped", Error;
    /// What should be the primary is a replica.
    PrimaryIsAReplica = "primary-is-a-replica", Error;
    /// What should be a replica is the primary.
    ReplicaIsThePrimary = "replica-is-the-primary", Error;
    /// A primary that a failover has left behind.
    OldPrimary = "old-primary", Error;
    /// Two servers of one cluster take writes.
    TwoPrimaries = "two-primaries", Error;
    /// Another cluster than that of `DATABASE_URL`.
    AnotherCluster = "another-cluster", Error;
    /// The primary takes no writes.
    PrimaryReadOnly = "primary-read-only", Error;
    /// The replay is paused.
    ReplayPaused = "replay-paused", Error;
    /// The replica receives nothing.
    NotStreaming = "not-streaming", Error;
    /// The pooler refuses `options`.
    PoolerRefusesOptions = "pooler-refuses-options", Error;
    /// Prepared statements fail behind the pooler.
    PoolerTransactionMode = "pooler-transaction-mode", Error;
    /// The connection is open and questions stay without an answer.
    DoesNotAnswer = "does-not-answer", Error;
    /// A pooler in transaction mode that knows prepared statements.
    PoolerSharesConnections = "pooler-shares-connections", Warning;
    /// Reads are not read-only.
    ReadsMayWrite = "reads-may-write", Warning;
    /// The connection takes longer to open than a read waits for it.
    SlowToOpen = "slow-to-open", Warning;
    /// The replica lags.
    Lagging = "lagging", Warning;
    /// Sessions cannot have bookmarks.
    NoBookmarks = "no-bookmarks", Warning;
    /// Spin's pools may want more connections than there are.
    TooFewConnections = "too-few-connections", Warning;
    /// Every region reads from the given URL.
    PrimaryRegionNotSet = "primary-region-not-set", Warning;
    /// Two variables name different primary regions.
    PrimaryRegionsDiffer = "primary-regions-differ", Warning;
    /// This is no Machine, or it does not say where it is.
    RegionNotSet = "region-not-set", Note;
    /// There is one candidate in the primary region.
    InPrimaryRegion = "in-primary-region", Note;
    /// There is one candidate in other regions, too.
    NoReplicas = "no-replicas", Note;
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One finding.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What it is about.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// The candidate that it is about; nothing where it is about all of them, or about none.
    pub candidate: Option<&'static str>,
    /// A sentence without its full stop.
    pub wrong: String,
    /// Another one.
    pub instead: String,
}

impl Finding {
    pub(crate) fn new(code: Code, wrong: impl Into<String>, instead: impl Into<String>) -> Self {
        Self { code, severity: code.severity(), candidate: None, wrong: wrong.into(), instead: instead.into() }
    }

    /// Of this candidate or another.
    pub(crate) fn says_the_same_as(&self, other: &Self) -> bool {
        (self.code, &self.wrong, &self.instead) == (other.code, &other.wrong, &other.instead)
    }

    pub(crate) fn at(mut self, candidate: &'static str) -> Self {
        self.candidate = Some(candidate);
        self
    }
}
