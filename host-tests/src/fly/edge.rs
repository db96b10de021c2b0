//! Where clients connect: HTTP/1.1 with keep-alive, on a port of the edge's own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http::header::USER_AGENT;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::body::{Body, Task};
use super::headers::{add_to_request, add_to_response, take_hop_by_hop};
use super::network::Network;
use super::request::Forwarding;
use super::trace::{Seen, request_id};

pub(super) struct Edge {
    region: String,
    address: SocketAddr,
    network: Arc<Network>,
}

impl Edge {
    /// Serves until the task is dropped; on a free port where `listen` has the port 0.
    pub(super) async fn start(region: &str, listen: SocketAddr, network: Arc<Network>) -> Result<(SocketAddr, Task)> {
        let listener = TcpListener::bind(listen).await;
        let listener = listener.with_context(|| format!("listening for the edge in {region}"))?;
        let address = listener.local_addr()?;
        let edge = Arc::new(Self { region: region.to_owned(), address, network });
        let task = Task::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, client)) = listener.accept().await {
                connections.spawn(Arc::clone(&edge).serve(stream, client));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok((address, task))
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, client: SocketAddr) {
        let _ = stream.set_nodelay(true);
        let handle = service_fn(|request| {
            let edge = Arc::clone(&self);
            async move { Ok::<_, Infallible>(edge.answer(request, client).await) }
        });
        // A client that goes away in the middle is no news.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), handle).await;
    }

    async fn answer(&self, mut request: Request<Incoming>, client: SocketAddr) -> Response<Body> {
        let id = request_id(&self.region);
        let upgrade = take_hop_by_hop(request.headers_mut());
        // Nobody pays for what nobody wants to know.
        let pending =
            (self.network.seen.receiver_count() > 0).then(|| Pending::new(&self.network, self.seen(&id, &request)));
        add_to_request(request.headers_mut(), &self.region, &id, client, self.address);
        let mut forwarding = Forwarding::new(&self.network, &self.region, &id, upgrade);
        let outcome = forwarding.run(request).await;
        let mut response = outcome.unwrap_or_else(|refusal| refusal.response(forwarding.replays()));
        take_hop_by_hop(response.headers_mut());
        add_to_response(response.headers_mut(), &id, forwarding.replays());
        if let Some(mut pending) = pending {
            pending.seen.status = Some(response.status());
            pending.seen.headers = response.headers().clone();
        }
        response
    }

    /// A request that has no answer yet.
    fn seen(&self, id: &str, request: &Request<Incoming>) -> Seen {
        let client = request.headers().get(USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
        Seen {
            id: id.to_owned(),
            edge: self.region.clone(),
            method: request.method().clone(),
            path: request.uri().path_and_query().map_or_else(String::new, ToString::to_string),
            client: client.unwrap_or_default().into_owned(),
            status: None,
            headers: HeaderMap::new(),
            took: Duration::ZERO,
            hops: Vec::new(),
        }
    }
}

/// A request of which is told when it ends: with its answer, or when its client has gone.
struct Pending<'a> {
    network: &'a Network,
    started: Instant,
    seen: Seen,
}

impl<'a> Pending<'a> {
    fn new(network: &'a Network, seen: Seen) -> Self {
        Self { network, started: Instant::now(), seen }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.seen.took = self.started.elapsed();
        self.seen.hops = self.network.trace.hops(&self.seen.id);
        // The last listener may have gone meanwhile.
        let _ = self.network.seen.send(self.seen.clone());
    }
}
