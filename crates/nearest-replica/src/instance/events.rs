//! The records by which the parts of an app on one Machine tell each other what reads must not be older than: a name that
//! nobody else gives, and beside it how far a log was after what it stands for. Whoever writes a name does not look at the
//! one before, so none is lost: the last one stands for all.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use fnv::FnvHasher;

use super::breaker::{key, now};
use crate::rules::bookmark::Bookmark;
use crate::rules::database_url::DatabaseUrl;

/// The record that is written after each of the others but those of positions: another name each time.
pub const LAST_EVENT: &str = "nearest-replica/floor/last-event";

/// For how long an instance takes what a record has said for true. Whoever has written it waits for as long before anybody is
/// told, so that nobody who reads then goes by an older answer.
pub const LEASE: Duration = Duration::from_millis(5);

/// For how long a write may still become visible of which nobody knows whether it happened, nor how long its statement may
/// run. Few run for longer.
pub const UNTIL_FINAL: Duration = Duration::from_secs(10);

/// For how long reads are from the primary after a write to a database that does not say how far its log is.
pub const WITHOUT_POSITIONS: Duration = Duration::from_secs(10);

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An app on this Machine has written.
    Written,
    /// A user who has seen something elsewhere is about to read here.
    Seen,
}

impl Event {
    /// Where the name of the last one is, whatever the database: one address may be written in many ways.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Written => "nearest-replica/floor/written",
            Self::Seen => "nearest-replica/floor/seen",
        }
    }

    /// Where what was minted after it is, for the database at `url`.
    #[must_use]
    pub fn minted_key(self, url: &DatabaseUrl) -> String {
        match self {
            Self::Written => key("floor", url),
            Self::Seen => key("seen", url),
        }
    }
}

/// A name that no other event has.
#[must_use]
pub fn new_name() -> String {
    // Each state has keys of its own, from the system.
    format!("{:016x}", RandomState::new().hash_one(now().timestamp.0))
}

/// How far a log was at some time after the event of a name: `<name> <bookmark>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    name: String,
    /// Its position, or until when the primary is to be asked, where the database does not say.
    pub bookmark: Bookmark,
}

impl Minted {
    /// For the event of this name.
    #[must_use]
    pub fn after(name: &str, bookmark: Bookmark) -> Self {
        Self { name: in_record(name), bookmark }
    }

    /// Reads what [`fmt::Display`] has written; anything else is nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, bookmark) = text.split_once(' ')?;
        Some(Self { name: name.to_owned(), bookmark: Bookmark::parse(bookmark) })
    }

    /// Whether it is about the event of this name.
    #[must_use]
    pub fn is_after(&self, name: &str) -> bool {
        self.name == in_record(name)
    }
}

impl fmt::Display for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.bookmark)
    }
}

/// A name as it stands in a record, whatever somebody else has put into the store for it.
fn in_record(name: &str) -> String {
    let mut hasher = FnvHasher::default();
    hasher.write(name.as_bytes());
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_minted_belongs_to_the_event_of_its_name() {
        let (one, other) = (new_name(), new_name());
        assert_ne!(one, other);
        for name in [one.as_str(), "any thing", ""] {
            let minted = Minted::after(name, Bookmark::parse("1-7-1-5"));
            let read = Minted::parse(&minted.to_string()).unwrap();
            assert_eq!(read, minted);
            assert!(read.is_after(name) && !read.is_after(&other), "{read}");
        }
        assert_eq!(Minted::parse(""), None);
    }
}
