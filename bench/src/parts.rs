//! The parts of the benchmark, but for the regions and the wasm as a file: who is measured, in which cases, under what.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use host_tests::counting_proxy::CountingProxy;
use host_tests::load::{Report, Sample};
use host_tests::machine::repository;
use host_tests::spin::{Options, instantiate};

use crate::contender::{COMPONENT, Contender, Kind, PER_REQUEST, REGION, Running, STEPS};
use crate::cpu::Usage;
use crate::figures::{Figures, figures, median};
use crate::load::{self, Bench, WARM_UP, load, steady};

/// How many clients there are at once.
pub(crate) const CLIENTS: [usize; 4] = [1, 16, 64, 256];
/// How many clients come at the same moment.
pub(crate) const BURST: usize = 256;
/// How many connections the requests at a fixed rate are sent on.
pub(crate) const CONNECTIONS: usize = 64;
/// What a response that leaves in two segments waits for is the client's delayed acknowledgement, 40 ms.
const STALL: Duration = Duration::from_millis(35);
const INSTANCES: usize = 100;
const HELD: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nearest-replica-fra'";

/// Requests per second, latencies and CPU time per request of everybody, from 1 to 256 keep-alive clients and where 256
/// come at the same moment; in every other round the other way round.
pub(crate) async fn throughput(bench: &Bench) -> Result<()> {
    for round in 1..=bench.rounds {
        // Anew in each round: one that keeps its connections may not recover from 256 clients.
        let mut running = bench.start(bench.programs.contenders()).await?;
        if round % 2 == 0 {
            running.reverse();
        }
        bench.each(round, "throughput", &running, &CLIENTS, async |server, of| bench.steady(server, of).await).await?;
        // While the others were measured, the instances of the clients before have ended.
        let burst = async |server: &_, of| bench.loaded(server, of, load(), Duration::ZERO).await;
        bench.each(round, "burst", &running, &[BURST], burst).await?;
    }
    Ok(())
}

/// The component, or the one by hand that opens a connection each time.
fn component_or_opens(contender: &&Contender) -> bool {
    matches!(contender.kind, Kind::Component | Kind::PerRequest)
}

/// The same of some at half of what the slower of those manages that open a connection for each request.
pub(crate) async fn fixed_rate(bench: &Bench) -> Result<()> {
    let measured = |name: &&str| bench.measured.borrow().median(["throughput", name, "16"], "rps");
    let rps = PER_REQUEST.iter().filter_map(measured).reduce(f64::min);
    let rate = (rps.context("16 clients were measured")? / 2.0).round();
    let is_measured = |of: &&Contender| component_or_opens(of) || of.kind == Kind::Recipe;
    let running = bench.start(bench.programs.contenders().filter(is_measured)).await?;
    for round in 1..=bench.fewer {
        let at_rate = async |server: &_, connections| {
            let mut figures = bench.loaded(server, connections, load().rate(rate), WARM_UP).await?;
            figures.insert("due_rps".to_owned(), rate);
            Ok(figures)
        };
        bench.each(round, "fixed_rate", &running, &[CONNECTIONS], at_rate).await?;
    }
    Ok(())
}

/// What the component says to Postgres for each `GET /`, in the steady state: exact numbers, out of a proxy that counts.
pub(crate) async fn protocol(bench: &Bench) -> Result<()> {
    let proxy = CountingProxy::before(bench.cluster.server(REGION).address()).await?;
    let component = bench.programs.component();
    let server = bench.programs.start(component, [bench.databases()[0], proxy.address()]).await?;
    let running = [(component.name, server)];
    for round in 1..=bench.fewer {
        let counted = async |server: &Running, clients| {
            let (times, counts) = ([WARM_UP, bench.length], || Ok(proxy.counts()));
            let (seen, [before, after]) = load::run(server.address, clients, steady(), times, counts).await?;
            let counts = after.since(before);
            let each = |count: u64| count as f64 / seen["answered"].max(1.0);
            Ok(figures([
                ("round_trips", each(counts.round_trips)),
                ("messages", each(counts.messages)),
                ("checkouts_per_request", each(counts.checkouts)),
                ("new_connections_per_request", each(counts.connections)),
                ("failed", seen["failed"]),
            ]))
        };
        // One client can share a connection with itself only.
        bench.each(round, "protocol", &running, &[1, 16], counted).await?;
    }
    Ok(())
}

/// Responses that left in more than one TCP segment, or long after the database had answered.
pub(crate) async fn stalls(bench: &Bench, responses: usize) -> Result<()> {
    let running = bench.start(bench.programs.contenders().filter(component_or_opens)).await?;
    for round in 1..=bench.fewer {
        let counted = async |server: &Running, clients| {
            Ok(stalled(&load().requests(responses).run(server.address, clients).await?))
        };
        // With few clients Spin's threads are idle, and quicker to send headers alone.
        bench.each(round, "stalls", &running, &[4, 16], counted).await?;
    }
    Ok(())
}

fn stalled(report: &Report) -> Figures {
    let count = |is: &dyn Fn(&Sample) -> bool| report.samples.iter().filter(|sample| is(sample)).count() as f64;
    let mut figures = figures([
        ("responses", count(&|sample| sample.wrong.is_none())),
        ("split", report.split as f64),
        ("chunked", count(&|sample| sample.chunked)),
        ("failed", count(&|sample| sample.wrong.is_some())),
    ]);
    // Only an answer that says how long the database took can be told from a slow database.
    if report.samples.iter().all(|sample| sample.database.is_some()) {
        let waited = |sample: &Sample| sample.took.saturating_sub(sample.database.unwrap_or_default());
        figures.insert("over_35ms".to_owned(), count(&|sample| waited(sample) > STALL));
    }
    figures
}

/// What our own rules cost in CPU time per request, where requests share connections.
pub(crate) async fn overhead(bench: &Bench) -> Result<()> {
    let running = bench.start(STEPS.iter()).await?;
    for round in 1..=bench.fewer {
        bench.each(round, "overhead", &running, &[16], async |server, of| bench.steady(server, of).await).await?;
    }
    Ok(())
}

/// What the component costs while it runs: an instance, and connections and memory as the clients grow.
pub(crate) async fn cost(bench: &Bench) -> Result<()> {
    for round in 1..=bench.fewer {
        bench.record(round, ["instance", COMPONENT[0], "idle"], instances_in_a_new_process()?);
        // A new process each time: memory and connections stay when the clients are gone.
        let running = bench.start([bench.programs.component()].into_iter()).await?;
        let grown = async |server: &Running, clients| {
            let times = [Duration::ZERO, bench.length];
            let (seen, _) = load::run(server.address, clients, load(), times, || Ok(())).await?;
            let held = bench.cluster.server(REGION).ask(HELD).await?.parse::<f64>()?;
            let memory = Usage::of(server.process)?.memory as f64 / 1024.0 / 1024.0;
            Ok(figures([("connections", held), ("memory_mib", memory), ("failed", seen["failed"])]))
        };
        bench.each(round, "cost", &running, &CLIENTS, grown).await?;
    }
    Ok(())
}

/// What an instance costs in this process, which has made none before: of many that all stay alive, on the in-house host
/// and without work, `us` to make it and `kib` of resident memory.
pub(crate) async fn print_instances() -> Result<()> {
    let options = Options::new(repository().join("spin.toml")).with("SPIN_VARIABLE_URL", "postgres:///db");
    // The first one also compiles the component.
    let first = instantiate(options.clone(), 1).await?;
    let before = Usage::of(std::process::id())?.memory;
    let instances = instantiate(options, INSTANCES).await?;
    let grown = Usage::of(std::process::id())?.memory.saturating_sub(before);
    let times: Vec<_> = instances.times().map(|time| time.as_secs_f64() * 1e6).collect();
    drop(first);
    let figures = figures([("us", median(&times)), ("kib", grown as f64 / 1024.0 / INSTANCES as f64)]);
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

fn instances_in_a_new_process() -> Result<Figures> {
    let output = Command::new(std::env::current_exe()?).arg("--instances").output().context("making instances")?;
    ensure!(output.status.success(), "making instances: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("making instances")
}
