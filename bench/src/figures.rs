//! Numbers by name, and their median, minimum and maximum over the rounds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What one round measured; the names carry the units.
pub type Figures = BTreeMap<String, f64>;

/// What all rounds measured.
pub type Spreads = BTreeMap<String, Spread>;

/// Contender -> number of clients -> what was measured.
pub type ByClients<T> = BTreeMap<String, BTreeMap<usize, T>>;

/// One figure over the rounds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// In the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// All of them, in the order in which they were measured.
    pub rounds: Vec<f64>,
}

impl Spread {
    /// Of at least one value.
    #[must_use]
    pub fn of(rounds: Vec<f64>) -> Self {
        let mut values = rounds.clone();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() {
            0 => f64::NAN,
            length if length % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
        let at = |index: Option<usize>| index.and_then(|index| values.get(index)).copied().unwrap_or(f64::NAN);
        Self { median, min: at(Some(0)), max: at(values.len().checked_sub(1)), rounds }
    }

    /// This figure as a multiple of another, round by round: what slows the machine down for a while slows both down.
    #[must_use]
    pub fn in_terms_of(&self, other: &Self) -> Self {
        Self::of(self.rounds.iter().zip(&other.rounds).map(|(this, other)| this / other).collect())
    }
}

/// Every figure over the rounds; all rounds have the same names.
#[must_use]
pub fn spreads(rounds: &[Figures]) -> Spreads {
    let names = rounds.first().into_iter().flat_map(BTreeMap::keys);
    names
        .map(|name| (name.clone(), Spread::of(rounds.iter().filter_map(|round| round.get(name)).copied().collect())))
        .collect()
}

/// Every figure over the rounds, for each of those that were measured.
#[must_use]
pub fn spreads_of_each<K: Ord>(measured: BTreeMap<K, Vec<Figures>>) -> BTreeMap<K, Spreads> {
    measured.into_iter().map(|(key, rounds)| (key, spreads(&rounds))).collect()
}

/// Every figure over the rounds, for each contender and number of clients.
#[must_use]
pub fn spreads_by_clients(measured: ByClients<Vec<Figures>>) -> ByClients<Spreads> {
    measured.into_iter().map(|(name, by_clients)| (name, spreads_of_each(by_clients))).collect()
}

/// Pairs as figures.
#[must_use]
pub fn figures<const N: usize>(pairs: [(&str, f64); N]) -> Figures {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_middle_and_the_ends() {
        let odd = Spread::of(vec![3.0, 1.0, 2.0]);
        assert_eq!(odd, Spread { median: 2.0, min: 1.0, max: 3.0, rounds: vec![3.0, 1.0, 2.0] });
        assert_eq!(Spread::of(vec![4.0, 2.0]).median, 3.0);
        let rounds = [figures([("rps", 1.0)]), figures([("rps", 5.0)])];
        assert_eq!(spreads(&rounds)["rps"].median, 3.0);
    }

    #[test]
    fn what_is_slow_for_a_round_does_not_change_a_ratio() {
        let (this, other) = (Spread::of(vec![10.0, 4.0, 12.0]), Spread::of(vec![5.0, 2.0, 4.0]));
        assert_eq!(this.in_terms_of(&other).rounds, [2.0, 2.0, 3.0]);
        assert_eq!(this.in_terms_of(&other).median, 2.0);
    }
}
