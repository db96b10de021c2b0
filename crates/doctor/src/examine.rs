//! The examination: every candidate at the same time, then the replicas beside their primary.

use std::time::{Duration, Instant};

use futures::future::join_all;
use nearest_replica::parts::answer_by;
use nearest_replica::{Candidate, Config, Role, candidates};
use tokio_postgres::Client;

use crate::ask::{Opened, about, addresses, compare, open, other_protocol};
use crate::facts::{Facts, Refusal};
use crate::judge::{self, Order};
use crate::report::{CandidateReport, Load, Origin, Report};
use crate::variables::Variables;

/// Nobody waits longer for a server, whatever `deadline_ms` is.
const PATIENCE: Duration = Duration::from_secs(10);

/// Examines every candidate of these variables. Ends within a few times `deadline_ms`, whatever the servers do.
pub async fn examine(variables: &Variables, load: &Load) -> Report {
    let origin = |(variable, from): (_, Option<&str>)| Origin { variable, from: from.map(str::to_owned) };
    let mut report = Report {
        exit_status: 0,
        region: None,
        primary_region: None,
        deadline_ms: None,
        variables: variables.origins().map(origin).collect(),
        candidates: Vec::new(),
        findings: Vec::new(),
    };
    let config = match variables.config() {
        Ok(config) => config,
        Err(error) => {
            report.exit_status = 2;
            report.findings.push(judge::variable(variables, &error));
            return report.finish();
        }
    };
    report.region = config.placement.region().map(ToString::to_string);
    report.primary_region = config.primary_region.as_ref().map(ToString::to_string);
    report.deadline_ms = Some(config.deadline.as_millis());
    let candidates = candidates(&config);
    let facts = ask_all(&config, &candidates).await;
    report.findings.extend(judge::place(variables, &config));
    let allowed = judge::allowed(variables, &config, &candidates);
    let databases = [
        judge::reach(&config, &candidates, &facts),
        judge::cluster(&config, &candidates, &facts, load),
        judge::use_of(&candidates, &facts, load),
    ]
    .concat();
    report.findings.extend(match judge::order(variables, &config) {
        Order::HostFirst => [allowed, databases].concat(),
        Order::DatabasesFirst => [databases, allowed].concat(),
    });
    report.candidates =
        candidates.iter().zip(&facts).map(|(one, facts)| CandidateReport::new(one, facts, load)).collect();
    report.finish()
}

async fn ask_all(config: &Config, candidates: &[Candidate]) -> Vec<Facts> {
    let limit = limit(config);
    let visited = join_all(candidates.iter().map(|candidate| visit(candidate, limit))).await;
    let (clients, mut facts): (Vec<_>, Vec<_>) = visited.into_iter().unzip();
    let primary = primary(&facts).and_then(|index| clients[index].as_ref());
    let compared = facts.iter_mut().zip(&clients).filter_map(|(facts, client)| {
        let server = facts.outcome.as_mut().ok().filter(|server| server.unanswered.is_none())?;
        Some(compare(client.as_ref()?, server, primary, config.bookmark_wait, limit))
    });
    join_all(compared).await;
    facts
}

/// How long each step may take: as long as a request has, so that what is slow can be told from what is dead.
fn limit(config: &Config) -> Duration {
    let now = Instant::now();
    (answer_by(now, config.deadline) - now).min(PATIENCE)
}

/// The last one that is a primary: `DATABASE_URL` itself where that is one.
fn primary(facts: &[Facts]) -> Option<usize> {
    let is_primary = |facts: &Facts| facts.server().is_some_and(|server| server.role == Some(Role::Primary));
    facts.iter().rposition(is_primary)
}

async fn visit(candidate: &Candidate, limit: Duration) -> (Option<Client>, Facts) {
    let addresses = match addresses(&candidate.url, limit).await {
        Ok(addresses) => addresses,
        Err(refusal) => return (None, Facts { addresses: Vec::new(), open_ms: None, outcome: Err(refusal) }),
    };
    // As the component reads.
    let url = candidate.url.clone().with_setting("default_transaction_read_only", "on");
    match open(&url, limit).await {
        Ok(opened) => {
            let server = about(&opened, candidate, limit).await;
            let open_ms = Some(opened.took.as_secs_f64() * 1000.0);
            let Opened { client, .. } = opened;
            (Some(client), Facts { addresses, open_ms, outcome: Ok(server) })
        }
        Err(refusal) => {
            let refusal = explain(refusal, &addresses, candidate, limit).await;
            (None, Facts { addresses, open_ms: None, outcome: Err(refusal) })
        }
    }
}

/// Looks again where the client cannot tell a server that is broken from one that is no PostgreSQL.
async fn explain(refusal: Refusal, addresses: &[String], candidate: &Candidate, limit: Duration) -> Refusal {
    match refusal {
        Refusal::Other(_) | Refusal::Closed | Refusal::TimedOut | Refusal::Tls(_) => {
            other_protocol(addresses, &candidate.url, limit).await.map_or(refusal, Refusal::NotPostgres)
        }
        Refusal::NameNotFound
        | Refusal::Refused
        | Refusal::NoPassword
        | Refusal::NoUser(_)
        | Refusal::NotPostgres(_)
        | Refusal::Server { .. } => refusal,
    }
}
