//! What the variables say: where the Machine is, what it may connect to.

use nearest_replica::parts::not_allowed;
use nearest_replica::{Candidate, Config, ConfigError, HostKind, why_no_replica};

use crate::allowed::Allowed;
use crate::finding::{Code, Finding};
use crate::variables::Variables;

/// A variable that makes no sense, in the component's own words.
pub(crate) fn variable(variables: &Variables, error: &ConfigError) -> Finding {
    let text = error.to_string();
    let (wrong, instead) = text.split_once(": ").unwrap_or((&text, "write another value"));
    let from = match &variables.get(error.variable()).from {
        Some(name) => format!(", and is read from {name}"),
        None if error.variable() == "database_url" => ", since DATABASE_URL is not set".to_owned(),
        None => String::new(),
    };
    Finding::new(Code::Variable, format!("{wrong}{from}"), instead)
}

/// Why there is one candidate, where there is.
pub(crate) fn place(variables: &Variables, config: &Config) -> Vec<Finding> {
    const PRIMARY_REGION: &str = "set SPIN_VARIABLE_PRIMARY_REGION to the region of the primary, such as `sjc`";
    const ELSEWHERE: &str =
        "to examine what another region would read from, set FLY_REGION to that region, such as `fra`";
    let mut findings = Vec::new();
    let flys = variables.fly_primary_region.as_deref().map(str::trim).filter(|region| !region.is_empty());
    match (&config.primary_region, config.placement.region()) {
        (None, _) => {
            let not_read = flys.map_or("", |_| " (PRIMARY_REGION is set, and Spin cannot read it under this name)");
            let wrong = format!("no primary region is set, so every region reads from DATABASE_URL as given{not_read}");
            findings.push(Finding::new(Code::PrimaryRegionNotSet, wrong, PRIMARY_REGION));
        }
        (Some(_), None) => {
            let wrong =
                "FLY_REGION is not set, so only DATABASE_URL as given is a candidate; Fly sets it on every Machine";
            findings.push(Finding::new(Code::RegionNotSet, wrong, ELSEWHERE));
        }
        (Some(primary), Some(here)) if primary == here => {
            let wrong = format!("this is the primary region `{here}`, so only DATABASE_URL as given is a candidate");
            findings.push(Finding::new(Code::InPrimaryRegion, wrong, ELSEWHERE));
        }
        (Some(_), Some(_)) => {}
    }
    if let (Some(primary), Some(flys)) = (&config.primary_region, flys)
        && !flys.eq_ignore_ascii_case(primary.as_str())
    {
        let wrong = format!("the primary region is `{primary}` here and {flys:?} in PRIMARY_REGION, which Fly sets");
        let instead = "set SPIN_VARIABLE_PRIMARY_REGION and `primary_region` of fly.toml to the same region";
        findings.push(Finding::new(Code::PrimaryRegionsDiffer, wrong, instead));
    }
    if config.placement.other_region().is_some() && config.replica_port.is_none() {
        let wrong = "the replica port is empty, so every region reads from DATABASE_URL as given";
        let instead =
            "where there are replicas, set SPIN_VARIABLE_REPLICA_PORT to the port that each answers on, 5433 on Fly";
        findings.push(Finding::new(Code::NoReplicas, wrong, instead));
    }
    if let Some(why) = why_no_replica(config) {
        let instead =
            "where there are replicas, write their cluster's name into DATABASE_URL, such as `<app>.flycast:5432`";
        findings.push(Finding::new(Code::NoReplicas, why, instead));
    }
    findings
}

/// Which errors are told first.
pub(crate) enum Order {
    /// Whatever the databases are, Spin does not connect.
    HostFirst,
    /// The host is this machine, as in a trial: what is wrong with the databases counts more there.
    DatabasesFirst,
}

/// By what the variables say.
pub(crate) fn order(variables: &Variables, config: &Config) -> Order {
    let is_empty = variables.get("allowed_host").value.trim().is_empty();
    match config.database_url.host_kind() {
        HostKind::Loopback if is_empty => Order::DatabasesFirst,
        HostKind::Loopback
        | HostKind::Flycast { .. }
        | HostKind::Internal { .. }
        | HostKind::Managed
        | HostKind::Pinned
        | HostKind::Other => Order::HostFirst,
    }
}

/// Whether Spin would let the component connect.
pub(crate) fn allowed(variables: &Variables, config: &Config, candidates: &[Candidate]) -> Vec<Finding> {
    let variable = variables.get("allowed_host");
    let allowed = match Allowed::new(&variable.value) {
        Ok(allowed) => allowed,
        Err(error) => {
            let wrong = format!("`allowed_host` {error}, so Spin refuses every host");
            let instead = "write it like `postgres://db.example.com:5432..5434`, or nothing";
            return vec![Finding::new(Code::HostNotAllowed, wrong, instead)];
        }
    };
    let host = config.database_url.host();
    let addresses = |candidate: &Candidate| -> Vec<(String, u16)> {
        let default = candidate.url.port();
        let pair = |each: &str| match each.split_once(':') {
            Some((host, port)) => (host.to_owned(), port.parse().unwrap_or(default)),
            None => (each.to_owned(), default),
        };
        candidate.url.host().split(',').filter(|each| !each.is_empty()).map(pair).collect()
    };
    let refused = |candidate: &&Candidate| addresses(candidate).iter().any(|(host, port)| !allowed.covers(host, *port));
    if candidates.iter().find(refused).is_none() {
        return Vec::new();
    }
    let text = not_allowed(config, candidates.iter()).to_string();
    // The value to set stands behind what strangers may see.
    let instead = text.rsplit_once("; ").or_else(|| text.split_once(": ")).map_or("", |(_, instead)| instead);
    let wrong = format!("`allowed_outbound_hosts` does not cover {host:?} of DATABASE_URL, so Spin refuses to connect");
    vec![Finding::new(Code::HostNotAllowed, wrong, instead)]
}
