//! One thing that must be reached, as a ratio of figures of the same round where it is one, and whether it was.

use std::fmt;

use crate::figures::number;

/// One thing that must be reached.
#[derive(Debug, PartialEq)]
pub(crate) struct Verdict {
    /// What, in words.
    pub(crate) what: String,
    /// What was measured, in the rounds in which it can be compared.
    pub(crate) measured: Vec<f64>,
    pub(crate) limit: Limit,
    /// What the rounds say together, and how many of them where they do not agree. Two runs are hardly ever of opposite
    /// opinions: where a run is not sure, it says so.
    pub(crate) outcome: String,
}

/// A limit, and on which side of it is good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Limit {
    fn is_reached(self, measured: f64) -> bool {
        match self {
            Self::AtMost(most) => measured <= most,
            Self::AtLeast(least) => measured >= least,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::AtMost(most) => write!(f, "at most {}", number(most)),
            Self::AtLeast(least) => write!(f, "at least {}", number(least)),
        }
    }
}

impl Verdict {
    /// What the rounds say; none where there is nothing to compare with, since the other one failed or starved in the
    /// rounds that were left out.
    pub(crate) fn of(what: String, limit: Limit, measured: Vec<f64>, left_out: usize) -> Self {
        let rounds = measured.len();
        let reached = measured.iter().filter(|round| limit.is_reached(**round)).count();
        let outcome = match reached {
            _ if left_out > 0 => {
                format!("no verdict: the other one failed or starved in {left_out} of {} rounds", rounds + left_out)
            }
            all if all == rounds => "reached".to_owned(),
            0 => "**missed**".to_owned(),
            enough if 5 * enough >= 4 * rounds => format!("reached: {reached} of {rounds} rounds"),
            few if 5 * few <= rounds => format!("**missed**: {reached} of {rounds} rounds"),
            _ => format!("undecided: {reached} of {rounds} rounds"),
        };
        Self { what, measured, limit, outcome }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Rounds, ratio};

    #[test]
    fn a_limit_is_reached_on_its_good_side_only() {
        for (limit, measured, reached) in [
            (Limit::AtMost(1.0), 1.0, true),
            (Limit::AtMost(1.0), 1.1, false),
            (Limit::AtLeast(1.6), 1.6, true),
            (Limit::AtLeast(1.6), 1.5, false),
            (Limit::AtMost(1.0), f64::NAN, false),
        ] {
            assert_eq!(limit.is_reached(measured), reached, "{measured} {limit:?}");
        }
    }

    #[test]
    fn a_verdict_is_what_four_rounds_of_five_say() {
        for (rounds, outcome) in [
            ([2.0; 5], "reached"),
            ([2.0, 2.0, 0.0, 2.0, 2.0], "reached: 4 of 5 rounds"),
            ([2.0, 0.0, 2.0, 0.0, 2.0], "undecided: 3 of 5 rounds"),
            ([0.0, 0.0, 2.0, 0.0, 0.0], "**missed**: 1 of 5 rounds"),
        ] {
            let verdict = Verdict::of(String::new(), Limit::AtLeast(1.6), rounds.to_vec(), 0);
            assert_eq!(verdict.outcome, outcome, "{rounds:?}");
        }
        let failed_once = Verdict::of(String::new(), Limit::AtMost(0.0), vec![1.0], 0);
        assert_eq!(failed_once.outcome, "**missed**");
    }

    #[test]
    fn nothing_is_divided_by_one_that_failed_or_starved() {
        let summaries = |rps: [f64; 3], failed: [f64; 3], p99_ms: [f64; 3]| -> Rounds {
            [("rps", rps), ("failed", failed), ("p99_ms", p99_ms)]
                .map(|(name, of)| (name.to_owned(), of.to_vec()))
                .into()
        };
        let this = summaries([4.0, 4.0, 4.0], [0.0; 3], [10.0; 3]);
        let verdict = |other: &Rounds| {
            let (ratio, left_out) = ratio("rps", &this, other)?;
            Some(Verdict::of(String::new(), Limit::AtLeast(1.6), ratio, left_out))
        };
        let hung = verdict(&summaries([2.0, 0.1, 2.0], [0.0, 256.0, 0.0], [10.0; 3])).unwrap();
        assert_eq!(hung.measured, [2.0, 2.0]);
        assert_eq!(hung.outcome, "no verdict: the other one failed or starved in 1 of 3 rounds");
        let starved = verdict(&summaries([2.0, 2.0, 0.1], [0.0; 3], [10.0, 10.0, 2055.0])).unwrap();
        assert_eq!((starved.measured, starved.outcome), (vec![2.0, 2.0], hung.outcome));
        assert_eq!(verdict(&summaries([2.0; 3], [0.0; 3], [10.0; 3])).unwrap().outcome, "reached");
        assert_eq!(verdict(&Rounds::new()), None);
    }
}
