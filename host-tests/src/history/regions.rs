//! Regions, each with a Machine, and with links of its own to the primary and to its replica: three that serve the session
//! guest, one that serves a guestbook, or three that do behind the imitated proxy of Fly.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::{Either, select};
use tokio::time::timeout;

use super::book::make_book;
use super::state::make_tables;
use crate::fault::FaultProxy;
use crate::fly::{Distances, Fly, Settings};
use crate::machine::{Host, Machine, Routes, Setup, repository};
use crate::postgres::{Cluster, PRIMARY, USER};
use crate::private_network::PrivateNetwork;
use crate::region::on_private_network;
use crate::wait::eventually;

/// Where there are replicas.
pub(super) const REPLICAS: [&str; 2] = ["fra", "syd"];

/// Where another one is, the nearest for all of them after their own. It always lags.
const LAGGING: &str = "ams";
const LAG: &str = "400ms";

/// Between two times that connections are ended.
const BETWEEN_ENDS: Duration = Duration::from_millis(40);

/// A region, and where its Machine listens.
pub type Address = (String, SocketAddr);

/// The regions.
pub struct Regions {
    places: Vec<Place>,
    fly: Option<Edges>,
    cluster: Cluster,
}

/// An edge in each region.
struct Edges {
    addresses: Vec<Address>,
    _fly: Fly,
}

struct Place {
    region: &'static str,
    machine: Machine,
    _network: Option<PrivateNetwork>,
    primary: FaultProxy,
    local: FaultProxy,
}

impl Place {
    /// With the nearest other replica, where there is one; a real Spin has no names for that.
    async fn start(
        region: &'static str,
        cluster: &Cluster,
        nearest: Option<SocketAddr>,
        serve: impl AsyncFnOnce(Routes) -> Result<(Machine, Option<PrivateNetwork>)>,
    ) -> Result<Self> {
        let primary = FaultProxy::before(cluster.primary().address()).await?;
        let local = FaultProxy::before(cluster.server(region).address()).await?;
        let private = vec![(region.to_owned(), local.address())];
        let routes = Routes { configured: primary.address(), local: local.address(), nearest, private };
        let (machine, network) = serve(routes).await?;
        Ok(Self { region, machine, _network: network, primary, local })
    }
}

impl Regions {
    /// Starts a cluster with these settings, and the Machines. Nobody has written anything.
    ///
    /// # Errors
    /// When a part of it does not start.
    pub async fn start(host: &Host, settings: &[(&str, &str)]) -> Result<Self> {
        let cluster = Cluster::start_with(&REPLICAS, settings).await?;
        make_tables(cluster.primary()).await?;
        let mut places = Vec::new();
        for region in REPLICAS.into_iter().chain([PRIMARY]) {
            let serve = async |routes: Routes| Ok((serve_guest(region, &routes, host).await?, None));
            places.push(Place::start(region, &cluster, None, serve).await?);
        }
        Self::ready(cluster, places).await
    }

    /// Starts a cluster, and one Machine in `fra` that serves the guestbook of this manifest, which is built. Nobody has
    /// signed it.
    ///
    /// # Errors
    /// When a part of it does not start.
    pub async fn with_guestbook(host: &Host, manifest: &Path) -> Result<Self> {
        let cluster = with_a_lagging_replica().await?;
        let serve = async |routes: Routes| {
            let (setup, network) = on_private_network("fra", USER, &routes, host).await?;
            let setup = Setup { manifest: Some(manifest.to_owned()), ..setup };
            Ok((Machine::start(host, setup).await?, network))
        };
        let fra = Place::start("fra", &cluster, Some(cluster.server(LAGGING).address()), serve).await?;
        Self::ready(cluster, vec![fra]).await
    }

    /// Starts a cluster, and Machines that serve the guestbook of this manifest in all regions, behind edges at these
    /// distances from each other. The manifest must have the variable `replica_port`. Nobody has signed it.
    ///
    /// # Errors
    /// When a part of it does not start.
    pub async fn behind_fly(host: &Host, manifest: &Path, distances: Distances) -> Result<Self> {
        let cluster = with_a_lagging_replica().await?;
        let nearest = Some(cluster.server(LAGGING).address());
        let fly = Fly::new(Settings { give_up_after: Duration::from_millis(300), ..distances.into() });
        let (mut places, mut addresses) = (Vec::new(), Vec::new());
        for region in REPLICAS.into_iter().chain([PRIMARY]) {
            let serve = async |routes: Routes| {
                let setup = Setup::with_routes(region, USER, &routes, host);
                Ok((Machine::start(host, Setup { manifest: Some(manifest.to_owned()), ..setup }).await?, None))
            };
            let place = Place::start(region, &cluster, nearest, serve).await?;
            fly.add_machine(region, place.machine.address())?;
            addresses.push((region.to_owned(), fly.start_edge(region).await?));
            places.push(place);
        }
        let regions = Self::ready(cluster, places).await?;
        Ok(Self { fly: Some(Edges { addresses, _fly: fly }), ..regions })
    }

    async fn ready(cluster: Cluster, places: Vec<Place>) -> Result<Self> {
        let regions = Self { places, fly: None, cluster };
        regions.wait_for_replicas().await?;
        Ok(regions)
    }

    pub(super) fn addresses(&self) -> Vec<Address> {
        if let Some(edges) = &self.fly {
            return edges.addresses.clone();
        }
        self.places.iter().map(|place| (place.region.to_owned(), place.machine.address())).collect()
    }

    /// The databases.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The links to the primary, one for each region.
    pub fn links_to_primary(&self) -> impl Iterator<Item = &FaultProxy> {
        self.places.iter().map(|place| &place.primary)
    }

    /// All links.
    pub fn links(&self) -> impl Iterator<Item = &FaultProxy> {
        self.places.iter().flat_map(|place| [&place.primary, &place.local])
    }

    /// Stops the replay of a region's replica.
    ///
    /// # Errors
    /// When it goes on.
    pub async fn pause(&self, region: &str) -> Result<()> {
        self.cluster.server(region).pause_replay().await
    }

    /// Goes on with it.
    ///
    /// # Errors
    /// When the replica does not answer.
    pub async fn resume(&self, region: &str) -> Result<()> {
        self.cluster.server(region).resume_replay().await
    }

    /// Runs a script while connections of the app to the replicas end all the time.
    pub async fn while_connections_end<T>(&self, script: impl Future<Output = T>) -> T {
        let end_all = "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity \
                       WHERE application_name LIKE 'nearest-replica%'";
        let end = async {
            loop {
                for region in REPLICAS {
                    // It may hang, or be down.
                    let _ = timeout(BETWEEN_ENDS, self.cluster.server(region).ask(end_all)).await;
                }
                tokio::time::sleep(BETWEEN_ENDS).await;
            }
        };
        match select(pin!(script), pin!(end)).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right((never, _)) => never,
        }
    }

    /// Waits until the replicas have replayed what the primary has now.
    ///
    /// # Errors
    /// When they do not.
    pub async fn wait_for_replicas(&self) -> Result<()> {
        let lsn = self.cluster.primary().ask("SELECT pg_current_wal_flush_lsn()::text").await?;
        for region in REPLICAS {
            let question = format!("SELECT (pg_last_wal_replay_lsn() >= '{lsn}')::text");
            let replica = self.cluster.server(region);
            eventually(Duration::from_secs(30), &format!("`{region}` to replay {lsn}"), async || {
                (replica.ask(&question).await.ok()? == "true").then_some(())
            })
            .await?;
        }
        Ok(())
    }

    /// From now on all new connections to the primary lead to this server.
    pub fn lead_to(&self, region: &str) {
        let target = self.cluster.server(region).address();
        self.places.iter().for_each(|place| place.primary.lead_to(target));
    }

    /// Ends the Machines and their links, so that nothing can be written any more.
    #[must_use]
    pub fn close(self) -> Cluster {
        self.cluster
    }
}

/// A cluster for guests: with a replica more that lags. Nobody has signed the book.
async fn with_a_lagging_replica() -> Result<Cluster> {
    let cluster = Cluster::start(&[REPLICAS[0], REPLICAS[1], LAGGING]).await?;
    make_book(cluster.primary()).await?;
    let lagging = cluster.server(LAGGING);
    lagging.ask(&format!("ALTER SYSTEM SET recovery_min_apply_delay = '{LAG}'")).await?;
    lagging.ask("SELECT pg_reload_conf()").await?;
    Ok(cluster)
}

/// A Machine in a region that plays scripts: what a [`Drive`](super::Drive) needs.
///
/// # Errors
/// When it cannot be built, or does not start.
pub async fn serve_guest(region: &str, routes: &Routes, host: &Host) -> Result<Machine> {
    let manifest = repository().join("host-tests/session-guest/spin.toml");
    let building = manifest.clone();
    tokio::task::spawn_blocking(move || crate::spin::build(&building)).await.context("building the guest")??;
    let setup = Setup::with_routes(region, USER, routes, host);
    Machine::start(host, Setup { manifest: Some(manifest), ..setup }).await
}
