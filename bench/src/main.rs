//! `make bench`: everything that is claimed about speed, beside what people would use instead, in one run.
//!
//! Every comparison is made in interleaved rounds, so that what else happens on the machine happens to all.

mod contender;
mod cost;
mod cpu;
mod figures;
mod goals;
mod load;
mod machine;
mod overhead;
mod page;
mod plots;
mod protocol;
mod regions;
mod report;
mod stalls;
mod throughput;
mod verdict;
mod wasm;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use host_tests::machine::{Host, program, repository};
use host_tests::postgres::Cluster;
use host_tests::spin::build;

use contender::{Programs, REGION, Runtime};
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
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments {
        Arguments { publish: true, .. } => publish(),
        Arguments { instances: true, .. } => instances().await,
        _ => measure(&arguments).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn instances() -> Result<()> {
    println!("{}", serde_json::to_string(&cost::in_this_process().await?)?);
    Ok(())
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let started = Instant::now();
    let rounds = usize::try_from(arguments.rounds)?;
    let fewer = rounds.div_ceil(2);
    let length = Duration::from_secs(arguments.seconds);
    step("building the components");
    Host::InHouse.build_component()?;
    for by_hand in ["bench/connection-per-request/spin.toml", "bench/connection-per-instance/spin.toml"] {
        build(&repository().join(by_hand))?;
    }
    let programs = Programs::find(arguments.spin.clone())?;
    step("starting PostgreSQL");
    // Everybody has pools of their own.
    let cluster = Cluster::start_with(&[REGION], &[("max_connections", "1000")]).await?;
    let machine = Machine::look(&programs, &cluster).await?;
    if programs.ruby.is_none() {
        step(
            "without the recipe: it needs Ruby (Debian: apt-get install ruby-sinatra puma ruby-pg ruby-connection-pool)",
        );
    }
    step("1 of 7: what the component says to Postgres");
    let protocol = protocol::measure(&programs, &cluster, fewer, length).await?;
    step("2 of 7: throughput, latency and CPU time");
    let (throughput, burst) = throughput::measure(&programs, &cluster, rounds, length).await?;
    step("3 of 7: latency at a fixed rate");
    let fixed_rate = throughput::fixed_rate(&throughput)?;
    let at_fixed_rate = throughput::at_fixed_rate(fixed_rate, &programs, &cluster, fewer, length).await?;
    step("4 of 7: responses that stall");
    let stalls = stalls::measure(&programs, &cluster, fewer, usize::try_from(arguments.responses)?).await?;
    step("5 of 7: regions");
    let distances_ms = [
        ("sjc-fra".to_owned(), arguments.sjc_fra_ms),
        ("sjc-syd".to_owned(), arguments.sjc_syd_ms),
        ("fra-syd".to_owned(), arguments.fra_syd_ms),
    ]
    .into();
    let regions = regions::measure(&distances_ms, fewer, length).await?;
    step("6 of 7: size, instances and connections");
    let wasm = wasm::measure()?;
    let cost = cost::measure(&programs, &cluster, fewer, length).await?;
    step("7 of 7: the overhead of our own rules");
    let overhead = overhead::measure(&programs, &cluster, fewer, length).await?;

    let mut report = Report {
        machine,
        seconds: arguments.seconds,
        warm_up_seconds: throughput::WARM_UP.as_secs(),
        host: if programs.best() == Runtime::Spin { "Spin" } else { "the in-house host" }.to_owned(),
        protocol,
        throughput,
        burst,
        fixed_rate,
        at_fixed_rate,
        stalls,
        regions,
        distances_ms,
        wasm,
        cost,
        overhead,
        verdicts: Vec::new(),
    };
    report.verdicts = goals::verdicts(&report);
    let folder = target();
    write(&report, &folder)?;
    step(&format!("{} after {} s", folder.join("report.md").display(), started.elapsed().as_secs()));
    for verdict in &report.verdicts {
        let measured = figures::number(verdict.measured.median());
        println!("{}: {measured} ({:?}): {verdict}", verdict.what, verdict.limit);
    }
    Ok(())
}

fn target() -> PathBuf {
    repository().join("target/bench")
}

fn write(report: &Report, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("report.json"), serde_json::to_string_pretty(report)? + "\n")?;
    std::fs::write(folder.join("report.md"), page::markdown(report))?;
    plots::draw(report, folder)
}

fn publish() -> Result<()> {
    let mut report = Report::read(&target().join("report.json")).context("`make bench` writes it")?;
    let (measured, now) = (&report.machine.sources, sources()?);
    ensure!(
        *measured == now && !now.ends_with("modified"),
        "the report is of other sources ({measured}) than those that are committed here ({now}): `make bench` first"
    );
    // The limits are those of today, the figures those of the run.
    report.verdicts = goals::verdicts(&report);
    write(&report, &repository().join("bench/report"))?;
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
