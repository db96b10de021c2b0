//! Which candidates failed a moment ago, so that requests do not pay for a dead database again and again.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// For how long a candidate that failed is passed over before it is probed again.
pub(crate) const REST: Duration = Duration::from_secs(1);

/// What this instance knows about one candidate.
#[derive(Debug, Default)]
pub(crate) struct Health {
    resting_until: Cell<Option<Instant>>,
}

/// Whether a request should start with a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing is known against it.
    Healthy,
    /// It failed: only when nothing better is left.
    Resting,
    /// Its rest is over: the caller, and nobody else, should probe it.
    ProbeDue,
}

impl Health {
    /// The state at `now`. `ProbeDue` is told once and starts the next rest.
    pub(crate) fn state(&self, now: Instant) -> State {
        match self.resting_until.get() {
            None => State::Healthy,
            Some(until) if now < until => State::Resting,
            Some(_) => {
                self.failed(now);
                State::ProbeDue
            }
        }
    }

    pub(crate) fn failed(&self, now: Instant) {
        self.resting_until.set(Some(now + REST));
    }

    pub(crate) fn answered(&self) {
        self.resting_until.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_candidate_rests_is_probed_by_one_and_comes_back_when_it_answers() {
        let health = Health::default();
        let start = Instant::now();
        assert_eq!(health.state(start), State::Healthy);
        health.failed(start);
        assert_eq!(health.state(start + REST / 2), State::Resting);
        assert_eq!(health.state(start + REST), State::ProbeDue);
        assert_eq!(health.state(start + REST), State::Resting, "one prober is enough");
        health.answered();
        assert_eq!(health.state(start + REST), State::Healthy);
    }
}
