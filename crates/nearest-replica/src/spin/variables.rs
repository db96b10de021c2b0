//! Spin's variables.

use anyhow::{Result, bail};
use spin_sdk::variables::{self, Error};

/// The value of a variable, or its default where the component has none of that name. Waits without bound for a provider on
/// the network, such as a vault.
///
/// # Errors
/// With Spin's own text; says where to set the variable, for a component in front of an app as well.
pub(crate) async fn get(name: &str, default: Option<&str>) -> Result<String> {
    // A component that stands in front of an app has the app's, where its manifest says so.
    let (why, in_front) = match (variables::get(name).await, default) {
        (Ok(value), _) => return Ok(value),
        (Err(Error::Undefined(_)), Some(default)) => return Ok(default.to_owned()),
        (Err(Error::Undefined(text)), None) => {
            (text, ", and \"variables\" into `inherit_configuration` where there is one")
        }
        (Err(Error::InvalidName(text) | Error::Provider(text) | Error::Other(text)), _) => (text, ""),
    };
    // With RUST_BACKTRACE set, Spin appends a backtrace.
    let why = why.lines().next().unwrap_or_default();
    bail!("cannot be resolved by Spin ({why}): set it in spin.toml or the environment{in_front}")
}
