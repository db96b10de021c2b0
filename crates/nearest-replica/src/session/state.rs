//! What a session knows, and for how long something may still happen.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::rules::bookmark::{Bookmark, Position};
use crate::rules::candidates::CandidateKind;
use crate::rules::config::Config;
use crate::spin::postgres::Connection;

/// No bookmark of ours is further ahead: one and a half of the longest deadline, and a little.
pub(super) const LONGEST_UNTIL_MS: u64 = 120_000;

pub(super) struct State {
    /// What the session was begun with.
    pub(super) bookmark: Bookmark,
    /// Whether that means nothing to this cluster.
    pub(super) foreign: bool,
    /// Where it has read or written since.
    pub(super) seen: Seen,
    pub(super) wrote: bool,
    /// What the database that its reads are from was found to have.
    pub(super) arrived: Option<Position>,
}

/// Where a session has been.
#[derive(Clone)]
pub(super) enum Seen {
    Nothing,
    /// One server: the same as long as it is the same connection. A name may lead to several.
    Server(CandidateKind, Connection),
    /// The primary; with the connection of the last write.
    Primary(Option<Connection>),
}

/// What a database must be to answer.
pub(crate) struct Requirement {
    pub(super) position: Option<Position>,
    pub(super) must_be_primary: bool,
    /// Set at the first look: one wait for all candidates.
    pub(super) wait_until: Cell<Option<Instant>>,
}

impl Requirement {
    pub(super) fn new(position: Option<Position>, must_be_primary: bool) -> Self {
        Self { position, must_be_primary, wait_until: Cell::new(None) }
    }
}

/// How long a statement may still take that nobody waits for: it may be on its way for as long as `tcp_user_timeout`, and
/// run for as long as `statement_timeout` then.
pub(super) fn until_final(config: &Config) -> Duration {
    config.deadline + config.statement_timeout.unwrap_or(config.deadline) + Duration::from_secs(1)
}

/// From the primary, for as long.
pub(super) fn until(wait: Duration) -> Bookmark {
    Bookmark::Until(now() + u64::try_from(wait.as_millis()).unwrap_or(u64::MAX / 2))
}

/// Milliseconds since 1970.
pub(super) fn now() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
