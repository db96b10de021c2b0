//! How one deadline is split over the candidates.

use std::time::{Duration, Instant};

/// When the answer must be there: what is left of the deadline is for Spin and the way back to the client.
#[must_use]
pub fn answer_by(started: Instant, deadline: Duration) -> Instant {
    started + deadline * 9 / 10
}

/// Where a candidate stands among those that are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before the main one, or behind it and known to have failed a moment ago.
    Other,
    /// The last one that is not known to be dead, with others behind it.
    Main,
    /// The same with nothing behind it.
    MainAndLast,
}

impl Place {
    /// Of the candidate at `position` of `count`, with the main one at `main`.
    #[must_use]
    pub fn of(position: usize, main: usize, count: usize) -> Self {
        match (position == main, position + 1 == count) {
            (false, _) => Self::Other,
            (true, false) => Self::Main,
            (true, true) => Self::MainAndLast,
        }
    }

    fn is_main(self) -> bool {
        match self {
            Self::Other => false,
            Self::Main | Self::MainAndLast => true,
        }
    }

    /// Whether nobody is left who could answer in its stead.
    pub(crate) fn is_last(self) -> bool {
        match self {
            Self::Other | Self::Main => false,
            Self::MainAndLast => true,
        }
    }

    /// For how long this candidate may be silent, where `left` is left until the answer must be there.
    #[must_use]
    pub fn time(self, left: Duration, deadline: Duration) -> Duration {
        match self {
            Self::Other => left.min(deadline / 4),
            Self::Main => left * 3 / 4,
            Self::MainAndLast => left,
        }
    }

    /// How often a read may be tried again on this candidate. Behind the main one there is little hope.
    pub(crate) fn retries(self) -> u32 {
        if self.is_main() { 3 } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(4);

    #[test]
    fn a_dead_candidate_uses_a_quarter_of_the_deadline_at_most() {
        let other = Place::of(0, 2, 3);
        assert_eq!(other, Place::Other);
        assert_eq!(other.time(Duration::from_millis(3_600), DEADLINE), Duration::from_secs(1));
        assert_eq!(other.time(Duration::from_millis(300), DEADLINE), Duration::from_millis(300));
        assert_eq!(other.retries(), 1);
    }

    #[test]
    fn the_main_candidate_has_what_is_left_unless_others_stand_behind_it() {
        let left = Duration::from_millis(2_000);
        assert_eq!(Place::of(2, 2, 3), Place::MainAndLast);
        assert_eq!(Place::of(2, 2, 3).time(left, DEADLINE), left);
        assert_eq!(Place::of(0, 0, 3), Place::Main);
        assert_eq!(Place::of(0, 0, 3).time(left, DEADLINE), Duration::from_millis(1_500));
        assert_eq!(Place::of(1, 0, 3), Place::Other, "it stands behind the main one");
        assert_eq!(Place::of(0, 0, 1).retries(), 3);
    }

    #[test]
    fn three_dead_candidates_leave_time_for_the_way_back() {
        let started = Instant::now();
        let end = answer_by(started, DEADLINE);
        let mut now = started;
        for position in 0..3 {
            now += Place::of(position, 2, 3).time(end - now, DEADLINE);
        }
        assert_eq!(now, started + DEADLINE * 9 / 10);
    }
}
