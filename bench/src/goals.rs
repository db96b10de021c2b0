//! What must be reached: every limit is here.

use std::collections::BTreeMap;

use host_tests::postgres::PRIMARY;

use crate::figures::{Summaries, Summary};
use crate::regions::{REGIONS, WITH, WITHOUT, round_trip};
use crate::report::Report;
use crate::throughput::BURST;
use crate::verdict::Limit::{self, AtLeast, AtMost};
use crate::verdict::Verdict;

/// Of whom, a figure in terms of whose, in words, and its limit, at every load that must be borne.
const COMPARISONS: [(&str, &str, &str, &str, Limit); 7] = [
    ("component", "connection-per-request", "rps", "req/s", AtLeast(1.6)),
    ("component", "connection-per-request", "cpu_us", "CPU per request", AtMost(0.65)),
    ("spin-component", "spin-connection-per-request", "rps", "req/s", AtLeast(1.6)),
    ("spin-component", "spin-connection-per-request", "cpu_us", "CPU per request", AtMost(0.65)),
    ("spin-component", "recipe", "rps", "req/s", AtLeast(1.5)),
    ("spin-component", "recipe", "p99_ms", "p99", AtMost(1.0 / 3.0)),
    ("spin-component", "recipe", "cpu_us", "CPU per request", AtMost(1.0)),
];
/// The component, and what serves it in words.
const COMPONENTS: [(&str, &str); 2] = [("component", "in-house host"), ("spin-component", "Spin")];
/// What is in the README; the first is two, since it has two limits.
const KEY: [&str; 7] = [
    "round trips before the answer, 16 clients",
    "{host}, 16 clients: req/s, of connection-per-request",
    "{host}, 16 clients: req/s, of the recipe",
    "{host}, 16 clients: p99, of the recipe",
    "{host}, 256 clients at the same moment: failed or starved requests",
    "fra: p50 with replicas, of the in-region floor",
    "fra without replicas: round trips of the distance",
];
const WASM_BYTES: f64 = 400_000.0;

/// All of them; those for a real Spin and for the recipe only where they were there.
pub(crate) fn verdicts(report: &Report) -> Vec<Verdict> {
    let mut all = protocol(report);
    for (component, host) in COMPONENTS {
        for (load, loaded) in loads(report) {
            all.extend(compared(component, host, &load, &loaded));
        }
        let of = |clients| report.throughput.get(component)?.get(&clients);
        let what = format!("{host}: req/s at 256 clients, of those at 16");
        all.extend(Verdict::of_ratio(what, AtLeast(0.8), "rps", of(256), of(16)));
    }
    all.extend(responses(report));
    all.extend(regions(report));
    #[expect(clippy::cast_precision_loss, reason = "a file of some hundred kilobytes")]
    let bytes = Summary::of(vec![report.wasm.bytes as f64]);
    all.push(Verdict::of("size of the wasm in bytes".to_owned(), AtMost(WASM_BYTES), bytes));
    all
}

/// The few that the README shows.
pub(crate) fn key(report: &Report) -> Vec<&Verdict> {
    let host = COMPONENTS.iter().find(|(key, _)| *key == report.component()).map_or("", |(_, host)| host);
    let is_key = |verdict: &&Verdict| KEY.iter().any(|what| what.replace("{host}", host) == verdict.what);
    report.verdicts.iter().filter(is_key).collect()
}

fn protocol(report: &Report) -> Vec<Verdict> {
    [
        ("round_trips", "round trips before the answer, 16 clients", AtMost(2.2)),
        // Less would mean that the reads went somewhere else.
        ("round_trips", "round trips before the answer, 16 clients", AtLeast(1.99)),
        ("checkouts_per_request", "connections checked out per request, 16 clients", AtMost(0.1)),
    ]
    .into_iter()
    .filter_map(|(figure, what, limit)| {
        Some(Verdict::of(what.to_owned(), limit, report.protocol.get(&16)?.get(figure)?.clone()))
    })
    .collect()
}

fn compared(component: &str, host: &str, load: &str, loaded: &BTreeMap<&str, &Summaries>) -> Vec<Verdict> {
    let of = |key: &str| loaded.get(key).copied();
    let mut verdicts: Vec<_> = COMPARISONS
        .into_iter()
        .filter(|(this, ..)| *this == component)
        .filter_map(|(this, other, figure, name, limit)| {
            let what = format!(
                "{host}, {load}: {name}, of {}",
                other.trim_start_matches("spin-").replace("recipe", "the recipe")
            );
            Verdict::of_ratio(what, limit, figure, of(this), of(other))
        })
        .collect();
    let failed = of(component).and_then(|of| of.get("failed"));
    verdicts.extend(never(&format!("{host}, {load}: failed or starved requests"), failed));
    verdicts
}

/// Each load that must be borne, and what was measured under it.
fn loads(report: &Report) -> Vec<(String, BTreeMap<&str, &Summaries>)> {
    let steady = [16, 64, 256].map(|clients| {
        let of_each = report.throughput.iter().filter_map(|(key, of)| Some((key.as_str(), of.get(&clients)?)));
        (format!("{clients} clients"), of_each.collect())
    });
    let burst = report.burst.iter().map(|(key, of)| (key.as_str(), of)).collect();
    steady.into_iter().chain([(format!("{BURST} clients at the same moment"), burst)]).collect()
}

/// What must not happen in any round of any of these.
fn never<'a>(what: &str, measured: impl IntoIterator<Item = &'a Summary>) -> Option<Verdict> {
    let most = measured.into_iter().map(Summary::max).reduce(f64::max)?;
    Some(Verdict::of(what.to_owned(), AtMost(0.0), Summary::of(vec![most])))
}

fn responses(report: &Report) -> Vec<Verdict> {
    let stalls: Vec<_> = report.stalls.get(report.component()).into_iter().flatten().collect();
    let at_rate = report.at_fixed_rate.get(report.component());
    let others = report.protocol.values().chain(report.cost.by_clients.values()).chain(at_rate);
    let failed = stalls.iter().map(|(_, of)| *of).chain(others).filter_map(|of| of.get("failed"));
    let chunked = stalls.iter().filter_map(|(_, of)| of.get("chunked"));
    let mut verdicts: Vec<_> = never("failed requests where other things are measured", failed).into_iter().collect();
    verdicts.extend(never("chunked responses", chunked));
    for (clients, of) in stalls {
        if let (Some(split), Some(responses)) = (of.get("split"), of.get("responses")) {
            let what = format!("share of split responses, {clients} clients");
            verdicts.push(Verdict::of(what, AtMost(0.002), split.ratio_to(responses)));
        }
    }
    verdicts
}

fn regions(report: &Report) -> Vec<Verdict> {
    let failed = report.regions.values().flat_map(BTreeMap::values).filter_map(|of| of.get("failed"));
    let mut verdicts: Vec<_> = never("all regions: failed requests", failed).into_iter().collect();
    let of = |region: &str, variant| report.regions.get(region)?.get(variant);
    for region in REGIONS.into_iter().filter(|region| *region != PRIMARY) {
        // In the primary region the database is next door whatever the variant.
        let what = format!("{region}: p50 with replicas, of the in-region floor");
        verdicts.extend(Verdict::of_ratio(what, AtMost(2.0), "p50_ms", of(region, WITH), of(PRIMARY, WITH)));
        if let Some(p50) = report.region(region, WITHOUT, "p50_ms") {
            #[expect(clippy::cast_precision_loss, reason = "some hundred milliseconds")]
            let distance = round_trip(&report.distances_ms, region, PRIMARY) as f64;
            let round_trips = Summary::of(p50.rounds.iter().map(|ms| ms / distance).collect());
            let what = format!("{region} without replicas: round trips of the distance");
            verdicts.push(Verdict::of(what, AtMost(2.2), round_trips));
        }
    }
    verdicts
}
