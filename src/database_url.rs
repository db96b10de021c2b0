//! `DATABASE_URL`, read as a URL and never as text, and what its host says about the cluster behind it.
//!
//! A value that gets through here is one that Spin's own Postgres client reads the same way: that client ends the
//! user name and password at the first `@`, knows a closed list of parameters, and refuses Unix sockets and IPv6
//! literals (tokio-postgres `config.rs`, Spin `factor-outbound-pg`).

use std::fmt;

use url::{Host, Position, Url};

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

/// A database URL that is fit to be given to Spin. Its `Debug` form holds neither user nor password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    /// With a single host. Where there are several, a stand-in that `host_list` replaces.
    url: Url,
    host_list: Option<String>,
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
        if !["postgres", "postgresql"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(error("does not start with `postgres://` or `postgresql://`: write it as one of them"));
        }
        let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(authority_end);
        let (credentials, hosts) = authority.rsplit_once('@').map_or((None, authority), |(c, h)| (Some(c), h));
        let host_list = hosts.contains(',').then(|| hosts.to_owned());
        let parsed = match &host_list {
            None => Url::parse(value),
            Some(_) => {
                let credentials = credentials.map(|c| format!("{c}@")).unwrap_or_default();
                Url::parse(&format!("{scheme}://{credentials}several.invalid{tail}"))
            }
        };
        let url = parsed.map_err(|why| {
            error(&format!(
                "is not a URL ({why}): write reserved characters of the password percent-encoded (`@` as `%40`, \
                 `:` as `%3A`, `/` as `%2F`, `?` as `%3F`, `#` as `%23`)"
            ))
        })?;
        // A URL has no place for a path of dots: it is resolved away, and another database would be read.
        let path = tail.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase().replace("%2e", ".");
        if path.split('/').any(|segment| segment == "." || segment == "..") {
            return Err(error("has a database name of dots: give the database another name"));
        }
        let mut url = Self { url, host_list };
        url.refuse_stray_characters()?;
        url.refuse_parameters()?;
        url.settle_host()?;
        Ok(url)
    }

    /// An `@` or `#` behind the host is the rest of a password that was not percent-encoded.
    fn refuse_stray_characters(&self) -> Result<(), ConfigError> {
        let behind = [Some(self.url.path()), self.url.query()];
        if self.url.fragment().is_some() || behind.into_iter().flatten().any(|part| part.contains('@')) {
            return Err(error(
                "has an `@` or `#` behind the host: write reserved characters of the password percent-encoded \
                 (`@` as `%40`, `/` as `%2F`, `?` as `%3F`, `#` as `%23`)",
            ));
        }
        Ok(())
    }

    fn refuse_parameters(&self) -> Result<(), ConfigError> {
        for pair in self.url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(error("has a parameter without a value: write `name=value` behind the `?`"));
            };
            if !PARAMETERS.contains(&key) && key != USER {
                return Err(error(&format!(
                    "has the parameter {key:?}, which Spin's Postgres client does not know: leave it out"
                )));
            }
            if key == "sslmode" && !["disable", "prefer", "require"].contains(&value) {
                return Err(error(
                    "has an `sslmode` that Spin's Postgres client does not know: write `disable`, `prefer` or \
                     `require` (the last two verify the certificate)",
                ));
            }
        }
        Ok(())
    }

    fn settle_host(&mut self) -> Result<(), ConfigError> {
        if self.host_list.as_deref().is_some_and(|list| list.contains('[')) {
            return Err(ipv6());
        }
        let host_parameter = self.parameter("host").or_else(|| self.parameter("hostaddr"));
        if host_parameter.is_some_and(|host| host.starts_with('/') || host.to_ascii_lowercase().starts_with("%2f")) {
            return Err(unix_socket());
        }
        match self.url.host() {
            Some(Host::Ipv6(_)) => Err(ipv6()),
            Some(Host::Domain(host)) if host.to_ascii_lowercase().starts_with("%2f") => Err(unix_socket()),
            Some(Host::Domain("")) | None if host_parameter.is_none() => self
                .url
                .set_host(Some("localhost"))
                .map_err(|_| error("has no host: write `postgres://localhost:5432/database`")),
            Some(Host::Domain(_) | Host::Ipv4(_)) | None => Ok(()),
        }
    }

    /// What the host stands for.
    #[must_use]
    pub fn host_kind(&self) -> HostKind {
        let pinned = ["host", "hostaddr", "port"].iter().any(|name| self.parameter(name).is_some());
        if self.host_list.is_some() || pinned {
            return HostKind::Pinned;
        }
        let host = self.url.host_str().unwrap_or_default().to_ascii_lowercase();
        if host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback()) {
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
        let host = self.url.host_str().unwrap_or_default().to_ascii_lowercase();
        self.host_list.is_none() && (host.ends_with(".internal") || host.ends_with(".flycast"))
    }

    /// Whether the host is an IPv4 address: a database server itself, not a hosting service's name.
    #[must_use]
    pub fn is_address(&self) -> bool {
        self.url.host_str().is_some_and(|host| host.parse::<std::net::Ipv4Addr>().is_ok())
    }

    /// The port, which is Postgres's own 5432 where the URL has none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port().unwrap_or(5432)
    }

    /// The same URL for another port, and another host where one is given.
    #[must_use]
    pub fn at(&self, host: Option<&str>, port: u16) -> Self {
        let mut url = self.url.clone();
        // Both can fail only for URLs without a host, which `parse` lets through only as `Pinned`.
        let _ = host.map_or(Ok(()), |host| url.set_host(Some(host)));
        let _ = url.set_port(Some(port));
        Self { url, host_list: self.host_list.clone() }
    }

    /// The value of a parameter, as it stands in the URL.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let pairs = self.url.query()?.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next_back()
    }

    /// The same URL with a parameter that the user did not give; `value` is already percent-encoded.
    #[must_use]
    pub fn with_default(mut self, name: &str, value: &str) -> Self {
        if self.parameter(name).is_none() {
            let query = self.url.query().filter(|query| !query.is_empty()).map(|query| format!("{query}&"));
            self.url.set_query(Some(&format!("{}{name}={value}", query.unwrap_or_default())));
        }
        self
    }

    /// The same address in another spelling. Spin keeps a pool for each spelling, so this one's has no connections that
    /// hang with those of the first.
    #[must_use]
    pub fn respelled(mut self) -> Self {
        let query = self.url.query().unwrap_or_default();
        // Said twice, a parameter counts as said last.
        let again = query.split('&').next_back().unwrap_or_default();
        let twice = format!("{query}&{again}");
        self.url.set_query(Some(&twice));
        self
    }

    /// The whole URL, password and all: for Spin only.
    #[must_use]
    pub fn expose(&self) -> String {
        match &self.host_list {
            None => self.url.to_string(),
            Some(hosts) => {
                format!("{}{hosts}{}", &self.url[..Position::BeforeHost], &self.url[Position::AfterPort..])
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host_list.as_deref().or(self.url.host_str()).unwrap_or_default();
        write!(f, "DatabaseUrl({host}:{})", self.port())
    }
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

fn ipv6() -> ConfigError {
    error("has an IPv6 address for a host, which Spin refuses: write a name such as `<app>.flycast`")
}

fn unix_socket() -> ConfigError {
    error("is for a Unix socket, which Spin cannot reach: write `postgres://user@localhost:5432/database`")
}
