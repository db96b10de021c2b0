//! Which server is which: roles, clusters, timelines, lag.

use nearest_replica::{Candidate, Config, Role};

use crate::facts::{Facts, Lag, Server};
use crate::finding::{Code, Finding};
use crate::report::Load;

/// What is wrong with the servers behind the candidates, each compared with the last, which is `DATABASE_URL`.
pub(crate) fn cluster(config: &Config, candidates: &[Candidate], facts: &[Facts], load: &Load) -> Vec<Finding> {
    let servers: Vec<_> =
        candidates.iter().zip(facts).filter_map(|(one, facts)| Some((one, facts.server()?))).collect();
    let configured = servers.last().filter(|(one, _)| one.expected == Role::Primary).map(|(_, server)| *server);
    let swapped = swapped(config, &servers);
    let mut findings = Vec::new();
    for (candidate, server) in &servers {
        let is_swapped = swapped.is_some() && server.role != Some(candidate.expected);
        // That says it already; a primary of another cluster is another matter.
        if is_swapped && configured.is_some_and(|configured| configured.system == server.system) {
            continue;
        }
        let found = match candidate.expected {
            Role::Primary => as_primary(config, server, &servers),
            Role::Replica => as_replica(config, server, configured, load),
        };
        findings.extend(found.into_iter().map(|finding| finding.at(candidate.kind.name())));
    }
    findings.extend(swapped);
    findings
}

/// Where `DATABASE_URL` leads to a replica, and the replica port of the same cluster to a primary.
fn swapped(config: &Config, servers: &[(&Candidate, &Server)]) -> Option<Finding> {
    let is = |server: &Server, role| server.role == Some(role);
    let (_, configured) =
        servers.iter().find(|(one, server)| one.expected == Role::Primary && is(server, Role::Replica))?;
    let same_cluster = |server: &Server| server.system == configured.system;
    servers
        .iter()
        .find(|(one, server)| one.expected == Role::Replica && is(server, Role::Primary) && same_cluster(server))?;
    let (given, replicas) = (config.database_url.port(), config.replica_port?);
    let wrong = format!(
        "the two ports are swapped: {given} in DATABASE_URL leads to a replica, and the replica port {replicas} to the primary"
    );
    let instead = format!("write {replicas} as the port in DATABASE_URL, and {given} into SPIN_VARIABLE_REPLICA_PORT");
    Some(Finding::new(Code::PortsSwapped, wrong, instead))
}

fn as_primary(config: &Config, server: &Server, all: &[(&Candidate, &Server)]) -> Vec<Finding> {
    match server.role {
        Some(Role::Replica) => {
            let on_replica_port = config.replica_port == Some(config.database_url.port());
            let instead = if on_replica_port {
                "write the port that leads to the primary into DATABASE_URL, 5432 on Fly, instead of the replica port"
            } else {
                "write the host and port of the primary into DATABASE_URL; after a failover that is another server"
            };
            vec![Finding::new(
                Code::PrimaryIsAReplica,
                "DATABASE_URL leads to a replica, which takes no writes",
                instead,
            )]
        }
        Some(Role::Primary) => {
            let newer =
                all.iter().find(|(_, other)| is_other_primary(server, other) && is_older(server, other) == Some(true));
            let mut findings: Vec<_> =
                newer.map(|(other, _)| old_primary(server, other.kind.name())).into_iter().collect();
            if server.writes_refused {
                let wrong = "the primary takes no writes: `default_transaction_read_only` is on";
                let instead = "on Fly its disk is full or it is fenced: `fly checks list` for the database's app says which; \
                               elsewhere set it off";
                findings.push(Finding::new(Code::PrimaryReadOnly, wrong, instead));
            }
            findings
        }
        None => Vec::new(),
    }
}

fn as_replica(config: &Config, server: &Server, configured: Option<&Server>, load: &Load) -> Vec<Finding> {
    let others = configured.and_then(|primary| Some((server.system.as_ref()?, primary.system.as_ref()?)));
    if let Some((own, given)) = others.filter(|(own, given)| own != given) {
        let wrong =
            format!("it leads to another cluster: its system identifier is {own}, and that of DATABASE_URL {given}");
        let instead = "write the replica port of the same cluster into SPIN_VARIABLE_REPLICA_PORT, or nothing where it has no \
                       replicas";
        return vec![Finding::new(Code::AnotherCluster, wrong, instead)];
    }
    match server.role {
        Some(Role::Primary) => vec![not_a_replica(config, server, configured)],
        Some(Role::Replica) => server.lag.as_ref().map_or_else(Vec::new, |lag| lags(lag, load)),
        None => Vec::new(),
    }
}

/// A server that takes writes where a replica should be.
fn not_a_replica(config: &Config, server: &Server, configured: Option<&Server>) -> Finding {
    let port = config.replica_port.unwrap_or_default();
    let by_name = format!(
        "write the port on which each Postgres answers by itself into SPIN_VARIABLE_REPLICA_PORT ({port} is there now), and \
         see that this region has a replica; nothing there switches replicas off"
    );
    match configured {
        Some(primary) if is_other_primary(server, primary) => match is_older(server, primary) {
            Some(true) => old_primary(server, "configured"),
            Some(false) => {
                let wrong = format!("it is no replica any more: it was promoted, to timeline {}", timeline(server));
                let instead = "where it is the primary now, write its host and port into DATABASE_URL; else make it a replica \
                               again (`pg_rewind`, or a new copy)";
                Finding::new(Code::TwoPrimaries, wrong, instead)
            }
            None => {
                let wrong = "it takes writes, and so does another server of the same cluster";
                Finding::new(Code::TwoPrimaries, wrong, "stop one of the two, and make it a replica of the other")
            }
        },
        Some(primary) if server.is_same_as(primary) == Some(true) => {
            let wrong = "a replica should be there, and it is the primary itself, the very server of DATABASE_URL";
            Finding::new(Code::ReplicaIsThePrimary, wrong, by_name)
        }
        Some(_) | None => {
            Finding::new(Code::ReplicaIsThePrimary, "a replica should be there, and it is a primary", by_name)
        }
    }
}

fn old_primary(server: &Server, newer: &str) -> Finding {
    let wrong = format!(
        "it is an old primary: its timeline is {}, and `{newer}` leads to a primary of the same cluster with a later one; \
         what is written here is lost",
        timeline(server)
    );
    let instead = format!(
        "stop this server, make it a replica of the new primary (`pg_rewind`, or a new copy), and let DATABASE_URL lead to \
         the server that `{newer}` leads to"
    );
    Finding::new(Code::OldPrimary, wrong, instead)
}

fn timeline(server: &Server) -> String {
    server.position.map_or_else(|| "unknown".to_owned(), |position| position.timeline.to_string())
}

/// Another server of the same cluster that takes writes as well.
fn is_other_primary(server: &Server, other: &Server) -> bool {
    let both = [server, other].iter().all(|server| server.role == Some(Role::Primary));
    both && server.system.is_some() && server.system == other.system && server.is_same_as(other) == Some(false)
}

/// Nothing where the timelines are the same or not known.
fn is_older(server: &Server, other: &Server) -> Option<bool> {
    let (own, other) = (server.position?.timeline, other.position?.timeline);
    (own != other).then_some(own < other)
}

fn lags(lag: &Lag, load: &Load) -> Vec<Finding> {
    let mut findings = Vec::new();
    if lag.paused {
        let wrong = "the replay is paused: what it answers grows older and older";
        findings.push(Finding::new(
            Code::ReplayPaused,
            wrong,
            "run `SELECT pg_wal_replay_resume()` there as a superuser",
        ));
    }
    if !lag.streaming {
        let wrong = "it receives nothing: it is connected to no server that it could copy";
        let instead = "see that its `primary_conninfo` leads to the primary, and what its log says; a new copy where the log \
                       has been removed (`fly machine clone`)";
        findings.push(Finding::new(Code::NotStreaming, wrong, instead));
    }
    // On an idle primary the time grows though nothing is missing.
    let missing = lag.bytes_behind_primary.or(lag.bytes_to_replay).is_some_and(|bytes| bytes > 0);
    if let Some(seconds) = lag.seconds_since_replay.filter(|seconds| missing && *seconds > f64::from(load.max_lag)) {
        let bytes = lag.bytes_behind_primary.or(lag.bytes_to_replay).unwrap_or_default();
        let wrong =
            format!("it lags: {bytes} bytes are missing, and the last commit that it has is {seconds:.0} s old");
        let instead = "see whether a long read holds up the replay (`max_standby_streaming_delay`), or its disk or network \
                       does; sessions with a bookmark read from the primary meanwhile";
        findings.push(Finding::new(Code::Lagging, wrong, instead));
    }
    findings
}
