//! `make bench`: everything that is claimed about speed, beside what people would use instead, in one run.
//!
//! Every comparison is made in interleaved rounds, so that what else happens on the machine happens to all.

mod adapter;
mod contender;
mod cpu;
mod figures;
mod goals;
mod load;
mod machine;
mod middleware;
mod page;
mod parts;
mod plots;
mod regions;
mod report;
mod verdict;
mod wasm;
mod writes;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use host_tests::machine::{Host, program, repository};
use host_tests::postgres::Cluster;
use host_tests::spin::build;

use contender::{Programs, REGION};
use load::{Bench, WARM_UP};
use machine::{Machine, sources};
use report::Report;

/// Measures the component beside what people would use instead.
#[derive(Parser)]
struct Arguments {
    /// A real Spin to measure on as well.
    #[arg(long, env = "SPIN", value_parser = program)]
    spin: Option<PathBuf>,
    /// How often throughput is measured, in turn with the others; what is steadier is measured half as often.
    #[arg(long, env = "BENCH_ROUNDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=20))]
    rounds: u64,
    /// For how long each load runs, in seconds.
    #[arg(long, env = "BENCH_SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Of how many responses each round looks for split ones.
    #[arg(long, env = "BENCH_RESPONSES", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(100..))]
    responses: u64,
    /// An estimate of the round trip between these regions, in milliseconds.
    #[arg(long, default_value_t = 150)]
    sjc_fra_ms: u64,
    /// As above.
    #[arg(long, default_value_t = 150)]
    sjc_syd_ms: u64,
    /// As above.
    #[arg(long, default_value_t = 250)]
    fra_syd_ms: u64,
    /// For this program itself: what instances cost in a process that has made none before.
    #[arg(long, hide = true)]
    instances: bool,
    /// Measures nothing: puts the last report into the README.
    #[arg(long)]
    publish: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments {
        Arguments { publish: true, .. } => publish(),
        Arguments { instances: true, .. } => parts::print_instances().await,
        Arguments { .. } => measure(arguments).await,
    }
}

async fn measure(arguments: Arguments) -> Result<()> {
    let (started, length) = (Instant::now(), Duration::from_secs(arguments.seconds));
    step("building the components");
    Host::InHouse.build_component()?;
    for by_hand in ["bench/connection-per-request/spin.toml", "bench/connection-per-instance/spin.toml"] {
        build(&repository().join(by_hand))?;
    }
    let programs = Programs::find(arguments.spin)?;
    step("starting PostgreSQL");
    // Everybody has pools of their own.
    let cluster = Cluster::start_with(&[REGION], &[("max_connections", "1000")]).await?;
    let machine = Machine::look(&programs, &cluster, [WARM_UP, length]).await?;
    if programs.ruby.is_none() {
        step(
            "without the recipe: it needs Ruby (Debian: apt-get install ruby-sinatra puma ruby-pg ruby-connection-pool)",
        );
    }
    let rounds = arguments.rounds;
    let bench = Bench { programs, cluster, rounds, fewer: rounds.div_ceil(2), length, measured: Default::default() };
    step("1 of 10: what the component says to Postgres");
    parts::protocol(&bench).await?;
    step("2 of 10: throughput, latency and CPU time");
    parts::throughput(&bench).await?;
    step("3 of 10: latency at a fixed rate");
    parts::fixed_rate(&bench).await?;
    step("4 of 10: responses that stall");
    parts::stalls(&bench, usize::try_from(arguments.responses)?).await?;
    step("5 of 10: regions");
    let Arguments { fra_syd_ms, sjc_fra_ms, sjc_syd_ms, .. } = arguments;
    let distances = [("fra", "syd", fra_syd_ms), ("sjc", "fra", sjc_fra_ms), ("sjc", "syd", sjc_syd_ms)];
    regions::measure(&bench, &distances).await?;
    step("6 of 10: size, instances and connections");
    wasm::measure(&bench)?;
    parts::cost(&bench).await?;
    step("7 of 10: the overhead of our own rules");
    parts::overhead(&bench).await?;
    step("8 of 10: sessions and writes");
    writes::measure(&bench, sjc_fra_ms).await?;
    step("9 of 10: an app with the adapter and without");
    adapter::measure(&bench, &distances).await?;
    step("10 of 10: the same app with the middleware and without");
    middleware::measure(&bench, sjc_fra_ms).await?;

    let report = Report { machine, measured: bench.measured.into_inner() };
    write(&report, LAST)?;
    step(&format!("{LAST}/report.md after {} s", started.elapsed().as_secs()));
    for verdict in goals::verdicts(&report) {
        let measured = figures::number(figures::median(&verdict.measured));
        println!("{}: {measured} ({}): {}", verdict.what, verdict.limit, verdict.outcome);
    }
    Ok(())
}

/// Where the last report is, from the root of the repository.
const LAST: &str = "target/bench";

fn write(report: &Report, folder: &str) -> Result<()> {
    let folder = repository().join(folder);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("report.json"), serde_json::to_string_pretty(report)? + "\n")?;
    std::fs::write(folder.join("report.md"), page::markdown(report))?;
    plots::draw(report, &folder)
}

/// The limits are those of today, the figures those of the run.
fn publish() -> Result<()> {
    let report = Report::read(LAST).context("`make bench` writes it")?;
    let (measured, now) = (&report.machine.sources, sources()?);
    ensure!(
        *measured == now && !now.ends_with("modified"),
        "the report is of other sources ({measured}) than those that are committed here ({now}): `make bench` first"
    );
    write(&report, "bench/report")?;
    let path = repository().join("README.md");
    let readme = std::fs::read_to_string(&path)?;
    let readme = page::in_readme(&readme, &report).context("README.md has no place for the report")?;
    std::fs::write(&path, readme)?;
    step("bench/report and README.md have the last report");
    Ok(())
}

fn step(what: &str) {
    eprintln!("==> {what}");
}
