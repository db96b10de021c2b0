//! The report in words and tables, for the README.

use std::fmt::Write;

use crate::figures::{Spread, Spreads};
use crate::price::STEPS;
use crate::regions::REGIONS;
use crate::report::Report;
use crate::throughput::BURST;
use crate::verdicts::{Limit, Outcome, Verdict, ratio};

/// The lines between which the README has its numbers.
pub const MARKS: (&str, &str) = ("<!-- make bench -->", "<!-- /make bench -->");

const NAMES: [(&str, &str); 8] = [
    ("ours", "this component"),
    ("open", "by hand, opens each time"),
    ("kept", "by hand, keeps (unsafe)"),
    ("spin-ours", "Spin: this component"),
    ("spin-open", "Spin: opens each time"),
    ("spin-kept", "Spin: keeps (unsafe)"),
    ("recipe", "the recipe (Puma, 5 threads)"),
    ("native", "native axum"),
];

/// Who was measured: the name in the report and the one for people.
#[must_use]
pub fn contenders(report: &Report) -> Vec<(String, String)> {
    let there = NAMES.iter().filter(|(name, _)| report.throughput.contains_key(*name));
    there.map(|(name, label)| ((*name).to_owned(), (*label).to_owned())).collect()
}

/// Each region and variant with its p50, p99 and failures.
#[must_use]
pub fn region_rows(report: &Report) -> Vec<(String, [&Spread; 3])> {
    let mut rows = Vec::new();
    for region in REGIONS {
        for (variant, label) in [
            ("with_replica", "with replicas"),
            ("without_replica", "all on the primary"),
            ("replica_dead", "its replica refuses"),
        ] {
            let of = |figure| report.region(region, variant, figure);
            if let (Some(p50), Some(p99), Some(failed)) = (of("p50_ms"), of("p99_ms"), of("failed")) {
                rows.push((format!("{region}, {label}"), [p50, p99, failed]));
            }
        }
    }
    rows
}

/// Three significant digits or so.
#[must_use]
pub fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => thousands(value),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 0.1 || small == 0.0 => trimmed(format!("{value:.2}")),
        _ => trimmed(format!("{value:.4}")),
    }
}

fn trimmed(number: String) -> String {
    number.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut grouped = if value < 0.0 { "-".to_owned() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn spread(value: &Spread) -> String {
    if value.rounds.len() < 2 {
        return number(value.median);
    }
    format!("{} ({} - {})", number(value.median), number(value.min), number(value.max))
}

/// The whole report in Markdown, for the folder that its pictures are in.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut page = String::from("# Measured\n\n");
    // Writing to a String cannot fail.
    let _ = head(&mut page, report)
        .and_then(|()| verdicts(&mut page, report))
        .and_then(|()| beside_kept(&mut page, report))
        .and_then(|()| pictures(&mut page, "."))
        .and_then(|()| throughput(&mut page, report))
        .and_then(|()| regions(&mut page, report))
        .and_then(|()| rest(&mut page, report));
    page
}

/// The part of it for the README.
fn summary(report: &Report) -> String {
    let mut page = String::new();
    // As above.
    let _ = head(&mut page, report)
        .and_then(|()| pictures(&mut page, "bench/report"))
        .and_then(|()| verdicts(&mut page, report))
        .and_then(|()| beside_kept(&mut page, report));
    page
}

fn head(page: &mut String, report: &Report) -> std::fmt::Result {
    let machine = &report.machine;
    let and = |version: &Option<String>| version.as_ref().map(|version| format!(", {version}")).unwrap_or_default();
    writeln!(
        page,
        "{}, commit {}; {}, {}, shared by the load, the servers and PostgreSQL {}; in-house host on wasmtime {}, {}{}{}. \
         Medians of {} interleaved rounds in one run ({} for what is not throughput).\n\n\
         Servers that are compared are loaded one after the other, each for {} s, after a warm-up of {} s in which its \
         clients come one by one; {BURST} clients at the same moment are measured from that moment on. A ratio is one of \
         figures of the same round, in brackets its smallest and largest. A verdict is what four rounds of five say; where \
         fewer agree, the limit is within what this machine can tell, and it is `undecided`. What must not happen at all \
         must not happen in any round.\n",
        machine.date,
        machine.commit,
        machine.hardware,
        machine.system,
        machine.postgres,
        machine.wasmtime,
        machine.rust,
        and(&machine.spin),
        and(&machine.ruby),
        report.rounds,
        report.cost.instantiation_us.rounds.len(),
        report.seconds,
        report.warm_up_seconds,
    )
}

fn pictures(page: &mut String, folder: &str) -> std::fmt::Result {
    for (name, what) in [
        ("throughput", "Requests per second by keep-alive clients"),
        ("p99", "p99 by keep-alive clients"),
        ("cpu", "CPU time of server and Postgres for each request"),
        ("regions", "p50 by region, with replicas, without, and with a dead one"),
    ] {
        writeln!(page, "![{what}]({folder}/{name}.svg)\n")?;
    }
    Ok(())
}

fn throughput(page: &mut String, report: &Report) -> std::fmt::Result {
    let columns = "req/s | p50 ms | p99 ms | p99.9 ms | CPU us: server + Postgres | failed |";
    writeln!(page, "Minimum and maximum of the rounds are in brackets.\n")?;
    writeln!(page, "| `GET /` | clients | {columns}\n|---|---|---|---|---|---|---|---|")?;
    for (name, label) in contenders(report) {
        for (clients, figures) in report.throughput.get(&name).into_iter().flatten() {
            writeln!(page, "| {label} | {clients} | {}", load(figures))?;
        }
    }
    writeln!(page, "\n| {BURST} clients at the same moment | {columns}\n|---|---|---|---|---|---|---|")?;
    for (name, label) in contenders(report) {
        if let Some(figures) = report.burst.get(&name) {
            writeln!(page, "| {label} | {}", load(figures))?;
        }
    }
    writeln!(page)
}

fn load(figures: &Spreads) -> String {
    let none = Spread::default();
    let of = |figure| figures.get(figure).unwrap_or(&none);
    format!(
        "{} | {} | {} | {} | {} + {} | {} |",
        spread(of("rps")),
        number(of("p50_ms").median),
        spread(of("p99_ms")),
        number(of("p999_ms").median),
        number(of("server_cpu_us").median),
        number(of("postgres_cpu_us").median),
        number(of("failed").max),
    )
}

fn regions(page: &mut String, report: &Report) -> std::fmt::Result {
    let distances: Vec<_> = report.distances_ms.iter().map(|(pair, ms)| format!("{pair} {ms} ms")).collect();
    writeln!(page, "Round trips between regions, set by a proxy, are estimates: {}.\n", distances.join(", "))?;
    writeln!(page, "What fails over does so before the measurement: its warm-up is two seconds.\n")?;
    writeln!(page, "| region | p50 ms | p99 ms | failed |\n|---|---|---|---|")?;
    for (label, [p50, p99, failed]) in region_rows(report) {
        writeln!(page, "| {label} | {} | {} | {} |", spread(p50), spread(p99), number(failed.max))?;
    }
    writeln!(page)
}

fn rest(page: &mut String, report: &Report) -> std::fmt::Result {
    let figure = |spreads: &Spreads, name: &str| spreads.get(name).map_or_else(|| "-".to_owned(), spread);
    let (shared, alone) = (&report.protocol.shared, &report.protocol.one_client);
    writeln!(page, "| on {}, for each `GET /` | 1 client | 16 clients |\n|---|---|---|", report.host)?;
    for (name, label) in [
        ("round_trips", "round trips before the answer"),
        ("messages", "messages to Postgres"),
        ("checkouts_per_request", "connections checked out"),
        ("new_connections_per_request", "new connections"),
    ] {
        writeln!(page, "| {label} | {} | {} |", figure(alone, name), figure(shared, name))?;
    }
    writeln!(page, "\n| `GET /` | clients | responses | split | over 35 ms | chunked |\n|---|---|---|---|---|---|")?;
    for (name, label) in NAMES {
        for (clients, of) in report.stalls.of.get(name).into_iter().flatten() {
            let [responses, split, slow, chunked] =
                ["responses", "split", "over_35ms", "chunked"].map(|name| figure(of, name));
            writeln!(page, "| {label} | {clients} | {responses} | {split} | {slow} | {chunked} |")?;
        }
    }
    writeln!(page, "\n| on {}, CPU us at 16 clients | server | Postgres |\n|---|---|---|", report.host)?;
    for (name, label) in STEPS {
        if let Some(of) = report.price.get(name) {
            writeln!(page, "| {label} | {} | {} |", figure(of, "server_cpu_us"), figure(of, "postgres_cpu_us"))?;
        }
    }
    let mut crates: Vec<_> = report.wasm.by_crate.iter().collect();
    crates.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
    #[expect(clippy::cast_precision_loss, reason = "these numbers are small")]
    let crates: Vec<_> =
        crates.iter().take(8).map(|(name, bytes)| format!("{name} {:.0}", **bytes as f64 / 1e3)).collect();
    writeln!(
        page,
        "\nThe wasm has {} bytes; of these in thousands: {}. An instance takes {} us to make and {} KiB.\n",
        thousands(report.wasm.bytes as f64),
        crates.join(", "),
        spread(&report.cost.instantiation_us),
        spread(&report.cost.instance_kib),
    )?;
    writeln!(page, "| clients | connections held | memory of {} in MiB |\n|---|---|---|", report.host)?;
    for (clients, of) in &report.cost.by_clients {
        writeln!(page, "| {clients} | {} | {} |", figure(of, "connections"), figure(of, "memory_mib"))?;
    }
    writeln!(page)
}

fn verdicts(page: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(page, "| to be reached | limit | measured | |\n|---|---|---|---|")?;
    for verdict in &report.verdicts {
        let limit = match verdict.limit {
            Limit::AtMost(most) => format!("at most {}", number(most)),
            Limit::AtLeast(least) => format!("at least {}", number(least)),
        };
        let outcome = outcome(verdict).replace("missed", "**missed**");
        writeln!(page, "| {} | {limit} | {} | {outcome} |", verdict.what, spread(&verdict.measured))?;
    }
    writeln!(page)
}

/// How close the component comes to the one that keeps its connection.
fn beside_kept(page: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(
        page,
        "| req/s, of one that keeps its connection, by hand | 16 clients | 64 clients | 256 clients |\n|---|---|---|---|"
    )?;
    for (prefix, host) in [("", "in-house host"), ("spin-", "Spin")] {
        let of = |name: &str, clients| report.of(&format!("{prefix}{name}"), clients, "rps");
        let share = |clients| ratio(of("ours", clients), of("kept", clients)).as_ref().map(spread);
        if let [Some(few), Some(more), Some(most)] = [16, 64, 256].map(share) {
            writeln!(page, "| {host} | {few} | {more} | {most} |")?;
        }
    }
    writeln!(page)
}

/// What a verdict says, in words.
#[must_use]
pub fn outcome(verdict: &Verdict) -> String {
    let word = match verdict.outcome {
        Outcome::Reached => "reached",
        Outcome::Missed => "missed",
        Outcome::Undecided => "undecided",
    };
    match (verdict.reached_in, verdict.measured.rounds.len()) {
        (reached_in, rounds) if reached_in == 0 || reached_in == rounds => word.to_owned(),
        (reached_in, rounds) => format!("{word}: {reached_in} of {rounds} rounds"),
    }
}

/// The README with this report between its marks; `None` where it has no marks.
#[must_use]
pub fn in_readme(readme: &str, report: &Report) -> Option<String> {
    let (before, rest) = readme.split_once(MARKS.0)?;
    let (_, after) = rest.split_once(MARKS.1)?;
    Some(format!("{before}{}\n{}{}{after}", MARKS.0, summary(report), MARKS.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_tests::machine::repository;

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

    #[test]
    fn the_readme_has_the_numbers_of_the_report() {
        let folder = repository().join("bench/report");
        let report = Report::read(&folder.join("report.json")).unwrap();
        assert_eq!(markdown(&report), std::fs::read_to_string(folder.join("report.md")).unwrap());
        let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
        assert_eq!(
            in_readme(&readme, &report).as_deref(),
            Some(readme.as_str()),
            "`make bench-publish` brings them in step"
        );
        assert_eq!(crate::verdicts::verdicts(&report), report.verdicts, "the verdicts follow from the figures");
    }
}
