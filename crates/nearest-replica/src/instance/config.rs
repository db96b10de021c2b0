//! The configuration of the component, from Spin's variables.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use futures::future::join_all;

use super::timer::timeout_at;
use crate::rules::budget::answer_by;
use crate::rules::config::{Config, Variables, deadline};
use crate::rules::error::ConfigError;
use crate::spin::variables;

/// How long `deadline_ms` itself may take. The others may take what is left of the deadline then.
const VARIABLE_TIMEOUT: Duration = Duration::from_secs(2);

/// The other variables, and the value of each where the component has none of that name.
const NAMES: [(&str, Option<&str>); 6] = [
    ("database_url", None),
    ("primary_region", None),
    ("fly_region", None),
    ("replica_port", Some("5433")),
    ("lease_ms", Some("100")),
    ("bookmark_wait_ms", Some("")),
];

/// Asks Spin for every variable, within the deadline of the request that `started` then.
///
/// # Errors
/// Names the first variable that Spin cannot resolve in time or that makes no sense.
pub(crate) async fn load(started: Instant) -> Result<Config, ConfigError> {
    let deadline_ms = get("deadline_ms", Some("5000"), started, started + VARIABLE_TIMEOUT).await?;
    let end = answer_by(started, deadline(&deadline_ms)?);
    // All at once, so that they take no longer than the slowest.
    let values = join_all(NAMES.map(|(name, default)| get(name, default, started, end))).await;
    let mut values = values.into_iter();
    let mut next = || values.next().expect("there is a value for each name");
    Config::new(&Variables {
        database_url: next()?,
        primary_region: next()?,
        fly_region: next()?,
        replica_port: next()?,
        lease_ms: next()?,
        bookmark_wait_ms: next()?,
        deadline_ms,
    })
}

/// Variables of the caller's own, each with its value where the component has none of that name.
///
/// # Errors
/// Names the first that Spin cannot resolve in time.
pub async fn variables<const N: usize>(
    names: [(&'static str, &str); N],
    started: Instant,
) -> Result<[String; N], ConfigError> {
    let end = started + VARIABLE_TIMEOUT;
    let values = join_all(names.map(|(name, default)| get(name, Some(default), started, end))).await;
    let values: Vec<_> = values.into_iter().collect::<Result<_, _>>()?;
    Ok(values.try_into().expect("there is a value for each name"))
}

async fn get(name: &'static str, default: Option<&str>, started: Instant, end: Instant) -> Result<String, ConfigError> {
    let value = timeout_at(end, variables::get(name, default)).await.unwrap_or_else(|| {
        let ms = end.saturating_duration_since(started).as_millis();
        Err(anyhow!("is not there after {ms} ms: write it where Spin finds it sooner, or try again"))
    });
    value.map_err(|problem| ConfigError::new(name, problem))
}
