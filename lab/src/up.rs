//! `make up`: three regions on this machine and the page that shows them, or one Machine in front of a database of yours.

use std::fmt::Write;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use futures::StreamExt;
use host_tests::machine::Host;
use host_tests::postgres::{Cluster, PRIMARY};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::{interval, timeout};

use crate::command::Commands;
use crate::databases::Databases;
use crate::lab::{Lab, Plan};
use crate::load::{self, LEFT_ALONE, Phase, Watchers};
use crate::options::{Options, host, lag};
use crate::origin::Origins;
use crate::regions::REGIONS;
use crate::requests::Requests;
use crate::single;
use crate::snapshot::Snapshots;
use crate::web::{Shared, router};

/// What `up` can be told.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: Options,
    /// How much later than the primary the replicas replay, such as 2s.
    #[arg(long, env = "LAG", default_value = "0s", value_parser = lag)]
    lag: Duration,
    /// The path that the load asks for.
    #[arg(long, env = "LOAD_PATH", default_value = "/", value_parser = load_path)]
    load_path: String,
    /// After how many seconds in which nobody has changed anything the load stops.
    #[arg(long, default_value_t = LEFT_ALONE.as_secs(), hide = true)]
    left_alone_after: u64,
    /// Serve one Machine in front of this database instead of a cluster of our own. FLY_REGION and
    /// SPIN_VARIABLE_* are passed on.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = not_empty)]
    #[arg(conflicts_with_all = ["app", "schema"])]
    database_url: Option<String>,
    /// The first of the ports to listen on.
    #[arg(long, env = "PORT", default_value_t = 3000, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
}

fn not_empty(value: &str) -> Result<String, String> {
    if value.is_empty() { Err("must not be empty: leave it out instead".to_owned()) } else { Ok(value.to_owned()) }
}

fn load_path(value: &str) -> Result<String, String> {
    let is_path = value.starts_with('/') && value.parse::<http::Uri>().is_ok();
    if is_path { Ok(value.to_owned()) } else { Err("write a path that starts with a slash".to_owned()) }
}

/// How often the page is told.
const EVERY: Duration = Duration::from_millis(500);
/// How many of the page's requests are under way at once.
const AT_ONCE: usize = 64;
/// How long an app may take for the first answer of a Machine.
const FIRST_ANSWER: Duration = Duration::from_secs(15);

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    if let Some(url) = arguments.database_url {
        let address = free(arguments.port, 1).await?.remove(0).local_addr()?;
        return single::serve(&host(arguments.options.spin)?, url, address).await;
    }
    let plan = Plan::of(&arguments.options, arguments.lag)?;
    let mut listeners = free(arguments.port, REGIONS.len() + 1).await?;
    let page = listeners.pop().context("the last port is the page's")?;
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<std::io::Result<Vec<_>>>()?;
    plan.build().await?;
    // The ports were kept until here, so that a build is not in vain.
    drop(listeners);
    let lab = Lab::start(&plan, &addresses).await?;
    let host = match plan.host {
        Host::Spin(_) => "Spin",
        #[cfg(feature = "in-house")]
        Host::InHouse => "the in-house host",
    };
    report(&lab, &plan, &arguments.load_path, page.local_addr()?).await?;
    show(&lab, page, host, &arguments.load_path, Duration::from_secs(arguments.left_alone_after)).await
}

/// Serves the page, and does what it asks for.
async fn show(lab: &Lab, page: TcpListener, host: &'static str, path: &str, left_alone: Duration) -> Result<()> {
    let (databases, requests, watchers) = (Databases::default(), Requests::default(), Watchers::default());
    let (orders, received) = mpsc::channel(AT_ONCE);
    let (snapshot, snapshots) = watch::channel(String::from("{}"));
    let (phase, phases) = watch::channel(Phase::NobodyLooks);
    let origins = Origins::of(page.local_addr()?.port());
    let shared = Shared { snapshots, orders, watchers: watchers.clone(), origins };
    let commands = Commands::new(lab);
    let received = futures::stream::unfold(received, async |mut received| Some((received.recv().await?, received)));
    let carry_out = received.for_each_concurrent(AT_ONCE, async |(command, reply)| {
        let outcome = commands.carry_out(command).await.map_err(|error| format!("{error:#}"));
        // Whoever asked may have gone.
        let _ = reply.send(outcome);
    });
    let tell = async {
        let mut snapshots = Snapshots::new(lab, databases.clone(), requests.clone(), host);
        let mut ticks = interval(EVERY);
        loop {
            ticks.tick().await;
            let now = load::phase(lab, &watchers, left_alone);
            phase.send_if_modified(|phase| std::mem::replace(phase, now) != now);
            match snapshots.next(now) {
                Ok(text) => drop(snapshot.send_replace(text)),
                Err(error) => return error,
            }
        }
    };
    tokio::select! {
        served = axum::serve(page, router(shared)) => served.context("serving the page"),
        error = tell => Err(error).context("telling the page"),
        () = carry_out => bail!("the page has ended"),
        () = databases.watch(lab) => Ok(()),
        () = requests.watch(lab.fly().listen(), |request| eprintln!("{}", request.line())) => Ok(()),
        () = load::run(lab, path, phases) => Ok(()),
    }
}

/// Asks each Machine once, and prints what came back and where to go from here.
async fn report(lab: &Lab, plan: &Plan, path: &str, page: SocketAddr) -> Result<()> {
    let mut table = String::new();
    if plan.is_recipe() {
        writeln!(table, "{:<8}{:<26}{:<12}role", "region", "address", "reads from")?;
    } else {
        writeln!(table, "{:<8}{:<26}GET {path}", "region", "address")?;
    }
    for (region, machine) in lab.machines() {
        let asked = async { machine.client().await?.get(path).await };
        let answer = timeout(FIRST_ANSWER, asked).await;
        let answer = answer
            .with_context(|| format!("the app in {region} has not answered GET {path} for {FIRST_ANSWER:?}"))??;
        let url = format!("http://{}/", lab.edge(region));
        if !plan.is_recipe() {
            writeln!(table, "{region:<8}{url:<26}{}", answer.status)?;
            continue;
        }
        if !answer.status.is_success() {
            bail!("the Machine in {region} answered {}: {}", answer.status, answer.body);
        }
        let server = reads_from(lab.cluster(), region).await?;
        writeln!(table, "{region:<8}{url:<26}{server:<12}{}", answer.header("database-role"))?;
    }
    print!("\n{table}");
    println!("\nready (Ctrl-C stops everything); the page that shows it: http://{page}/\ntry:");
    for region in REGIONS {
        println!("  curl -i http://{}{path}", lab.edge(region));
    }
    Ok(())
}

/// The server whose own list of clients has the Machine of a region.
async fn reads_from<'a>(cluster: &'a Cluster, region: &str) -> Result<&'a str> {
    let question = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nearest-replica-{region}' AND datname IS NOT NULL"
    );
    for server in cluster.servers() {
        if server.ask(&question).await? != "0" {
            return Ok(server.name());
        }
    }
    bail!("no server of the cluster knows the Machine in {region} (the primary is in {PRIMARY})")
}

/// Consecutive ports, all of them free, and taken.
async fn free(first: u16, count: usize) -> Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for port in (first..=u16::MAX).take(count) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        match TcpListener::bind(address).await {
            Ok(listener) => listeners.push(listener),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                bail!("port {port} is taken: stop what listens there, or choose others with PORT=<first port>")
            }
            Err(error) => return Err(error).with_context(|| format!("listening on {address}")),
        }
    }
    if listeners.len() < count {
        bail!("PORT={first} leaves no room for {count} ports");
    }
    Ok(listeners)
}
