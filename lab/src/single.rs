//! One Machine in front of a database of the user's own.

use std::net::SocketAddr;

use anyhow::Result;
use host_tests::logs::Logs;
use host_tests::machine::{Host, Machine, Setup, repository};

use crate::application::{build, environment};
use crate::step;

pub(crate) async fn serve(host: &Host, url: String, address: SocketAddr) -> Result<()> {
    build(host, &repository().join("spin.toml")).await?;
    let mut setup = Setup { listen: Some(address), access_log: true, ..Setup::default() };
    // Whoever names a database here means it to be reached.
    if let Some(allowed) = allowed_host(&url) {
        setup = setup.env("SPIN_VARIABLE_ALLOWED_HOST", allowed);
    }
    setup = setup.env("DATABASE_URL", url);
    setup.logs = Logs::echoing("|");
    setup.environment.extend(environment());
    setup.environment.extend(std::env::var("FLY_REGION").map(|region| ("FLY_REGION".to_owned(), region)));
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
