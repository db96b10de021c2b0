//! `DATABASE_URL`, taken apart and never edited as text, and what its host says about the cluster behind it.
//!
//! A value that gets through here is one that Spin's own Postgres client reads the same way: that client ends the
//! user name and password at the first `@`, knows a closed list of parameters, and refuses Unix sockets and IPv6
//! literals (tokio-postgres `config.rs`, Spin `factor-outbound-pg`). The `url` crate reads URLs as browsers do, which
//! differs (it resolves a database named `.` away), and would be a sixth of the component; the tests hold this to it
//! and to tokio-postgres.

use std::fmt;
use std::net::Ipv4Addr;

use crate::config::ConfigError;

const VARIABLE: &str = "database_url";

/// Every parameter of tokio-postgres 0.7.18; any other makes Spin refuse the whole URL without saying which.
const PARAMETERS: [&str; 18] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslmode",
    "sslnegotiation",
    "target_session_attrs",
    "tcp_user_timeout",
];
const USER: &str = "user";

/// What the host part of the URL stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// `<app>.flycast`: Fly Proxy in front of the app's Machines.
    Flycast {
        /// The Fly app of the database cluster.
        app: String,
    },
    /// `<app>.internal` and its forms for a region or the nearest Machines: private DNS.
    Internal {
        /// The Fly app of the database cluster.
        app: String,
    },
    /// `*.flympg.net`: Fly Managed Postgres, which has neither replicas to read from nor port 5433.
    Managed,
    /// Several hosts, a host given as a parameter, or a private name of one Machine or group: somebody's own choice.
    Pinned,
    /// `localhost`, or an address of the loopback network.
    Loopback,
    /// Any other name or IPv4 address.
    Other,
}

/// A database URL that is fit to be given to Spin, percent-encoded part by part. Its `Debug` form holds neither user
/// nor password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    scheme: &'static str,
    /// `user` or `user:password`.
    credentials: Option<String>,
    /// One host, or a list with its ports.
    hosts: String,
    /// Of the one host.
    port: Option<u16>,
    database: String,
    parameters: Vec<(String, String)>,
}

impl DatabaseUrl {
    /// Reads the value of `DATABASE_URL`.
    ///
    /// # Errors
    /// Says what to write instead, without repeating any part of the value that could be secret.
    pub fn parse(value: &str) -> Result<Self, ConfigError> {
        let value = value.trim();
        if value.is_empty() {
            return Err(error("is empty: write `postgres://user:password@host:5432/database`"));
        }
        let Some((scheme, rest)) = value.split_once("://") else {
            return Err(error("is not a URL: write `postgres://user:password@host:5432/database`"));
        };
        let Some(scheme) = ["postgres", "postgresql"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known))
        else {
            return Err(error("does not start with `postgres://` or `postgresql://`: write it as one of them"));
        };
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (credentials, hosts) = authority.rsplit_once('@').map_or((None, authority), |(c, h)| (Some(c), h));
        let (hosts, port) = host_and_port(hosts)?;
        // The rest of a password that was not percent-encoded.
        if tail.contains(['@', '#']) {
            return Err(error(
                "has an `@` or `#` behind the host: write reserved characters of the password percent-encoded \
                 (`@` as `%40`, `/` as `%2F`, `?` as `%3F`, `#` as `%23`)",
            ));
        }
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let mut url = Self {
            scheme,
            credentials: credentials.map(|credentials| match credentials.split_once(':') {
                Some((user, password)) => format!("{}:{}", encoded(user, RESERVED), encoded(password, RESERVED)),
                None => encoded(credentials, RESERVED),
            }),
            hosts: hosts.to_owned(),
            port,
            database: encoded(path.strip_prefix('/').unwrap_or(path), ""),
            parameters: parameters(query)?,
        };
        url.settle_host()?;
        Ok(url)
    }

    fn settle_host(&mut self) -> Result<(), ConfigError> {
        let host_parameters =
            || self.parameters.iter().filter(|(name, _)| ["host", "hostaddr"].contains(&name.as_str()));
        if self.hosts.split(',').chain(host_parameters().map(|(_, host)| host.as_str())).any(is_path) {
            return Err(error(
                "is for a Unix socket, which Spin cannot reach: write `postgres://user@localhost:5432/database`",
            ));
        }
        if self.hosts.is_empty() && host_parameters().next().is_none() {
            "localhost".clone_into(&mut self.hosts);
        }
        Ok(())
    }

    /// What the host stands for.
    #[must_use]
    pub fn host_kind(&self) -> HostKind {
        let pinned = ["host", "hostaddr", "port"].iter().any(|name| self.parameter(name).is_some());
        if self.is_list() || pinned {
            return HostKind::Pinned;
        }
        let host = self.hosts.to_ascii_lowercase();
        if host == "localhost" || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback()) {
            return HostKind::Loopback;
        }
        if host.ends_with(".flympg.net") {
            return HostKind::Managed;
        }
        if let Some(app) = host.strip_suffix(".flycast") {
            return if app.contains('.') { HostKind::Pinned } else { HostKind::Flycast { app: app.to_owned() } };
        }
        if let Some(name) = host.strip_suffix(".internal") {
            return internal_app(name).map_or(HostKind::Pinned, |app| HostKind::Internal { app: app.to_owned() });
        }
        HostKind::Other
    }

    /// Whether the host is a name on Fly's private network, whatever it stands for.
    #[must_use]
    pub fn is_on_private_network(&self) -> bool {
        let host = self.hosts.to_ascii_lowercase();
        !self.is_list() && (host.ends_with(".internal") || host.ends_with(".flycast"))
    }

    /// Whether the host is an IPv4 address: a database server itself, not a hosting service's name.
    #[must_use]
    pub fn is_address(&self) -> bool {
        self.hosts.parse::<Ipv4Addr>().is_ok()
    }

    fn is_list(&self) -> bool {
        self.hosts.contains(',')
    }

    /// The port, which is Postgres's own 5432 where the URL has none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(5432)
    }

    /// The same URL for another port, and another host where one is given.
    #[must_use]
    pub fn at(&self, host: Option<&str>, port: u16) -> Self {
        let hosts = host.unwrap_or(&self.hosts).to_owned();
        Self { hosts, port: Some(port), ..self.clone() }
    }

    /// The value of a parameter, as it stands in the URL.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rfind(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The same URL with a parameter that the user did not give; `value` is already percent-encoded.
    #[must_use]
    pub fn with_default(mut self, name: &str, value: &str) -> Self {
        if self.parameter(name).is_none() {
            self.parameters.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// The same address in another spelling, where it has an `application_name`. Spin keeps a pool for each spelling, so this one's has no connections that
    /// hang with those of the first.
    #[must_use]
    pub fn respelled(mut self) -> Self {
        // Said twice, this parameter counts as said last.
        let again = self.parameters.iter().rfind(|(name, _)| name == "application_name").cloned();
        self.parameters.extend(again);
        self
    }

    /// The whole URL, password and all: for Spin only.
    #[must_use]
    pub fn expose(&self) -> String {
        let mut url = format!("{}://", self.scheme);
        if let Some(credentials) = &self.credentials {
            url += credentials;
            url.push('@');
        }
        url += &self.hosts;
        if let Some(port) = self.port {
            url += &format!(":{port}");
        }
        url.push('/');
        url += &self.database;
        let mut joint = '?';
        for (name, value) in &self.parameters {
            url.push(joint);
            url += name;
            url.push('=');
            url += value;
            joint = '&';
        }
        url
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({}:{})", self.hosts, self.port())
    }
}

/// The host and its port; a list of hosts keeps its ports.
fn host_and_port(hosts: &str) -> Result<(&str, Option<u16>), ConfigError> {
    if hosts.contains('[') {
        return Err(error("has an IPv6 address for a host, which Spin refuses: write a name such as `<app>.flycast`"));
    }
    let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
    for each in hosts.split(',') {
        let (host, port) = each.split_once(':').unwrap_or((each, ""));
        if !host.bytes().all(of_a_name) {
            return Err(not_a_url("invalid host"));
        }
        if !port.is_empty() && port.parse().unwrap_or(0u16) == 0 {
            return Err(not_a_url("invalid port number"));
        }
    }
    Ok(match hosts.split_once(':') {
        Some((host, port)) if !hosts.contains(',') => (host, port.parse().ok()),
        Some(_) | None => (hosts, None),
    })
}

fn is_path(host: &str) -> bool {
    host.starts_with('/') || host.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("%2f"))
}

fn parameters(query: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let mut parameters = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(error("has a parameter without a value: write `name=value` behind the `?`"));
        };
        if !PARAMETERS.contains(&key) && key != USER {
            // Behind a password, it may be the rest of it.
            let named = if query.contains("password=") { String::new() } else { format!(" {key:?}") };
            return Err(error(&format!(
                "has the parameter{named}, which Spin's Postgres client does not know: leave it out, and write a `&` \
                 that is part of a value as `%26`"
            )));
        }
        if key == "sslmode" && !["disable", "prefer", "require"].contains(&value) {
            return Err(error(
                "has an `sslmode` that Spin's Postgres client does not know: write `disable`, `prefer` or \
                 `require` (the last two verify the certificate)",
            ));
        }
        parameters.push((key.to_owned(), encoded(value, "")));
    }
    Ok(parameters)
}

/// What ends a user name or password.
const RESERVED: &str = ":@[]";

/// Percent-encodes what may not stand in a URL (RFC 3986), and what is `reserved` in its place. What is encoded already
/// stays.
fn encoded(text: &str, reserved: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for (index, character) in text.char_indices() {
        let hex = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
        let plain = match character {
            '%' => hex(index + 1) && hex(index + 2),
            _ => character.is_ascii_graphic() && !r#""<>\^`{|}"#.contains(character) && !reserved.contains(character),
        };
        if plain {
            encoded.push(character);
        } else {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                encoded += &format!("%{byte:02X}");
            }
        }
    }
    encoded
}

/// The app in `<app>`, `global.<app>`, `<region>.<app>` and `top<N>.nearest.of.<app>` (fly.io/docs, private networking).
fn internal_app(name: &str) -> Option<&str> {
    match name.split('.').collect::<Vec<_>>().as_slice() {
        [app] => Some(app),
        [region, app] if region.len() == 3 || *region == "global" => Some(app),
        [top, "nearest", "of", app] if top.strip_prefix("top").is_some_and(|n| n.parse::<u8>().is_ok()) => Some(app),
        _ => None,
    }
}

fn error(problem: &str) -> ConfigError {
    ConfigError::new(VARIABLE, problem.to_owned())
}

fn not_a_url(why: &str) -> ConfigError {
    error(&format!(
        "is not a URL ({why}): write reserved characters of the password percent-encoded (`@` as `%40`, `:` as `%3A`, \
         `/` as `%2F`, `?` as `%3F`, `#` as `%23`)"
    ))
}
