//! Figures: what one round measured, what all rounds say together, and how that is written.

use std::collections::BTreeMap;

/// What one round measured; the names carry the units.
pub(crate) type Figures = BTreeMap<String, f64>;

/// What all rounds measured, in the order of the rounds.
pub(crate) type Rounds = BTreeMap<String, Vec<f64>>;

/// Pairs as figures.
pub(crate) fn figures<const N: usize>(pairs: [(&str, f64); N]) -> Figures {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The smallest, the one in the middle (of an even number, the mean of the two in the middle) and the largest.
pub(crate) fn spread(rounds: &[f64]) -> [f64; 3] {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => [f64::NAN; 3],
        length => [sorted[0], f64::midpoint(sorted[(length - 1) / 2], sorted[length / 2]), sorted[length - 1]],
    }
}

/// The one in the middle.
pub(crate) fn median(rounds: &[f64]) -> f64 {
    spread(rounds)[1]
}

/// As a multiple of another, round by round: what slows the machine down for a while slows both down.
pub(crate) fn multiple(this: &[f64], other: &[f64]) -> Vec<f64> {
    this.iter().zip(other).map(|(this, other)| this / other).collect()
}

/// A round whose p99 is above this was starved, even where every request was answered in the end.
const STARVED_MS: f64 = 1000.0;

/// One figure of this as a multiple of another's, where both were measured: without the rounds in which the other one
/// failed or starved, and how many those are.
pub(crate) fn ratio(figure: &str, this: &Rounds, other: &Rounds) -> Option<(Vec<f64>, usize)> {
    let all = multiple(this.get(figure)?, other.get(figure)?);
    let above = |name, round, most| other.get(name).is_some_and(|of: &Vec<f64>| of.get(round) > Some(&most));
    let fine = |(round, ratio): (usize, &f64)| {
        (!above("failed", round, 0.0) && !above("p99_ms", round, STARVED_MS)).then_some(*ratio)
    };
    let rounds: Vec<_> = all.iter().enumerate().filter_map(fine).collect();
    let left_out = all.len() - rounds.len();
    Some((rounds, left_out))
}

/// Three significant digits or so.
pub(crate) fn number(value: f64) -> String {
    let trimmed = |number: String| number.trim_end_matches('0').trim_end_matches('.').to_owned();
    match value.abs() {
        large if large >= 100.0 => {
            let digits = format!("{value:.0}");
            let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
            groups.join(",")
        }
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 0.1 || small == 0.0 => trimmed(format!("{value:.2}")),
        _ => trimmed(format!("{value:.4}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_have_a_middle_and_ends() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), [1.0, 2.0, 3.0]);
        assert_eq!(median(&[5.0, 1.0]), 3.0);
    }

    #[test]
    fn what_is_slow_for_a_round_does_not_change_a_ratio() {
        assert_eq!(multiple(&[10.0, 4.0, 12.0], &[5.0, 2.0, 4.0]), [2.0, 2.0, 3.0]);
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
