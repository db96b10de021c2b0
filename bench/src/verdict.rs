//! One thing that must be reached, as a ratio of figures of the same round where it is one, and whether it was.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::figures::{Summaries, Summary, ratio};

/// One thing that must be reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// What, in words.
    pub(crate) what: String,
    /// What was measured, in the rounds in which it can be compared.
    pub(crate) measured: Summary,
    /// The limit, and on which side of it is good.
    pub(crate) limit: Limit,
    /// In how many rounds it was reached.
    pub(crate) reached_in: usize,
    /// What the rounds say together.
    pub(crate) outcome: Outcome,
}

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    /// Not more than this.
    AtMost(f64),
    /// Not less than this.
    AtLeast(f64),
}

/// Two runs are hardly ever of opposite opinions: where a run is not sure, it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// In four rounds of five at least.
    Reached,
    /// In one round of five at most.
    Missed,
    /// In between: the limit is within what this machine can tell.
    Undecided,
    /// The other one failed or starved in this many rounds: there is nothing to compare with.
    NoVerdict(usize),
}

impl Limit {
    fn is_reached(self, measured: f64) -> bool {
        match self {
            Self::AtMost(most) => measured <= most,
            Self::AtLeast(least) => measured >= least,
        }
    }
}

impl Verdict {
    /// What the rounds say.
    pub(crate) fn of(what: String, limit: Limit, measured: Summary) -> Self {
        let rounds = measured.rounds.len();
        let reached_in = measured.rounds.iter().filter(|round| limit.is_reached(**round)).count();
        let outcome = match reached_in {
            enough if 5 * enough >= 4 * rounds => Outcome::Reached,
            few if 5 * few <= rounds => Outcome::Missed,
            _ => Outcome::Undecided,
        };
        Self { what, measured, limit, reached_in, outcome }
    }

    /// One figure of this in terms of that of another, where both were measured; no verdict where the other failed.
    pub(crate) fn of_ratio(
        what: String,
        limit: Limit,
        figure: &str,
        this: Option<&Summaries>,
        other: Option<&Summaries>,
    ) -> Option<Self> {
        let (ratio, left_out) = ratio(figure, this?, other?)?;
        let verdict = Self::of(what, limit, ratio);
        Some(if left_out == 0 { verdict } else { Self { outcome: Outcome::NoVerdict(left_out), ..verdict } })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.measured.rounds.len();
        f.write_str(match self.outcome {
            Outcome::Reached => "reached",
            Outcome::Missed => "**missed**",
            Outcome::Undecided => "undecided",
            Outcome::NoVerdict(left_out) => {
                return write!(
                    f,
                    "no verdict: the other one failed or starved in {left_out} of {} rounds",
                    rounds + left_out
                );
            }
        })?;
        if self.reached_in > 0 && self.reached_in < rounds {
            write!(f, ": {} of {rounds} rounds", self.reached_in)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for (rounds, reached_in, outcome) in [
            ([2.0; 5], 5, Outcome::Reached),
            ([2.0, 2.0, 0.0, 2.0, 2.0], 4, Outcome::Reached),
            ([2.0, 0.0, 2.0, 0.0, 2.0], 3, Outcome::Undecided),
            ([0.0, 0.0, 2.0, 0.0, 0.0], 1, Outcome::Missed),
        ] {
            let verdict = Verdict::of(String::new(), Limit::AtLeast(1.6), Summary::of(rounds.to_vec()));
            assert_eq!((verdict.reached_in, verdict.outcome), (reached_in, outcome), "{rounds:?}");
        }
        let failed_once = Verdict::of(String::new(), Limit::AtMost(0.0), Summary::of(vec![1.0]));
        assert_eq!((failed_once.reached_in, failed_once.outcome), (0, Outcome::Missed));
    }

    #[test]
    fn nothing_is_divided_by_one_that_failed_or_starved() {
        let starved = |rps: [f64; 3], failed: [f64; 3], p99_ms: [f64; 3]| -> Summaries {
            [("rps", rps), ("failed", failed), ("p99_ms", p99_ms)]
                .map(|(name, of)| (name.to_owned(), Summary::of(of.to_vec())))
                .into()
        };
        let summaries = |rps, failed| starved(rps, failed, [10.0; 3]);
        let this = summaries([4.0, 4.0, 4.0], [0.0; 3]);
        let verdict = |other: Option<Summaries>| {
            Verdict::of_ratio(String::new(), Limit::AtLeast(1.6), "rps", Some(&this), other.as_ref())
        };
        let hung = verdict(Some(summaries([2.0, 0.1, 2.0], [0.0, 256.0, 0.0]))).unwrap();
        assert_eq!((&hung.measured.rounds, hung.outcome), (&vec![2.0, 2.0], Outcome::NoVerdict(1)));
        assert_eq!(hung.to_string(), "no verdict: the other one failed or starved in 1 of 3 rounds");
        let starved = verdict(Some(starved([2.0, 2.0, 0.1], [0.0; 3], [10.0, 10.0, 2055.0]))).unwrap();
        assert_eq!((&starved.measured.rounds, starved.outcome), (&vec![2.0, 2.0], Outcome::NoVerdict(1)));
        assert_eq!(verdict(Some(summaries([2.0; 3], [0.0; 3]))).unwrap().outcome, Outcome::Reached);
        assert_eq!(verdict(None), None);
    }
}
