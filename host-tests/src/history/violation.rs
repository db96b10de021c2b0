//! What the checker finds: a broken promise, with everything that proves it.

use std::fmt;

use super::call::Call;

/// How much is printed of what may be long.
const SHOWN: usize = 10;

/// A promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// What was acknowledged is there.
    Lost,
    /// Nothing is there twice.
    Twice,
    /// Nothing is there that was said not to be.
    There,
    /// A transaction is there as a whole, or not at all.
    Torn,
    /// A key has one owner.
    TwoOwners,
    /// Nothing is there that nobody wrote.
    Stranger,
    /// Nobody reads anything older than what they have written or read; on one Machine behind the adapter, than what
    /// anybody was told there.
    Stale,
}

/// How a promise was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub rule: Rule,
    /// What happened.
    pub what: String,
    /// The calls that prove it, or of which one must have done it.
    pub calls: Vec<Call>,
}

impl Violation {
    pub(super) fn new<'a>(rule: Rule, what: String, calls: impl IntoIterator<Item = &'a Call>) -> Self {
        Self { rule, what, calls: calls.into_iter().cloned().collect() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)?;
        self.calls.iter().take(SHOWN).try_for_each(|call| write!(f, "\n    {call}"))?;
        let more = self.calls.len().saturating_sub(SHOWN);
        if more > 0 { write!(f, "\n    and {more} more calls") } else { Ok(()) }
    }
}

/// The first few, one below the other, and how many there are.
#[must_use]
pub fn report(violations: &[Violation]) -> String {
    let shown: Vec<_> = violations.iter().take(SHOWN).map(Violation::to_string).collect();
    format!("{} promises were broken, the first ones:\n{}", violations.len(), shown.join("\n"))
}
