//! Imitates Fly's proxy: an edge per region that clients connect to, Machines behind, distances between the regions, and
//! `fly-replay` with its limits, `timeout` and `fallback`. What Fly would refuse is refused, with Fly's error code.
//!
//! Not imitated: HTTP/2, TLS, WebSockets, other apps, the replay cache, replays as JSON (refused, not passed over),
//! concurrency limits, health checks, and starting a stopped Machine. Sources are the pages of docs.fly.io on dynamic
//! request routing, request headers and error codes; where they are silent a comment says what is assumed.

mod body;
mod distances;
mod edge;
mod headers;
mod machines;
mod network;
mod reach;
mod refusal;
mod regions;
mod replay;
mod request;
mod route;
#[cfg(test)]
mod tests;
mod trace;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use tokio::sync::broadcast;

use body::Task;
pub use distances::Distances;
use edge::Edge;
use machines::State;
use network::Network;
pub use network::{Settings, TimeoutCovers};
pub use refusal::{Code, ERROR_HEADER};
pub use replay::APP;
pub use route::InstanceId;
pub use trace::{Hop, Reason, Seen, Why};

/// A network of edges and Machines. Dropping it stops the edges and cuts every request.
pub struct Fly {
    network: Arc<Network>,
    edges: Mutex<Vec<Task>>,
}

impl Fly {
    /// One without edges and Machines; of [`Distances`] alone, or of all [`Settings`].
    pub fn new(settings: impl Into<Settings>) -> Self {
        Self { network: Arc::new(Network::new(settings.into())), edges: Mutex::default() }
    }

    /// Starts to serve HTTP/1.1 for the clients that are near `region`, on a free port.
    ///
    /// # Errors
    /// When the region has no distance to another one in use, or when there is no free port.
    pub async fn start_edge(&self, region: &str) -> Result<SocketAddr> {
        self.start_edge_at(region, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// The same on an address of the caller's choice.
    ///
    /// # Errors
    /// When the region has no distance to another one in use, or when the address is taken.
    pub async fn start_edge_at(&self, region: &str, listen: SocketAddr) -> Result<SocketAddr> {
        self.network.enter(region)?;
        let (address, task) = Edge::start(region, listen, Arc::clone(&self.network)).await?;
        self.edges.lock().unwrap_or_else(PoisonError::into_inner).push(task);
        Ok(address)
    }

    /// Adds a Machine that is started: a server of the caller's own.
    ///
    /// # Errors
    /// When the region has no distance to another one in use.
    pub fn add_machine(&self, region: &str, address: SocketAddr) -> Result<InstanceId> {
        self.network.enter(region)?;
        Ok(self.network.machines.add(region, address))
    }

    /// The Machine has stopped: no request is routed to it. Its server, and what it is answering, are left alone.
    ///
    /// # Errors
    /// When there is no such Machine.
    pub fn stop(&self, instance: &InstanceId) -> Result<()> {
        self.set(instance, State::Stopped)
    }

    /// The Machine is started, and reached, again.
    ///
    /// # Errors
    /// When there is no such Machine.
    pub fn start(&self, instance: &InstanceId) -> Result<()> {
        self.set(instance, State::Started)
    }

    /// Requests are still routed to the Machine, and do not reach it: connecting takes for ever.
    ///
    /// # Errors
    /// When there is no such Machine.
    pub fn cut_off(&self, instance: &InstanceId) -> Result<()> {
        self.set(instance, State::CutOff)
    }

    /// Where the request with this `fly-request-id` went, in order; of the last ten thousand requests.
    #[must_use]
    pub fn hops(&self, request_id: &str) -> Vec<Hop> {
        self.network.trace.hops(request_id)
    }

    /// Every request that ends from now on.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Seen> {
        self.network.seen.subscribe()
    }

    /// From now on all distances are this many times those that the network began with.
    pub fn scale(&self, by: f64) {
        self.network.scale(by);
    }

    /// How far the regions are from each other, now.
    #[must_use]
    pub fn distances(&self) -> Distances {
        self.network.distances()
    }

    fn set(&self, instance: &InstanceId, state: State) -> Result<()> {
        ensure!(self.network.machines.set(instance, state), "there is no Machine {instance}");
        Ok(())
    }
}
