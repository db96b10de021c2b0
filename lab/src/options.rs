//! What `up` and `try` can be told.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
#[cfg(not(feature = "in-house"))]
use anyhow::bail;
use clap::Args;
use host_tests::machine::{Host, program};

/// How much later than the primary a replica may be asked to replay.
pub(crate) const LONGEST_LAG: Duration = Duration::from_secs(60);
/// How many times farther than they are the regions may be from each other.
pub(crate) const DISTANCES: RangeInclusive<f64> = 0.0..=3.0;

/// What the lab consists of.
#[derive(Args, Clone)]
pub(crate) struct Options {
    /// The manifest of the Spin app to serve, or its folder; the component of this repository where this is left out.
    #[arg(long, env = "APP", value_parser = path)]
    pub(crate) app: Option<PathBuf>,
    /// A file of SQL statements that are run on the primary before the app starts.
    #[arg(long, env = "SCHEMA", value_parser = path)]
    pub(crate) schema: Option<PathBuf>,
    /// How many times farther than they are the regions are from each other, from 0 to 3.
    #[arg(long, env = "DISTANCE", default_value = "1", value_parser = distance)]
    pub(crate) distance: f64,
    /// A real Spin to serve with, instead of the in-house host.
    #[arg(long, env = "SPIN", value_parser = program)]
    pub(crate) spin: Option<PathBuf>,
}

/// What serves the app.
pub(crate) fn host(spin: Option<PathBuf>) -> Result<Host> {
    match spin {
        Some(program) => Ok(Host::Spin(program)),
        #[cfg(feature = "in-house")]
        None => Ok(Host::InHouse),
        #[cfg(not(feature = "in-house"))]
        None => bail!("this program was built without the in-house host: name a `spin` program with --spin"),
    }
}

fn path(value: &str) -> Result<PathBuf, String> {
    if value.is_empty() { Err("must not be empty: leave it out instead".to_owned()) } else { Ok(value.into()) }
}

/// A lag, as in `2s` or `500ms`.
pub(crate) fn lag(value: &str) -> Result<Duration, String> {
    let wanted = "write a time of 60 s at most, such as 2s or 500ms";
    let lag = humantime::parse_duration(value).map_err(|error| format!("{error}: {wanted}"))?;
    if lag <= LONGEST_LAG { Ok(lag) } else { Err(wanted.to_owned()) }
}

fn distance(value: &str) -> Result<f64, String> {
    let wanted = "write a number from 0 to 3: 1 is as far as the regions are, 0 no distance at all";
    let scale = value.parse().map_err(|_| wanted.to_owned())?;
    if DISTANCES.contains(&scale) { Ok(scale) } else { Err(wanted.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_has_a_unit_and_an_end() {
        assert_eq!(lag("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(lag("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["2", "", "-1s", "61s", "1h", "soon"] {
            assert!(lag(bad).is_err_and(|error| error.contains("such as 2s")), "{bad}");
        }
    }

    #[test]
    fn a_distance_is_a_number_from_0_to_3() {
        assert_eq!((distance("0"), distance("0.5"), distance("3")), (Ok(0.0), Ok(0.5), Ok(3.0)));
        for bad in ["", "-1", "3.1", "NaN", "inf", "far"] {
            assert!(distance(bad).is_err_and(|error| error.contains("from 0 to 3")), "{bad}");
        }
    }
}
