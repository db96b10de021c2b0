//! What must be reached, as ratios within one run.

use serde::{Deserialize, Serialize};

use crate::report::Report;

/// One thing that must be reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What, in words.
    pub what: String,
    /// What was measured.
    pub measured: f64,
    /// The limit, and on which side of it is good.
    pub limit: Limit,
    /// Whether it was reached.
    pub reached: bool,
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

struct Verdicts(Vec<Verdict>);

impl Verdicts {
    fn add(&mut self, what: impl Into<String>, limit: Limit, measured: Option<f64>) {
        // What could not be measured here has no verdict.
        if let Some(measured) = measured {
            let reached = match limit {
                Limit::AtMost(most) => measured <= most,
                Limit::AtLeast(least) => measured >= least,
            };
            self.0.push(Verdict { what: what.into(), measured, limit, reached });
        }
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
    found.add("size of the wasm in bytes", Limit::AtMost(300_000.0), Some(report.wasm.bytes as f64));
    found.0
}

fn protocol(report: &Report, found: &mut Verdicts) {
    let figure = |name: &str| report.protocol.shared.get(name).map(|spread| spread.median);
    found.add("round trips before the answer, 16 clients", Limit::AtMost(2.2), figure("round_trips"));
    // Less would mean that the reads went somewhere else.
    found.add("round trips before the answer, 16 clients", Limit::AtLeast(1.99), figure("round_trips"));
    found.add("connections checked out per request, 16 clients", Limit::AtMost(0.1), figure("checkouts_per_request"));
}

fn beside_by_hand(report: &Report, prefix: &str, found: &mut Verdicts) {
    let (ours, open) = (format!("{prefix}ours"), format!("{prefix}open"));
    let host = if prefix.is_empty() { "in-house host" } else { "Spin" };
    let rps = |name: &str, clients| report.of(name, clients, "rps").map(|spread| spread.median);
    for clients in [16, 64, 256] {
        let ratio = rps(&ours, clients).zip(rps(&open, clients)).map(|(ours, open)| ours / open);
        found.add(format!("{host}, {clients} clients: req/s, of open-per-request"), Limit::AtLeast(1.6), ratio);
        let ratio = report.cpu_us(&ours, clients).zip(report.cpu_us(&open, clients)).map(|(ours, open)| ours / open);
        found.add(
            format!("{host}, {clients} clients: CPU per request, of open-per-request"),
            Limit::AtMost(0.65),
            ratio,
        );
        let failed = report.of(&ours, clients, "failed").map(|spread| spread.max);
        found.add(format!("{host}, {clients} clients: failed or starved requests"), Limit::AtMost(0.0), failed);
    }
    let kept = rps(&ours, 256).zip(rps(&ours, 16)).map(|(many, few)| many / few);
    found.add(format!("{host}: req/s at 256 clients, of those at 16"), Limit::AtLeast(0.8), kept);
}

fn beside_the_recipe(report: &Report, found: &mut Verdicts) {
    for clients in [16, 64, 256] {
        let ratio = |figure: &str| {
            let of = |name| report.of(name, clients, figure).map(|spread| spread.median);
            of("spin-ours").zip(of("recipe")).map(|(ours, recipe)| ours / recipe)
        };
        found.add(format!("Spin, {clients} clients: req/s, of the recipe"), Limit::AtLeast(1.5), ratio("rps"));
        found.add(format!("Spin, {clients} clients: p99, of the recipe"), Limit::AtMost(1.0 / 3.0), ratio("p99_ms"));
        let cpu = report.cpu_us("spin-ours", clients).zip(report.cpu_us("recipe", clients));
        let what = format!("Spin, {clients} clients: CPU per request, of the recipe");
        found.add(what, Limit::AtMost(1.0), cpu.map(|(ours, recipe)| ours / recipe));
    }
}

fn stalls(report: &Report, found: &mut Verdicts) {
    let figure = |name: &str| report.stalls.ours.get(name).copied();
    found.add("chunked responses", Limit::AtMost(0.0), figure("chunked").map(|spread| spread.max));
    let split = figure("split").zip(figure("responses"));
    let share = split.map(|(split, responses)| 100.0 * split.median / responses.median);
    found.add("split responses in percent, 16 clients", Limit::AtMost(0.2), share);
}

fn regions(report: &Report, found: &mut Verdicts) {
    let p50 = |region: &str, variant: &str| report.region(region, variant, "p50_ms").map(|spread| spread.median);
    let failed = report.regions.values().flat_map(|variants| variants.values()).filter_map(|of| of.get("failed"));
    let most = failed.map(|failed| failed.max).reduce(f64::max);
    found.add("all regions: failed requests", Limit::AtMost(0.0), most);
    // In the primary region the database is next door whatever the variant.
    let floor = p50("sjc", "with_replica");
    for region in ["fra", "syd"] {
        let with = p50(region, "with_replica");
        let ratio = with.zip(floor).map(|(with, floor)| with / floor);
        found.add(format!("{region}: p50 with replicas, of the in-region floor"), Limit::AtMost(2.0), ratio);
        let ratio = with.zip(p50(region, "without_replica")).map(|(with, without)| without / with);
        found.add(format!("{region}: p50 without replicas, of that with them"), Limit::AtLeast(50.0), ratio);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_reached_on_its_good_side_only() {
        let mut found = Verdicts(Vec::new());
        for (limit, measured) in [
            (Limit::AtMost(1.0), Some(1.0)),
            (Limit::AtMost(1.0), Some(1.1)),
            (Limit::AtLeast(1.6), Some(1.6)),
            (Limit::AtLeast(1.6), Some(1.5)),
            (Limit::AtMost(1.0), Some(f64::NAN)),
            (Limit::AtMost(1.0), None),
        ] {
            found.add("", limit, measured);
        }
        let reached: Vec<_> = found.0.iter().map(|verdict| verdict.reached).collect();
        assert_eq!(reached, [true, false, true, false, false]);
    }
}
