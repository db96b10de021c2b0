//! Numbers by name, and what all rounds measured of each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What one round measured; the names carry the units.
pub(crate) type Figures = BTreeMap<String, f64>;

/// What all rounds measured.
pub(crate) type Summaries = BTreeMap<String, Summary>;

/// Contender -> number of clients -> what was measured.
pub(crate) type ByClients = BTreeMap<String, BTreeMap<usize, Summaries>>;

/// One figure in each round, in the order of the rounds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Summary {
    /// What was measured.
    pub(crate) rounds: Vec<f64>,
}

impl Summary {
    /// Of these rounds.
    pub(crate) fn of(rounds: Vec<f64>) -> Self {
        Self { rounds }
    }

    /// In the middle; of an even number, the mean of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        let mut values = self.rounds.clone();
        values.sort_by(f64::total_cmp);
        match values.len() {
            0 => f64::NAN,
            length => f64::midpoint(values[(length - 1) / 2], values[length / 2]),
        }
    }

    /// The smallest.
    pub(crate) fn min(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::NAN, f64::min)
    }

    /// The largest.
    pub(crate) fn max(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::NAN, f64::max)
    }

    /// As a multiple of another, round by round: what slows the machine down for a while slows both down.
    pub(crate) fn ratio_to(&self, other: &Self) -> Self {
        Self::of(self.rounds.iter().zip(&other.rounds).map(|(this, other)| this / other).collect())
    }
}

/// A round whose p99 is above this was starved, even where every request was answered in the end.
const STARVED_MS: f64 = 1000.0;

/// One figure of this as a multiple of another's, where both were measured: without the rounds in which the other one
/// failed or starved, and how many those are.
pub(crate) fn ratio(figure: &str, this: &Summaries, other: &Summaries) -> Option<(Summary, usize)> {
    let ratio = this.get(figure)?.ratio_to(other.get(figure)?);
    let above = |(name, most): (&str, f64), round| {
        other.get(name).and_then(|of| of.rounds.get(round)).is_some_and(|value| *value > most)
    };
    let fine = |round: &usize| !above(("failed", 0.0), *round) && !above(("p99_ms", STARVED_MS), *round);
    let rounds: Vec<_> = (0..ratio.rounds.len()).filter(fine).map(|round| ratio.rounds[round]).collect();
    let left_out = ratio.rounds.len() - rounds.len();
    Some((Summary::of(rounds), left_out))
}

/// Adds a round.
pub(crate) fn record(summaries: &mut Summaries, round: Figures) {
    for (name, value) in round {
        summaries.entry(name).or_default().rounds.push(value);
    }
}

/// Pairs as figures.
pub(crate) fn figures<const N: usize>(pairs: [(&str, f64); N]) -> Figures {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Three significant digits or so.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => thousands(value),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 0.1 || small == 0.0 => trimmed(&format!("{value:.2}")),
        _ => trimmed(&format!("{value:.4}")),
    }
}

fn trimmed(number: &str) -> String {
    number.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_the_middle_and_the_ends() {
        let odd = Summary::of(vec![3.0, 1.0, 2.0]);
        assert_eq!((odd.median(), odd.min(), odd.max()), (2.0, 1.0, 3.0));
        let mut summaries = Summaries::new();
        for rps in [1.0, 5.0] {
            record(&mut summaries, figures([("rps", rps)]));
        }
        assert_eq!((summaries["rps"].median(), &summaries["rps"].rounds), (3.0, &vec![1.0, 5.0]));
    }

    #[test]
    fn what_is_slow_for_a_round_does_not_change_a_ratio() {
        let (this, other) = (Summary::of(vec![10.0, 4.0, 12.0]), Summary::of(vec![5.0, 2.0, 4.0]));
        assert_eq!(this.ratio_to(&other).rounds, [2.0, 2.0, 3.0]);
    }

    #[test]
    fn numbers_keep_what_matters() {
        for (value, expected) in [
            (12_345.6, "12,346"),
            (999.5, "1,000"),
            (100.0, "100"),
            (42.25, "42.2"),
            (2.0, "2"),
            (0.333, "0.33"),
            (0.0123, "0.0123"),
            (0.0, "0"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(number(value), expected, "{value}");
        }
    }
}
