//! What a history is about, in numbers: one in which nothing happened proves nothing.

use std::collections::BTreeMap;
use std::fmt;

use super::call::{Call, Outcome};

/// How many calls there are of each kind.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Writes that happened.
    pub acknowledged: usize,
    /// Writes of which nothing is there, by what was said.
    pub nothing: BTreeMap<String, usize>,
    /// Writes whose outcome is unknown, by what was said.
    pub unknown: BTreeMap<String, usize>,
    /// Reads by replicas.
    pub by_replicas: usize,
    /// Reads by the reason for who answered.
    pub reasons: BTreeMap<String, usize>,
    /// Reads without an answer, by what was said.
    pub unread: BTreeMap<String, usize>,
}

impl Summary {
    /// Counts them.
    #[must_use]
    pub fn of(calls: &[Call]) -> Self {
        let mut summary = Self::default();
        let count = |map: &mut BTreeMap<String, usize>, key: &str| *map.entry(key.to_owned()).or_insert(0) += 1;
        for Call { effects, outcome, .. } in calls {
            match (effects.is_empty(), outcome) {
                (false, Outcome::Acknowledged(_)) => summary.acknowledged += 1,
                (false, Outcome::Nothing(why)) => count(&mut summary.nothing, why),
                (false, Outcome::Unknown(why)) => count(&mut summary.unknown, why),
                (true, Outcome::Acknowledged(view)) => {
                    summary.by_replicas += usize::from(view.candidate != "configured");
                    count(&mut summary.reasons, &view.reason);
                }
                (true, Outcome::Nothing(why) | Outcome::Unknown(why)) => count(&mut summary.unread, why),
            }
        }
        summary
    }

    /// How many reads had one of these reasons.
    #[must_use]
    pub fn for_reasons(&self, reasons: &[&str]) -> usize {
        reasons.iter().filter_map(|reason| self.reasons.get(*reason)).sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "writes: {} acknowledged; not there: {:?}", self.acknowledged, self.nothing)?;
        writeln!(f, "writes whose outcome is unknown: {:?}", self.unknown)?;
        write!(f, "reads: {} by replicas; {:?}; no answer: {:?}", self.by_replicas, self.reasons, self.unread)
    }
}
