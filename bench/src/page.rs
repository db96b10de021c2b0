//! The report, which is `page.md` with the figures filled in, and its few lines for the README.
//!
//! In `page.md` a line `@rows part "name" figures` is replaced by the rows of a part, with the median of each figure.

use std::fmt::Display;

use crate::contender::{COMPONENT, PER_INSTANCE, RECIPE};
use crate::figures::{median, multiple, number, ratio, spread};
use crate::goals;
use crate::parts::{BURST, CLIENTS, CONNECTIONS};
use crate::plots::{PLOTS, Plot};
use crate::regions::{REGIONS, WITH, WITHOUT};
use crate::report::{Measured, Report, Row};
use crate::verdict::Verdict;

/// The lines between which the README has its numbers.
const MARKS: (&str, &str) = ("<!-- make bench -->", "<!-- /make bench -->");

/// The whole report in Markdown, for the folder that its pictures are in.
pub(crate) fn markdown(report: &Report) -> String {
    let (on, measured) = (&report.machine, &report.measured);
    let first = |part, figure| measured.rows([part, "*", "*"]).find_map(|row| row.figures.get(figure));
    let joined = |rows: &mut dyn Iterator<Item = String>| rows.collect::<Vec<_>>().join(", ");
    let distance = |row: &Row| format!("{} {} ms", row.label("{contender}-{case}"), row.figures["ms"][0]);
    let weight = |row: &Row| format!("{} {}", row.at[2], (row.figures["bytes"][0] / 1000.0).ceil());
    let gain = |region: &&str| {
        let of = |variant| measured.get(["regions", region, variant], "p50_ms");
        Some(format!("{region} {} times", number(median(&multiple(of(WITHOUT)?, of(WITH)?)))))
    };
    let values: [(&str, &dyn Display); 22] = [
        ("{date}", &on.date),
        ("{commit}", &on.commit),
        ("{hardware}", &on.hardware),
        ("{system}", &on.system),
        ("{postgres}", &on.postgres),
        ("{versions}", &on.versions),
        ("{seconds}", &on.seconds),
        ("{warm_up_seconds}", &on.warm_up_seconds),
        ("{host}", &if report.has_spin() { "Spin" } else { "the in-house host" }),
        ("{burst}", &BURST),
        ("{connections}", &CONNECTIONS),
        ("{verdicts}", &verdicts(goals::verdicts(report))),
        ("{recipe_ahead}", &recipe_ahead(report)),
        ("{beside_per_instance}", &beside_per_instance(measured)),
        ("{pictures}", &PLOTS.iter().map(|plot| picture(plot, ".")).collect::<String>()),
        ("{rate}", &cell(first("fixed_rate", "due_rps"))),
        ("{distances}", &joined(&mut measured.rows(["distances", "*", "*"]).map(distance))),
        ("{gains}", &joined(&mut REGIONS[1..].iter().filter_map(gain))),
        ("{bytes}", &first("wasm", "bytes").map_or(f64::NAN, |bytes| bytes[0])),
        ("{crates}", &joined(&mut measured.rows(["wasm", "*", "*"]).skip(1).take(8).map(weight))),
        ("{instance_us}", &cell(first("instance", "us"))),
        ("{instance_kib}", &cell(first("instance", "kib"))),
    ];
    let lines = include_str!("page.md").lines().map(|line| match line.strip_prefix("@rows ") {
        Some(what) => rows(measured, what),
        None => {
            values.iter().fold(line.to_owned(), |line, (name, value)| line.replace(name, &value.to_string())) + "\n"
        }
    });
    lines.collect()
}

/// The README with this report between its marks; `None` where it has no marks.
pub(crate) fn in_readme(readme: &str, report: &Report) -> Option<String> {
    let (before, rest) = readme.split_once(MARKS.0)?;
    let (_, after) = rest.split_once(MARKS.1)?;
    let on = &report.machine;
    let pictures: String = [&PLOTS[0], &PLOTS[3]].map(|plot| picture(plot, "bench/report")).concat();
    let summary = format!(
        "{}, commit {}, {}: medians of interleaved rounds, in brackets the smallest and largest; \
         [all figures](bench/report/report.md).\n\n{pictures}{}",
        on.date,
        on.commit,
        on.hardware,
        verdicts(goals::key(report)),
    );
    Some(format!("{before}{}\n{summary}\n{}{after}", MARKS.0, MARKS.1))
}

/// The median with the smallest and largest; a hyphen where nothing was measured.
fn cell(rounds: Option<&Vec<f64>>) -> String {
    match rounds.map(|rounds| spread(rounds)) {
        Some([least, middle, most]) if least == most => number(middle),
        Some([least, middle, most]) if !middle.is_nan() => {
            format!("{} ({} - {})", number(middle), number(least), number(most))
        }
        _ => "-".to_owned(),
    }
}

/// `part "name" figures`, as in `page.md`.
fn rows(measured: &Measured, what: &str) -> String {
    let [part, name, figures] = what.split('"').collect::<Vec<_>>()[..] else { return what.to_owned() };
    let rows = measured.rows([part.trim(), "*", "*"]).map(|row| {
        let cells = figures.split_whitespace().map(|figure| cell(row.figures.get(figure)));
        format!("| {} | {} |\n", row.label(name), cells.collect::<Vec<_>>().join(" | "))
    });
    rows.collect()
}

fn verdicts(verdicts: Vec<Verdict>) -> String {
    let rows = verdicts.iter().map(|Verdict { what, limit, measured, outcome }| {
        format!("| {what} | {limit} | {} | {outcome} |\n", cell(Some(measured)))
    });
    "| to be reached | limit | measured |  |\n|---|---|---|---|\n".to_owned() + &rows.collect::<String>()
}

fn picture((name, title, _): &Plot, folder: &str) -> String {
    format!("![{title}]({folder}/{name}.svg)\n\n")
}

/// What the recipe does better, and why.
fn recipe_ahead(report: &Report) -> String {
    let both = |clients, figure, than: fn(&f64, &f64) -> bool| {
        let of = |name| report.measured.median(["throughput", name, clients], figure);
        let (recipe, ours) = (of(RECIPE)?, of(report.component())?);
        than(&recipe, &ours).then(|| [number(recipe), number(ours)])
    };
    let rps = both("1", "rps", f64::gt).map(|[recipe, ours]| format!("One client: {recipe} req/s against {ours}. "));
    let p50 = both("64", "p50_ms", f64::lt);
    let p50 = p50.map(|[recipe, ours]| format!("p50 at 64 clients: {recipe} ms against {ours}. "));
    let ahead = rps.unwrap_or_default() + &p50.unwrap_or_default();
    let p99 = both("64", "p99_ms", |_, _| true).filter(|_| !ahead.is_empty());
    p99.map_or_else(String::new, |[recipe, ours]| {
        format!(
            "## Where the recipe is ahead\n\n{ahead}It has no WebAssembly, asks with one simple query in one round trip, \
             and keeps a connection for each thread. Puma serves five clients and lets the rest wait, which p99 shows: at \
             64 clients {recipe} ms against {ours}.\n"
        )
    })
}

/// How close the component comes to the one that keeps its connection.
fn beside_per_instance(measured: &Measured) -> String {
    let row = |(on, host)| {
        let share = |clients: usize| {
            let of = |name| measured.at(["throughput", name, &clients.to_string()]);
            let (share, left_out) = ratio("rps", of(COMPONENT[on])?, of(PER_INSTANCE[on])?)?;
            let failed = format!(", it failed or starved in {left_out} rounds");
            Some(cell(Some(&share)) + if left_out > 0 { &failed } else { "" })
        };
        let cells = CLIENTS.into_iter().map(share).collect::<Option<Vec<_>>>()?;
        Some(format!("| {host} | {} |\n", cells.join(" | ")))
    };
    [(0, "in-house host"), (1, "Spin")].into_iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sources;
    use host_tests::machine::repository;

    #[test]
    fn the_readme_has_the_numbers_of_the_report() {
        let folder = repository().join("bench/report");
        let report = Report::read("bench/report").unwrap();
        assert_eq!(markdown(&report), std::fs::read_to_string(folder.join("report.md")).unwrap());
        let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
        assert_eq!(
            in_readme(&readme, &report).as_deref(),
            Some(readme.as_str()),
            "`make bench-publish` brings them in step"
        );
        // To be known, and no reason to measure again after each change.
        match sources() {
            Ok(now) if now == report.machine.sources => {}
            now => eprintln!("the report is of other sources: {}, now {now:?}", report.machine.sources),
        }
    }
}
