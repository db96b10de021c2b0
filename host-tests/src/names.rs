//! A private network of names, so that Fly's `fra.db.internal:5433` works on a laptop.

use std::collections::HashMap;
use std::net::SocketAddr;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Host name and port -> where it really is. Fly's names that are not in here do not resolve; others are looked up as
/// usual.
#[derive(Clone, Debug, Default)]
pub struct Names(HashMap<(String, u16), SocketAddr>);

impl Names {
    /// The same network with one more name.
    #[must_use]
    pub fn with(mut self, host: impl Into<String>, port: u16, address: SocketAddr) -> Self {
        self.0.insert((host.into(), port), address);
        self
    }

    /// A name of the private network that nobody has: not even the machine's resolver is asked, because it is too long.
    fn nobody(&self, host: &str) -> Option<String> {
        let private = !self.0.is_empty() && [".internal", ".flycast"].iter().any(|suffix| host.ends_with(suffix));
        private.then(|| format!("{}.{host}", "x".repeat(64)))
    }

    /// The configuration with each known name replaced by its address; everything else stays.
    #[must_use]
    pub fn apply(&self, config: &Config) -> Config {
        let known = |host: &Host, port: u16| match host {
            Host::Tcp(name) => self.0.get(&(name.to_ascii_lowercase(), port)).copied(),
            Host::Unix(_) => None,
        };
        let ports = config.get_ports();
        let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        if self.0.is_empty() {
            return config.clone();
        }
        let mut real = without_hosts(config);
        for (index, host) in config.get_hosts().iter().enumerate() {
            match (known(host, port(index)), host) {
                (Some(address), _) => real.host(address.ip().to_string()).port(address.port()),
                (None, Host::Tcp(name)) => real.host(self.nobody(name).as_deref().unwrap_or(name)).port(port(index)),
                (None, Host::Unix(path)) => real.host_path(path).port(port(index)),
            };
        }
        real
    }
}

/// tokio-postgres can add hosts to a configuration but not take them away.
fn without_hosts(config: &Config) -> Config {
    let mut copy = Config::new();
    copy.ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding())
        .load_balance_hosts(config.get_load_balance_hosts());
    config.get_user().map(|value| copy.user(value));
    config.get_password().map(|value| copy.password(value));
    config.get_dbname().map(|value| copy.dbname(value));
    config.get_options().map(|value| copy.options(value));
    config.get_application_name().map(|value| copy.application_name(value));
    config.get_connect_timeout().map(|value| copy.connect_timeout(*value));
    config.get_tcp_user_timeout().map(|value| copy.tcp_user_timeout(*value));
    config.get_keepalives_interval().map(|value| copy.keepalives_interval(value));
    config.get_keepalives_retries().map(|value| copy.keepalives_retries(value));
    copy
}
