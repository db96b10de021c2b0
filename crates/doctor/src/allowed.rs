//! Whether the component's manifest lets it connect to a host, by Spin's rules for `allowed_outbound_hosts`.

use anyhow::{Context, Result};

const MANIFEST: &str = include_str!("../../../spin.toml");

/// The entries of the manifest with the variable `allowed_host` filled in.
pub(crate) struct Allowed(Vec<String>);

impl Allowed {
    /// Of the manifest.
    ///
    /// # Errors
    /// Where the variable makes no sense, for which Spin refuses every host.
    pub(crate) fn new(allowed_host: &str) -> Result<Self> {
        let manifest: toml::Table = toml::from_str(MANIFEST).context("spin.toml")?;
        let entries = manifest["component"]["nearest-replica"]["allowed_outbound_hosts"].as_array();
        let entries = entries.into_iter().flatten().filter_map(toml::Value::as_str);
        let filled = entries.map(|entry| entry.replace("{{ allowed_host }}", allowed_host.trim()).to_ascii_lowercase());
        let filled: Vec<_> = filled.filter(|entry| !entry.is_empty()).collect();
        for entry in &filled {
            parse(entry).context("is not of the form `postgres://host:port`")?;
        }
        Ok(Self(filled))
    }

    /// Whether one of them covers this address.
    pub(crate) fn covers(&self, host: &str, port: u16) -> bool {
        let host = host.to_ascii_lowercase();
        self.0.iter().filter_map(|entry| parse(entry)).any(|(scheme, allowed_host, allowed_port)| {
            let suffix = allowed_host.strip_prefix('*');
            ["*", "postgres"].contains(&scheme)
                && suffix.map_or(allowed_host == host, |suffix| host.ends_with(suffix))
                && covers_port(allowed_port, port)
        })
    }
}

/// Scheme, host and port of an entry.
fn parse(entry: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = entry.split_once("://")?;
    let (host, port) = rest.rsplit_once(':').unwrap_or((rest, "5432"));
    let number = |text: &str| text.parse::<u16>().is_ok();
    let is_port = port == "*" || number(port) || port.split_once("..").is_some_and(|(a, b)| number(a) && number(b));
    (!host.is_empty() && is_port).then_some((scheme, host, port))
}

/// A range ends before its second number.
fn covers_port(allowed: &str, port: u16) -> bool {
    match allowed.split_once("..") {
        None => allowed == "*" || allowed.parse() == Ok(port),
        Some((first, end)) => {
            first.parse().is_ok_and(|first: u16| first <= port) && end.parse().is_ok_and(|end: u16| port < end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_lists_flys_private_names_and_the_variable_adds_one() {
        let allowed = Allowed::new("postgres://db.example.com:5432..5434").unwrap();
        for (host, port, covered) in [
            ("fra.db.internal", 5433, true),
            ("top1.nearest.of.db.internal", 5433, true),
            ("db.flycast", 5432, true),
            ("db.flycast", 5434, false),
            ("LOCALHOST", 5432, true),
            ("127.0.0.1", 25432, false),
            ("db.example.com", 5433, true),
            ("db.example.com", 5434, false),
            ("other.example.com", 5432, false),
        ] {
            assert_eq!(allowed.covers(host, port), covered, "{host}:{port}");
        }
        assert!(Allowed::new("postgres://127.0.0.1:*").unwrap().covers("127.0.0.1", 25432));
    }

    #[test]
    fn a_variable_that_is_no_address_is_refused() {
        for value in ["db.example.com", "postgres://db.example.com:x", "postgres://:5432"] {
            assert!(Allowed::new(value).is_err(), "{value}");
        }
    }
}
