//! Which candidates failed a moment ago, so that requests do not pay for a dead database again and again.

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use spin_sdk::wit_bindgen::spawn;

use crate::board;
use crate::database_url::DatabaseUrl;

/// For how long a candidate that failed is passed over before it is probed again.
pub(crate) const REST: Duration = Duration::from_secs(1);

/// What this instance knows about one candidate.
#[derive(Debug)]
pub(crate) struct Health {
    resting_until: Cell<Option<Instant>>,
    key: String,
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
    /// For the candidate at `url`, which the board knows by a hash: it may serve other clusters too.
    pub(crate) fn new(url: &DatabaseUrl) -> Self {
        let mut hasher = DefaultHasher::new();
        url.expose().hash(&mut hasher);
        let key = format!("{}/resting/{:016x}", env!("CARGO_PKG_NAME"), hasher.finish());
        Self { resting_until: Cell::new(None), key }
    }

    /// Takes over what other instances know.
    pub(crate) async fn learn(&self) -> bool {
        let left = board::read(&self.key).await;
        if let Some(left) = left {
            self.rest(Instant::now(), left);
        }
        left.is_some()
    }

    /// The state at `now`. `ProbeDue` is told once and starts the next rest.
    pub(crate) fn state(&self, now: Instant) -> State {
        match self.resting_until.get() {
            None => State::Healthy,
            Some(until) if now < until => State::Resting,
            Some(_) => {
                self.rest(now, REST);
                State::ProbeDue
            }
        }
    }

    /// It failed. The first of the requests that see it tells the other instances.
    pub(crate) fn failed(&self, now: Instant) {
        let known = self.resting_until.get().is_some_and(|until| now < until);
        self.rest(now, REST);
        if !known {
            let key = self.key.clone();
            spawn(async move { board::post(&key, REST).await });
        }
    }

    /// It answered.
    pub(crate) fn answered(&self) {
        if self.resting_until.take().is_some() {
            let key = self.key.clone();
            spawn(async move { board::clear(&key).await });
        }
    }

    /// Tells the other instances that somebody is about to probe it.
    pub(crate) async fn claim(&self) {
        board::post(&self.key, REST).await;
    }

    fn rest(&self, now: Instant, rest: Duration) {
        self.resting_until.set(Some(now + rest.min(REST)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_rests_is_probed_by_one_and_then_rests_again() {
        let health = Health::new(&DatabaseUrl::parse("postgres://h/db").unwrap());
        let start = Instant::now();
        assert_eq!(health.state(start), State::Healthy);
        health.rest(start, REST);
        assert_eq!(health.state(start + REST / 2), State::Resting);
        assert_eq!(health.state(start + REST), State::ProbeDue);
        assert_eq!(health.state(start + REST), State::Resting, "one prober is enough");
        assert_eq!(health.state(start + REST * 2), State::ProbeDue);
    }

    #[test]
    fn the_board_knows_a_candidate_by_nothing_that_is_in_its_url() {
        let health = Health::new(&DatabaseUrl::parse("postgres://ann:s3cret@h/db").unwrap());
        assert!(!health.key.contains("s3cret") && !health.key.contains("ann"), "{}", health.key);
    }
}
