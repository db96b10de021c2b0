//! The component's variables, read into one [`Config`].

use std::fmt;
use std::time::Duration;

use spin_sdk::variables;

use crate::database_url::DatabaseUrl;
use crate::pulse::within;
use crate::region::{Placement, Region};

/// Everything the component can be told. There is nothing secret in its `Debug` form.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the primary is: `database_url`.
    pub database_url: DatabaseUrl,
    /// From `primary_region` and `fly_region`.
    pub placement: Placement,
    /// The port on which every Postgres of the cluster, replica or not, answers by itself: `replica_port`.
    /// `None` switches the choice of replicas off.
    pub replica_port: Option<u16>,
    /// How long one request may take altogether: `deadline_ms`.
    pub deadline: Duration,
    /// For how long the requests of an instance may share one connection: `lease_ms`.
    pub lease: Duration,
}

/// A variable that cannot be used. Its `Display` form names the variable and says what to write instead, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    variable: &'static str,
    problem: String,
}

impl ConfigError {
    pub(crate) fn new(variable: &'static str, problem: String) -> Self {
        Self { variable, problem }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.variable, self.problem)
    }
}

impl std::error::Error for ConfigError {}

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
}

/// How long a provider of variables may take, such as a vault on the network.
const PATIENCE: Duration = Duration::from_secs(2);

impl Config {
    /// Asks Spin for every variable.
    ///
    /// # Errors
    /// Names the first variable that Spin cannot resolve or that makes no sense.
    pub async fn load() -> Result<Self, ConfigError> {
        Self::new(&Variables {
            database_url: get("database_url").await?,
            primary_region: get("primary_region").await?,
            fly_region: get("fly_region").await?,
            replica_port: get("replica_port").await?,
            deadline_ms: get("deadline_ms").await?,
            lease_ms: get("lease_ms").await?,
        })
    }

    /// The same from text; the rules without Spin.
    ///
    /// # Errors
    /// Names the first variable that makes no sense.
    pub fn new(variables: &Variables) -> Result<Self, ConfigError> {
        let primary = Region::parse("primary_region", &variables.primary_region)?;
        let here = Region::parse("fly_region", &variables.fly_region)?;
        Ok(Self {
            database_url: DatabaseUrl::parse(&variables.database_url)?,
            placement: Placement::new(primary.as_ref(), here),
            replica_port: port("replica_port", &variables.replica_port)?,
            deadline: milliseconds("deadline_ms", &variables.deadline_ms, 100..=60_000)?,
            lease: milliseconds("lease_ms", &variables.lease_ms, 1..=1_000)?,
        })
    }

    /// How long a statement may run in the server: less than a request may take, so that one that was given up does
    /// not hold its connection for long.
    #[must_use]
    pub fn statement_timeout(&self) -> Duration {
        self.deadline / 2
    }
}

async fn get(name: &'static str) -> Result<String, ConfigError> {
    let Some(value) = within(PATIENCE, variables::get(name)).await else {
        let ms = PATIENCE.as_millis();
        let problem = format!("is not there after {ms} ms: write it where Spin finds it sooner, or try again");
        return Err(ConfigError::new(name, problem));
    };
    value.map_err(|why| {
        let why = match why {
            variables::Error::InvalidName(text)
            | variables::Error::Undefined(text)
            | variables::Error::Provider(text)
            | variables::Error::Other(text) => text,
        };
        // With RUST_BACKTRACE set, Spin appends a backtrace.
        let why = why.lines().next().unwrap_or_default();
        ConfigError::new(name, format!("cannot be resolved by Spin ({why}): set it in spin.toml or the environment"))
    })
}

fn port(variable: &'static str, value: &str) -> Result<Option<u16>, ConfigError> {
    match value.trim() {
        "" => Ok(None),
        text => match text.parse() {
            Ok(port) if port > 0 => Ok(Some(port)),
            _ => Err(ConfigError::new(
                variable,
                format!("is {value:?}, which is not a port: write a number from 1 to 65535, or nothing"),
            )),
        },
    }
}

fn milliseconds(
    variable: &'static str,
    value: &str,
    allowed: std::ops::RangeInclusive<u64>,
) -> Result<Duration, ConfigError> {
    match value.trim().parse() {
        Ok(ms) if allowed.contains(&ms) => Ok(Duration::from_millis(ms)),
        _ => Err(ConfigError::new(
            variable,
            format!("is {value:?}: write a whole number of milliseconds from {} to {}", allowed.start(), allowed.end()),
        )),
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
        let cases: [(Change, &str); 8] = [
            (|v| v.database_url = " ".into(), "`database_url` is empty: write"),
            (|v| v.primary_region = "s jc".into(), "`primary_region` is \"s jc\", which is not a region: write"),
            (|v| v.fly_region = "fra;".into(), "`fly_region` is \"fra;\", which is not a region: write"),
            (|v| v.replica_port = "0".into(), "`replica_port` is \"0\", which is not a port: write"),
            (|v| v.replica_port = "70000".into(), "`replica_port` is \"70000\", which is not a port: write"),
            (|v| v.deadline_ms = "5s".into(), "`deadline_ms` is \"5s\": write a whole number of milliseconds"),
            (|v| v.deadline_ms = "0".into(), "`deadline_ms` is \"0\": write a whole number of milliseconds"),
            (|v| v.lease_ms = "0".into(), "`lease_ms` is \"0\": write a whole number of milliseconds"),
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
    fn debug_shows_no_secret() {
        let variables = Variables { database_url: "postgres://ann:s3cret@db.flycast/app".into(), ..defaults() };
        let debug = format!("{:?}", Config::new(&variables).unwrap());
        assert!(!debug.contains("s3cret") && !debug.contains("ann"), "{debug}");
    }
}
