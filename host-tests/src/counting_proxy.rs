//! A TCP proxy in front of a database that counts what its clients send: the frontend messages of PostgreSQL's protocol
//! 3.0 (its manual, "Frontend/Backend Protocol"), without TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What clients have sent so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// New connections.
    pub connections: u64,
    /// Connections taken out of a pool: those that are new, and those that are recycled with a simple query.
    pub checkouts: u64,
    /// Messages of every kind.
    pub messages: u64,
    /// How often the client had to wait for the server before it had its rows.
    pub round_trips: u64,
    /// Statements that were closed behind the answer, which nobody waits for.
    pub closed_behind: u64,
}

impl MessageCounts {
    /// What was sent since an earlier count.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            connections: self.connections - earlier.connections,
            checkouts: self.checkouts - earlier.checkouts,
            messages: self.messages - earlier.messages,
            round_trips: self.round_trips - earlier.round_trips,
            closed_behind: self.closed_behind - earlier.closed_behind,
        }
    }
}

/// The proxy. Dropping it ends its connections.
pub struct CountingProxy {
    address: SocketAddr,
    counts: Arc<Mutex<MessageCounts>>,
    running: JoinHandle<()>,
}

impl CountingProxy {
    /// Listens on a free port in front of `target`.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn before(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listening before a database")?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Mutex::new(MessageCounts::default()));
        let counted = Arc::clone(&counts);
        let running = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(serve(client, target, Arc::clone(&counted)));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, counts, running })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What clients have sent so far.
    #[must_use]
    pub fn counts(&self) -> MessageCounts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CountingProxy {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn serve(mut client: TcpStream, target: SocketAddr, counts: Arc<Mutex<MessageCounts>>) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let mut messages = ClientMessages::default();
    let feed = |bytes: &[u8]| messages.feed(bytes, &mut counts.lock().unwrap_or_else(PoisonError::into_inner));
    tokio::join!(copy(from_client, to_server, feed), copy(from_server, to_client, |_| {}));
}

async fn copy(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut feed: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        feed(&buffer[..length]);
        if to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

/// Takes the messages of one client apart.
#[derive(Default)]
struct ClientMessages {
    unread: Vec<u8>,
    started: bool,
    /// The kinds of the messages since the last one that asked for an answer.
    batch: Vec<u8>,
}

impl ClientMessages {
    fn feed(&mut self, bytes: &[u8], counts: &mut MessageCounts) {
        self.unread.extend_from_slice(bytes);
        // A start-up message has no kind; every other starts with one. The length counts itself.
        while let Some(head) = self.unread.get(..if self.started { 5 } else { 4 }) {
            let (kind, length) = head.split_at(head.len() - 4);
            let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
            let end = kind.len() + usize::try_from(length).expect("a message fits into memory");
            if self.unread.len() < end {
                return;
            }
            let kind = kind.first().copied();
            self.unread.drain(..end);
            self.message(kind, counts);
        }
    }

    fn message(&mut self, kind: Option<u8>, counts: &mut MessageCounts) {
        counts.messages += 1;
        match kind {
            None => {
                self.started = true;
                counts.connections += 1;
                counts.checkouts += 1;
                counts.round_trips += 1;
            }
            // A simple query, which is what a pool recycles a connection with.
            Some(b'Q') => {
                counts.checkouts += 1;
                counts.round_trips += 1;
            }
            Some(b'p') => counts.round_trips += 1,
            // Sync: the server answers all of the batch.
            Some(b'S') => {
                if self.batch.iter().all(|kind| *kind == b'C') {
                    counts.closed_behind += 1;
                } else {
                    counts.round_trips += 1;
                }
                self.batch.clear();
            }
            Some(kind) => self.batch.push(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind], length.to_be_bytes().as_slice(), body].concat()
    }

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let mut sent = message(0, b"\0\x03\0\0user\0ann\0\0")[1..].to_vec();
        for (kind, body) in [(b'Q', "DISCARD"), (b'P', "SELECT"), (b'D', "x"), (b'S', ""), (b'B', "S"), (b'E', "C")] {
            sent.extend(message(kind, body.as_bytes()));
        }
        for kind in *b"SCS" {
            sent.extend(message(kind, b""));
        }
        let expected = MessageCounts { connections: 1, checkouts: 2, messages: 10, round_trips: 4, closed_behind: 1 };
        for size in 1..sent.len() {
            let (mut messages, mut counts) = (ClientMessages::default(), MessageCounts::default());
            sent.chunks(size).for_each(|bytes| messages.feed(bytes, &mut counts));
            assert_eq!(counts, expected, "in pieces of {size}");
        }
    }
}
