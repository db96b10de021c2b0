//! What a history is made of: a call, what it was to change, and what its session was told.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// One change that a write makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A number becomes this one; each is higher than those before it, and the database keeps the highest, so that a
    /// write that arrives late hides no later one.
    Set {
        /// Which number.
        name: String,
        /// The new value.
        to: i64,
    },
    /// A number becomes one more.
    Add {
        /// Which number.
        name: String,
    },
    /// A row that no other call adds. Nothing but the promise keeps it from being there twice, unless it takes a key.
    Fact {
        /// The row.
        fact: String,
        /// The unique key that it takes.
        key: Option<i64>,
    },
}

/// What a statement returned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Numbers by their names.
    pub numbers: BTreeMap<String, i64>,
    /// All rows, with spaces in between, where it asked for them.
    pub facts: Option<String>,
    /// Entries of a guestbook by their ids: those that it lists, or the one that was written.
    pub listed: Option<BTreeMap<i64, String>>,
    /// Who answered; nothing where that is not said.
    pub candidate: String,
    /// Why this one.
    pub reason: String,
}

/// What a session was told about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It happened, and returned this.
    Acknowledged(View),
    /// Nothing of it is there, and why.
    Nothing(String),
    /// It happened or it did not, and why nobody knows.
    Unknown(String),
}

/// A statement or transaction that a session asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Whose.
    pub session: u32,
    /// Which request of the session it was in.
    pub request: u32,
    /// The region of the Machine that it was sent to.
    pub region: String,
    /// What the request carried.
    pub bookmark: String,
    /// What it was to change; nothing for a read.
    pub effects: Vec<Effect>,
    /// What became of it.
    pub outcome: Outcome,
    /// How often the request was sent, by a client that sends it again.
    pub attempts: u32,
    /// When the request was sent, since the history began.
    pub began: Duration,
    /// When the answer was there.
    pub ended: Duration,
}

impl View {
    /// The rows that it shows.
    pub(super) fn rows(&self) -> impl Iterator<Item = &str> {
        let facts = self.facts.iter().flat_map(|facts| facts.split_whitespace());
        facts.chain(self.listed.iter().flat_map(|listed| listed.values().map(String::as_str)))
    }
}

impl Call {
    /// What it returned, where it happened.
    #[must_use]
    pub fn view(&self) -> Option<&View> {
        match &self.outcome {
            Outcome::Acknowledged(view) => Some(view),
            Outcome::Nothing(_) | Outcome::Unknown(_) => None,
        }
    }

    /// Whether it is a write whose outcome is unknown, or was before it was sent again.
    pub(super) fn was_unknown(&self) -> bool {
        !self.effects.is_empty() && (self.attempts > 1 || matches!(self.outcome, Outcome::Unknown(_)))
    }

    /// The rows that it was to add, and their keys.
    pub fn facts(&self) -> impl Iterator<Item = (&str, Option<i64>)> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Fact { fact, key } => Some((fact.as_str(), *key)),
            Effect::Set { .. } | Effect::Add { .. } => None,
        })
    }

    /// The numbers that it was to increment.
    pub fn added(&self) -> impl Iterator<Item = &str> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Add { name } => Some(name.as_str()),
            Effect::Set { .. } | Effect::Fact { .. } => None,
        })
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set { name, to } => write!(f, "{name} := {to}"),
            Self::Add { name } => write!(f, "{name} += 1"),
            Self::Fact { fact, key: None } => write!(f, "add {fact}"),
            Self::Fact { fact, key: Some(key) } => write!(f, "add {fact} with key {key}"),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, request, region, bookmark, began, ended, .. } = self;
        write!(f, "session {session}, request {request}, in {region}, {began:.3?} to {ended:.3?}, ")?;
        if self.attempts != 1 {
            write!(f, "sent {} times, ", self.attempts)?;
        }
        let effects: Vec<_> = self.effects.iter().map(Effect::to_string).collect();
        let what = if effects.is_empty() { "read".to_owned() } else { effects.join(", ") };
        write!(f, "bookmark `{bookmark}`: {what}: ")?;
        match &self.outcome {
            Outcome::Acknowledged(view) => write!(f, "acknowledged {} {}", view.candidate, view.reason),
            Outcome::Nothing(why) => write!(f, "nothing of it is there: {why}"),
            Outcome::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}
