//! A proxy in front of a database that counts what its clients send: the messages of PostgreSQL's protocol 3.0 (its
//! manual, "Frontend/Backend Protocol"), without TLS.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use crate::fault::{Direction, FaultProxy, Observer};

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

/// The proxy, which can break the link as well. Dropping it ends its connections.
pub struct CountingProxy {
    link: FaultProxy,
    totals: Arc<Mutex<Totals>>,
}

/// All connections together.
#[derive(Debug, Default)]
struct Totals {
    counts: MessageCounts,
    in_flight: usize,
    most_in_flight: usize,
}

impl CountingProxy {
    /// Listens on a free port in front of `target`.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn before(target: SocketAddr) -> Result<Self> {
        let totals = Arc::new(Mutex::new(Totals::default()));
        let counted = Arc::clone(&totals);
        let link = FaultProxy::observed(target, Arc::new(move || Box::new(Connection::new(&counted)))).await?;
        Ok(Self { link, totals })
    }

    /// What clients have sent so far.
    #[must_use]
    pub fn counts(&self) -> MessageCounts {
        lock(&self.totals).counts
    }

    /// The most requests, over all connections, that waited for the server at the same moment.
    #[must_use]
    pub fn most_in_flight(&self) -> usize {
        lock(&self.totals).most_in_flight
    }
}

impl Deref for CountingProxy {
    type Target = FaultProxy;

    fn deref(&self) -> &FaultProxy {
        &self.link
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection through the proxy.
struct Connection {
    dialogue: Mutex<Dialogue>,
    totals: Arc<Mutex<Totals>>,
}

impl Connection {
    fn new(totals: &Arc<Mutex<Totals>>) -> Self {
        Self { dialogue: Mutex::default(), totals: Arc::clone(totals) }
    }
}

impl Observer for Connection {
    fn observe(&self, direction: Direction, bytes: &[u8]) {
        let (mut dialogue, mut totals) = (lock(&self.dialogue), lock(&self.totals));
        match direction {
            Direction::Request => dialogue.feed_request(bytes, &mut totals),
            Direction::Response => dialogue.feed_response(bytes, &mut totals),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Nobody answers these any more.
        lock(&self.totals).in_flight -= lock(&self.dialogue).waited_for();
    }
}

/// What was sent on one connection, in both directions.
#[derive(Default)]
struct Dialogue {
    requests: Messages,
    responses: Messages,
    started: bool,
    /// The kinds of the messages since the last one that asked for an answer.
    batch: Vec<u8>,
    /// What the server has still to answer, in order, and whether the client waits for it.
    unanswered: VecDeque<bool>,
}

impl Dialogue {
    fn feed_request(&mut self, bytes: &[u8], totals: &mut Totals) {
        self.requests.unread.extend_from_slice(bytes);
        // A start-up message has no kind; every other starts with one.
        while let Some(kind) = self.requests.next(self.started) {
            self.request(kind, totals);
        }
    }

    fn feed_response(&mut self, bytes: &[u8], totals: &mut Totals) {
        self.responses.unread.extend_from_slice(bytes);
        while let Some(kind) = self.responses.next(true) {
            // ReadyForQuery
            if kind == Some(b'Z') && self.unanswered.pop_front() == Some(true) {
                totals.in_flight -= 1;
            }
        }
    }

    fn request(&mut self, kind: Option<u8>, totals: &mut Totals) {
        let counts = &mut totals.counts;
        counts.messages += 1;
        let waits = match kind {
            None => {
                self.started = true;
                counts.connections += 1;
                counts.checkouts += 1;
                true
            }
            // A simple query, which is what a pool recycles a connection with.
            Some(b'Q') => {
                counts.checkouts += 1;
                true
            }
            // A password, which is part of the start-up.
            Some(b'p') => {
                counts.round_trips += 1;
                return;
            }
            // Sync: the server answers all of the batch.
            Some(b'S') => !std::mem::take(&mut self.batch).iter().all(|kind| *kind == b'C'),
            Some(kind) => {
                self.batch.push(kind);
                return;
            }
        };
        self.unanswered.push_back(waits);
        if waits {
            counts.round_trips += 1;
            totals.in_flight += 1;
            totals.most_in_flight = totals.most_in_flight.max(totals.in_flight);
        } else {
            counts.closed_behind += 1;
        }
    }

    fn waited_for(&self) -> usize {
        self.unanswered.iter().filter(|waits| **waits).count()
    }
}

/// Takes the messages in one direction apart.
#[derive(Default)]
struct Messages {
    unread: Vec<u8>,
}

impl Messages {
    /// The kind of the next message, where all of it is there.
    fn next(&mut self, with_kind: bool) -> Option<Option<u8>> {
        let head = self.unread.get(..if with_kind { 5 } else { 4 })?;
        let (kind, length) = head.split_at(head.len() - 4);
        // The length counts itself.
        let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
        let end = kind.len() + usize::try_from(length).expect("a message fits into memory");
        let kind = kind.first().copied();
        (self.unread.len() >= end).then(|| {
            self.unread.drain(..end);
            kind
        })
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
        // Authenticated; then the start-up, the query and the first batch are answered.
        let mut received = message(b'R', &[0; 4]);
        for kind in *b"ZCZ1Z" {
            received.extend(message(kind, b"I"));
        }
        let expected = MessageCounts { connections: 1, checkouts: 2, messages: 10, round_trips: 4, closed_behind: 1 };
        for size in 1..sent.len() {
            let totals = Arc::default();
            let connection = Connection::new(&totals);
            sent.chunks(size).for_each(|bytes| connection.observe(Direction::Request, bytes));
            assert_eq!(lock(&totals).counts, expected, "in pieces of {size}");
            assert_eq!(lock(&totals).most_in_flight, 4, "in pieces of {size}");
            received.chunks(size).for_each(|bytes| connection.observe(Direction::Response, bytes));
            assert_eq!(lock(&totals).in_flight, 1, "the second batch, in pieces of {size}");
            drop(connection);
            assert_eq!(lock(&totals).in_flight, 0, "nobody waits on a closed connection");
        }
    }
}
