//! `DATABASE_URL`, taken apart by the `url` crate and never edited as text.
//!
//! A value that gets through here means to Spin's own Postgres client what it means here. That client knows a closed
//! list of parameters, and refuses Unix sockets and IPv6 literals (tokio-postgres `config.rs`, Spin
//! `factor-outbound-pg`). Where `url` would read a value as browsers do and that client would not (a database named
//! `.`, a line break), the value is refused. Lists of hosts (`a:5432,b:5433`) are taken, as both libpq and that client
//! take them.

use std::fmt;

use anyhow::{Result, anyhow, bail, ensure};
use percent_encoding::percent_decode_str;
use url::{Position, Url};

use super::host::{HostKind, Network};
use super::url_parameters::{Parameters, check_no_socket};

const EXAMPLE: &str = "write `postgres://user:password@host:5432/database`";
const SCHEMES: [&str; 2] = ["postgres", "postgresql"];

/// A database URL that is fit to be given to Spin. Its `Debug` form holds neither user nor password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    /// Without parameters; with a placeholder for its host where `hosts` has several or none.
    url: Url,
    /// A list of hosts with their ports, or nothing where a parameter names the host.
    hosts: Option<String>,
    parameters: Parameters,
}

impl DatabaseUrl {
    /// Reads the value of `DATABASE_URL`.
    ///
    /// # Errors
    /// Says what to write instead, without repeating any part of the value that could be secret.
    pub(crate) fn parse(value: &str) -> Result<Self> {
        let value = value.trim();
        ensure!(!value.is_empty(), "is empty: {EXAMPLE}");
        ensure!(!value.contains(['\t', '\n', '\r']), "has a line break or a tab in it: write it in one line");
        let Some((scheme, rest)) = value.split_once("://") else { bail!("is not a URL: {EXAMPLE}") };
        let Some(scheme) = SCHEMES.into_iter().find(|known| scheme.eq_ignore_ascii_case(known)) else {
            bail!("does not start with `postgres://` or `postgresql://`: write it as one of them");
        };
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        // `user:password@`; an `@` of the password need not be percent-encoded.
        let (userinfo, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        check_hosts(hosts)?;
        // The rest of a password that was not percent-encoded.
        ensure!(
            !tail.contains(['@', '#']),
            "has an `@` or `#` behind the host: write reserved characters of the password percent-encoded (`@` as \
             `%40`, `/` as `%2F`, `?` as `%3F`, `#` as `%23`)"
        );
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let parameters = Parameters::parse(query)?;
        let (host, list) = match hosts {
            list if list.contains(',') => ("list".to_owned(), Some(list.to_owned())),
            "" if parameters.has_any(&["host", "hostaddr"]) => ("parameter".to_owned(), Some(String::new())),
            // libpq would take a Unix socket, or this machine where there is none.
            port if port.is_empty() || port.starts_with(':') => (format!("localhost{port}"), None),
            host => (host.to_owned(), None),
        };
        let url = Url::parse(&format!("{scheme}://{userinfo}{host}/{}", path.strip_prefix('/').unwrap_or(path)))
            .map_err(not_a_url)?;
        if !userinfo.is_empty() && url.username().is_empty() && parameters.get("user").is_none() {
            bail!("has an `@` without a user before it: {EXAMPLE}");
        }
        let decoded = |text| percent_decode_str(text).collect::<Vec<_>>();
        ensure!(
            decoded(url.path().trim_start_matches('/')) == decoded(path.trim_start_matches('/')),
            "has a database name with `.` or `..` in it, which a URL takes for a way up: write the name as a \
             parameter, such as `postgres://host/?dbname=.`"
        );
        let user = userinfo.strip_suffix('@').unwrap_or_default().split(':').next().unwrap_or_default();
        for text in [user, path] {
            ensure!(
                percent_decode_str(text).decode_utf8().is_ok(),
                "is not UTF-8 once it is decoded: write it in UTF-8, percent-encoded"
            );
        }
        Ok(Self { url, hosts: list, parameters })
    }

    /// What the host stands for.
    #[must_use]
    pub fn host_kind(&self) -> HostKind {
        let pinned = self.hosts.is_some() || self.parameters.has_any(&["host", "hostaddr", "port"]);
        if pinned { HostKind::Pinned } else { HostKind::of(self.host()) }
    }

    /// The network on the way to the host.
    pub(crate) fn network(&self) -> Network {
        let others = self.hosts.is_some() || self.parameters.has_any(&["host", "hostaddr"]);
        if others { Network::Elsewhere } else { Network::of(self.host()) }
    }

    /// The host, or the list of hosts with their ports.
    #[must_use]
    pub fn host(&self) -> &str {
        self.hosts.as_deref().unwrap_or_else(|| self.url.host_str().unwrap_or_default())
    }

    /// The port, which is Postgres's own 5432 where the URL has none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port().unwrap_or(5432)
    }

    /// The path of the URL: a `/` and the name of the database.
    pub(crate) fn path(&self) -> &str {
        self.url.path()
    }

    /// The same URL for another port, and another host where one is given.
    pub(crate) fn at(&self, host: Option<&str>, port: u16) -> Self {
        let mut url = self.url.clone();
        if let Some(host) = host {
            url.set_host(Some(host)).expect("made of a region, an app and dots");
        }
        url.set_port(Some(port)).expect("a URL with a host may have a port");
        Self { url, hosts: None, parameters: self.parameters.clone() }
    }

    /// The same URL with a parameter that the user did not give; `value` is already percent-encoded.
    pub(crate) fn with_default(mut self, name: &str, value: &str) -> Self {
        if self.parameters.get(name).is_none() {
            self.parameters.push(name, value);
        }
        self
    }

    /// The same URL without a parameter.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.parameters.remove(name);
        self
    }

    /// The same URL with one more server setting in its `options`, where it has any: what is not known to take them may be
    /// a connection pooler, which refuses them.
    #[must_use]
    pub fn with_setting(mut self, setting: &str, value: &str) -> Self {
        if let Some(options) = self.parameters.get("options").map(str::to_owned) {
            // Of two, the last counts.
            self.parameters.push("options", &format!("{options}%20-c%20{setting}%3D{value}"));
        }
        self
    }

    /// The same unless the user has said something about this setting.
    pub(crate) fn with_default_setting(self, setting: &str, value: &str) -> Self {
        if self.parameters.get("options").is_some_and(|options| options.contains(setting)) {
            return self;
        }
        self.with_setting(setting, value)
    }

    /// The same address with another `application_name`, and so a pool of its own in Spin.
    #[must_use]
    pub fn with_purpose(mut self, purpose: &str) -> Self {
        let name = self.parameters.get("application_name").unwrap_or_default();
        let name = format!("{name}-{purpose}");
        self.parameters.push("application_name", &name);
        self
    }

    /// The same address with its `application_name` written twice. Spin keeps a pool for each text of a URL, so this one
    /// has no connections that hang with those of the first.
    pub(crate) fn with_separate_pool(mut self) -> Self {
        // Of two, the last counts.
        if let Some(name) = self.parameters.get("application_name").map(str::to_owned) {
            self.parameters.push("application_name", &name);
        }
        self
    }

    /// The whole URL, password and all: for Spin only.
    #[must_use]
    pub fn expose_secret(&self) -> String {
        let mut url = match &self.hosts {
            None => self.url[..].to_owned(),
            Some(hosts) => [&self.url[..Position::BeforeHost], hosts, &self.url[Position::BeforePath..]].concat(),
        };
        self.parameters.write_to(&mut url);
        url
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({}:{})", self.host(), self.port())
    }
}

/// Hosts that Spin can connect to, each with a port or without.
fn check_hosts(hosts: &str) -> Result<()> {
    ensure!(
        !hosts.contains('['),
        "has an IPv6 address for a host, which Spin refuses: write a name such as `<app>.flycast`"
    );
    for each in hosts.split(',') {
        check_no_socket(each)?;
        let (host, port) = each.split_once(':').unwrap_or((each, ""));
        // Nothing but a port is this machine.
        let host = if host.is_empty() && !hosts.contains(',') { "localhost" } else { host };
        let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if !host.bytes().all(of_a_name) {
            return Err(not_a_url("invalid host"));
        }
        ensure!(
            !host.trim_end_matches('.').split('.').any(str::is_empty),
            "has a host with an empty name in it, such as `.flycast` without its app: write `<app>.flycast`"
        );
        match Url::parse(&format!("postgres://{host}:{port}")) {
            Ok(url) if url.port() != Some(0) => {}
            Ok(_) => return Err(not_a_url("invalid port number")),
            Err(why) => return Err(not_a_url(why)),
        }
    }
    Ok(())
}

fn not_a_url(why: impl fmt::Display) -> anyhow::Error {
    anyhow!(
        "is not a URL ({why}): write reserved characters of the password percent-encoded (`@` as `%40`, `:` as `%3A`, \
         `/` as `%2F`, `?` as `%3F`, `#` as `%23`)"
    )
}
