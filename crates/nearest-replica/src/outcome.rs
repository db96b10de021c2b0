//! What became of a read.

use std::fmt;

use crate::rules::candidates::CandidateKind;
use crate::rules::failure::Failure;
use crate::rules::reason::Reason;

/// An answered read.
#[derive(Debug)]
pub struct Answer<T> {
    /// What was read.
    pub value: T,
    /// The candidate that gave it.
    pub kind: CandidateKind,
    /// Why that one.
    pub reason: Reason,
    /// What failed before, in order.
    pub tried: Vec<Attempt>,
}

/// One candidate that did not answer.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Which candidate.
    pub kind: CandidateKind,
    /// Why not.
    pub failure: Failure,
}

/// Nobody answered. All attempts are kept, in order; the last one decides what it is.
#[derive(Clone, Debug)]
pub struct NoAnswer {
    /// What was tried; never empty.
    pub tried: Vec<Attempt>,
}

impl<T> Answer<T> {
    /// The same answer with another value.
    ///
    /// # Errors
    /// Those of `map`.
    pub fn try_map<U, E>(self, map: impl FnOnce(T) -> Result<U, E>) -> Result<Answer<U>, E> {
        let Self { value, kind, reason, tried } = self;
        Ok(Answer { value: map(value)?, kind, reason, tried })
    }

    /// What failed before, for the log.
    #[must_use]
    pub fn describe(&self) -> String {
        describe(&self.tried)
    }
}

impl NoAnswer {
    /// Whether Spin refused to connect to any of them.
    pub(crate) fn is_not_permitted(&self) -> bool {
        self.tried.iter().all(|attempt| matches!(attempt.failure, Failure::NotPermitted(_)))
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&describe(&self.tried))
    }
}

impl std::error::Error for NoAnswer {}

fn describe(tried: &[Attempt]) -> String {
    let one = |attempt: &Attempt| format!("{}: {}: {}", attempt.kind, attempt.failure.class(), attempt.failure);
    tried.iter().map(one).collect::<Vec<_>>().join("; ")
}
