//! A circuit breaker for one candidate, so that requests do not pay for a dead database again and again: its states, with
//! the clock passed in, and the record by which instances tell each other.

use std::fmt;
use std::time::{Duration, Instant};

/// For how long a candidate that failed is passed over before it is probed.
pub(crate) const COOL_DOWN: Duration = Duration::from_secs(1);

/// After how long an instance asks again whether what others know is still so.
const REFRESH_INTERVAL: Duration = Duration::from_millis(250);

/// One moment on both clocks: the one of this instance, and the one that all instances have.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Of this instance.
    pub instant: Instant,
    /// Of all.
    pub timestamp: Timestamp,
}

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(
    /// The milliseconds.
    pub u64,
);

impl Timestamp {
    /// The time after a while.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long it is from another time until this one; nothing where that is over.
    fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Whether a request should start with a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing is known against it.
    Closed,
    /// It failed: only when nothing better is left.
    Open,
    /// Its cool-down is over: ask what others know, and if that does not help, probe it.
    HalfOpen,
}

/// What this instance knows about one candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CircuitBreaker {
    open_until: Option<Instant>,
    /// When it was last seen to fail.
    failed_at: Option<Timestamp>,
}

impl CircuitBreaker {
    /// The state at `now`.
    pub(crate) fn state(&self, now: Instant) -> State {
        match self.open_until {
            None => State::Closed,
            Some(until) if now < until => State::Open,
            Some(_) => State::HalfOpen,
        }
    }

    /// Whether nothing is known against the candidate.
    pub(crate) fn is_closed(&self) -> bool {
        self.open_until.is_none()
    }

    /// Gives the caller, and nobody else, the right to probe the candidate, where that is due.
    pub(crate) fn begin_probe(&mut self, now: Instant) -> bool {
        let due = self.state(now) == State::HalfOpen;
        if due {
            self.open_until = Some(now + COOL_DOWN);
        }
        due
    }

    /// The candidate failed. What to tell the other instances, where it was not known.
    pub(crate) fn record_failure(&mut self, now: Now) -> Option<BreakerRecord> {
        let known = self.state(now.instant) == State::Open;
        self.open_until = Some(now.instant + COOL_DOWN);
        self.failed_at = Some(now.timestamp);
        (!known).then(|| BreakerRecord::opened(now))
    }

    /// The candidate answered. What to tell the other instances, where it was open.
    pub(crate) fn record_success(&mut self, now: Now) -> Option<BreakerRecord> {
        self.open_until.take().map(|_| BreakerRecord::ClosedAt(now.timestamp))
    }

    /// Takes over what another instance knows.
    pub(crate) fn apply(&mut self, record: BreakerRecord, now: Now) {
        match record {
            // Where that is over, nobody has seen an answer since. Nobody writes a longer one: the clock was set.
            BreakerRecord::OpenUntil(until) => {
                let left = Some(until.since(now.timestamp)).filter(|left| *left <= COOL_DOWN).unwrap_or_default();
                self.open_until = Some(now.instant + left.min(REFRESH_INTERVAL));
            }
            BreakerRecord::ClosedAt(at) => {
                if self.failed_at.is_none_or(|failed| failed < at) {
                    self.open_until = None;
                }
            }
        }
    }
}

/// What instances tell each other about a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerRecord {
    /// It failed, or is being probed: nobody should start with it until this time.
    OpenUntil(Timestamp),
    /// It answered at this time.
    ClosedAt(Timestamp),
}

impl BreakerRecord {
    /// Open from now on.
    pub(crate) fn opened(now: Now) -> Self {
        Self::OpenUntil(now.timestamp.after(COOL_DOWN))
    }

    /// Reads what [`fmt::Display`] has written; anything else is nothing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (word, time) = text.split_once(' ')?;
        let time = Timestamp(time.parse().ok()?);
        match word {
            "open-until" => Some(Self::OpenUntil(time)),
            "closed-at" => Some(Self::ClosedAt(time)),
            _ => None,
        }
    }
}

impl fmt::Display for BreakerRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenUntil(Timestamp(until)) => write!(f, "open-until {until}"),
            Self::ClosedAt(Timestamp(at)) => write!(f, "closed-at {at}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Now {
        Now { instant: Instant::now(), timestamp: Timestamp(1_000_000) }
    }

    #[test]
    fn a_candidate_cools_down_is_probed_by_one_and_then_cools_down_again() {
        let (mut breaker, now) = (CircuitBreaker::default(), now());
        let start = now.instant;
        assert_eq!(breaker.state(start), State::Closed);
        assert!(!breaker.begin_probe(start), "there is no need");
        assert_eq!(breaker.record_failure(now), Some(BreakerRecord::OpenUntil(now.timestamp.after(COOL_DOWN))));
        assert_eq!(breaker.record_failure(now), None, "it is known");
        assert_eq!(breaker.state(start + COOL_DOWN / 2), State::Open);
        assert_eq!(breaker.state(start + COOL_DOWN), State::HalfOpen);
        assert!(breaker.begin_probe(start + COOL_DOWN));
        assert!(!breaker.begin_probe(start + COOL_DOWN), "one probe is enough");
        assert_eq!(breaker.state(start + COOL_DOWN), State::Open);
        assert_eq!(breaker.state(start + COOL_DOWN * 2), State::HalfOpen);
        assert_eq!(breaker.record_success(now), Some(BreakerRecord::ClosedAt(now.timestamp)));
        assert_eq!(breaker.record_success(now), None, "it is known");
        assert_eq!(breaker.state(start), State::Closed);
    }

    #[test]
    fn what_others_know_counts_unless_it_is_older_than_what_was_seen_here() {
        let (mut breaker, now) = (CircuitBreaker::default(), now());
        let soon = now.timestamp.after(COOL_DOWN);
        breaker.apply(BreakerRecord::OpenUntil(now.timestamp), now);
        assert_eq!(breaker.state(now.instant), State::HalfOpen, "that is over, and nobody has seen an answer since");
        breaker.apply(BreakerRecord::OpenUntil(soon.after(COOL_DOWN)), now);
        assert_eq!(breaker.state(now.instant), State::HalfOpen, "nobody writes that: somebody's clock was set");
        breaker.apply(BreakerRecord::OpenUntil(soon), now);
        assert_eq!(breaker.state(now.instant), State::Open);
        assert_eq!(breaker.state(now.instant + REFRESH_INTERVAL), State::HalfOpen, "it asks again soon");
        breaker.record_failure(now);
        breaker.apply(BreakerRecord::ClosedAt(now.timestamp), now);
        assert_eq!(breaker.state(now.instant), State::Open, "it has failed since");
        breaker.apply(BreakerRecord::ClosedAt(soon), now);
        assert_eq!(breaker.state(now.instant), State::Closed);
    }

    #[test]
    fn records_are_read_as_they_were_written_and_anything_else_is_nothing() {
        for record in [BreakerRecord::OpenUntil(Timestamp(17)), BreakerRecord::ClosedAt(Timestamp(0))] {
            assert_eq!(BreakerRecord::parse(&record.to_string()), Some(record));
        }
        for text in ["", "open-until", "open-until x", "17", "ajar 17"] {
            assert_eq!(BreakerRecord::parse(text), None, "{text}");
        }
    }
}
