//! Everything that was measured in one run: `report.json`.

use anyhow::{Context, Result};
use host_tests::machine::repository;
use serde::{Deserialize, Serialize};

use crate::contender::COMPONENT;
use crate::figures::{Figures, Rounds, median};
use crate::machine::Machine;

/// Where, when and how, and what was measured.
#[derive(Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) measured: Measured,
}

impl Report {
    /// Reads the one in this folder of the repository.
    pub(crate) fn read(folder: &str) -> Result<Self> {
        let path = repository().join(folder).join("report.json");
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// Whether there was a real Spin.
    pub(crate) fn has_spin(&self) -> bool {
        self.measured.rows(["throughput", COMPONENT[1], "*"]).next().is_some()
    }

    /// The component where it was measured best: on a real Spin where there was one.
    pub(crate) fn component(&self) -> &'static str {
        COMPONENT[usize::from(self.has_spin())]
    }
}

/// The part of the benchmark, who was measured, and in which case: `["throughput", "this component", "16"]`.
pub(crate) type At<'a> = [&'a str; 3];

/// What was measured of one contender in one case.
#[derive(Serialize, Deserialize)]
pub(crate) struct Row {
    /// See [`At`].
    pub(crate) at: [String; 3],
    pub(crate) figures: Rounds,
}

impl Row {
    /// Its name in a table or picture, with `{contender}` and `{case}` filled in.
    pub(crate) fn label(&self, template: &str) -> String {
        template.replace("{contender}", &self.at[1]).replace("{case}", &self.at[2])
    }
}

/// Each row once, in the order in which they were measured, those of one contender together.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Measured(Vec<Row>);

impl Measured {
    /// Adds a round.
    pub(crate) fn record(&mut self, at: At<'_>, round: Figures) {
        let row = self.0.iter().position(|row| row.at == at).unwrap_or_else(|| {
            let beside = self.0.iter().rposition(|row| row.at[..2] == at[..2]);
            let row = beside.map_or(self.0.len(), |last| last + 1);
            self.0.insert(row, Row { at: at.map(str::to_owned), figures: Rounds::new() });
            row
        });
        for (name, value) in round {
            self.0[row].figures.entry(name).or_default().push(value);
        }
    }

    /// Those that match: `*` stands for anything, `a|b` for one of these.
    pub(crate) fn rows(&self, pattern: At<'_>) -> impl Iterator<Item = &Row> {
        let is = |(pattern, name): (&str, &String)| pattern == "*" || pattern.split('|').any(|one| one == name);
        self.0.iter().filter(move |row| pattern.into_iter().zip(&row.at).all(is))
    }

    /// All figures of one row, where it was measured.
    pub(crate) fn at(&self, at: At<'_>) -> Option<&Rounds> {
        self.rows(at).next().map(|row| &row.figures)
    }

    /// One figure, where it was measured.
    pub(crate) fn get(&self, at: At<'_>, figure: &str) -> Option<&Vec<f64>> {
        self.at(at)?.get(figure)
    }

    /// Its median.
    pub(crate) fn median(&self, at: At<'_>, figure: &str) -> Option<f64> {
        Some(median(self.get(at, figure)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::figures;

    #[test]
    fn rows_are_in_the_order_of_measuring_with_those_of_a_contender_together() {
        let mut measured = Measured::default();
        for (contender, case, rps) in [("one", "1", 1.0), ("two", "1", 2.0), ("one", "16", 3.0), ("one", "1", 5.0)] {
            measured.record(["load", contender, case], figures([("rps", rps)]));
        }
        let labels: Vec<_> = measured.rows(["load", "*", "*"]).map(|row| row.label("{contender} | {case}")).collect();
        assert_eq!(labels, ["one | 1", "one | 16", "two | 1"]);
        assert_eq!(measured.get(["load", "one", "1"], "rps"), Some(&vec![1.0, 5.0]));
        assert_eq!(measured.median(["load", "one", "1"], "rps"), Some(3.0));
        for (pattern, count) in [(["load", "one", "*"], 2), (["burst|load", "*", "1"], 2), (["burst", "*", "*"], 0)] {
            assert_eq!(measured.rows(pattern).count(), count, "{pattern:?}");
        }
    }
}
