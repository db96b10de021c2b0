//! The component's variables as text, read into one [`Config`].

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Result, bail};

use super::database_url::DatabaseUrl;
use super::error::ConfigError;
use super::region::{Placement, Region};

/// Everything the component can be told. There is nothing secret in its `Debug` form.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the primary is: `database_url`.
    pub database_url: DatabaseUrl,
    /// Where writes are nearest to the primary: `primary_region`.
    pub primary_region: Option<Region>,
    /// From `primary_region` and `fly_region`.
    pub placement: Placement,
    /// The port on which every Postgres of the cluster, replica or not, answers by itself: `replica_port`.
    /// `None` switches the choice of replicas off.
    pub replica_port: Option<u16>,
    /// How long one request may take altogether: `deadline_ms`.
    pub deadline: Duration,
    /// How long a statement may run in the server; without bound where it is `None`. Half of the deadline, so that a
    /// statement that was abandoned does not hold its connection for long.
    pub statement_timeout: Option<Duration>,
    /// For how long the requests of an instance may share one connection: `lease_ms`.
    pub lease: Duration,
    /// How long a read may wait for a replica to replay what its session has seen: `bookmark_wait_ms`.
    pub bookmark_wait: Duration,
}

/// The variables as text, as Spin hands them over.
#[derive(Clone, Default)]
pub struct Variables {
    /// `database_url`
    pub database_url: String,
    /// `primary_region`
    pub primary_region: String,
    /// `fly_region`
    pub fly_region: String,
    /// `replica_port`
    pub replica_port: String,
    /// `deadline_ms`
    pub deadline_ms: String,
    /// `lease_ms`
    pub lease_ms: String,
    /// `bookmark_wait_ms`; empty means 200
    pub bookmark_wait_ms: String,
}

impl Config {
    /// From the variables as text.
    ///
    /// # Errors
    /// Names the first variable that makes no sense.
    pub fn new(variables: &Variables) -> Result<Self, ConfigError> {
        let bad = |variable| move |problem| ConfigError::new(variable, problem);
        let primary = Region::parse(&variables.primary_region).map_err(bad("primary_region"))?;
        let here = Region::parse(&variables.fly_region).map_err(bad("fly_region"))?;
        let deadline = deadline(&variables.deadline_ms)?;
        Ok(Self {
            database_url: DatabaseUrl::parse(&variables.database_url).map_err(bad("database_url"))?,
            placement: Placement::new(primary.as_ref(), here),
            primary_region: primary,
            replica_port: port(&variables.replica_port).map_err(bad("replica_port"))?,
            lease: milliseconds(&variables.lease_ms, 1..=1_000).map_err(bad("lease_ms"))?,
            bookmark_wait: bookmark_wait(&variables.bookmark_wait_ms, deadline).map_err(bad("bookmark_wait_ms"))?,
            statement_timeout: Some(deadline / 2),
            deadline,
        })
    }
}

/// The deadline of a request by itself: it bounds how long the other variables may take.
///
/// # Errors
/// When the text makes no sense.
pub(crate) fn deadline(text: &str) -> Result<Duration, ConfigError> {
    milliseconds(text, 100..=60_000).map_err(|problem| ConfigError::new("deadline_ms", problem))
}

/// At most a tenth of the deadline, so that a replica that lags has time for its answer and is not taken for a dead one.
fn bookmark_wait(value: &str, deadline: Duration) -> Result<Duration> {
    let wait = if value.trim().is_empty() { Duration::from_millis(200) } else { milliseconds(value, 0..=60_000)? };
    Ok(wait.min(deadline / 10))
}

fn port(value: &str) -> Result<Option<u16>> {
    match value.trim() {
        "" => Ok(None),
        text => match text.parse() {
            Ok(port) if port > 0 => Ok(Some(port)),
            _ => bail!("is {value:?}, which is not a port: write a number from 1 to 65535, or nothing"),
        },
    }
}

fn milliseconds(value: &str, allowed: RangeInclusive<u64>) -> Result<Duration> {
    match value.trim().parse() {
        Ok(ms) if allowed.contains(&ms) => Ok(Duration::from_millis(ms)),
        _ => {
            bail!("is {value:?}: write a whole number of milliseconds from {} to {}", allowed.start(), allowed.end())
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What spin.toml sets, with the recipe's own local URL.
    pub(crate) fn defaults() -> Variables {
        Variables {
            database_url: "postgres:///db".into(),
            replica_port: "5433".into(),
            deadline_ms: "5000".into(),
            lease_ms: "100".into(),
            ..Variables::default()
        }
    }

    #[test]
    fn every_bad_value_is_refused_by_name_with_what_to_write_instead() {
        type Change = fn(&mut Variables);
        let cases: [(Change, &str); 9] = [
            (|v| v.database_url = " ".into(), "`database_url` is empty: write"),
            (|v| v.primary_region = "s jc".into(), "`primary_region` is \"s jc\", which is not a region: write"),
            (|v| v.fly_region = "fra;".into(), "`fly_region` is \"fra;\", which is not a region: write"),
            (|v| v.replica_port = "0".into(), "`replica_port` is \"0\", which is not a port: write"),
            (|v| v.replica_port = "70000".into(), "`replica_port` is \"70000\", which is not a port: write"),
            (|v| v.deadline_ms = "5s".into(), "`deadline_ms` is \"5s\": write a whole number of milliseconds"),
            (|v| v.deadline_ms = "0".into(), "`deadline_ms` is \"0\": write a whole number of milliseconds"),
            (|v| v.lease_ms = "0".into(), "`lease_ms` is \"0\": write a whole number of milliseconds"),
            (|v| v.bookmark_wait_ms = "-1".into(), "`bookmark_wait_ms` is \"-1\": write a whole number of milli"),
        ];
        for (change, expected) in cases {
            let mut variables = defaults();
            change(&mut variables);
            let message = Config::new(&variables).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn blanks_around_values_do_not_matter_and_an_empty_replica_port_switches_replicas_off() {
        let variables = Variables { replica_port: " \n".into(), deadline_ms: " 250 ".into(), ..defaults() };
        let config = Config::new(&variables).unwrap();
        assert_eq!(config.replica_port, None);
        assert_eq!(config.deadline, Duration::from_millis(250));
    }

    #[test]
    fn waiting_for_a_replica_takes_a_tenth_of_the_deadline_at_most() {
        for (text, expected) in [("", 200), ("0", 0), ("50", 50), ("3000", 500)] {
            let variables = Variables { bookmark_wait_ms: text.into(), ..defaults() };
            assert_eq!(Config::new(&variables).unwrap().bookmark_wait, Duration::from_millis(expected), "{text:?}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let variables = Variables { database_url: "postgres://ann:s3cret@db.flycast/app".into(), ..defaults() };
        let debug = format!("{:?}", Config::new(&variables).unwrap());
        assert!(!debug.contains("s3cret") && !debug.contains("ann"), "{debug}");
    }
}
