//! A TCP proxy in front of a database, whose state is one [`Fault`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

const FREE_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What the link to the database does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing in particular.
    Pass,
    /// Nobody listens; the connections there were are gone.
    Refuse,
    /// Connections are taken and kept, and nothing gets through, in either direction.
    Stall,
    /// Requests get through; of each response only the first byte does.
    StallMidResponse,
    /// Every connection, old and new, ends with a TCP reset.
    Reset,
    /// Everything takes this much longer, in each direction.
    Delay(Duration),
    /// A new connection takes this much longer, as where a server has no time to check passwords.
    SlowOpen(Duration),
}

/// Which way bytes go through a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Request,
    /// From the server to the client.
    Response,
}

/// Sees the bytes of one connection as they come in, before a fault holds them up.
pub(crate) trait Observer: Send + Sync {
    fn observe(&self, direction: Direction, bytes: &[u8]);
}

/// Makes the observer of each new connection.
type Observers = Arc<dyn Fn() -> Box<dyn Observer> + Send + Sync>;

/// The proxy. Dropping it ends its connections.
pub struct FaultProxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    target: Arc<Mutex<SocketAddr>>,
    hits: Arc<AtomicUsize>,
    running: JoinHandle<()>,
}

impl FaultProxy {
    /// Listens on a free port in front of `target`.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn before(target: SocketAddr) -> Result<Self> {
        Self::listen(FREE_PORT, target, None).await
    }

    /// Listens on an address of the caller's choice.
    ///
    /// # Errors
    /// When the address is taken, or not one of this machine.
    pub async fn at(address: SocketAddr, target: SocketAddr) -> Result<Self> {
        Self::listen(address, target, None).await
    }

    /// Listens on a free port, with an observer for each connection.
    pub(crate) async fn observed(target: SocketAddr, observers: Observers) -> Result<Self> {
        Self::listen(FREE_PORT, target, Some(observers)).await
    }

    async fn listen(address: SocketAddr, target: SocketAddr, observers: Option<Observers>) -> Result<Self> {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("listening on {address} before a database"))?;
        let address = listener.local_addr()?;
        let (fault, state) = watch::channel(Fault::Pass);
        let hits = Arc::new(AtomicUsize::new(0));
        let target = Arc::new(Mutex::new(target));
        let link = Link { target: Arc::clone(&target), state, hits: Arc::clone(&hits), observers };
        Ok(Self { address, fault, target, hits, running: tokio::spawn(link.run(address, listener)) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the state, for old and new connections.
    pub fn set(&self, fault: Fault) {
        self.hits.store(0, Ordering::Relaxed);
        self.fault.send_replace(fault);
    }

    /// The present state.
    #[must_use]
    pub fn fault(&self) -> Fault {
        *self.fault.borrow()
    }

    /// New connections lead to another server. Those that there are stay where they are.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// How many connections or messages the present fault has hit. A refused connection leaves no trace here.
    #[must_use]
    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::Relaxed)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.running.abort();
    }
}

#[derive(Clone)]
struct Link {
    target: Arc<Mutex<SocketAddr>>,
    state: watch::Receiver<Fault>,
    hits: Arc<AtomicUsize>,
    observers: Option<Observers>,
}

impl Link {
    async fn run(mut self, address: SocketAddr, listener: TcpListener) {
        let mut listener = Some(listener);
        let mut connections = JoinSet::new();
        loop {
            let fault = *self.state.borrow_and_update();
            if fault == Fault::Refuse {
                listener = None;
            } else if listener.is_none() {
                listener = TcpListener::bind(address).await.ok();
            }
            tokio::select! {
                changed = self.state.changed() => if changed.is_err() { return },
                Some(stream) = accept(listener.as_ref()) => {
                    connections.spawn(self.clone().serve(stream));
                }
                () = tokio::time::sleep(Duration::from_millis(50)), if listener.is_none() => {}
            }
            while connections.try_join_next().is_some() {}
        }
    }

    async fn serve(self, mut client: TcpStream) {
        let mut state = self.state.clone();
        let fault = *state.borrow_and_update();
        if let Fault::Delay(delay) = fault {
            // The handshake was with this machine; on such a link it is a round trip.
            tokio::time::sleep(2 * delay).await;
        }
        if let Fault::SlowOpen(delay) = fault {
            self.hit();
            tokio::time::sleep(delay).await;
        }
        let target = *self.target.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(mut server) = TcpStream::connect(target).await else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let observer = self.observers.as_ref().map(|new| new());
        let observer = observer.as_deref();
        let broken = {
            let (from_client, to_client) = client.split();
            let (from_server, to_server) = server.split();
            let requests = self.clone().carry(from_client, to_server, Direction::Request, observer);
            let responses = self.clone().carry(from_server, to_client, Direction::Response, observer);
            tokio::select! {
                _ = async { tokio::join!(requests, responses) } => false,
                _ = state.wait_for(|fault| matches!(fault, Fault::Refuse | Fault::Reset)) => true,
            }
        };
        if broken {
            self.hit();
            // Closing then sends a reset instead of an orderly end.
            let _ = client.set_zero_linger();
        }
    }

    /// Carries bytes in one direction, as long as the fault lets it. A delay does not add up: the bytes behind are under
    /// way at the same time, as on a long cable.
    async fn carry(self, from: ReadHalf<'_>, to: WriteHalf<'_>, direction: Direction, observer: Option<&dyn Observer>) {
        let observe = |bytes: &[u8]| {
            if let Some(observer) = observer {
                observer.observe(direction, bytes);
            }
        };
        let (under_way_to, under_way) = mpsc::unbounded_channel();
        tokio::join!(self.clone().send(from, under_way_to, observe), self.deliver(under_way, to, direction));
    }

    async fn send(
        mut self,
        mut from: ReadHalf<'_>,
        under_way: mpsc::UnboundedSender<(Instant, Vec<u8>)>,
        observe: impl Fn(&[u8]),
    ) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            observe(&buffer[..length]);
            let mut due = Instant::now();
            let fault = *self.state.borrow_and_update();
            if let Fault::Delay(delay) = fault {
                self.hit();
                due += delay;
            }
            if under_way.send((due, buffer[..length].to_vec())).is_err() {
                break;
            }
        }
    }

    async fn deliver(
        mut self,
        mut under_way: mpsc::UnboundedReceiver<(Instant, Vec<u8>)>,
        mut to: WriteHalf<'_>,
        direction: Direction,
    ) {
        while let Some((due, bytes)) = under_way.recv().await {
            if due > Instant::now() {
                tokio::time::sleep_until(due.into()).await;
            }
            let mut rest = bytes.as_slice();
            let fault = *self.state.borrow_and_update();
            if fault == Fault::Stall || (fault == Fault::StallMidResponse && direction == Direction::Response) {
                self.hit();
                if fault == Fault::StallMidResponse && to.write_all(&rest[..1]).await.is_ok() {
                    rest = &rest[1..];
                }
                let _ = self.state.wait_for(|now| *now != fault).await;
            }
            if to.write_all(rest).await.is_err() {
                break;
            }
        }
        // The other side learns that this one has ended.
        let _ = to.shutdown().await;
    }

    fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }
}

async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    Some(listener?.accept().await.ok()?.0)
}
