//! What is known about each pair of brackets that is open, in a stack of bounded height.

use super::WhyPrimary;
use super::lexer::Bracket;

/// A server's own stack overflows much later.
const DEEPEST: usize = 64;

/// What a pair of brackets is for, as far as it matters behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Arguments, `FILTER (...)` or `WITHIN GROUP (...)`: `OVER` may follow.
    Call,
    /// `DISTINCT ON (...)`: an expression follows.
    DistinctOn,
    /// Anything else, after which no expression can begin.
    Other,
}

/// Where in the names of a `WITH` a level is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum With {
    No,
    /// A name follows, or `RECURSIVE`.
    BeforeName,
    /// Columns or `AS` follow.
    AfterName,
    /// `MATERIALIZED` or the query follows.
    AfterAs,
    /// A comma follows where there is another name.
    AfterQuery,
}

/// Whether what stands here may be an item of `FROM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clause {
    From,
    Other,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    bracket: Option<Bracket>,
    purpose: Purpose,
    pub(super) with: With,
    pub(super) clause: Clause,
}

const OUTERMOST: Level = Level { bracket: None, purpose: Purpose::Other, with: With::No, clause: Clause::Other };

/// The brackets that are open; the outermost level has none.
pub(super) struct Levels {
    levels: [Level; DEEPEST],
    depth: usize,
}

impl Levels {
    pub(super) fn new() -> Self {
        Self { levels: [OUTERMOST; DEEPEST], depth: 0 }
    }

    pub(super) fn top(&mut self) -> &mut Level {
        &mut self.levels[self.depth]
    }

    pub(super) fn are_closed(&self) -> bool {
        self.depth == 0
    }

    pub(super) fn is_in(&self, bracket: Bracket) -> bool {
        self.levels[self.depth].bracket == Some(bracket)
    }

    /// Opens a level, which is where the one around it is until it says otherwise.
    pub(super) fn open<'a>(&mut self, bracket: Bracket, purpose: Purpose) -> Result<(), WhyPrimary<'a>> {
        let clause = self.top().clause;
        let level = self.levels.get_mut(self.depth + 1).ok_or(WhyPrimary::TooDeep)?;
        *level = Level { bracket: Some(bracket), purpose, with: With::No, clause };
        self.depth += 1;
        Ok(())
    }

    /// Closes a level and says what it was for.
    pub(super) fn close<'a>(&mut self, bracket: Bracket) -> Result<Purpose, WhyPrimary<'a>> {
        if !self.is_in(bracket) {
            return Err(WhyPrimary::NotUnderstood);
        }
        let purpose = self.top().purpose;
        self.depth -= 1;
        Ok(purpose)
    }
}
