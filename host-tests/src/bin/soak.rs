//! `make soak`: random faults and crowds from a printed seed under many clients, for a few minutes, and what became of it;
//! and beside that guests in three regions, behind the adapter and the middleware.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use host_tests::fault::Fault;
use host_tests::history::{
    Behind, Client, Drive, State, Summary, check, guests_everywhere, make_tables, serve_everywhere, serve_guest,
};
use host_tests::load::{Load, Report, percentile, run_for};
use host_tests::machine::{Host, Machine, Routes};
use host_tests::postgres::PRIMARY;
use host_tests::region::{DEADLINE, Options, PATIENCE, ReplicaRegion, is_home};
use host_tests::wait::eventually;
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How much slower than in health the requests may be that do not themselves pay for the dead candidate.
const MOST_P99_RATIO: f64 = 3.0;

/// How many clients come at the same moment in a crowd.
const CROWDS: [usize; 4] = [1, 16, 64, 256];
/// For how long they go on, in milliseconds: Spin ends instances that have had nothing to do for a second.
const CROWD_MS: std::ops::Range<u64> = 50..1_000;
/// How long there is none, in milliseconds.
const NO_CROWD_MS: std::ops::Range<u64> = 0..2_000;

/// Hurts one cluster in every way, for a while.
#[derive(Parser)]
struct Arguments {
    /// For how long, in seconds.
    #[arg(long, env = "SOAK_SECONDS", default_value_t = 180, value_parser = clap::value_parser!(u64).range(20..=3600))]
    seconds: u64,
    /// The same faults again; the clock otherwise.
    #[arg(long, env = "SOAK_SEED")]
    seed: Option<u64>,
    /// How many clients never stop asking.
    #[arg(long, env = "SOAK_CLIENTS", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    clients: u16,
}

#[derive(Clone, Copy, Debug)]
enum Disruption {
    Link(Fault),
    Kill,
    Hang,
    Restart,
}

const DISRUPTIONS: [Disruption; 8] = [
    Disruption::Link(Fault::Refuse),
    Disruption::Link(Fault::Stall),
    Disruption::Link(Fault::StallMidResponse),
    Disruption::Link(Fault::Reset),
    Disruption::Link(Fault::Delay(Duration::from_millis(30))),
    Disruption::Kill,
    Disruption::Hang,
    Disruption::Restart,
];

struct Scenario {
    region: ReplicaRegion,
    load: Load,
    /// What users write to and read from, beside the load: in the region, and in the primary's.
    guests: [Machine; 2],
}

/// What happened to one disruption.
struct Episode {
    disruption: Disruption,
    ended: Instant,
    home_after: Duration,
}

/// What happened.
struct Script {
    healthy: (Instant, Instant),
    episodes: Vec<Episode>,
    /// What the clients of all crowds saw.
    crowds: Report,
}

#[tokio::main]
async fn main() -> ExitCode {
    match soak(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn soak(arguments: &Arguments) -> Result<()> {
    let seed = arguments.seed.unwrap_or_else(|| u64::from(std::process::id()) ^ since_epoch());
    let clients = usize::from(arguments.clients);
    println!("seed {seed} (again with SOAK_SEED={seed}), {} s, {clients} clients", arguments.seconds);
    Host::from_environment().build_component()?;
    let scenario = Scenario::new().await?;
    // A cluster of its own: the app that knows nothing of regions, behind the adapter and the middleware in three of them.
    let everywhere = serve_everywhere(&Host::from_environment(), Behind::Both).await?;
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    let script = async {
        let outcome = scenario.disrupt_until(end, StdRng::seed_from_u64(seed)).await;
        scenario.load.stop();
        outcome
    };
    let users = Drive::at(scenario.guest_addresses(), Client::Honest, seed);
    let all = async { futures::join!(scenario.load.run(scenario.region.machine.address(), clients), script) };
    let everywhere = guests_everywhere(everywhere, seed, Duration::from_secs(arguments.seconds));
    let ((calls, (report, script)), everywhere) = futures::join!(users.run(all), everywhere);
    let Script { healthy, episodes, crowds } = script?;
    let mut report = report?;
    let ratio = p99_ratio(&report, clients, healthy, &episodes);
    println!("requests of crowds: {}", crowds.samples.len());
    println!("most requests at once at the replica: {}", scenario.region.local.most_in_flight());
    report.add(crowds);
    summary(&report, &episodes);
    scenario.nothing_is_left().await?;
    report.all_answered_within(DEADLINE).context("a promise is broken")?;
    let roles: Vec<_> = report.samples.iter().filter(|sample| !role_fits(&sample.served_by)).collect();
    ensure!(roles.is_empty(), "a promise is broken: {} wrong roles, such as {:?}", roles.len(), roles.first());
    let ratio = ratio.context("nobody came while the replica hung but those who waited for it")?;
    println!("p99 of the requests that did not pay for a hung replica: {ratio:.2} times the healthy p99");
    ensure!(ratio <= MOST_P99_RATIO, "a promise is broken: p99 was {ratio:.2} times the healthy one");
    println!("users, beside that:\n{}", Summary::of(&calls));
    let found = check(&calls, &scenario.end().await?);
    ensure!(found.is_empty(), "a promise is broken: {}", host_tests::history::report(&found));
    let (guests, found) = everywhere?;
    println!("guests in three regions, behind the adapter and the middleware:\n{guests}");
    ensure!(found.is_empty(), "a promise is broken: {}", host_tests::history::report(&found));
    println!("every promise was kept");
    Ok(())
}

impl Scenario {
    async fn new() -> Result<Self> {
        let host = Host::from_environment();
        let region = ReplicaRegion::start(&host, Options { crowds: true, ..Options::default() }).await?;
        make_tables(region.cluster.primary()).await?;
        let private = vec![("fra".to_owned(), region.local.address())];
        let configured = region.primary.address();
        let here = Routes { configured, local: region.local.address(), nearest: None, private };
        let there = Routes { local: configured, private: Vec::new(), ..here.clone() };
        let guests = [serve_guest("fra", &here, &host).await?, serve_guest(PRIMARY, &there, &host).await?];
        Ok(Self { region, load: Load::default(), guests })
    }

    fn guest_addresses(&self) -> Vec<(String, SocketAddr)> {
        let regions = ["fra", PRIMARY].map(str::to_owned);
        regions.into_iter().zip(self.guests.iter().map(Machine::address)).collect()
    }

    /// What is in the database when nobody serves any more.
    async fn end(self) -> Result<State> {
        let Self { region: ReplicaRegion { machine, cluster, .. }, guests, .. } = self;
        drop((machine, guests));
        State::at_the_end(cluster.primary()).await
    }

    /// A healthy stretch, then one disruption after another, with crowds in all but the first and in between.
    async fn disrupt_until(&self, end: Instant, mut random: StdRng) -> Result<Script> {
        self.home().await?;
        let from = Instant::now();
        tokio::time::sleep(Duration::from_secs(4)).await;
        let healthy = (from, Instant::now());
        let (mut episodes, mut crowds) = (Vec::new(), Report::default());
        // How many crowds there are depends on the clock, the disruptions on nothing but the seed.
        let mut random_crowds = StdRng::seed_from_u64(random.random());
        while Instant::now() < end || episodes.is_empty() {
            // The first is always the one that the healthy stretch is compared with.
            let random_one =
                (DISRUPTIONS[random.random_range(0..DISRUPTIONS.len())], random.random_range(1_500..5_000));
            let first = episodes.is_empty();
            let (disruption, ms) = if first { (Disruption::Hang, 5_000) } else { random_one };
            let length = Duration::from_millis(ms);
            println!("{disruption:?} for {length:?}");
            self.begin(disruption).await?;
            if first {
                tokio::time::sleep(length).await;
            } else {
                crowds.add(self.crowds(length, &mut random_crowds).await?);
            }
            self.mend(disruption).await?;
            let ended = Instant::now();
            self.home().await?;
            episodes.push(Episode { disruption, ended, home_after: ended.elapsed() });
            let pause = Duration::from_millis(random.random_range(1_500..3_000));
            crowds.add(self.crowds(pause, &mut random_crowds).await?);
        }
        Ok(Script { healthy, episodes, crowds })
    }

    /// Now and then many more clients come at the same moment, for at least this time.
    async fn crowds(&self, length: Duration, random: &mut StdRng) -> Result<Report> {
        let end = Instant::now() + length;
        let mut seen = Report::default();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let pause = Duration::from_millis(random.random_range(NO_CROWD_MS));
            tokio::time::sleep(pause.min(left)).await;
            if pause >= left {
                return Ok(seen);
            }
            let clients = CROWDS[random.random_range(0..CROWDS.len())];
            let stay = Duration::from_millis(random.random_range(CROWD_MS));
            seen.add(run_for(self.region.machine.address(), clients, stay).await?);
        }
    }

    async fn begin(&self, disruption: Disruption) -> Result<()> {
        let fra = self.region.fra();
        match disruption {
            Disruption::Link(fault) => self.region.local.set(fault),
            Disruption::Kill => fra.end(Signal::SIGKILL)?,
            Disruption::Hang => fra.signal_all(Signal::SIGSTOP)?,
            Disruption::Restart => {
                fra.end(Signal::SIGINT)?;
                fra.start().await?;
            }
        }
        Ok(())
    }

    async fn mend(&self, disruption: Disruption) -> Result<()> {
        let fra = self.region.fra();
        match disruption {
            Disruption::Link(_) => self.region.local.set(Fault::Pass),
            Disruption::Kill => fra.start().await?,
            Disruption::Hang => fra.signal_all(Signal::SIGCONT)?,
            Disruption::Restart => {}
        }
        Ok(())
    }

    /// Waits until the region's own replica answers again.
    async fn home(&self) -> Result<()> {
        self.region.wait_for_home("the region's own replica to answer").await
    }

    /// When nobody asks any more, no statement runs, and all connections are back in Spin's pool: the largest crowd is
    /// served at home.
    async fn nothing_is_left(&self) -> Result<()> {
        let question = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nearest-replica-fra' \
                        AND state <> 'idle'";
        for server in self.region.cluster.servers() {
            eventually(PATIENCE, "all connections to be idle", async || {
                (server.ask(question).await.ok()? == "0").then_some(())
            })
            .await
            .with_context(|| format!("a promise is broken: `{}` has statements left over", server.name()))?;
        }
        // Instances that did not probe the replica themselves come home after a cool-down of their own, or two.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let crowd = run_for(self.region.machine.address(), 256, Duration::from_secs(1)).await?;
        crowd.all_answered_within(DEADLINE).context("a promise is broken: after all that")?;
        let elsewhere = crowd.samples.iter().filter(|sample| !is_home(&sample.served_by.0)).count();
        ensure!(elsewhere == 0, "a promise is broken: {elsewhere} reads left a replica that was well again");
        self.region.no_secret_is_logged().context("a promise is broken")
    }
}

/// Nothing is promoted here: the configured URL is the primary, and everything else is the replica.
fn role_fits((candidate, role): &(String, String)) -> bool {
    role == if candidate == "configured" { "primary" } else { "replica" }
}

fn summary(report: &Report, episodes: &[Episode]) {
    let mut by = BTreeMap::new();
    for sample in &report.samples {
        *by.entry(sample.served_by.0.as_str()).or_insert(0) += 1;
    }
    println!("requests: {} ({by:?} by candidate)", report.samples.len());
    println!("wrong: {:?}", report.wrong());
    println!("slowest: {:?}", report.slowest());
    for Episode { disruption, home_after, .. } in episodes {
        println!("home {home_after:?} after {disruption:?}");
    }
}

/// The first episode, a hung replica: how slow those are who came after the first who waited for it.
fn p99_ratio(report: &Report, clients: usize, (from, to): (Instant, Instant), episodes: &[Episode]) -> Option<f64> {
    let first = episodes.first()?;
    let healthy = percentile(report.between(from, to), 990);
    let mut during = report.between(to, first.ended);
    // Whoever was in flight when the replica hung pays for it, once for each client.
    during.sort_by_key(|sample| std::cmp::Reverse(sample.took));
    let rest = during.get(clients..).filter(|rest| !rest.is_empty())?;
    Some(percentile(rest.iter().copied(), 990).as_secs_f64() / healthy.as_secs_f64())
}

fn since_epoch() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
