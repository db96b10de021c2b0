//! `make up`: three regions on this machine, or one Machine in front of a database of yours.

use std::fmt::Write;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use host_tests::logs::Logs;
use host_tests::machine::{Host, Machine, Setup, program};
use host_tests::postgres::{Cluster, PRIMARY};
use tokio::signal::unix::{SignalKind, signal};

/// Regions with a replica.
const REPLICAS: [&str; 2] = ["fra", "syd"];

/// Serves the component on this machine until Ctrl-C.
#[derive(Parser)]
struct Arguments {
    /// Serve one Machine in front of this database instead of a cluster of our own. FLY_REGION and
    /// SPIN_VARIABLE_* are passed on.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = not_empty)]
    database_url: Option<String>,
    /// A real Spin to serve with, instead of the in-house host.
    #[arg(long, env = "SPIN", value_parser = program)]
    spin: Option<PathBuf>,
    /// The first of the ports to listen on.
    #[arg(long, env = "PORT", default_value_t = 3000)]
    port: u16,
}

fn not_empty(value: &str) -> Result<String, String> {
    if value.is_empty() { Err("must not be empty: leave it out instead".to_owned()) } else { Ok(value.to_owned()) }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let serving = serve(arguments);
    // Whatever has been started by then is stopped in its Drop.
    tokio::select! {
        outcome = serving => outcome,
        _ = interrupt.recv() => { step("stopping"); Ok(()) }
        _ = terminate.recv() => { step("stopping"); Ok(()) }
    }
}

fn host(spin: Option<PathBuf>) -> Result<Host> {
    match spin {
        Some(program) => Ok(Host::Spin(program)),
        #[cfg(feature = "in-house")]
        None => Ok(Host::InHouse),
        #[cfg(not(feature = "in-house"))]
        None => bail!("this program was built without the in-house host: name a `spin` program with --spin"),
    }
}

async fn serve(arguments: Arguments) -> Result<()> {
    let host = host(arguments.spin)?;
    let addresses = addresses(arguments.port, if arguments.database_url.is_some() { 1 } else { 1 + REPLICAS.len() })?;
    step("2/4 building the component (about half a minute the first time)");
    host.build_component()?;
    match arguments.database_url {
        Some(url) => serve_one(&host, url, addresses[0]).await,
        None => serve_three(&host, &addresses).await,
    }
}

async fn serve_three(host: &Host, addresses: &[SocketAddr]) -> Result<()> {
    step("3/4 starting PostgreSQL: a primary in sjc, replicas in fra and syd (a few seconds)");
    let cluster = Cluster::start(&REPLICAS).await?;
    let mut machines = Vec::new();
    for (server, &address) in cluster.servers().zip(addresses) {
        step(&format!("4/4 starting a Machine in {}", server.name()));
        let mut setup = Setup::in_region(server.name(), &cluster, host);
        setup.listen = Some(address);
        setup.logs = Logs::echoing(server.name());
        setup.access_log = true;
        machines.push((server.name(), Machine::start(host, setup).await?));
    }
    let mut table = format!("{:<8}{:<26}{:<12}role\n", "region", "Machine", "reads from");
    for (region, machine) in &machines {
        let answer = machine.client().await?.get("/").await?;
        if !answer.status.is_success() {
            bail!("the Machine in {region} answered {}: {}", answer.status, answer.body);
        }
        let (url, server) = (format!("http://{}/", machine.address()), reads_from(&cluster, region).await?);
        writeln!(table, "{region:<8}{url:<26}{server:<12}{}", answer.header("database-role"))?;
    }
    print!("\n{table}");
    println!("\nready (Ctrl-C stops everything); try:");
    for (_, machine) in &machines {
        println!("  curl -i http://{}/", machine.address());
    }
    std::future::pending().await
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

async fn serve_one(host: &Host, url: String, address: SocketAddr) -> Result<()> {
    let mut setup = Setup { listen: Some(address), access_log: true, ..Setup::default() };
    // Whoever names a database here means it to be reached.
    if let Some(allowed) = allowed_host(&url) {
        setup = setup.env("SPIN_VARIABLE_ALLOWED_HOST", allowed);
    }
    setup = setup.env("DATABASE_URL", url);
    setup.logs = Logs::echoing("|");
    let passed_on = |name: &str| name == "FLY_REGION" || name.starts_with("SPIN_VARIABLE_");
    setup.environment.extend(std::env::vars().filter(|(name, _)| passed_on(name)));
    step("3/4 no PostgreSQL to start: the database is yours");
    step("4/4 starting a Machine");
    let machine = Machine::start(host, setup).await?;
    let answer = machine.client().await?.get("/").await?;
    if answer.status.is_success() {
        println!("\nready (Ctrl-C stops it): the database is a {}; try:", answer.header("database-role"));
    } else {
        println!("\nserving, but the database does not answer yet ({}): {}\ntry:", answer.status, answer.body);
    }
    println!("  curl -i http://{}/", machine.address());
    std::future::pending().await
}

/// The first host of a URL, in the form of `allowed_outbound_hosts`.
fn allowed_host(url: &str) -> Option<String> {
    let config = url.parse::<tokio_postgres::Config>().ok()?;
    match config.get_hosts().first()? {
        tokio_postgres::config::Host::Tcp(host) => {
            Some(format!("postgres://{host}:{}", config.get_ports().first().unwrap_or(&5432)))
        }
        tokio_postgres::config::Host::Unix(_) => None,
    }
}

/// Consecutive ports, all of them free.
fn addresses(first: u16, count: usize) -> Result<Vec<SocketAddr>> {
    let ports = first..=u16::MAX;
    let addresses: Vec<_> = ports.take(count).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).collect();
    for address in &addresses {
        match TcpListener::bind(address) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                bail!(
                    "port {} is taken: stop what listens there, or choose others with PORT=<first port>",
                    address.port()
                )
            }
            Err(error) => return Err(error).with_context(|| format!("listening on {address}")),
        }
    }
    if addresses.len() < count {
        bail!("PORT={first} leaves no room for {count} ports");
    }
    Ok(addresses)
}

fn step(what: &str) {
    eprintln!("==> {what}");
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn every_argument_can_be_given_and_a_bad_one_is_refused() {
        let parse = |arguments: &[&str]| Arguments::try_parse_from([&["up"], arguments].concat());
        let given = parse(&["--spin", "/bin/sh", "--database-url", "postgres:///db", "--port", "4000"]).unwrap();
        assert_eq!((given.spin, given.port), (Some(PathBuf::from("/bin/sh")), 4000));
        for bad in [["--spin", "/nowhere"], ["--database-url", ""], ["--port", "x"]] {
            assert!(parse(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_spin_on_the_path_serves_from_4_1_on() {
        let scripts = host_tests::machine::repository().join("scripts");
        for (version, serves) in [
            ("spin 4.1.0-pre0 (94a8fc8 2026-11-20)", true),
            ("spin 4.1.0 (94a8fc8 2026-11-20)", true),
            ("spin 4.10.2", true),
            ("spin 5.0.0", true),
            ("spin 4.0.9", false),
            ("spin 3.6.0", false),
            // The model checker of the same name.
            ("Spin Version 6.5.2 -- 6 December 2019", false),
            ("", false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let spin = folder.path().join("spin");
            std::fs::write(&spin, format!("#!/bin/sh\necho '{version}'\n")).unwrap();
            std::fs::set_permissions(&spin, Permissions::from_mode(0o755)).unwrap();
            let found = |variable: Option<&str>| {
                let mut command = Command::new(scripts.join("find-spin"));
                let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
                command.env("PATH", path).env_remove("SPIN").envs(variable.map(|value| ("SPIN", value)));
                String::from_utf8(command.output().unwrap().stdout).unwrap()
            };
            let path = format!("{}\n", spin.display());
            assert_eq!(found(None), if serves { path.as_str() } else { "" }, "{version:?}");
            assert_eq!(found(Some("")), "", "an empty SPIN is the in-house host");
            assert_eq!(found(Some(path.trim())), path, "a Spin that is named is taken as it is");
        }
    }
}
