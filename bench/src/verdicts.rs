//! What must be reached, as ratios within one run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::figures::{Spread, Spreads};
use crate::report::Report;
use crate::throughput::BURST;

/// One thing that must be reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What, in words.
    pub what: String,
    /// What was measured; a ratio is one of figures of the same round.
    pub measured: Spread,
    /// The limit, and on which side of it is good.
    pub limit: Limit,
    /// In how many rounds it was reached.
    pub reached_in: usize,
    /// What the rounds say together.
    pub outcome: Outcome,
}

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Not more than this.
    AtMost(f64),
    /// Not less than this.
    AtLeast(f64),
}

/// Two runs are hardly ever of opposite opinions: where a run is not sure, it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// In four rounds of five at least.
    Reached,
    /// In one round of five at most.
    Missed,
    /// In between: the limit is within what this machine can tell.
    Undecided,
}

impl Limit {
    fn is_reached(self, measured: f64) -> bool {
        match self {
            Self::AtMost(most) => measured <= most,
            Self::AtLeast(least) => measured >= least,
        }
    }
}

impl Outcome {
    fn of(reached_in: usize, rounds: usize) -> Self {
        if 5 * reached_in >= 4 * rounds {
            Self::Reached
        } else if 5 * reached_in <= rounds {
            Self::Missed
        } else {
            Self::Undecided
        }
    }
}

struct Verdicts(Vec<Verdict>);

impl Verdicts {
    /// What could not be measured here has no verdict.
    fn add(&mut self, what: impl Into<String>, limit: Limit, measured: Option<Spread>) {
        if let Some(measured) = measured {
            let reached_in = measured.rounds.iter().filter(|round| limit.is_reached(**round)).count();
            let outcome = Outcome::of(reached_in, measured.rounds.len());
            self.0.push(Verdict { what: what.into(), measured, limit, reached_in, outcome });
        }
    }

    /// What must not happen in any round.
    fn never(&mut self, what: impl Into<String>, measured: Option<f64>) {
        self.add(what, Limit::AtMost(0.0), measured.map(|most| Spread::of(vec![most])));
    }
}

/// All of them; those for a real Spin and for the recipe only where they were there.
#[must_use]
pub fn verdicts(report: &Report) -> Vec<Verdict> {
    let mut found = Verdicts(Vec::new());
    protocol(report, &mut found);
    for prefix in ["", "spin-"] {
        beside_by_hand(report, prefix, &mut found);
    }
    beside_the_recipe(report, &mut found);
    stalls(report, &mut found);
    regions(report, &mut found);
    #[expect(clippy::cast_precision_loss, reason = "a file of some hundred kilobytes")]
    let bytes = report.wasm.bytes as f64;
    found.add("size of the wasm in bytes", Limit::AtMost(300_000.0), Some(Spread::of(vec![bytes])));
    found.0
}

/// One figure as a multiple of another, where both were measured.
pub(crate) fn ratio(this: Option<&Spread>, other: Option<&Spread>) -> Option<Spread> {
    Some(this?.in_terms_of(other?))
}

fn protocol(report: &Report, found: &mut Verdicts) {
    let figure = |name: &str| report.protocol.shared.get(name).cloned();
    found.add("round trips before the answer, 16 clients", Limit::AtMost(2.2), figure("round_trips"));
    // Less would mean that the reads went somewhere else.
    found.add("round trips before the answer, 16 clients", Limit::AtLeast(1.99), figure("round_trips"));
    found.add("connections checked out per request, 16 clients", Limit::AtMost(0.1), figure("checkouts_per_request"));
}

fn beside_by_hand(report: &Report, prefix: &str, found: &mut Verdicts) {
    let (ours, open) = (format!("{prefix}ours"), format!("{prefix}open"));
    let host = if prefix.is_empty() { "in-house host" } else { "Spin" };
    for (clients, loaded) in loads(report) {
        let of = |name: &str, figure| loaded.get(name)?.get(figure);
        let of_open = |figure| ratio(of(&ours, figure), of(&open, figure));
        let here = format!("{host}, {clients}:");
        found.add(format!("{here} req/s, of open-per-request"), Limit::AtLeast(1.6), of_open("rps"));
        found.add(format!("{here} CPU per request, of open-per-request"), Limit::AtMost(0.65), of_open("cpu_us"));
        let failed = of(&ours, "failed").map(|failed| failed.max);
        found.never(format!("{here} failed or starved requests"), failed);
    }
    let kept = ratio(report.of(&ours, 256, "rps"), report.of(&ours, 16, "rps"));
    found.add(format!("{host}: req/s at 256 clients, of those at 16"), Limit::AtLeast(0.8), kept);
}

fn beside_the_recipe(report: &Report, found: &mut Verdicts) {
    for (clients, loaded) in loads(report) {
        let of = |name: &str, figure| loaded.get(name)?.get(figure);
        let of_recipe = |figure| ratio(of("spin-ours", figure), of("recipe", figure));
        let here = format!("Spin, {clients}:");
        found.add(format!("{here} req/s, of the recipe"), Limit::AtLeast(1.5), of_recipe("rps"));
        found.add(format!("{here} p99, of the recipe"), Limit::AtMost(1.0 / 3.0), of_recipe("p99_ms"));
        found.add(format!("{here} CPU per request, of the recipe"), Limit::AtMost(1.0), of_recipe("cpu_us"));
    }
}

/// Contender -> figures.
type Loaded<'a> = BTreeMap<&'a str, &'a Spreads>;

/// Each load that must be borne, and what was measured under it.
fn loads(report: &Report) -> Vec<(String, Loaded<'_>)> {
    let mut loads = Vec::new();
    for clients in [16, 64, 256] {
        let of_each = report.throughput.iter().filter_map(|(name, of)| Some((name.as_str(), of.get(&clients)?)));
        loads.push((format!("{clients} clients"), of_each.collect()));
    }
    let burst = report.burst.iter().map(|(name, figures)| (name.as_str(), figures));
    loads.push((format!("{BURST} clients at the same moment"), burst.collect()));
    loads
}

fn stalls(report: &Report, found: &mut Verdicts) {
    let (ours, few) = (&report.stalls.ours, &report.stalls.few_clients);
    let others = [&report.protocol.shared, &report.protocol.one_client, ours, few];
    let failed = others.into_iter().chain(report.cost.by_clients.values()).filter_map(|of| of.get("failed"));
    found.never("failed requests where other things are measured", failed.map(|failed| failed.max).reduce(f64::max));
    let chunked = [ours, few].into_iter().filter_map(|of| of.get("chunked"));
    found.never("chunked responses", chunked.map(|chunked| chunked.max).reduce(f64::max));
    for (clients, of) in [(4, few), (16, ours)] {
        let split = ratio(of.get("split"), of.get("responses"));
        found.add(format!("share of split responses, {clients} clients"), Limit::AtMost(0.002), split);
    }
}

fn regions(report: &Report, found: &mut Verdicts) {
    let p50 = |region: &str, variant: &str| report.region(region, variant, "p50_ms");
    let failed = report.regions.values().flat_map(|variants| variants.values()).filter_map(|of| of.get("failed"));
    found.never("all regions: failed requests", failed.map(|failed| failed.max).reduce(f64::max));
    // In the primary region the database is next door whatever the variant.
    let floor = p50("sjc", "with_replica");
    for region in ["fra", "syd"] {
        let (with, without) = (p50(region, "with_replica"), p50(region, "without_replica"));
        let what = format!("{region}: p50 with replicas, of the in-region floor");
        found.add(what, Limit::AtMost(2.0), ratio(with, floor));
        let what = format!("{region}: p50 without replicas, of that with them");
        found.add(what, Limit::AtLeast(50.0), ratio(without, with));
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
        let mut found = Verdicts(Vec::new());
        for rounds in [[2.0; 5], [2.0, 2.0, 0.0, 2.0, 2.0], [2.0, 0.0, 2.0, 0.0, 2.0], [0.0, 0.0, 2.0, 0.0, 0.0]] {
            found.add("", Limit::AtLeast(1.6), Some(Spread::of(rounds.to_vec())));
        }
        found.add("not measured", Limit::AtLeast(1.6), None);
        found.never("failed once", Some(1.0));
        let outcomes: Vec<_> = found.0.iter().map(|verdict| (verdict.reached_in, verdict.outcome)).collect();
        let expected = [
            (5, Outcome::Reached),
            (4, Outcome::Reached),
            (3, Outcome::Undecided),
            (1, Outcome::Missed),
            (0, Outcome::Missed),
        ];
        assert_eq!(outcomes, expected);
    }
}
