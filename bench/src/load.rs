//! Keep-alive clients that each send the next `GET /` when they have the answer to the last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::segments;

/// A second more than the component's deadline: whoever waits longer counts as starved.
const PATIENCE: Duration = Duration::from_secs(6);
/// What a response that leaves in two segments waits for is the client's delayed acknowledgement, 40 ms.
const STALL: Duration = Duration::from_millis(35);
const BODY: &[u8] = br#"{"status":"ok"}"#;

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// After this time.
    For(Duration),
    /// After this many answers.
    Answers(u64),
}

/// What the clients saw.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Latencies in microseconds; who was not answered waited for as long as clients wait.
    pub latencies: Histogram<u64>,
    /// Good answers.
    pub answered: u64,
    /// Good answers before the time was over, where there was one.
    pub in_time: u64,
    /// Wrong answers, broken connections, and requests that were never answered.
    pub failed: u64,
    /// The time in which `in_time` were answered.
    pub took: Duration,
    /// Answers in more than one TCP segment.
    pub split: u64,
    /// Answers that took 35 ms longer than the database did.
    pub over_35ms: u64,
    /// Answers that say how long the database took; without them `over_35ms` means nothing.
    pub timed: u64,
    /// Answers without `content-length`.
    pub chunked: u64,
}

impl Outcome {
    fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, 60_000_000, 3).expect("these bounds are valid");
        let took = Duration::ZERO;
        Self { latencies, answered: 0, in_time: 0, failed: 0, took, split: 0, over_35ms: 0, timed: 0, chunked: 0 }
    }

    fn record(&mut self, took: Duration) {
        self.latencies.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    fn add(&mut self, other: &Self) {
        self.latencies.add(&other.latencies).expect("they have the same bounds");
        self.answered += other.answered;
        self.in_time += other.in_time;
        self.timed += other.timed;
        self.failed += other.failed;
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

#[derive(Default)]
struct Progress {
    stop: AtomicBool,
    answers: AtomicU64,
}

/// Loads the server at `address` with `clients` clients.
///
/// # Errors
/// When a client cannot connect at the start. What fails later is counted.
pub async fn run(address: SocketAddr, clients: usize, length: Length) -> Result<Outcome> {
    let progress = Arc::new(Progress::default());
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(connect(address).await?);
    }
    let started = Instant::now();
    let running: Vec<_> = connections
        .into_iter()
        .map(|connection| tokio::spawn(one(address, connection, length, Arc::clone(&progress))))
        .collect();
    if let Length::For(time) = length {
        tokio::time::sleep(time).await;
        progress.stop.store(true, Ordering::Relaxed);
    }
    let mut outcome = Outcome::new();
    for client in running {
        outcome.add(&client.await.context("waiting for a client")?);
    }
    outcome.took = match length {
        Length::For(time) => time,
        Length::Answers(_) => started.elapsed(),
    };
    Ok(outcome)
}

async fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn one(address: SocketAddr, connection: TcpStream, length: Length, progress: Arc<Progress>) -> Outcome {
    let mut outcome = Outcome::new();
    let mut connection = Some(Connection::new(connection));
    while !progress.stop.load(Ordering::Relaxed) {
        if let Length::Answers(enough) = length
            && progress.answers.fetch_add(1, Ordering::Relaxed) >= enough
        {
            break;
        }
        let mut current = match connection.take() {
            Some(connection) => connection,
            None => match connect(address).await {
                Ok(stream) => Connection::new(stream),
                Err(_) => {
                    outcome.failed += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
        };
        let sent = Instant::now();
        match tokio::time::timeout(PATIENCE, current.get(address)).await {
            Ok(Ok(answer)) => {
                let took = sent.elapsed();
                outcome.record(took);
                outcome.answered += 1;
                outcome.in_time += u64::from(!progress.stop.load(Ordering::Relaxed));
                outcome.timed += u64::from(answer.database.is_some());
                outcome.over_35ms += u64::from(took.saturating_sub(answer.database.unwrap_or_default()) > STALL);
                outcome.chunked += u64::from(answer.chunked);
                if answer.last {
                    outcome.split += current.split();
                } else {
                    connection = Some(current);
                }
            }
            Ok(Err(_)) | Err(_) => {
                outcome.record(sent.elapsed());
                outcome.failed += 1;
                outcome.split += current.split();
            }
        }
    }
    outcome.split += connection.map_or(0, |connection| connection.split());
    outcome
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
