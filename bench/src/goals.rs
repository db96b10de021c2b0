//! What must be reached: every limit is here.

use host_tests::postgres::PRIMARY;

use crate::adapter::{self, ALONE, BY_REGION, CASES, Rows};
use crate::contender::{COMPONENT, PER_REQUEST, RECIPE, REGION, WITH_AND_ALONE, WITH_AND_WITHOUT_MIDDLEWARE};
use crate::figures::{multiple, ratio, spread};
use crate::middleware::{self, Asked};
use crate::regions::{WITH, WITHOUT};
use crate::report::{At, Report};
use crate::verdict::Limit::{self, AtLeast, AtMost};
use crate::verdict::Verdict;
use crate::writes::{READ, READ_WITH_BOOKMARK, REPLAYED, WRITE, WRITE_BY_HAND};

/// In words, of which row, which figure, as what, and its limit.
type Goal = (&'static str, At<'static>, &'static str, As, Limit);

/// What is held to the limit.
#[derive(Clone, Copy)]
enum As {
    /// The figure itself.
    Itself,
    /// The most of any round, of all rows that match: it must not happen at all.
    Most,
    /// As a multiple of another figure of the same row.
    OfFigure(&'static str),
    /// As a multiple of the same figure of another row; no verdict where that one failed.
    OfRow(At<'static>),
}
use As::{Itself, Most, OfFigure, OfRow};

/// In a row, the part and the case of the load.
const LOAD: &str = "{load}";
/// In a row, the component where it was measured best.
const BEST: &str = "{best}";
/// Every load that must be borne: its part, in words, and its case.
const LOADS: [At<'static>; 4] = [
    ["throughput", "16 clients", "16"],
    ["throughput", "64 clients", "64"],
    ["throughput", "256 clients", "256"],
    ["burst", "256 clients at the same moment", "256"],
];
const HOST: At<'static> = [LOAD, COMPONENT[0], LOAD];
const SPIN: At<'static> = [LOAD, COMPONENT[1], LOAD];
const HOST_OPENS: As = OfRow([LOAD, PER_REQUEST[0], LOAD]);
const SPIN_OPENS: As = OfRow([LOAD, PER_REQUEST[1], LOAD]);
const OF_RECIPE: As = OfRow([LOAD, RECIPE, LOAD]);

const HOST_256: At<'static> = ["throughput", COMPONENT[0], "256"];
const SPIN_256: At<'static> = ["throughput", COMPONENT[1], "256"];
const HOST_16: As = OfRow(["throughput", COMPONENT[0], "16"]);
const SPIN_16: As = OfRow(["throughput", COMPONENT[1], "16"]);
const PROTOCOL: At<'static> = ["protocol", BEST, "16"];
const OTHERS: At<'static> = ["stalls|protocol|cost|fixed_rate", BEST, "*"];
const FLOOR: As = OfRow(["regions", PRIMARY, WITH]);
const TRIPS: As = OfFigure("distance_ms");
const PLAIN_READ: As = OfRow(["writes", READ, REGION]);
const ADAPTER: At<'static> = ["adapter|adapter_regions", "*", "*"];
const FRA: At<'static> = [BY_REGION, "fra", adapter::WITH];
const SYD: At<'static> = [BY_REGION, "syd", adapter::WITH];
const FRA_ALONE: As = OfRow([BY_REGION, "fra", ALONE]);
const SYD_ALONE: As = OfRow([BY_REGION, "syd", ALONE]);
const ALONE_AT_HOME: As = OfRow([BY_REGION, PRIMARY, ALONE]);
const BY_HAND: As = OfRow(["writes", WRITE_BY_HAND, REGION]);

/// All of them, in the order of the report; those for a real Spin and for the recipe only where they were there.
const GOALS: [Goal; 34] = [
    ("round trips before the answer, 16 clients", PROTOCOL, "round_trips", Itself, AtMost(2.2)),
    // Less would mean that the reads went somewhere else.
    ("round trips before the answer, 16 clients", PROTOCOL, "round_trips", Itself, AtLeast(1.99)),
    ("connections checked out per request, 16 clients", PROTOCOL, "checkouts_per_request", Itself, AtMost(0.1)),
    ("in-house host, {load}: req/s, of connection-per-request", HOST, "rps", HOST_OPENS, AtLeast(1.6)),
    ("in-house host, {load}: CPU per request, of connection-per-request", HOST, "cpu_us", HOST_OPENS, AtMost(0.65)),
    ("in-house host, {load}: failed or starved requests", HOST, "failed", Most, AtMost(0.0)),
    ("in-house host: req/s at 256 clients, of those at 16", HOST_256, "rps", HOST_16, AtLeast(0.8)),
    ("Spin, {load}: req/s, of connection-per-request", SPIN, "rps", SPIN_OPENS, AtLeast(1.6)),
    ("Spin, {load}: CPU per request, of connection-per-request", SPIN, "cpu_us", SPIN_OPENS, AtMost(0.65)),
    ("Spin, {load}: req/s, of the recipe", SPIN, "rps", OF_RECIPE, AtLeast(1.5)),
    ("Spin, {load}: p99, of the recipe", SPIN, "p99_ms", OF_RECIPE, AtMost(1.0 / 3.0)),
    ("Spin, {load}: CPU per request, of the recipe", SPIN, "cpu_us", OF_RECIPE, AtMost(1.0)),
    ("Spin, {load}: failed or starved requests", SPIN, "failed", Most, AtMost(0.0)),
    ("Spin: req/s at 256 clients, of those at 16", SPIN_256, "rps", SPIN_16, AtLeast(0.8)),
    ("failed requests where other things are measured", OTHERS, "failed", Most, AtMost(0.0)),
    ("chunked responses", ["stalls", BEST, "*"], "chunked", Most, AtMost(0.0)),
    ("share of split responses, 4 clients", ["stalls", BEST, "4"], "split", OfFigure("responses"), AtMost(0.002)),
    ("share of split responses, 16 clients", ["stalls", BEST, "16"], "split", OfFigure("responses"), AtMost(0.002)),
    ("all regions: failed requests", ["regions", "*", "*"], "failed", Most, AtMost(0.0)),
    // In the primary region the database is next door whatever the variant.
    ("fra: p50 with replicas, of the in-region floor", ["regions", "fra", WITH], "p50_ms", FLOOR, AtMost(2.0)),
    ("fra without replicas: round trips of the distance", ["regions", "fra", WITHOUT], "p50_ms", TRIPS, AtMost(2.2)),
    ("syd: p50 with replicas, of the in-region floor", ["regions", "syd", WITH], "p50_ms", FLOOR, AtMost(2.0)),
    ("syd without replicas: round trips of the distance", ["regions", "syd", WITHOUT], "p50_ms", TRIPS, AtMost(2.2)),
    // Two round trips more, to a database that is near.
    ("read with a bookmark, of one without", ["writes", READ_WITH_BOOKMARK, REGION], "p50_ms", PLAIN_READ, AtMost(2.5)),
    ("write, of the same by hand", ["writes", WRITE, REGION], "p50_ms", BY_HAND, AtMost(1.25)),
    (
        "write from fra, replayed: round trips of the distance",
        ["replay", REPLAYED, REGION],
        "p50_ms",
        TRIPS,
        AtMost(1.3),
    ),
    ("adapter: failed requests", ADAPTER, "failed", Most, AtMost(0.0)),
    ("fra: p50 with the adapter, of the app alone", FRA, "p50_ms", FRA_ALONE, AtMost(0.02)),
    ("syd: p50 with the adapter, of the app alone", SYD, "p50_ms", SYD_ALONE, AtMost(0.02)),
    ("fra: p50 with the adapter, of the in-region floor", FRA, "p50_ms", ALONE_AT_HOME, AtMost(1.5)),
    ("syd: p50 with the adapter, of the in-region floor", SYD, "p50_ms", ALONE_AT_HOME, AtMost(1.5)),
    ("middleware: failed requests", ["middleware", "*", "*"], "failed", Most, AtMost(0.0)),
    (
        "five statements from fra, replayed by the middleware: round trips of the distance",
        [middleware::REPLAY, REPLAYED, REGION],
        "p50_ms",
        TRIPS,
        AtMost(1.2),
    ),
    ("size of the wasm in bytes", ["wasm", COMPONENT[0], "in all"], "bytes", Itself, AtMost(400_000.0)),
];

/// What the adapter may cost, as a multiple of the app alone: for how many rows, in words, which figure, and its limit.
const ADAPTER_GOALS: [(Rows, &str, &str, Limit); 5] = [
    (Rows::One, "req/s", "rps", AtLeast(0.9)),
    (Rows::One, "CPU per request", "server_cpu_us", AtMost(1.15)),
    (Rows::Fifty, "req/s", "rps", AtLeast(0.85)),
    (Rows::Fifty, "CPU per request", "server_cpu_us", AtMost(1.2)),
    (Rows::TenThousand, "req/s", "rps", AtLeast(0.9)),
];

/// The same of the middleware, as a multiple of the app behind the adapter alone.
const MIDDLEWARE_GOALS: [(Asked, &str, &str, Limit); 5] = [
    (Asked::Row, "req/s", "rps", AtLeast(0.85)),
    (Asked::Row, "CPU per request", "server_cpu_us", AtMost(1.25)),
    (Asked::Text, "req/s", "rps", AtLeast(0.85)),
    (Asked::Text, "CPU per request", "server_cpu_us", AtMost(1.25)),
    (Asked::Megabyte, "req/s", "rps", AtLeast(0.95)),
];

/// As a multiple of the app behind middleware that does nothing: what is left of that when Spin has had its share.
const OWN_MIDDLEWARE_GOALS: [(Asked, &str, &str, Limit); 2] =
    [(Asked::Text, "req/s", "rps", AtLeast(0.85)), (Asked::Text, "CPU per request", "server_cpu_us", AtMost(1.25))];

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

/// What the figures say to each goal.
pub(crate) fn verdicts(report: &Report) -> Vec<Verdict> {
    let borne = |(_, at, ..): &Goal| at[0] == LOAD;
    let groups = GOALS.chunk_by(|one, other| borne(one) == borne(other)).flat_map(|goals| {
        let loads = if borne(&goals[0]) { &LOADS[..] } else { &LOADS[..1] };
        loads.iter().map(move |load| (*load, goals))
    });
    let all = groups.flat_map(|(load, goals)| goals.iter().filter_map(move |goal| verdict(report, load, goal)));
    all.chain(of_adapter(report)).chain(of_middleware(report)).collect()
}

fn of_adapter(report: &Report) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for [with, alone] in WITH_AND_ALONE {
        for case in &CASES {
            let goals = ADAPTER_GOALS.iter().filter(|(rows, ..)| *rows == case.rows);
            let goals = goals.map(|(_, words, figure, limit)| (*words, *figure, *limit));
            verdicts.extend(of_app(report, adapter::PART, [with, alone], case.name, "the app alone", goals));
        }
    }
    verdicts
}

fn of_middleware(report: &Report) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for [with, without, plain] in WITH_AND_WITHOUT_MIDDLEWARE {
        let set_against = [
            (without, "the app with the adapter", &MIDDLEWARE_GOALS[..]),
            (plain, "the same with middleware that does nothing", &OWN_MIDDLEWARE_GOALS[..]),
        ];
        for (other, words, goals) in set_against {
            for case in &middleware::CASES {
                let goals = goals.iter().filter(|(asked, ..)| *asked == case.asked);
                let goals = goals.map(|(_, words, figure, limit)| (*words, *figure, *limit));
                verdicts.extend(of_app(report, middleware::PART, [with, other], case.name, words, goals));
            }
        }
    }
    verdicts
}

/// What one app says to goals, each as a multiple of another one.
fn of_app(
    report: &Report,
    part: &'static str,
    [with, without]: [&'static str; 2],
    case: &'static str,
    other: &str,
    goals: impl Iterator<Item = (&'static str, &'static str, Limit)>,
) -> Vec<Verdict> {
    let of = |contender| report.measured.at([part, contender, case]);
    let Some((measured, set_against)) = of(with).zip(of(without)) else { return Vec::new() };
    let verdict = |(words, figure, limit)| {
        let (rounds, left_out) = ratio(figure, measured, set_against)?;
        Some(Verdict::of(format!("{with}, {case}: {words}, of {other}"), limit, rounds, left_out))
    };
    goals.filter_map(verdict).collect()
}

fn verdict(report: &Report, load: At<'static>, (what, at, figure, held, limit): &Goal) -> Option<Verdict> {
    let fill = |at: &At<'static>| {
        [0, 1, 2].map(|of| match at[of] {
            LOAD => load[of],
            BEST => report.component(),
            other => other,
        })
    };
    let (what, at, measured) = (what.replace(LOAD, load[1]), fill(at), &report.measured);
    let (rounds, left_out) = match held {
        Itself => (measured.get(at, figure)?.clone(), 0),
        Most => {
            let each = measured.rows(at).filter_map(|row| row.figures.get(*figure));
            (vec![each.map(|rounds| spread(rounds)[2]).reduce(f64::max)?], 0)
        }
        OfFigure(other) => (multiple(measured.get(at, figure)?, measured.get(at, other)?), 0),
        OfRow(other) => ratio(figure, measured.at(at)?, measured.at(fill(other))?)?,
    };
    Some(Verdict::of(what, *limit, rounds, left_out))
}

/// The few that the README shows.
pub(crate) fn key(report: &Report) -> Vec<Verdict> {
    let host = if report.has_spin() { "Spin" } else { "in-house host" };
    let is_key = |verdict: &Verdict| KEY.iter().any(|what| what.replace("{host}", host) == verdict.what);
    verdicts(report).into_iter().filter(is_key).collect()
}
