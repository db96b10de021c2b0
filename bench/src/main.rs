//! `make bench`: everything that is claimed about speed, measured in one run of about ten minutes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench::contender::{Programs, REGION, ruby};
use bench::figures::Spreads;
use bench::machine::Machine;
use bench::regions::Distances;
use bench::report::{Protocol, Report, Stalls};
use bench::{cost, page, plots, price, protocol, regions, stalls, throughput, verdicts};
use clap::Parser;
use host_tests::machine::{Host, program, repository};
use host_tests::postgres::Cluster;
use host_tests::spin::build;

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
    for by_hand in ["bench/open/spin.toml", "bench/kept/spin.toml"] {
        build(&repository().join(by_hand))?;
    }
    let programs = programs(arguments.spin.clone())?;
    let (spin, host) = programs.best_spin();

    step("starting PostgreSQL");
    // Everybody has pools of their own.
    let cluster = Cluster::start_with(&[REGION], &[("max_connections", "1000")]).await?;
    let machine = Machine::look(&programs, &cluster).await?;
    if programs.ruby.is_none() {
        step(
            "without the recipe: it needs Ruby (Debian: apt-get install ruby-sinatra puma ruby-pg ruby-connection-pool)",
        );
    }
    step("1 of 6: what the component says to Postgres");
    let protocol = protocol::measure(spin, &cluster, fewer, length).await?;
    let contenders = programs.contenders();
    step("2 of 6: throughput, latency and CPU time");
    let (throughput, burst) = throughput::measure(&contenders, &cluster, rounds, length).await?;
    step("3 of 6: responses that stall");
    let ours = if programs.spin.is_some() { "spin-ours" } else { "ours" };
    let on_spin: Vec<_> = contenders.into_iter().filter(|contender| contender.is_ours_or_opens()).collect();
    let stalls = stalls::measure(&on_spin, &cluster, fewer, arguments.responses).await?;
    step("4 of 6: regions");
    let distances = Distances([
        ("sjc", "fra", arguments.sjc_fra_ms),
        ("sjc", "syd", arguments.sjc_syd_ms),
        ("fra", "syd", arguments.fra_syd_ms),
    ]);
    let regions = regions::measure(&distances, fewer, length).await?;
    step("5 of 6: size, instances and connections");
    let wasm = cost::wasm()?;
    let cost = cost::measure(spin, &cluster, fewer, length).await?;
    step("6 of 6: the price of our own rules");
    let price = price::measure(spin, &cluster, fewer, length).await?;

    let stalled = stalls.get(ours).context("the component was measured")?;
    let mut report = Report {
        machine,
        rounds,
        seconds: arguments.seconds,
        warm_up_seconds: throughput::WARM_UP.as_secs(),
        host: host.to_owned(),
        protocol: Protocol { shared: at(&protocol, 16)?, one_client: at(&protocol, 1)? },
        throughput,
        burst,
        stalls: Stalls { ours: at(stalled, 16)?, few_clients: at(stalled, 4)?, of: stalls },
        regions,
        distances_ms: distances.0.iter().map(|(a, b, ms)| (format!("{a}-{b}"), *ms)).collect::<BTreeMap<_, _>>(),
        wasm,
        cost,
        price,
        verdicts: Vec::new(),
    };
    report.verdicts = verdicts::verdicts(&report);
    let folder = target();
    write(&report, &folder)?;
    step(&format!("{} after {} s", folder.join("report.md").display(), started.elapsed().as_secs()));
    for verdict in &report.verdicts {
        let measured = page::number(verdict.measured.median);
        println!("{}: {measured} ({:?}): {}", verdict.what, verdict.limit, page::outcome(verdict));
    }
    Ok(())
}

/// What was measured at this number of clients.
fn at(measured: &BTreeMap<usize, Spreads>, clients: usize) -> Result<Spreads> {
    measured.get(&clients).cloned().with_context(|| format!("{clients} clients were not measured"))
}

fn programs(spin: Option<PathBuf>) -> Result<Programs> {
    let here = std::env::current_exe().context("looking for the programs that were built with this one")?;
    let folder = here.parent().context("a program is in a folder")?;
    let built = |name: &str| {
        let path = folder.join(name);
        ensure!(path.is_file(), "{} is missing: `make bench` builds it", path.display());
        Ok(path)
    };
    Ok(Programs { host: built("host")?, native: built("native")?, spin, ruby: ruby() })
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
    // The limits are those of today, the figures those of the run.
    report.verdicts = verdicts::verdicts(&report);
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
