//! The report in words and tables, and its few lines for the README.

use crate::contender::CONTENDERS;
use crate::figures::{Summaries, Summary, number, ratio};
use crate::goals;
use crate::overhead::STEPS;
use crate::plots::PLOTS;
use crate::regions::{REGIONS, WITH, WITHOUT};
use crate::report::Report;
use crate::throughput::{BURST, ByContender, CLIENTS, CONNECTIONS};
use crate::verdict::{Limit, Verdict};

/// The lines between which the README has its numbers.
pub(crate) const MARKS: (&str, &str) = ("<!-- make bench -->", "<!-- /make bench -->");

/// The whole report in Markdown, for the folder that its pictures are in.
pub(crate) fn markdown(report: &Report) -> String {
    let pictures: String = PLOTS.iter().map(|plot| picture(plot, ".")).collect();
    [
        format!("# Measured\n\n{}", machine(report)),
        how(report),
        verdicts(&report.verdicts.iter().collect::<Vec<_>>()),
        recipe_ahead(report),
        beside_per_instance(report),
        pictures,
        loads(report),
        regions(report),
        rest(report),
    ]
    .join("\n")
}

/// The README with this report between its marks; `None` where it has no marks.
pub(crate) fn in_readme(readme: &str, report: &Report) -> Option<String> {
    let (before, rest) = readme.split_once(MARKS.0)?;
    let (_, after) = rest.split_once(MARKS.1)?;
    let Report { machine: on, .. } = report;
    let pictures: String = [&PLOTS[0], &PLOTS[3]].map(|plot| picture(plot, "bench/report")).concat();
    let summary = format!(
        "{}, commit {}, {}: medians of interleaved rounds, in brackets the smallest and largest; \
         [all figures](bench/report/report.md).\n\n{pictures}{}",
        on.date,
        on.commit,
        on.hardware,
        verdicts(&goals::key(report)),
    );
    Some(format!("{before}{}\n{summary}\n{}{after}", MARKS.0, MARKS.1))
}

fn summary(of: &Summary) -> String {
    if of.rounds.is_empty() {
        return "-".to_owned();
    }
    if of.min() == of.max() {
        return number(of.median());
    }
    format!("{} ({} - {})", number(of.median()), number(of.min()), number(of.max()))
}

/// These figures with their smallest and largest; a hyphen where one was not measured.
fn cells<const N: usize>(of: &Summaries, figures: [&str; N]) -> Vec<String> {
    figures.iter().map(|figure| of.get(*figure).map_or_else(|| "-".to_owned(), summary)).collect()
}

fn table(head: &str, rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let rows: String = rows.into_iter().map(|row| format!("| {} |\n", row.join(" | "))).collect();
    format!("| {head} |\n|{}\n{rows}", "---|".repeat(head.split('|').count()))
}

fn picture((name, title): &(&str, &str), folder: &str) -> String {
    format!("![{title}]({folder}/{name}.svg)\n\n")
}

fn machine(report: &Report) -> String {
    let on = &report.machine;
    let wasmtime = format!("wasmtime {}", on.wasmtime);
    let versions = [Some(&wasmtime), Some(&on.rust), on.spin.as_ref(), on.ruby.as_ref()];
    let versions: Vec<_> = versions.into_iter().flatten().map(String::as_str).collect();
    format!(
        "{}, commit {}; {}, {}, shared by the load, the servers and PostgreSQL {}; {}.\n",
        on.date,
        on.commit,
        on.hardware,
        on.system,
        on.postgres,
        versions.join(", ")
    )
}

fn how(report: &Report) -> String {
    format!(
        "Medians of the interleaved rounds of one run, in brackets the smallest and largest. Servers that are compared are \
         loaded one after the other, each for {} s, after a warm-up of {} s in which its clients come one by one; {BURST} \
         clients at the same moment are measured from that moment on. A ratio is one of figures of the same round. A \
         verdict is what four rounds of five say; where fewer agree, the limit is within what this machine can tell, and \
         it is `undecided`. What must not happen at all must not happen in any round. There is no verdict beside one that \
         failed or starved.\n",
        report.seconds, report.warm_up_seconds
    )
}

fn verdicts(verdicts: &[&Verdict]) -> String {
    let rows = verdicts.iter().map(|verdict| {
        let limit = match verdict.limit {
            Limit::AtMost(most) => format!("at most {}", number(most)),
            Limit::AtLeast(least) => format!("at least {}", number(least)),
        };
        vec![verdict.what.clone(), limit, summary(&verdict.measured), verdict.to_string()]
    });
    table("to be reached | limit | measured | ", rows)
}

/// What the recipe does better, and why.
fn recipe_ahead(report: &Report) -> String {
    let of = |key, clients, figure| report.of(key, clients, figure).map(Summary::median);
    let both = |clients, figure| Some((of("recipe", clients, figure)?, of(report.component(), clients, figure)?));
    let mut ahead = Vec::new();
    if let Some((recipe, ours)) = both(1, "rps").filter(|(recipe, ours)| recipe > ours) {
        ahead.push(format!("One client: {} req/s against {}.", number(recipe), number(ours)));
    }
    if let Some((recipe, ours)) = both(64, "p50_ms").filter(|(recipe, ours)| recipe < ours) {
        ahead.push(format!("p50 at 64 clients: {} ms against {}.", number(recipe), number(ours)));
    }
    let Some((recipe, ours)) = both(64, "p99_ms").filter(|_| !ahead.is_empty()) else { return String::new() };
    format!(
        "## Where the recipe is ahead\n\n{} It has no WebAssembly, asks with one simple query in one round trip, and \
         keeps a connection for each thread. Puma serves five clients and lets the rest wait, which p99 shows: at 64 clients {} ms against {}.\n",
        ahead.join(" "),
        number(recipe),
        number(ours),
    )
}

/// How close the component comes to the one that keeps its connection.
fn beside_per_instance(report: &Report) -> String {
    let rows = [("", "in-house host"), ("spin-", "Spin")].into_iter().filter_map(|(prefix, host)| {
        let of = |name: &str, clients| report.throughput.get(&format!("{prefix}{name}"))?.get(&clients);
        let share = |clients| {
            let (share, left_out) = ratio("rps", of("component", clients)?, of("connection-per-instance", clients)?)?;
            let failed =
                if left_out == 0 { String::new() } else { format!(", it failed or starved in {left_out} rounds") };
            Some(summary(&share) + &failed)
        };
        [Some(host.to_owned())].into_iter().chain(CLIENTS.map(share)).collect::<Option<Vec<_>>>()
    });
    let clients = CLIENTS.map(|clients| clients.to_string()).join(" | ");
    table(&format!("req/s by clients, of the connection per instance | {clients}"), rows)
}

fn loads(report: &Report) -> String {
    const FIGURES: [&str; 7] = ["rps", "p50_ms", "p99_ms", "p999_ms", "server_cpu_us", "postgres_cpu_us", "failed"];
    let columns = "req/s | p50 ms | p99 ms | p99.9 ms | CPU us: server | and Postgres | failed";
    let steady = CONTENDERS.iter().flat_map(|contender| {
        let row = move |(clients, of): (&usize, _)| {
            [vec![contender.label.to_owned(), clients.to_string()], cells(of, FIGURES)].concat()
        };
        report.throughput.get(contender.key).into_iter().flatten().map(row)
    });
    let all = |measured: &ByContender, more: &[&str]| -> Vec<_> {
        let more = |of: &Summaries| more.iter().flat_map(|figure| cells(of, [figure])).collect();
        let row = |label: &str, of: &Summaries| [vec![label.to_owned()], cells(of, FIGURES), more(of)].concat();
        CONTENDERS.iter().filter_map(|of| Some(row(of.label, measured.get(of.key)?))).collect()
    };
    [
        table(&format!("`GET /` | clients | {columns}"), steady),
        table(&format!("{BURST} clients at the same moment | {columns}"), all(&report.burst, &[])),
        format!(
            "p99 in a closed loop omits what was not sent while a client waited. Here requests are sent at a fixed rate, \
             half of what the connection per request manages at 16 clients, on {CONNECTIONS} connections, and latency \
             counts from when a request was due. Late is what was sent more than a millisecond after that.\n"
        ),
        table(
            &format!("{} requests a second | {columns} | % sent late", number(report.fixed_rate)),
            all(&report.at_fixed_rate, &["sent_late_percent"]),
        ),
    ]
    .join("\n")
}

fn regions(report: &Report) -> String {
    let distances: Vec<_> = report.distances_ms.iter().map(|(pair, ms)| format!("{pair} {ms} ms")).collect();
    let gains = REGIONS[1..].iter().filter_map(|region| {
        let of = |variant| report.region(region, variant, "p50_ms");
        Some(format!("{region} {} times", number(of(WITHOUT)?.ratio_to(of(WITH)?).median())))
    });
    let row = |(label, of)| [vec![label], cells(of, ["p50_ms", "p99_ms", "failed"])].concat();
    format!(
        "Round trips between regions, set by a proxy, are estimates: {}. What fails over does so before the measurement. \
         p50 without replicas, of that with them: {}.\n\n{}",
        distances.join(", "),
        gains.collect::<Vec<_>>().join(", "),
        table("region | p50 ms | p99 ms | failed", report.region_rows().map(row)),
    )
}

fn rest(report: &Report) -> String {
    let named = |of, labels: Vec<String>, figures| [labels, cells(of, figures)].concat();
    let protocol = report.protocol.iter().map(|(clients, of)| {
        let figures = ["round_trips", "messages", "checkouts_per_request", "new_connections_per_request"];
        [vec![clients.to_string()], cells(of, figures)].concat()
    });
    let stalls = CONTENDERS.iter().flat_map(|contender| {
        report.stalls.get(contender.key).into_iter().flatten().map(move |(clients, of)| {
            let labels = vec![contender.label.to_owned(), clients.to_string()];
            [labels, cells(of, ["responses", "split", "over_35ms", "chunked"])].concat()
        })
    });
    let steps = STEPS.iter().filter_map(|step| {
        let of = report.overhead.get(step.key)?;
        Some(named(of, vec![step.label.to_owned()], ["server_cpu_us", "postgres_cpu_us"]))
    });
    let clients = report.cost.by_clients.iter();
    let clients = clients.map(|(clients, of)| named(of, vec![clients.to_string()], ["connections", "memory_mib"]));
    let mut crates: Vec<_> = report.wasm.by_crate.iter().map(|(name, bytes)| (*bytes, name)).collect();
    crates.sort_unstable_by(|one, other| other.cmp(one));
    let crates: Vec<_> =
        crates.iter().take(8).map(|(bytes, name)| format!("{name} {}", bytes.div_ceil(1000))).collect();
    let instance = cells(&report.cost.instance, ["us", "kib"]);
    let host = &report.host;
    [
        table(
            &format!(
                "clients on {host}, for each `GET /` | round trips before the answer | messages to Postgres | connections \
                 checked out | new connections"
            ),
            protocol,
        ),
        table("`GET /` | clients | responses | split | over 35 ms | chunked", stalls),
        table(&format!("on {host}, CPU us at 16 clients | server | Postgres"), steps),
        format!(
            "The wasm has {} bytes; of these in thousands: {}. An instance takes {} us to make and {} KiB.\n",
            report.wasm.bytes,
            crates.join(", "),
            instance[0],
            instance[1]
        ),
        table(&format!("clients | connections held | memory of {host} in MiB"), clients),
    ]
    .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sources;
    use host_tests::machine::repository;

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
        assert_eq!(goals::verdicts(&report), report.verdicts, "the verdicts follow from the figures");
        // To be known, and no reason to measure again after each change.
        match sources() {
            Ok(now) if now == report.machine.sources => {}
            now => eprintln!("the report is of other sources: {}, now {now:?}", report.machine.sources),
        }
    }
}
