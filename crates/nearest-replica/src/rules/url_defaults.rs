//! Parameters that a database URL gets where its user wrote none: time limits that Spin's pool does not have, and what
//! Fly's private network needs.

use std::time::Duration;

use super::config::Config;
use super::database_url::DatabaseUrl;
use super::host::Network;

/// Of the library, as servers show it for every connection (`pg_stat_activity`).
const APPLICATION_NAME: &str = env!("CARGO_PKG_NAME");

/// The same URL with the parameters that it does not have; the user's own values stay.
pub(crate) fn with_defaults(url: DatabaseUrl, config: &Config) -> DatabaseUrl {
    let network = url.network();
    let region = config.placement.region().map_or_else(String::new, |region| format!("-{region}"));
    let mut url = url
        .with_default("application_name", &format!("{APPLICATION_NAME}{region}"))
        .with_default("connect_timeout", &whole_seconds(config.deadline / 2))
        .with_default("tcp_user_timeout", &whole_seconds(config.deadline))
        .with_default("keepalives_idle", "15")
        .with_default("keepalives_interval", "5")
        .with_default("keepalives_retries", "3");
    if network == Network::Private {
        // The private network is encrypted, and Spin's default insists on a certificate that can be verified.
        url = url.with_default("sslmode", "disable");
    }
    match network {
        Network::Private | Network::Address => {
            let timeout = config.statement_timeout.map(|timeout| timeout.as_millis());
            let setting = timeout.map_or_else(String::new, |ms| format!("-c%20statement_timeout%3D{ms}"));
            url.with_default("options", &setting)
        }
        // Connection poolers (PgBouncer) refuse `options`.
        Network::Elsewhere => url,
    }
}

/// Time limits in a Postgres URL are whole seconds, and 0 means none.
fn whole_seconds(duration: Duration) -> String {
    duration.as_millis().div_ceil(1000).max(1).to_string()
}
