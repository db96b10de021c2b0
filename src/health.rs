//! Which candidates failed a moment ago, so that requests do not pay for a dead database again and again.

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use crate::board::{self, Note, Time};
use crate::database_url::DatabaseUrl;
use crate::wake::beside;

/// For how long a candidate that failed is passed over before it is probed again.
pub(crate) const REST: Duration = Duration::from_secs(1);

/// After how long an instance looks again whether what others know is still so.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What this instance knows about one candidate.
#[derive(Debug)]
pub(crate) struct Health {
    resting_until: Cell<Option<Instant>>,
    /// When it was last seen to fail.
    failed_at: Cell<Option<Time>>,
    key: String,
}

/// Whether a request should start with a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing is known against it.
    Healthy,
    /// It failed: only when nothing better is left.
    Resting,
    /// Its rest is over: look at the board, and if that does not help, probe it.
    Unsure,
}

impl Health {
    /// For the candidate at `url`, which the board knows by a hash: it may serve other clusters too.
    pub(crate) fn new(url: &DatabaseUrl) -> Self {
        let mut hasher = DefaultHasher::new();
        url.expose().hash(&mut hasher);
        let key = format!("{}/resting/{:016x}", env!("CARGO_PKG_NAME"), hasher.finish());
        Self { resting_until: Cell::new(None), failed_at: Cell::new(None), key }
    }

    /// Takes over what other instances know.
    pub(crate) async fn learn(&self) {
        let before = self.resting_until.get();
        let note = board::read(&self.key).await;
        // What this instance has seen meanwhile is newer.
        if self.resting_until.get() == before
            && let Some(note) = note
        {
            self.heed(note, Instant::now());
        }
    }

    fn heed(&self, note: Note, now: Instant) {
        match note {
            // Where the rest is over, nobody has seen it well again. Nobody writes down a longer one: the clock was set.
            Note::Rest(until) => {
                let left = until.left().filter(|left| *left <= REST).unwrap_or_default();
                self.rest(now, left.min(LOOK_AGAIN));
            }
            Note::Well(at) => {
                if self.failed_at.get().is_none_or(|failed| failed < at) {
                    self.resting_until.set(None);
                }
            }
        }
    }

    /// The state at `now`.
    pub(crate) fn state(&self, now: Instant) -> State {
        match self.resting_until.get() {
            None => State::Healthy,
            Some(until) if now < until => State::Resting,
            Some(_) => State::Unsure,
        }
    }

    /// Gives the caller, and nobody else, the right to probe it, where that is due.
    pub(crate) fn begin_probe(&self, now: Instant) -> bool {
        let due = self.state(now) == State::Unsure;
        if due {
            self.rest(now, REST);
        }
        due
    }

    /// It failed. The first of the requests that see it tells the other instances.
    pub(crate) async fn failed(&self) {
        let now = Instant::now();
        let known = self.state(now) == State::Resting;
        self.rest(now, REST);
        self.failed_at.set(Some(Time::now()));
        if !known {
            self.tell(Note::Rest(Time::now().after(REST))).await;
        }
    }

    /// It answered.
    pub(crate) async fn answered(&self) {
        if self.resting_until.take().is_some() {
            self.tell(Note::Well(Time::now())).await;
        }
    }

    async fn tell(&self, note: Note) {
        let key = self.key.clone();
        beside(async move { board::post(&key, note).await }).await;
    }

    /// Tells the other instances that somebody is about to probe it.
    pub(crate) async fn claim(&self) {
        board::post(&self.key, Note::Rest(Time::now().after(REST))).await;
    }

    fn rest(&self, now: Instant, rest: Duration) {
        self.resting_until.set(Some(now + rest));
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
        assert!(!health.begin_probe(start), "there is no need");
        health.rest(start, REST);
        assert_eq!(health.state(start + REST / 2), State::Resting);
        assert_eq!(health.state(start + REST), State::Unsure);
        assert!(health.begin_probe(start + REST));
        assert!(!health.begin_probe(start + REST), "one prober is enough");
        assert_eq!(health.state(start + REST), State::Resting);
        assert_eq!(health.state(start + REST * 2), State::Unsure);
    }

    #[test]
    fn what_others_know_counts_unless_it_is_older_than_what_was_seen_here() {
        let health = Health::new(&DatabaseUrl::parse("postgres://h/db").unwrap());
        let now = Instant::now();
        let soon = Time::now().after(REST);
        health.heed(Note::Rest(Time::now()), now);
        assert_eq!(health.state(now), State::Unsure, "that rest is over, and nobody has seen it well");
        health.heed(Note::Rest(soon.after(REST)), now);
        assert_eq!(health.state(now), State::Unsure, "nobody writes that, but a clock that was set makes it so");
        health.heed(Note::Rest(soon), now);
        assert_eq!(health.state(now), State::Resting);
        assert_eq!(health.state(now + LOOK_AGAIN), State::Unsure, "it looks again soon");
        health.failed_at.set(Some(Time::now()));
        health.heed(Note::Well(Time::now()), now);
        assert_eq!(health.state(now), State::Resting, "it has failed since");
        health.heed(Note::Well(soon), now);
        assert_eq!(health.state(now), State::Healthy);
    }

    #[test]
    fn the_board_knows_a_candidate_by_nothing_that_is_in_its_url() {
        let health = Health::new(&DatabaseUrl::parse("postgres://ann:s3cret@h/db").unwrap());
        assert!(!health.key.contains("s3cret") && !health.key.contains("ann"), "{}", health.key);
    }
}
