//! A notice board for the instances of this component: Spin's key-value store.
//!
//! An instance lives for 128 requests at most. Without the board each new one would find out for itself, and at the
//! cost of the requests it has, that a candidate is dead. The board is a help and no more: where the component may not
//! use a store (`key_value_stores` in spin.toml), or it is slow, instances learn by themselves.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spin_sdk::key_value::Store;

use crate::pulse::within;

/// How long the board may take; in Spin's own store it is well below a millisecond.
const PATIENCE: Duration = Duration::from_millis(100);

/// What stands on the board about a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// It should rest until this time.
    Rest(Time),
    /// It answered at this time.
    Well(Time),
}

/// Since the Unix epoch, in milliseconds: the one clock that all instances have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(u64);

impl Time {
    pub(crate) fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long from now on; `None` where it has come.
    pub(crate) fn left(self) -> Option<Duration> {
        self.0.checked_sub(Self::now().0).filter(|left| *left > 0).map(Duration::from_millis)
    }
}

impl Note {
    fn parse(text: &str) -> Option<Self> {
        let (word, time) = text.split_once(' ')?;
        let time = Time(time.parse().ok()?);
        match word {
            "rest" => Some(Self::Rest(time)),
            "well" => Some(Self::Well(time)),
            _ => None,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rest(Time(until)) => write!(f, "rest {until}"),
            Self::Well(Time(at)) => write!(f, "well {at}"),
        }
    }
}

/// What somebody has written down last about the candidate behind `key`.
pub(crate) async fn read(key: &str) -> Option<Note> {
    let value = within(PATIENCE, async { Store::open_default().await?.get(key).await }).await?.ok()??;
    Note::parse(str::from_utf8(&value).ok()?)
}

/// Writes a note down.
pub(crate) async fn post(key: &str, note: Note) {
    let text = note.to_string();
    // Nobody depends on it.
    let _ = within(PATIENCE, async { Store::open_default().await?.set(key, text).await }).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_as_they_were_written_and_anything_else_is_none() {
        for note in [Note::Rest(Time(17)), Note::Well(Time(0))] {
            assert_eq!(Note::parse(&note.to_string()), Some(note));
        }
        for text in ["", "rest", "rest x", "17", "sick 17"] {
            assert_eq!(Note::parse(text), None, "{text}");
        }
        assert_eq!(Time::now().left(), None);
        assert!(Time::now().after(Duration::from_secs(9)).left() > Some(Duration::from_secs(8)));
    }
}
