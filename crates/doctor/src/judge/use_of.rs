//! What the component can do with a server: read-only reads, bookmarks, connections, prepared statements.

use nearest_replica::{Candidate, HostKind};

use crate::facts::{Bookmarks, Facts, Options, Pooler, Server};
use crate::finding::{Code, Finding};
use crate::report::Load;

/// For each candidate that answers.
pub(crate) fn use_of(candidates: &[Candidate], facts: &[Facts], load: &Load) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (candidate, facts) in candidates.iter().zip(facts) {
        let Some(server) = facts.server() else { continue };
        let found = [pooler(candidate, server), options(server), bookmarks(server), connections(server, load)];
        findings.extend(found.into_iter().flatten().map(|finding| finding.at(candidate.kind.name())));
    }
    findings
}

fn pooler(candidate: &Candidate, server: &Server) -> Option<Finding> {
    let direct = match candidate.url.host_kind() {
        HostKind::Managed => {
            "choose session mode for the cluster's PgBouncer, or write the direct host into DATABASE_URL, which Fly calls \
             DIRECT_DATABASE_URL"
        }
        HostKind::Flycast { .. }
        | HostKind::Internal { .. }
        | HostKind::Pinned
        | HostKind::Loopback
        | HostKind::Other => {
            "write `pool_mode = session` into the pooler's settings, or the host and port of the server itself into \
             DATABASE_URL"
        }
    };
    match server.pooler? {
        Pooler::NoneSeen | Pooler::KeepsConnections => None,
        Pooler::TransactionMode => {
            let wrong = "a connection pooler in transaction mode stands between, which does not know the prepared statements \
                         that Spin makes";
            Some(Finding::new(Code::PoolerTransactionMode, wrong, direct))
        }
        Pooler::SharesConnections => {
            let wrong = "a connection pooler in transaction mode stands between: prepared statements work, settings of a \
                         session do not";
            Some(Finding::new(Code::PoolerSharesConnections, wrong, direct))
        }
    }
}

fn options(server: &Server) -> Option<Finding> {
    match server.options {
        // Said elsewhere, or known to everybody who has a pooler.
        Options::Taken | Options::Refused | Options::NotSent => None,
        Options::Ignored => {
            let wrong = "the `options` with which the component connects are not in force, as behind a connection pooler: \
                         reads are not read-only, and statements have no time limit of ours";
            let instead = "write the host and port of the server itself into DATABASE_URL";
            Some(Finding::new(Code::ReadsMayWrite, wrong, instead))
        }
    }
}

fn bookmarks(server: &Server) -> Option<Finding> {
    let Some(Bookmarks::Unavailable(why)) = &server.bookmarks else { return None };
    let of = |exists: bool| {
        let names = server.functions.iter().filter(|function| function.exists == exists);
        names.map(|function| function.signature.clone()).collect::<Vec<_>>().join(", ")
    };
    let (forbidden, missing) = (of(true), of(false));
    let wrong = format!(
        "bookmarks cannot be made or compared here ({why}): sessions read from the primary for a while \
                         after each write"
    );
    let user = server.user.as_deref().unwrap_or("<user>");
    let instead = match (forbidden.is_empty(), missing.is_empty()) {
        (false, _) => format!("on the primary, `GRANT EXECUTE ON FUNCTION {forbidden} TO \"{user}\"`"),
        (true, false) => format!("this server has no {missing}: sessions need PostgreSQL itself, 10 or newer"),
        (true, true) => "ask whoever runs the server why it refuses".to_owned(),
    };
    Some(Finding::new(Code::NoBookmarks, wrong, instead))
}

fn connections(server: &Server, load: &Load) -> Option<Finding> {
    let connections = server.connections?;
    let (available, wanted) = (connections.available(), load.connections());
    if wanted <= available {
        return None;
    }
    let machines = match load.machines {
        1 => "one Machine".to_owned(),
        machines => format!("{machines} Machines"),
    };
    let wrong = format!(
        "Spin's pools on {machines} may want {wanted} connections ({} x {} x {}), and this user can have {available}",
        load.machines,
        Load::POOLS,
        load.max_connections
    );
    let most = available / (load.machines * Load::POOLS);
    let instead = match most {
        0 => "raise the limit of the server, of the database or of the user".to_owned(),
        most => format!("write `max_connections = {most}` below `[outbound_pg]` in runtime-config.toml"),
    };
    Some(Finding::new(Code::TooFewConnections, wrong, instead))
}
