//! Keep-alive clients that each send the next `GET /` when they have the answer to the last.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::segments;

/// A second more than the component's deadline: whoever waits longer counts as starved.
const PATIENCE: Duration = Duration::from_secs(6);
/// What a response that leaves in two segments waits for is the client's delayed acknowledgement, 40 ms.
const STALL: Duration = Duration::from_millis(35);
const BODY: &[u8] = br#"{"status":"ok"}"#;

/// What the clients saw.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Latencies in microseconds; who was not answered waited for as long as clients wait.
    pub latencies: Histogram<u64>,
    /// Good answers.
    pub answered: u64,
    /// Wrong answers, broken connections, and requests that were never answered.
    pub failed: u64,
    /// What went wrong with the first of them.
    pub why: Option<String>,
    /// Answers in more than one TCP segment, on the connections that have ended.
    pub split: u64,
    /// Answers that took 35 ms longer than the database did.
    pub over_35ms: u64,
    /// Answers that say how long the database took; without them `over_35ms` means nothing.
    pub timed: u64,
    /// Answers without `content-length`.
    pub chunked: u64,
}

impl Default for Outcome {
    fn default() -> Self {
        let latencies = Histogram::new_with_bounds(1, 60_000_000, 3).expect("these bounds are valid");
        Self { latencies, answered: 0, failed: 0, why: None, split: 0, over_35ms: 0, timed: 0, chunked: 0 }
    }
}

impl Outcome {
    fn record(&mut self, took: Duration) {
        self.latencies.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    fn fail(&mut self, why: impl FnOnce() -> String) {
        self.failed += 1;
        self.why.get_or_insert_with(why);
    }

    /// Adds what others saw, or the same clients later.
    pub fn add(&mut self, other: &Self) {
        self.latencies.add(&other.latencies).expect("they have the same bounds");
        self.answered += other.answered;
        self.timed += other.timed;
        self.failed += other.failed;
        self.why = self.why.take().or_else(|| other.why.clone());
        self.split += other.split;
        self.over_35ms += other.over_35ms;
        self.chunked += other.chunked;
    }

    /// A quantile in milliseconds, such as 0.99.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a minute fit exactly")]
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1e3
    }
}

/// Clients that have begun, and go on until they are stopped.
pub struct Load {
    clients: Vec<(Arc<Mutex<Outcome>>, JoinHandle<()>)>,
    /// How many requests may still be sent.
    left: Arc<AtomicU64>,
}

impl Load {
    /// `clients` clients begin to load the server at `address`, all at the same moment.
    ///
    /// # Errors
    /// When a client cannot connect. What fails later is counted.
    pub async fn start(address: SocketAddr, clients: usize) -> Result<Self> {
        Self::start_with(address, clients, Duration::ZERO, u64::MAX).await
    }

    /// `clients` clients begin to load the server at `address`, one after the other in the first half of a warm-up: the
    /// load at the end of that. Of what they have seen until then, only failures count.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn warm_up(address: SocketAddr, clients: usize, warm_up: Duration) -> Result<Self> {
        let load = Self::start_with(address, clients, warm_up / 2, u64::MAX).await?;
        tokio::time::sleep(warm_up).await;
        for (seen, _) in &load.clients {
            let mut seen = lock(seen);
            *seen = Outcome { failed: seen.failed, why: seen.why.take(), ..Outcome::default() };
        }
        Ok(load)
    }

    async fn start_with(address: SocketAddr, clients: usize, coming: Duration, requests: u64) -> Result<Self> {
        let left = Arc::new(AtomicU64::new(requests));
        let mut connections = Vec::new();
        for _ in 0..clients {
            connections.push(connect(address).await?);
        }
        let apart = coming / u32::try_from(clients)?.max(1);
        let (mut all, mut begins) = (Vec::new(), tokio::time::Instant::now());
        for connection in connections {
            let seen = Arc::new(Mutex::new(Outcome::default()));
            let client = one(address, connection, Arc::clone(&seen), Arc::clone(&left));
            let client = async move {
                tokio::time::sleep_until(begins).await;
                client.await;
            };
            all.push((seen, tokio::spawn(client)));
            begins += apart;
        }
        Ok(Self { clients: all, left })
    }

    /// What the clients have seen since this was asked last.
    #[must_use]
    pub fn seen(&self) -> Outcome {
        let mut all = Outcome::default();
        for (seen, _) in &self.clients {
            let seen = std::mem::take(&mut *lock(seen));
            all.add(&seen);
        }
        all
    }

    /// Stops the clients: as [`Self::seen`], with the answers that they still wait for.
    ///
    /// # Errors
    /// When a client has panicked.
    pub async fn end(self) -> Result<Outcome> {
        self.left.store(0, Ordering::Relaxed);
        self.all_sent().await
    }

    async fn all_sent(mut self) -> Result<Outcome> {
        for (_, client) in &mut self.clients {
            client.await.context("waiting for a client")?;
        }
        Ok(self.seen())
    }
}

/// Loads the server at `address` with `clients` clients for this time.
///
/// # Errors
/// As [`Load::start`].
pub async fn run(address: SocketAddr, clients: usize, length: Duration) -> Result<Outcome> {
    let load = Load::start(address, clients).await?;
    tokio::time::sleep(length).await;
    load.end().await
}

/// Loads it until it has been asked this many times.
///
/// # Errors
/// As [`Load::start`].
pub async fn ask(address: SocketAddr, clients: usize, times: u64) -> Result<Outcome> {
    Load::start_with(address, clients, Duration::ZERO, times).await?.all_sent().await
}

async fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn lock(seen: &Mutex<Outcome>) -> MutexGuard<'_, Outcome> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn one(address: SocketAddr, connection: TcpStream, seen: Arc<Mutex<Outcome>>, left: Arc<AtomicU64>) {
    let mut connection = Some(Connection::new(connection));
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        let mut current = match connection.take() {
            Some(connection) => connection,
            None => match connect(address).await {
                Ok(stream) => Connection::new(stream),
                Err(error) => {
                    lock(&seen).fail(|| format!("{error:#}"));
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
        };
        let sent = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, current.get(address)).await;
        let took = sent.elapsed();
        let mut seen = lock(&seen);
        seen.record(took);
        match answer {
            Ok(Ok(answer)) => {
                seen.answered += 1;
                seen.timed += u64::from(answer.database.is_some());
                seen.over_35ms += u64::from(took.saturating_sub(answer.database.unwrap_or_default()) > STALL);
                seen.chunked += u64::from(answer.chunked);
                if answer.last {
                    seen.split += current.split();
                } else {
                    connection = Some(current);
                }
            }
            Ok(Err(error)) => {
                seen.fail(|| format!("{error:#}"));
                seen.split += current.split();
            }
            Err(_) => {
                seen.fail(|| format!("no answer within {PATIENCE:?}"));
                seen.split += current.split();
            }
        }
    }
    lock(&seen).split += connection.map_or(0, |connection| connection.split());
}

struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
    answers: u64,
    reads: u64,
}

struct Answer {
    /// What `server-timing` says of it.
    database: Option<Duration>,
    chunked: bool,
    /// The server closes the connection behind it.
    last: bool,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self { stream, unread: Vec::with_capacity(4096), answers: 0, reads: 0 }
    }

    /// Answers that came in more than one segment; where the kernel does not count them, in more than one read.
    fn split(&self) -> u64 {
        segments::received(&self.stream).unwrap_or(self.reads).saturating_sub(self.answers)
    }

    async fn get(&mut self, address: SocketAddr) -> Result<Answer> {
        self.stream.write_all(format!("GET / HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await?;
        self.unread.clear();
        loop {
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                bail!("the connection ended");
            }
            self.reads += 1;
            if let Some(answer) = parse(&self.unread)? {
                self.answers += 1;
                return Ok(answer);
            }
        }
    }
}

/// A good answer, or `None` where more of it is to come.
fn parse(bytes: &[u8]) -> Result<Option<Answer>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(end) = response.parse(bytes)? else { return Ok(None) };
    if response.code != Some(200) {
        bail!("{:?}: {}", response.code, String::from_utf8_lossy(&bytes[end..]));
    }
    let header = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    let database = header("server-timing").and_then(|timing| timing.strip_prefix("db;dur=")?.parse::<f64>().ok());
    let chunked = header("content-length").is_none();
    let body = &bytes[end..];
    let complete = match header("content-length") {
        Some(length) => body.len() >= length.parse()?,
        None => body.ends_with(b"0\r\n\r\n"),
    };
    if !complete {
        return Ok(None);
    }
    if !body.windows(BODY.len()).any(|part| part == BODY) {
        bail!("{}", String::from_utf8_lossy(body));
    }
    let last = header("connection").is_some_and(|connection| connection.eq_ignore_ascii_case("close"));
    let database = database.map(|ms| Duration::from_secs_f64(ms / 1e3));
    Ok(Some(Answer { database, chunked, last }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_with_its_last_byte_and_good_or_an_error() {
        let good = b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\nserver-timing: db;dur=1.500\r\n\r\n{\"status\":\"ok\"}";
        for length in 0..good.len() {
            assert!(parse(&good[..length]).unwrap().is_none(), "{length} bytes");
        }
        let answer = parse(good).unwrap().unwrap();
        assert_eq!((answer.database, answer.chunked), (Some(Duration::from_micros(1500)), false));
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nf\r\n{\"status\":\"ok\"}\r\n0\r\n\r\n";
        assert!(parse(chunked).unwrap().unwrap().chunked);
        assert!(parse(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").is_err());
    }
}
