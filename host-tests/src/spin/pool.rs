//! Spin's pool of Postgres connections: for each address text 64 at most, for 16 addresses, recycled with the `Clean`
//! statements, no time limit anywhere (Spin `crates/factor-outbound-pg/src/client.rs`).

use std::sync::Arc;

use anyhow::{Context, Result};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use native_tls::{Certificate, TlsConnector};
use postgres_native_tls::MakeTlsConnector;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Config, NoTls};

use super::allowed_hosts::AllowedHosts;
use super::bindings::spin::postgres::postgres::Error;
use crate::names::Names;

const CONNECTIONS_PER_ADDRESS: usize = 64;
const ADDRESSES: u64 = 16;

/// The connections of one application, shared by all its instances.
pub(crate) struct Pools {
    names: Names,
    pools: moka::sync::Cache<(String, Option<String>), Pool>,
}

impl Pools {
    pub(crate) fn new(names: Names) -> Self {
        Self { names, pools: moka::sync::Cache::new(ADDRESSES) }
    }

    /// A connection for an address, as Spin's `open` gives it.
    pub(crate) async fn open(
        &self,
        address: &str,
        root_ca: Option<&str>,
        allowed: &AllowedHosts,
    ) -> Result<Arc<Object>, Error> {
        let config = address.parse::<Config>().map_err(|error| Error::ConnectionFailed(error.to_string()))?;
        check_allowed(&config, allowed)?;
        // Spin prints the error's debug form, a chain over several lines.
        self.get(address, &config, root_ca).await.map_err(|error| Error::ConnectionFailed(format!("{error:?}")))
    }

    async fn get(&self, address: &str, config: &Config, root_ca: Option<&str>) -> Result<Arc<Object>> {
        let key = (address.to_owned(), root_ca.map(str::to_owned));
        let pool = self
            .pools
            .try_get_with(key, || create(&self.names.apply(config), root_ca))
            .map_err(|error: Arc<anyhow::Error>| anyhow::anyhow!("{error:#}"))
            .context("establishing PostgreSQL connection pool")?;
        Ok(Arc::new(pool.get().await?))
    }
}

/// Every host counts, each with its own port or the only one.
fn check_allowed(config: &Config, allowed: &AllowedHosts) -> Result<(), Error> {
    let ports = config.get_ports();
    for (index, host) in config.get_hosts().iter().enumerate() {
        let Host::Tcp(host) = host else {
            return Err(Error::ConnectionFailed("Unix sockets are not supported on WebAssembly".to_owned()));
        };
        let only = if let [only] = ports { Some(only) } else { None };
        let port = ports.get(index).or(only);
        if !allowed.allows_postgres(host, port.copied().unwrap_or(5432)).map_err(Error::Other)? {
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            return Err(Error::ConnectionFailed(format!("address postgres://{host}{port} is not permitted")));
        }
    }
    Ok(())
}

fn create(config: &Config, root_ca: Option<&str>) -> Result<Pool> {
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Clean };
    let manager = if config.get_ssl_mode() == SslMode::Disable {
        Manager::from_config(config.clone(), NoTls, recycling)
    } else {
        let mut tls = TlsConnector::builder();
        if let Some(pem) = root_ca {
            tls.add_root_certificate(Certificate::from_pem(pem.as_bytes()).context("invalid root certificate")?);
        }
        Manager::from_config(config.clone(), MakeTlsConnector::new(tls.build()?), recycling)
    };
    Pool::builder(manager).max_size(CONNECTIONS_PER_ADDRESS).build().context("building Postgres connection pool")
}
