//! Names and connections, with the URL that the component would give to Spin and TLS as Spin has it.

use std::io;
use std::str::FromStr;
use std::time::{Duration, Instant};

use futures::future::join_all;
use native_tls::TlsConnector;
use nearest_replica::DatabaseUrl;
use postgres_native_tls::MakeTlsConnector;
use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, Error, NoTls};

use crate::facts::{LOGIN_REFUSED, Options, Refusal};

/// An open connection.
pub(crate) struct Opened {
    pub(crate) client: Client,
    pub(crate) took: Duration,
    /// Whether it had to be opened without `options`.
    pub(crate) options: Options,
}

/// The addresses behind every host of a URL.
///
/// # Errors
/// Where none of its names leads anywhere, as far as a name server says so in time.
pub(crate) async fn addresses(url: &DatabaseUrl, limit: Duration) -> Result<Vec<String>, Refusal> {
    let config = config(url)?;
    if !config.get_hostaddrs().is_empty() {
        return Ok(config.get_hostaddrs().iter().map(ToString::to_string).collect());
    }
    let ports = config.get_ports();
    let names = config.get_hosts().iter().enumerate().filter_map(|(index, host)| match host {
        Host::Tcp(name) => Some((name.as_str(), ports.get(index).or(ports.first()).copied().unwrap_or(5432))),
        Host::Unix(_) => None,
    });
    let found = join_all(names.map(|address| timeout(limit, lookup_host(address)))).await;
    let mut addresses: Vec<String> = found.into_iter().flatten().flatten().flatten().map(|it| it.to_string()).collect();
    addresses.dedup();
    if addresses.is_empty() { Err(Refusal::NameNotFound) } else { Ok(addresses) }
}

/// Opens a connection within `limit`, without `options` where a pooler refuses those.
///
/// # Errors
/// Says why there is none.
pub(crate) async fn open(url: &DatabaseUrl, limit: Duration) -> Result<Opened, Refusal> {
    /// What PgBouncer says of a startup parameter that it does not know.
    const PROTOCOL_VIOLATION: &str = "08P01";
    let sends = config(url)?.get_options().is_some_and(|options| !options.is_empty());
    match attempt(url, limit).await {
        Err(Refusal::Server { sqlstate, message }) if sends && sqlstate == PROTOCOL_VIOLATION => {
            let again = attempt(&url.clone().without("options"), limit).await;
            let opened = again.map_err(|_| Refusal::Server { sqlstate, message })?;
            Ok(Opened { options: Options::Refused, ..opened })
        }
        Ok(opened) if !sends => Ok(Opened { options: Options::NotSent, ..opened }),
        outcome => outcome,
    }
}

async fn attempt(url: &DatabaseUrl, limit: Duration) -> Result<Opened, Refusal> {
    let config = config(url)?;
    let began = Instant::now();
    let outcome = timeout(limit, connect(&config)).await.map_err(|_| Refusal::TimedOut)?;
    let client =
        outcome.map_err(|refusal| if config.get_user().is_none() { without_user(refusal) } else { refusal })?;
    Ok(Opened { client, took: began.elapsed(), options: Options::Taken })
}

async fn connect(config: &Config) -> Result<Client, Refusal> {
    if config.get_ssl_mode() == SslMode::Disable {
        let (client, connection) = config.connect(NoTls).await.map_err(refusal)?;
        tokio::spawn(connection);
        return Ok(client);
    }
    let tls = TlsConnector::new().map_err(|error| Refusal::Tls(error.to_string()))?;
    let (client, connection) = config.connect(MakeTlsConnector::new(tls)).await.map_err(refusal)?;
    tokio::spawn(connection);
    Ok(client)
}

/// The client has taken the name of this process's user, as Spin takes that of its own.
fn without_user(refusal: Refusal) -> Refusal {
    if let Refusal::Server { sqlstate, message } = &refusal
        && LOGIN_REFUSED.contains(&sqlstate.as_str())
    {
        return Refusal::NoUser(message.clone());
    }
    if matches!(refusal, Refusal::NoPassword) {
        return Refusal::NoUser("the server asks for a password".to_owned());
    }
    refusal
}

fn config(url: &DatabaseUrl) -> Result<Config, Refusal> {
    // Its error may repeat parts of the URL.
    let parsed = Config::from_str(&url.expose_secret());
    let mut config = parsed.map_err(|_| Refusal::Other("the URL makes no sense to the client".to_owned()))?;
    // A name that no other process has, by which our own connections are not counted.
    config.application_name(format!("nearest-replica-doctor-{}", std::process::id()));
    Ok(config)
}

/// The client has no states for what is no answer of a server: kinds in its `Debug` form, and the cause.
pub(super) fn refusal(error: Error) -> Refusal {
    if let Some(error) = error.as_db_error() {
        let message = error.message().lines().next().unwrap_or_default().to_owned();
        return Refusal::Server { sqlstate: error.code().code().to_owned(), message };
    }
    let kind = format!("{error:?}");
    let is = |name: &str| kind.starts_with(&format!("Error {{ kind: {name},"));
    let cause = std::error::Error::source(&error);
    let cause_text = cause.map_or_else(String::new, ToString::to_string);
    match cause.and_then(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind) {
        _ if is("Tls") => Refusal::Tls(cause_text),
        _ if is("Timeout") => Refusal::TimedOut,
        _ if is("Closed") => Refusal::Closed,
        _ if is("Config") && cause_text.contains("password") => Refusal::NoPassword,
        Some(io::ErrorKind::ConnectionRefused) => Refusal::Refused,
        Some(io::ErrorKind::TimedOut) => Refusal::TimedOut,
        Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            Refusal::Closed
        }
        Some(_) | None if cause_text.is_empty() => Refusal::Other(error.to_string()),
        Some(_) | None => Refusal::Other(cause_text),
    }
}
