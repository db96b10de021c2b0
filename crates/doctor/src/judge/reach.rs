//! Why a candidate cannot be reached.

use std::time::{Duration, Instant};

use nearest_replica::parts::{Place, answer_by};
use nearest_replica::{Candidate, Config, Role};

use crate::facts::{Facts, Options, Refusal};
use crate::finding::{Code, Finding};

const DIRECT: &str = "write the host and port of the server itself into DATABASE_URL";

/// One finding for each candidate without a connection, or with one that came late.
pub(crate) fn reach(config: &Config, candidates: &[Candidate], facts: &[Facts]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (position, (candidate, facts)) in candidates.iter().zip(facts).enumerate() {
        let name = candidate.kind.name();
        let share = share(config, position, candidates.len());
        match &facts.outcome {
            Err(refusal) => findings.push(refused(config, candidate, refusal).at(name)),
            Ok(server) => {
                if let Some(refusal) = &server.unanswered {
                    findings.push(unanswered(config, candidate, refusal).at(name));
                }
                if server.options == Options::Refused {
                    let wrong = "what answers there is a connection pooler that refuses `options`, with which the component \
                                 connects, so no read gets through";
                    let instead =
                        format!("{DIRECT}, or `ignore_startup_parameters = options` into the pooler's settings");
                    findings.push(Finding::new(Code::PoolerRefusesOptions, wrong, instead).at(name));
                }
                if facts.open_ms.is_some_and(|ms| ms > share.as_secs_f64() * 1000.0) {
                    let (ms, most) = (facts.open_ms.unwrap_or_default(), share.as_millis());
                    let wrong = format!("the connection took {ms:.0} ms to open, and a read waits {most} ms for it");
                    let instead = "write a longer SPIN_VARIABLE_DEADLINE_MS, or see why the server is slow";
                    findings.push(Finding::new(Code::SlowToOpen, wrong, instead).at(name));
                }
            }
        }
    }
    findings
}

/// How long a read waits for a candidate where nothing is known of any.
fn share(config: &Config, position: usize, count: usize) -> Duration {
    let now = Instant::now();
    Place::of(position, count - 1, count).time(answer_by(now, config.deadline) - now, config.deadline)
}

fn unanswered(config: &Config, candidate: &Candidate, refusal: &Refusal) -> Finding {
    /// Our own `statement_timeout` was over.
    const QUERY_CANCELED: &str = "57014";
    match refusal {
        Refusal::Server { sqlstate, .. } if sqlstate != QUERY_CANCELED => refused(config, candidate, refusal),
        Refusal::TimedOut | Refusal::Server { .. } => {
            let wrong = format!("{} takes connections and does not answer questions in time", at(candidate));
            Finding::new(
                Code::DoesNotAnswer,
                wrong,
                "see whether the server hangs: its disk, its processors, its locks",
            )
        }
        Refusal::NameNotFound
        | Refusal::Refused
        | Refusal::Closed
        | Refusal::Tls(_)
        | Refusal::NoPassword
        | Refusal::NoUser(_)
        | Refusal::NotPostgres(_)
        | Refusal::Other(_) => refused(config, candidate, refusal),
    }
}

/// Host and port.
fn at(candidate: &Candidate) -> String {
    let host = candidate.url.host();
    if host.contains(',') { host.to_owned() } else { format!("{host}:{}", candidate.url.port()) }
}

fn refused(config: &Config, candidate: &Candidate, refusal: &Refusal) -> Finding {
    let at = at(candidate);
    let port = match candidate.expected {
        Role::Primary => "see that the primary runs, and write its port into DATABASE_URL, 5432 on Fly".to_owned(),
        Role::Replica => format!(
            "see that the replica runs, and write the port on which each Postgres answers by itself into \
             SPIN_VARIABLE_REPLICA_PORT, 5433 on Fly ({} is there now), or nothing where there are no replicas",
            config.replica_port.unwrap_or_default()
        ),
    };
    match refusal {
        Refusal::NameNotFound => name_not_found(candidate),
        Refusal::Refused => {
            Finding::new(Code::ConnectionRefused, format!("nothing listens on {at}: the connection was refused"), port)
        }
        Refusal::TimedOut => {
            let wrong = format!("nothing came back from {at} in time");
            Finding::new(
                Code::TimedOut,
                wrong,
                format!("see whether the server hangs, or a firewall drops packets; {port}"),
            )
        }
        Refusal::Closed => {
            let wrong =
                format!("{at} takes connections and closes them at once, as a proxy does with no server behind it");
            Finding::new(Code::ConnectionClosed, wrong, port)
        }
        Refusal::Tls(why) => {
            let wrong = format!("TLS with {at} failed: {why}");
            let instead = "on a network that is encrypted already, write `sslmode=disable` into DATABASE_URL; elsewhere the \
                           server needs a certificate that this machine can verify, in the name of its host";
            Finding::new(Code::Tls, wrong, instead)
        }
        Refusal::NoPassword => {
            let wrong = format!("{at} asks for a password, and DATABASE_URL has none");
            let instead = "write `postgres://user:password@host/database`, reserved characters percent-encoded";
            Finding::new(Code::PasswordRefused, wrong, instead)
        }
        Refusal::NoUser(why) => {
            // The same for every candidate, without its address.
            let wrong = format!(
                "DATABASE_URL names no user, so the client takes the name of the user that it runs as, and is not let in: {why}"
            );
            let instead = "write `postgres://user:password@host/database`: Spin takes the name of the user that it runs as, too, \
                           which is another one on Fly";
            Finding::new(Code::NoUser, wrong, instead)
        }
        Refusal::NotPostgres(answer) => {
            let said = if answer.is_empty() { String::new() } else { format!(": its answer begins with {answer:?}") };
            Finding::new(Code::NotPostgres, format!("what answers on {at} is no PostgreSQL{said}"), port)
        }
        Refusal::Server { sqlstate, message } => server(&at, sqlstate, message),
        Refusal::Other(why) => Finding::new(Code::Unreachable, format!("{at} cannot be reached: {why}"), port),
    }
}

fn name_not_found(candidate: &Candidate) -> Finding {
    let host = candidate.url.host();
    let lower = host.to_ascii_lowercase();
    let instead = if lower.ends_with(".internal") || lower.ends_with(".flycast") {
        "this name leads somewhere on Fly's private network only, and where a Machine of the database runs: run the doctor \
         there, over WireGuard or in a Machine, or forward its ports with `fly proxy`; where it does not resolve there \
         either, see that the name is that of the database's app and that this region has a Machine of it"
    } else {
        "see that the host in DATABASE_URL is spelled right"
    };
    Finding::new(Code::NameNotFound, format!("the name {host:?} does not resolve"), instead)
}

fn server(at: &str, sqlstate: &str, message: &str) -> Finding {
    let said = |what: &str| format!("{at} {what}: {message} (SQLSTATE {sqlstate})");
    match sqlstate {
        // Only where it asks for no password: else it does not say which of the two is wrong.
        "28000" if message.ends_with("does not exist") => Finding::new(
            Code::NoSuchUser,
            format!("the server has no such user: {message} (SQLSTATE {sqlstate})"),
            "write the name of a role of this cluster into DATABASE_URL, before the `@`, or `CREATE ROLE` it on the primary",
        ),
        "28P01" | "28000" => Finding::new(
            Code::PasswordRefused,
            said("does not let this user in"),
            "write the user and the password that the server knows into DATABASE_URL, reserved characters \
             percent-encoded; `pg_hba.conf` must have a line for them",
        ),
        "3D000" => Finding::new(
            Code::NoSuchDatabase,
            said("has no such database"),
            "write the name of a database of this cluster at the end of DATABASE_URL",
        ),
        "53300" => Finding::new(
            Code::NoConnectionLeft,
            said("has no connection left for this user"),
            "raise the server's or the user's limit, or lower `max_connections` of `[outbound_pg]` in runtime-config.toml",
        ),
        "57P01" | "57P02" | "57P03" => Finding::new(
            Code::NotReady,
            said("starts or stops"),
            "wait until it has, and try again; a replica needs `hot_standby = on`",
        ),
        "08P01" => Finding::new(Code::PoolerRefusesOptions, said("refuses how the component connects"), DIRECT),
        _ => Finding::new(Code::Unreachable, said("refuses"), "see what the server's log says about it"),
    }
}
