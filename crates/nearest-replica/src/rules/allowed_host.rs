//! What to write so that Spin lets the component connect to its database.

use super::candidates::Candidate;
use super::config::Config;
use super::error::ConfigError;
use super::host::HostKind;

/// The error for a database that `allowed_outbound_hosts` does not cover, with the value to set. Only the log has the
/// value where it names a host that strangers do not know.
#[must_use]
pub fn not_allowed<'a>(config: &Config, candidates: impl Iterator<Item = &'a Candidate>) -> ConfigError {
    let refused = "does not cover the host of DATABASE_URL, so Spin refuses to connect";
    let Some(value) = entry(config, candidates) else {
        let instead = "write each host of the list into `allowed_outbound_hosts` of spin.toml";
        return ConfigError::new("allowed_host", anyhow::anyhow!("{refused}: {instead}"));
    };
    let set = format!("set SPIN_VARIABLE_ALLOWED_HOST={value}");
    match config.database_url.host_kind() {
        HostKind::Loopback => ConfigError::new("allowed_host", anyhow::anyhow!("{refused}: {set}")),
        HostKind::Flycast { .. }
        | HostKind::Internal { .. }
        | HostKind::Managed
        | HostKind::Pinned
        | HostKind::Other => {
            let instead = "set SPIN_VARIABLE_ALLOWED_HOST to the value that the log names";
            ConfigError::new("allowed_host", anyhow::anyhow!("{refused}: {instead}")).with_private(set)
        }
    }
}

/// One entry of `allowed_outbound_hosts` for the host of `DATABASE_URL`, with every port that is tried there; nothing
/// for a list of hosts, which need one each. A range ends before its second number.
fn entry<'a>(config: &Config, candidates: impl Iterator<Item = &'a Candidate>) -> Option<String> {
    let host = config.database_url.host();
    if host.is_empty() || host.contains(',') {
        return None;
    }
    let at_host = candidates.filter(|candidate| candidate.url.host() == host);
    let ports: Vec<_> = at_host.map(|candidate| candidate.url.port()).collect();
    let (first, last) = (ports.iter().min()?, ports.iter().max()?);
    Some(match last.checked_add(1) {
        _ if first == last => format!("postgres://{host}:{first}"),
        Some(end) => format!("postgres://{host}:{first}..{end}"),
        None => format!("postgres://{host}:*"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::candidates::candidates;
    use crate::rules::config::Variables;
    use crate::rules::config::tests::defaults;

    fn error(region: &str, url: &str) -> ConfigError {
        let (fly_region, primary_region) = (region.into(), "sjc".into());
        let config =
            Config::new(&Variables { database_url: url.into(), fly_region, primary_region, ..defaults() }).unwrap();
        not_allowed(&config, candidates(&config).iter())
    }

    #[test]
    fn the_message_names_the_exact_value_for_this_url() {
        for (region, url, value) in [
            ("sjc", "postgres://u@127.0.0.1:25432/app", "postgres://127.0.0.1:25432"),
            ("fra", "postgres://u@127.0.0.1:25432/app", "postgres://127.0.0.1:5433..25433"),
            ("fra", "postgres://u@db.example.com/app", "postgres://db.example.com:5432..5434"),
            ("fra", "postgres://u@db.example.com:65535/app", "postgres://db.example.com:*"),
            ("fra", "postgres://u@db.flycast:6432/app", "postgres://db.flycast:5433..6433"),
        ] {
            let message = error(region, url).to_string();
            assert!(message.ends_with(&format!("SPIN_VARIABLE_ALLOWED_HOST={value}")), "{url}: {message}");
        }
        assert!(error("fra", "postgres://u@a:1,b:2/app").to_string().contains("each host of the list"));
    }

    #[test]
    fn strangers_see_no_host_but_that_of_this_machine() {
        assert!(error("sjc", "postgres://u@127.0.0.1:25432/app").public().ends_with("=postgres://127.0.0.1:25432"));
        let public = error("sjc", "postgres://u@db.example.com:6000/app").public();
        assert!(!public.contains("example") && public.contains("SPIN_VARIABLE_ALLOWED_HOST"), "{public}");
    }
}
