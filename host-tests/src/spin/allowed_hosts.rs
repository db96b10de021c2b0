//! `allowed_outbound_hosts` with Spin's rules, for Postgres (Spin `crates/outbound-networking-config`).

use anyhow::{Context, Result, bail, ensure};

use super::resolver::{Resolver, is_template};

/// Which hosts an instance may connect to; or why that cannot be said, which each of its connections is told.
#[derive(Debug)]
pub(crate) struct AllowedHosts(Result<Vec<Entry>, String>);

#[derive(Debug)]
struct Entry {
    /// `None` is any.
    scheme: Option<String>,
    host: HostRule,
    port: PortRule,
}

#[derive(Debug)]
enum HostRule {
    Any,
    /// `.suffix`, at any depth.
    Below(String),
    Exactly(String),
}

#[derive(Debug)]
enum PortRule {
    Any,
    One(u16),
    /// Without its end.
    Range(std::ops::Range<u16>),
}

impl AllowedHosts {
    /// What is checked at the start: the entries without a template.
    ///
    /// # Errors
    /// When one of them makes no sense.
    pub(crate) fn check(entries: &[String]) -> Result<()> {
        entries.iter().filter(|entry| !is_template(entry)).try_for_each(|literal| Entry::parse(literal).map(drop))
    }

    /// Fills in the templates. Spin resolves all variables of the application for that, whether they occur or not.
    pub(crate) async fn resolve(entries: &[String], variables: &Resolver) -> Self {
        let allowed = async {
            let values = variables.resolve_all().await?;
            let resolved = entries.iter().map(|entry| {
                let resolved = values.fill_in(entry)?;
                // Only a template may come to nothing.
                let nothing = is_template(entry) && ["", "http://", "https://"].contains(&resolved.as_str());
                if nothing { Ok(None) } else { Entry::parse(&resolved).map(Some) }
            });
            Ok(resolved.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
        };
        Self(allowed.await.map_err(|error: anyhow::Error| error.to_string()))
    }

    /// Whether a connection may be made.
    ///
    /// # Errors
    /// When an entry makes no sense, whatever the host.
    pub(crate) fn allows_postgres(&self, host: &str, port: u16) -> Result<bool, String> {
        let entries = self.0.as_ref().map_err(Clone::clone)?;
        // Spin builds an address out of the host without brackets, which it then cannot parse.
        let host = host.to_ascii_lowercase();
        Ok(!host.contains(':') && entries.iter().any(|entry| entry.allows("postgres", &host, port)))
    }
}

impl Entry {
    fn parse(entry: &str) -> Result<Self> {
        let entry = entry.trim();
        let Some((scheme, rest)) = entry.split_once("://") else {
            bail!("{entry:?} does not contain a scheme (e.g., 'http://' or '*://')");
        };
        let (host, port) = rest.rsplit_once(':').unwrap_or((rest, ""));
        ensure!(
            scheme == "*" || scheme.chars().all(char::is_alphabetic),
            "Invalid allowed host scheme {scheme:?}: only alphabetic characters are allowed"
        );
        Ok(Self {
            scheme: (scheme != "*").then(|| scheme.to_owned()),
            host: HostRule::parse(host).with_context(|| format!("Invalid allowed host {host:?}"))?,
            port: PortRule::parse(port, scheme).with_context(|| format!("Invalid allowed host port {port:?}"))?,
        })
    }

    fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        let scheme_allowed = self.scheme.as_ref().is_none_or(|allowed| allowed == scheme);
        let host_allowed = match &self.host {
            HostRule::Any => true,
            HostRule::Below(suffix) => host.ends_with(suffix),
            HostRule::Exactly(allowed) => host == allowed,
        };
        let port_allowed = match &self.port {
            PortRule::Any => true,
            PortRule::One(allowed) => *allowed == port,
            PortRule::Range(range) => range.contains(&port),
        };
        scheme_allowed && host_allowed && port_allowed
    }
}

impl HostRule {
    fn parse(host: &str) -> Result<Self> {
        let host = host.trim().strip_suffix('/').unwrap_or(host.trim()).to_ascii_lowercase();
        ensure!(!host.is_empty(), "empty host");
        ensure!(!host.contains('/'), "must not include a path");
        ensure!(!host.starts_with('{'), "host lists are not yet supported");
        match (host.as_str(), host.strip_prefix('*')) {
            ("*", _) => Ok(Self::Any),
            (_, Some(suffix)) if suffix.starts_with('.') && !suffix.contains('*') => Ok(Self::Below(suffix.to_owned())),
            (exact, _) => {
                ensure!(!exact.contains('*'), "wildcards are allowed only as subdomains");
                Ok(Self::Exactly(host))
            }
        }
    }
}

impl PortRule {
    fn parse(port: &str, scheme: &str) -> Result<Self> {
        let number = |text: &str| text.parse::<u16>().with_context(|| format!("port {text:?} is not a number"));
        match (port, port.split_once("..")) {
            ("", _) if scheme == "postgres" => Ok(Self::One(5432)),
            ("", _) => {
                bail!("no port was provided and the scheme {scheme:?} does not have a known default port number")
            }
            ("*", _) => Ok(Self::Any),
            (_, Some((start, end))) => Ok(Self::Range(number(start)?..number(end)?)),
            (one, None) => Ok(Self::One(number(one)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_match_as_in_spin() {
        for (entry, host, port, allowed) in [
            ("postgres://*.internal:5432..5434", "fra.db.internal", 5433, true),
            ("postgres://*.internal:5432..5434", "db.internal", 5432, true),
            ("postgres://*.internal:5432..5434", "db.internal", 5434, false),
            ("postgres://*.internal:5432..5434", "internal", 5432, false),
            ("postgres://*.internal:5432..5434", "db.internal.evil.com", 5432, false),
            ("postgres://LOCALHOST", "localhost", 5432, true),
            ("postgres://localhost", "localhost", 5433, false),
            ("postgres://127.0.0.1:*", "127.0.0.1", 40_000, true),
            ("mysql://localhost:5432", "localhost", 5432, false),
            ("*://*:*", "anything.example", 1, true),
            ("*://*:*", "fdaa::1", 5432, false),
        ] {
            let entry = Entry::parse(entry).unwrap();
            let got = AllowedHosts(Ok(vec![entry])).allows_postgres(host, port);
            assert_eq!(got, Ok(allowed), "{host}:{port}");
        }
    }

    #[test]
    fn what_spin_refuses_at_the_start_is_refused() {
        for entry in [
            "localhost:5432",
            "post gres://a:1",
            "postgres://a:b",
            "postgres://a*.b:1",
            "redis://a",
            "postgres://:5433",
        ] {
            assert!(Entry::parse(entry).is_err(), "{entry}");
        }
    }
}
