//! The parameters of a database URL, as Spin's Postgres client knows them (tokio-postgres 0.7 `config.rs`).

use std::net::IpAddr;

use anyhow::{Result, bail, ensure};
use percent_encoding::percent_decode_str;
use url::Url;

/// What a value must be, for which the client refuses the whole URL otherwise without saying why.
enum Value {
    Text,
    /// Less than one may mean none.
    Number,
    /// Never less than none.
    Count,
    OneOf(&'static [&'static str]),
    Hosts,
    Addresses,
    Ports,
}

/// Every parameter of the client; any other makes it refuse the whole URL without saying which.
const KNOWN: [(&str, Value); 19] = [
    ("application_name", Value::Text),
    ("channel_binding", Value::OneOf(&["disable", "prefer", "require"])),
    ("connect_timeout", Value::Number),
    ("dbname", Value::Text),
    ("host", Value::Hosts),
    ("hostaddr", Value::Addresses),
    ("keepalives", Value::Count),
    ("keepalives_idle", Value::Number),
    ("keepalives_interval", Value::Number),
    ("keepalives_retries", Value::Count),
    ("load_balance_hosts", Value::OneOf(&["disable", "random"])),
    ("options", Value::Text),
    ("password", Value::Text),
    ("port", Value::Ports),
    ("sslmode", Value::OneOf(&["disable", "prefer", "require"])),
    ("sslnegotiation", Value::OneOf(&["postgres", "direct"])),
    ("target_session_attrs", Value::OneOf(&["any", "read-write", "read-only"])),
    ("tcp_user_timeout", Value::Number),
    ("user", Value::Text),
];

/// Names and values in their order, percent-encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters(Vec<(String, String)>);

/// Whether a value is one that the client takes.
///
/// # Errors
/// Says what to write instead.
fn check(name: &str, value: &str, expected: &Value) -> Result<()> {
    let Ok(decoded) = percent_decode_str(value).decode_utf8() else {
        bail!("has the parameter `{name}` with a value that is not UTF-8: write it percent-encoded");
    };
    let each = |is_good: fn(&str) -> bool| decoded.split(',').all(is_good);
    let instead = match expected {
        Value::Hosts | Value::Addresses if check_no_socket(&decoded).is_err() => return check_no_socket(&decoded),
        Value::Text | Value::Hosts => return Ok(()),
        Value::Number if decoded.parse::<i64>().is_ok() => return Ok(()),
        Value::Count if decoded.parse::<u32>().is_ok() => return Ok(()),
        Value::OneOf(words) if words.contains(&&*decoded) => return Ok(()),
        Value::Addresses if each(|address| address.parse::<IpAddr>().is_ok()) => return Ok(()),
        Value::Ports if each(|port| port.is_empty() || port.parse().is_ok_and(|port: u16| port > 0)) => return Ok(()),
        Value::Number | Value::Count => format!("a whole number, such as `{name}=10`"),
        Value::OneOf(words) => choice(words),
        Value::Addresses => format!("an IP address, such as `{name}=10.0.0.7`"),
        Value::Ports => "a number from 1 to 65535".to_owned(),
    };
    let verified = if name == "sslmode" { " (the last two verify the certificate)" } else { "" };
    bail!("has the parameter `{name}` with a value that makes no sense: write {instead}{verified}");
}

/// The words that one may write: `a`, `b` or `c`.
fn choice(words: &[&str]) -> String {
    match words {
        [others @ .., last] if !others.is_empty() => format!("`{}` or `{last}`", others.join("`, `")),
        words => format!("`{}`", words.join("`, `")),
    }
}

/// Refuses the folder of a Unix socket where a host should be.
///
/// # Errors
/// Says what to write instead.
pub(super) fn check_no_socket(host: &str) -> Result<()> {
    let is_path = host.starts_with('/') || host.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("%2f"));
    ensure!(!is_path, "is for a Unix socket, which Spin cannot reach: write `postgres://user@localhost:5432/database`");
    Ok(())
}

impl Parameters {
    /// Reads what stands behind the `?`.
    ///
    /// # Errors
    /// Names a parameter that is not known or whose value makes no sense, and says what to write instead.
    pub(super) fn parse(query: &str) -> Result<Self> {
        // Percent-encodes what may not stand in a URL.
        let url = Url::parse(&format!("postgres://localhost/?{query}"))?;
        let query = url.query().unwrap_or_default();
        let mut parameters = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let Some((name, value)) = pair.split_once('=') else {
                bail!("has a parameter without a value: write `name=value` behind the `?`");
            };
            let Some((_, expected)) = KNOWN.iter().find(|(known, _)| *known == name) else {
                // Behind a password, it may be the rest of it.
                let named = if query.contains("password=") { String::new() } else { format!(" {name:?}") };
                bail!(
                    "has the parameter{named}, which Spin's Postgres client does not know: leave it out, and write a \
                     `&` that is part of a value as `%26`"
                );
            };
            check(name, value, expected)?;
            parameters.push(name, value);
        }
        Ok(parameters)
    }

    /// The value of a parameter, percent-encoded; of two, the last counts.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rfind(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether one of these is there.
    pub(super) fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.get(name).is_some())
    }

    pub(super) fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(key, _)| key != name);
    }

    /// Adds all of them to a URL.
    pub(super) fn write_to(&self, url: &mut String) {
        let mut separator = '?';
        for (name, value) in &self.0 {
            url.push(separator);
            *url += name;
            url.push('=');
            *url += value;
            separator = '&';
        }
    }
}
