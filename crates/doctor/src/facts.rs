//! What is known about a candidate once it has been asked.

use nearest_replica::Role;
use nearest_replica::parts::{Freshness, Position};

/// Why no connection could be opened, or why there was no answer on it.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    /// The host's name leads nowhere.
    NameNotFound,
    /// Nothing listens on the port.
    Refused,
    /// Nothing came back in time.
    TimedOut,
    /// The connection was taken and closed without a word.
    Closed,
    /// TLS could not be agreed upon, or the certificate not be verified.
    Tls(String),
    /// The server asks for a password and the URL has none.
    NoPassword,
    /// The URL has no user, and the server does not let in the one that the client has taken instead: its own words.
    NoUser(String),
    /// Something answers that is no PostgreSQL: how its answer begins.
    NotPostgres(String),
    /// The server's own words.
    Server { sqlstate: String, message: String },
    /// Anything else.
    Other(String),
}

/// Of a server that does not let a user in.
pub(crate) const LOGIN_REFUSED: [&str; 2] = ["28P01", "28000"];

/// How a server took the settings of `options` in the URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Options {
    /// They are in force, or there were none.
    #[default]
    Taken,
    /// The connection was refused for them.
    Refused,
    /// They are not in force.
    Ignored,
    /// The URL has none, since its host may be a pooler.
    NotSent,
}

/// What stands between client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pooler {
    /// Nothing that can be noticed.
    NoneSeen,
    /// One that keeps a server connection for each client: in session mode.
    KeepsConnections,
    /// One that gives the server connection to others between two transactions, and knows prepared statements.
    SharesConnections,
    /// The same, and prepared statements fail there.
    TransactionMode,
}

/// What a bookmark is good for on a candidate.
#[derive(Clone, Debug)]
pub(crate) enum Bookmarks {
    /// Compared with the primary's position of a moment before.
    Compared(Freshness),
    /// It says where its log is, and there was no primary to compare with.
    Alone,
    /// It does not say where its log is.
    Unavailable(String),
}

/// The connections that a server takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connections {
    pub(crate) max: u32,
    pub(crate) reserved: u32,
    /// Without our own.
    pub(crate) in_use: u32,
    /// Of this database or this user, where there is a limit.
    pub(crate) limit: Option<u32>,
}

impl Connections {
    /// How many an app can have altogether.
    pub(crate) fn available(&self) -> u32 {
        let of_server = self.max.saturating_sub(self.reserved);
        self.limit.map_or(of_server, |limit| limit.min(of_server))
    }
}

/// How far a replica is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lag {
    /// Received and not replayed.
    pub(crate) bytes_to_replay: Option<u64>,
    /// Where the replay stands.
    pub(crate) replayed: Option<u64>,
    /// Behind the primary, which was asked at the same moment.
    pub(crate) bytes_behind_primary: Option<u64>,
    /// Since the commit that was replayed last; on an idle primary it grows though nothing is missing.
    pub(crate) seconds_since_replay: Option<f64>,
    pub(crate) paused: bool,
    pub(crate) streaming: bool,
}

/// A function that bookmarks need and this user cannot call.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) signature: String,
    /// It is there, and the user may not call it.
    pub(crate) exists: bool,
}

/// What the server behind an open connection has said of itself; what it did not say is missing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    pub(crate) role: Option<Role>,
    pub(crate) version: Option<String>,
    /// The user that it knows the client by.
    pub(crate) user: Option<String>,
    /// When it was started, as it writes it: tells servers of a cluster apart.
    pub(crate) started: Option<String>,
    pub(crate) system: Option<String>,
    pub(crate) position: Option<Position>,
    pub(crate) lag: Option<Lag>,
    pub(crate) bookmarks: Option<Bookmarks>,
    pub(crate) functions: Vec<Function>,
    pub(crate) connections: Option<Connections>,
    pub(crate) round_trip_ms: Option<f64>,
    pub(crate) options: Options,
    pub(crate) pooler: Option<Pooler>,
    /// The primary takes no writes though nobody asked for that.
    pub(crate) writes_refused: bool,
    /// What it refused to say, or did not say in time.
    pub(crate) unanswered: Option<Refusal>,
}

impl Server {
    /// Whether two candidates lead to one server; nothing where it cannot be known.
    pub(crate) fn is_same_as(&self, other: &Self) -> Option<bool> {
        let systems = self.system.as_ref().zip(other.system.as_ref());
        if systems.is_some_and(|(one, other)| one != other) {
            return Some(false);
        }
        Some(self.started.as_ref()? == other.started.as_ref()?)
    }
}

/// All of a candidate.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) addresses: Vec<String>,
    /// How long the connection took to open.
    pub(crate) open_ms: Option<f64>,
    /// The server, or why there is none.
    pub(crate) outcome: Result<Server, Refusal>,
}

impl Facts {
    pub(crate) fn server(&self) -> Option<&Server> {
        self.outcome.as_ref().ok()
    }
}
