//! A region with a replica: a Machine in `fra` that reaches each database of its cluster through a proxy of its own.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::counting_proxy::CountingProxy;
use crate::machine::{Host, Machine, Routes, Setup};
use crate::postgres::{Cluster, PASSWORD, PASSWORD_LOGIN, Server, USER};
use crate::private_network::PrivateNetwork;
use crate::wait::eventually;

/// What spin.toml sets.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// How long anything may take that must happen in the end.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What differs from region to region.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Another application than that of this repository.
    pub manifest: Option<&'a Path>,
    /// More parameters for DATABASE_URL.
    pub parameters: &'a str,
    /// More settings for every server.
    pub settings: &'a [(&'a str, &'a str)],
    /// More environment for the Machine.
    pub environment: &'a [(&'a str, &'a str)],
    /// A second replica, `syd`, is the nearest one after the region's own. Without it both are the same. On a real Spin
    /// this needs names in /etc/hosts.
    pub nearest: bool,
    /// More clients come than Spin has connections. The in-house host then logs in without a password: a debug build
    /// takes so long to hash it that the connections of a crowd are given up before they are there.
    pub crowds: bool,
}

/// The region. Its parts end in the order in which they stand here.
pub struct ReplicaRegion {
    /// The Machine, which logs in with a password where its time allows.
    pub machine: Machine,
    _network: Option<PrivateNetwork>,
    /// Before the region's own replica.
    pub local: CountingProxy,
    /// Before the nearest other replica, where there is one.
    pub nearest: Option<CountingProxy>,
    /// Before the primary.
    pub primary: CountingProxy,
    /// All databases.
    pub cluster: Cluster,
}

impl ReplicaRegion {
    /// Starts all of it on a host.
    ///
    /// # Errors
    /// When a part of it does not start.
    pub async fn start(host: &Host, options: Options<'_>) -> Result<Self> {
        let replicas: &[&str] = if options.nearest { &["fra", "syd"] } else { &["fra"] };
        let cluster = Cluster::start_with(replicas, options.settings).await?;
        let local = CountingProxy::before(cluster.server("fra").address()).await?;
        let primary = CountingProxy::before(cluster.primary().address()).await?;
        let nearest =
            if options.nearest { Some(CountingProxy::before(cluster.server("syd").address()).await?) } else { None };
        let routes = Routes {
            configured: primary.address(),
            local: local.address(),
            nearest: nearest.as_ref().map(|proxy| proxy.address()),
            private: vec![("fra".to_owned(), local.address())],
        };
        let login = if options.crowds && host.knows_private_names() { USER } else { PASSWORD_LOGIN };
        let (mut setup, network) = if options.nearest {
            on_private_network("fra", login, &routes, host).await?
        } else {
            (Setup::with_routes("fra", login, &routes, host), None)
        };
        setup.manifest = options.manifest.map(Path::to_owned);
        for (name, value) in options.environment {
            setup = setup.env(name, *value);
        }
        if !options.parameters.is_empty() {
            let url = &setup.environment["DATABASE_URL"];
            let joint = if url.contains('?') { '&' } else { '?' };
            let url = format!("{url}{joint}{}", options.parameters);
            setup = setup.env("DATABASE_URL", url);
        }
        let machine = Machine::start(host, setup).await?;
        Ok(Self { machine, _network: network, local, nearest, primary, cluster })
    }

    /// The region's own replica.
    #[must_use]
    pub fn fra(&self) -> &Server {
        self.cluster.server("fra")
    }

    /// Waits until the region's own replica answers.
    ///
    /// # Errors
    /// When it does not; says `what` was waited for.
    pub async fn wait_for_home(&self, what: &str) -> Result<()> {
        eventually(PATIENCE, what, async || {
            let answer = self.machine.client().await.ok()?.get("/").await.ok()?;
            (answer.status == 200 && is_home(answer.header("database-candidate"))).then_some(())
        })
        .await
    }

    /// Fails where the password stands in what the Machine wrote.
    ///
    /// # Errors
    /// With all that it wrote.
    pub fn no_secret_is_logged(&self) -> Result<()> {
        let logs = self.machine.logs();
        let encoded = PASSWORD_LOGIN.split_once(':').map_or(PASSWORD_LOGIN, |(_, password)| password);
        // The third is what is left where the password is taken for a host and its port.
        let found = [PASSWORD, encoded, "ss:5432"].iter().any(|secret| logs.contains(secret));
        ensure!(!found, "the password is in the log:\n{logs}");
        Ok(())
    }
}

/// A Machine with the names of Fly's private network: the in-house host makes them up, a real Spin finds them in
/// /etc/hosts for as long as the network lives.
///
/// # Errors
/// Where the names cannot be made up.
pub async fn on_private_network(
    region: &str,
    login: &str,
    routes: &Routes,
    host: &Host,
) -> Result<(Setup, Option<PrivateNetwork>)> {
    let network = if host.knows_private_names() { None } else { Some(PrivateNetwork::start(routes).await?) };
    Ok((Setup::with_private_names(region, login, routes), network))
}

/// Whether a candidate is the region's own replica, by one rule or the other.
#[must_use]
pub fn is_home(candidate: &str) -> bool {
    ["local", "replica-port"].contains(&candidate)
}
