//! `DATABASE_URL` and the Machine's place in the world -> the databases to try, in order. Pure.
//!
//! | host in `DATABASE_URL`, outside the primary region | candidates |
//! |---|---|
//! | `<app>.flycast` | `<region>.<app>.internal`, `<app>.flycast`, both on the replica port; the given URL |
//! | `<app>.internal`, `<region>.<app>.internal`, `top<N>.nearest.of.<app>.internal` | `<region>.<app>.internal`, `top1.nearest.of.<app>.internal`, both on the replica port; the given URL |
//! | `*.flympg.net` | the given URL |
//! | several hosts, or the private name of one Machine or group | the given URL |
//! | `localhost`, another name, an IPv4 address | the same host on the replica port; the given URL |
//!
//! In the primary region, without a replica port, and where the URL is on the replica port already: the given URL.

use std::fmt;

use super::config::Config;
use super::database_url::DatabaseUrl;
use super::host::HostKind;
use super::role::Role;
use super::url_defaults::with_defaults;

/// How a candidate was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CandidateKind {
    /// The replica in the Machine's own region.
    Local,
    /// The nearest Machine of the cluster.
    Nearest,
    /// The given host on the replica port: the recipe's rule.
    ReplicaPort,
    /// `DATABASE_URL` as it was given.
    Configured,
}

impl CandidateKind {
    /// As it stands in headers, logs and problem bodies.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Nearest => "nearest",
            Self::ReplicaPort => "replica-port",
            Self::Configured => "configured",
        }
    }
}

impl fmt::Display for CandidateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One database to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// How it was found.
    pub kind: CandidateKind,
    /// What it should turn out to be. Another answer is served and logged: it is the trap this component exists for.
    pub expected: Role,
    /// Where it is, with our own parameters added.
    pub url: DatabaseUrl,
}

/// The candidates, best first; never empty. The last one is always the given URL.
#[must_use]
pub fn candidates(config: &Config) -> Vec<Candidate> {
    let given = &config.database_url;
    let mut found = Vec::new();
    if let (Some(region), Some(port)) = (config.placement.other_region(), config.replica_port)
        && given.port() != port
    {
        let replica = |kind, host: Option<String>| Candidate {
            kind,
            expected: Role::Replica,
            // A replica never satisfies `read-write`.
            url: given.at(host.as_deref(), port).without("target_session_attrs"),
        };
        match given.host_kind() {
            HostKind::Flycast { app } => {
                found.push(replica(CandidateKind::Local, Some(format!("{region}.{app}.internal"))));
                found.push(replica(CandidateKind::Nearest, None));
            }
            HostKind::Internal { app } => {
                found.push(replica(CandidateKind::Local, Some(format!("{region}.{app}.internal"))));
                found.push(replica(CandidateKind::Nearest, Some(format!("top1.nearest.of.{app}.internal"))));
            }
            HostKind::Loopback | HostKind::Other => found.push(replica(CandidateKind::ReplicaPort, None)),
            HostKind::Managed | HostKind::Pinned => {}
        }
    }
    found.push(Candidate { kind: CandidateKind::Configured, expected: Role::Primary, url: given.clone() });
    for candidate in &mut found {
        candidate.url = with_defaults(candidate.url.clone(), config);
    }
    found
}

/// Why a Machine outside the primary region has no replica to read from, where that is so.
#[must_use]
pub fn why_no_replica(config: &Config) -> Option<&'static str> {
    config.placement.other_region()?;
    let port = config.replica_port?;
    match config.database_url.host_kind() {
        HostKind::Managed => Some("Fly Managed Postgres has no read replicas: every region reads from the given URL"),
        HostKind::Pinned => Some("DATABASE_URL names its own hosts: every region reads from it as given"),
        HostKind::Flycast { .. } | HostKind::Internal { .. } | HostKind::Loopback | HostKind::Other => {
            (config.database_url.port() == port).then_some("DATABASE_URL is on the replica port already")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::config::Variables;
    use crate::rules::config::tests::defaults;

    fn in_region(region: &str, url: &str) -> Config {
        let variables = Variables {
            database_url: url.into(),
            primary_region: "sjc".into(),
            fly_region: region.into(),
            ..defaults()
        };
        Config::new(&variables).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    /// `kind user:password@host:port/database` of each candidate, and its parameters.
    fn split(config: &Config) -> Vec<(String, String)> {
        let one = |candidate: Candidate| {
            let url = candidate.url.expose_secret();
            let (url, parameters) = url.split_once('?').unwrap();
            (format!("{} {url}", candidate.kind), parameters.to_owned())
        };
        candidates(config).into_iter().map(one).collect()
    }

    fn urls(config: &Config) -> Vec<String> {
        split(config).into_iter().map(|(url, _)| url).collect()
    }

    #[test]
    fn every_row_of_the_table_gives_its_candidates() {
        let table: &[(&str, &[&str])] = &[
            (
                "postgres://u:p@db.flycast:5432/app?sslmode=disable",
                &[
                    "local postgres://u:p@fra.db.internal:5433/app",
                    "nearest postgres://u:p@db.flycast:5433/app",
                    "configured postgres://u:p@db.flycast:5432/app",
                ],
            ),
            (
                "postgres://u:p@db.flycast/app",
                &[
                    "local postgres://u:p@fra.db.internal:5433/app",
                    "nearest postgres://u:p@db.flycast:5433/app",
                    "configured postgres://u:p@db.flycast/app",
                ],
            ),
            (
                "postgres://u:p@top2.nearest.of.db.internal:5432/app",
                &[
                    "local postgres://u:p@fra.db.internal:5433/app",
                    "nearest postgres://u:p@top1.nearest.of.db.internal:5433/app",
                    "configured postgres://u:p@top2.nearest.of.db.internal:5432/app",
                ],
            ),
            (
                "postgres://u:p@DB.internal:5432/app",
                &[
                    "local postgres://u:p@fra.db.internal:5433/app",
                    "nearest postgres://u:p@top1.nearest.of.db.internal:5433/app",
                    "configured postgres://u:p@DB.internal:5432/app",
                ],
            ),
            (
                "postgres://u:p@sjc.db.internal:5432/app",
                &[
                    "local postgres://u:p@fra.db.internal:5433/app",
                    "nearest postgres://u:p@top1.nearest.of.db.internal:5433/app",
                    "configured postgres://u:p@sjc.db.internal:5432/app",
                ],
            ),
            (
                "postgresql://fly-user:p@pgbouncer.abc.flympg.net/fly-db",
                &["configured postgresql://fly-user:p@pgbouncer.abc.flympg.net/fly-db"],
            ),
            (
                "postgres://u:p@localhost:5432/app",
                &["replica-port postgres://u:p@localhost:5433/app", "configured postgres://u:p@localhost:5432/app"],
            ),
            ("postgres:///db", &["replica-port postgres://localhost:5433/db", "configured postgres://localhost/db"]),
            (
                "postgres://u@10.0.0.7/app",
                &["replica-port postgres://u@10.0.0.7:5433/app", "configured postgres://u@10.0.0.7/app"],
            ),
            (
                "postgres://u@db.example.com:6543/app",
                &[
                    "replica-port postgres://u@db.example.com:5433/app",
                    "configured postgres://u@db.example.com:6543/app",
                ],
            ),
            ("postgres://u@db.flycast:5433/app", &["configured postgres://u@db.flycast:5433/app"]),
            ("postgres://u@148e.vm.db.internal/app", &["configured postgres://u@148e.vm.db.internal/app"]),
            ("postgres://u@web.process.db.internal/app", &["configured postgres://u@web.process.db.internal/app"]),
            ("postgres://u:p@a:1,b:2/app?connect_timeout=2", &["configured postgres://u:p@a:1,b:2/app"]),
            ("postgres://u@h/app?host=other", &["configured postgres://u@h/app"]),
            ("postgres://u:p@/app?host=other", &["configured postgres://u:p@/app"]),
            ("postgres://u:p@A.internal,b.flycast:2/app", &["configured postgres://u:p@A.internal,b.flycast:2/app"]),
            (
                "postgres://:5434/app",
                &["replica-port postgres://localhost:5433/app", "configured postgres://localhost:5434/app"],
            ),
            (
                "postgres://localhost/?dbname=.",
                &["replica-port postgres://localhost:5433/", "configured postgres://localhost/"],
            ),
        ];
        for (given, expected) in table {
            assert_eq!(urls(&in_region("fra", given)), *expected, "{given}");
            let primary = urls(&in_region("sjc", given));
            assert_eq!(primary, expected[expected.len() - 1..], "in the primary region: {given}");
        }
    }

    #[test]
    fn passwords_survive_in_every_spelling() {
        for (given, password) in [
            ("postgres://u:p%40ss%3A5432%2F%2540@db.flycast/app", "p%40ss%3A5432%2F%2540"),
            ("postgres://u:p@ss@db.flycast/app", "p%40ss"),
            ("postgres://u:p%40ss@db.flycast/app", "p%40ss"),
            ("postgres://u:5432:5432@db.flycast/app", "5432%3A5432"),
        ] {
            let found = urls(&in_region("fra", given));
            assert_eq!(found[0], format!("local postgres://u:{password}@fra.db.internal:5433/app"), "{given}");
            assert_eq!(found[2], format!("configured postgres://u:{password}@db.flycast/app"), "{given}");
        }
    }

    #[test]
    fn the_users_own_parameters_win_and_ours_are_added() {
        let ours = &split(&in_region("fra", "postgres://u@db.flycast/app"))[0].1;
        for parameter in [
            "application_name=nearest-replica-fra",
            "sslmode=disable",
            "connect_timeout=3",
            "tcp_user_timeout=5",
            "keepalives_idle=15",
            "options=-c%20statement_timeout%3D2500",
        ] {
            assert!(ours.split('&').any(|pair| pair == parameter), "{parameter} in {ours}");
        }
        let given = "sslmode=require&options=-c%20search_path%3Da%26b&application_name=mine&connect_timeout=9";
        for (_, parameters) in split(&in_region("fra", &format!("postgres://u@db.flycast/app?{given}"))) {
            assert!(parameters.starts_with(&format!("{given}&")), "{parameters}");
            for name in ["sslmode", "options", "application_name", "connect_timeout"] {
                assert_eq!(parameters.matches(&format!("{name}=")).count(), 1, "{name} in {parameters}");
            }
        }
        let managed = &split(&in_region("fra", "postgres://u@direct.abc.flympg.net/app"))[0].1;
        assert!(!managed.contains("sslmode") && !managed.contains("options"), "{managed}");
    }

    #[test]
    fn a_replica_is_not_asked_to_take_writes() {
        let url = "postgres://u@db.flycast/app?target_session_attrs=read-write";
        let asked: Vec<_> = split(&in_region("fra", url))
            .into_iter()
            .map(|(_, parameters)| parameters.contains("target_session_attrs=read-write"))
            .collect();
        assert_eq!(asked, [false, false, true], "local, nearest, configured");
    }

    #[test]
    fn the_url_with_a_pool_of_its_own_says_the_same_twice() {
        for url in ["postgres://u:p@db.flycast/app", "postgres://u:p@a:1,b:2/app"] {
            let url = candidates(&in_region("fra", url)).remove(0).url;
            let (first, other) = (url.expose_secret(), url.with_separate_pool().expose_secret());
            let said_again = other.strip_prefix(&format!("{first}&")).unwrap();
            assert!(said_again.starts_with("application_name="), "{other}");
            assert!(first.split(['?', '&']).any(|pair| pair == said_again), "{other}");
        }
    }

    #[test]
    fn without_a_replica_port_there_are_no_replicas() {
        let mut config = in_region("fra", "postgres://u@db.flycast/app");
        config.replica_port = None;
        assert_eq!(urls(&config), ["configured postgres://u@db.flycast/app"]);
        config.replica_port = Some(6000);
        assert_eq!(urls(&config)[0], "local postgres://u@fra.db.internal:6000/app");
    }

    #[test]
    fn a_region_without_replicas_to_read_from_is_told_why() {
        let why = |url| why_no_replica(&in_region("fra", url));
        assert!(why("postgres://u@direct.abc.flympg.net/app").unwrap().contains("Managed"));
        assert!(why("postgres://u@a,b/app").is_some());
        assert!(why("postgres://u@db.flycast:5433/app").unwrap().contains("replica port"));
        assert_eq!(why("postgres://u@db.flycast/app"), None);
        assert_eq!(why_no_replica(&in_region("sjc", "postgres://u@direct.abc.flympg.net/app")), None);
    }

    #[test]
    fn what_spin_would_refuse_is_refused_with_what_to_write_instead() {
        for (given, hint) in [
            ("postgres://u:p@[fdaa:0:1::2]:5432/app", "write a name such as `<app>.flycast`"),
            ("postgres://u:p@a,[::1]/app", "write a name such as `<app>.flycast`"),
            ("postgres://%2Fvar%2Frun/app", "write `postgres://user@localhost:5432/database`"),
            ("postgres:///app?host=/tmp", "write `postgres://user@localhost:5432/database`"),
            ("mysql://u@h/app", "does not start with `postgres://`"),
            ("host=localhost dbname=app", "write `postgres://user:password@host:5432/database`"),
            ("postgres://u:pa/ss@h/app", "percent-encoded"),
            ("postgres://u:12/ss@h/app", "percent-encoded"),
            ("postgres://u:1#x@h/app", "percent-encoded"),
            ("postgres://u:p@pa?ss=x@h/app", "percent-encoded"),
            ("postgres://u@h/app?application_name=a@b", "percent-encoded"),
            ("postgres://u:1?x@h/app", "percent-encoded"),
            ("postgres://u@h/app?sslmode", "parameter without a value"),
            ("postgres://u@h:0/app", "invalid port number"),
            ("postgres:///app?host=/tmp&host=x", "write `postgres://user@localhost:5432/database`"),
            ("postgres://u@h/app?password=a&\"ss\"=b", "has the parameter, which"),
            ("postgres://u@hö/app", "invalid host"),
            ("postgres://u@a,%2Ftmp/app", "write `postgres://user@localhost:5432/database`"),
            ("postgres://u@h:99999/app", "invalid port number"),
            ("postgres://u@h/app?schema=public", "has the parameter \"schema\""),
            ("postgres://u@h/app?sslmode=verify-full", "write `disable`, `prefer` or `require`"),
            (
                "postgres://u@h/app?connect_timeout=abc",
                "the parameter `connect_timeout` with a value that makes no sense",
            ),
            ("postgres://u@h/app?connect_timeout=", "write a whole number, such as `connect_timeout=10`"),
            ("postgres://u@h/app?keepalives_retries=-1", "the parameter `keepalives_retries`"),
            ("postgres://u@h/app?target_session_attrs=primary", "write `any`, `read-write` or `read-only`"),
            ("postgres://u@h/app?load_balance_hosts=on", "write `disable` or `random`"),
            ("postgres://u@h/app?hostaddr=localhost", "write an IP address"),
            ("postgres://u@h/app?port=0", "write a number from 1 to 65535"),
            ("postgres://u@h/app?application_name=%FF", "is not UTF-8"),
            ("postgres://%FF@h/app", "is not UTF-8"),
            ("postgres://a%@%E20a@h/app", "is not UTF-8"),
            ("postgres://u@.flycast/app", "write `<app>.flycast`"),
            ("postgres://u@.internal/app", "write `<app>.flycast`"),
            ("postgres://u@fra..internal/app", "write `<app>.flycast`"),
            ("postgres://u@top1.nearest.of..internal/app", "write `<app>.flycast`"),
            ("postgres://u@a:1,,b:2/app", "a host with an empty name"),
            ("postgres://u@a:1,b:99999/app", "invalid port number"),
            ("postgres://u@%66ra.internal/app", "invalid host"),
            ("postgres://@h/app", "without a user before it"),
            ("postgres://:p@h/app", "without a user before it"),
            ("postgres://u:ss@h\t/app", "write it in one line"),
            ("postgres://u@h/.", "`postgres://host/?dbname=.`"),
            ("postgres://u@h/a/../b", "`postgres://host/?dbname=.`"),
            ("postgres://u@h/%2e%2E", "`postgres://host/?dbname=.`"),
        ] {
            let variables = Variables { database_url: given.into(), ..defaults() };
            let message = Config::new(&variables).expect_err(given).to_string();
            assert!(message.starts_with("`database_url` "), "{message}");
            assert!(message.contains(hint), "{given}: {message}");
            assert!(!message.contains("ss@h") && !message.contains("\"ss\""), "part of a secret: {message}");
        }
    }
}
