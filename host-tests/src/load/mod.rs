//! Many clients at once, each on a keep-alive connection of its own: the one load generator of tests, soak and benchmark.
//! It speaks HTTP over plain sockets, since it runs on the machine that is measured.

mod connection;
mod report;
mod segments;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use connection::{Asked, Connection, Response};
pub use report::{Report, Sample, percentile};

/// A load that can be stopped, and watched from other tasks: the same request over and over, `GET /` unless said otherwise.
#[derive(Default)]
pub struct Load {
    plan: Plan,
    state: Arc<State>,
}

#[derive(Clone, Copy)]
struct Plan {
    asked: Asked,
    pace: Pace,
    arriving: Duration,
    patience: Duration,
}

#[derive(Clone, Copy)]
enum Pace {
    /// A closed loop: each client sends the next request when it has the response to the last.
    Closed,
    /// The same, for this many requests.
    ClosedFor(usize),
    /// An open loop: this many requests are due each second, whether the server keeps up or not.
    Open(f64),
}

#[derive(Default)]
struct State {
    stopped: AtomicBool,
    answered: AtomicUsize,
    sent: AtomicUsize,
    due: Due,
}

/// Requests that are due in an open loop.
struct Due {
    permits: Semaphore,
    issued: AtomicUsize,
}

impl Default for Plan {
    fn default() -> Self {
        // Longer than any deadline in use: whoever waits this long is hung.
        Self {
            asked: Asked::default(),
            pace: Pace::Closed,
            arriving: Duration::ZERO,
            patience: Duration::from_secs(30),
        }
    }
}

impl Default for Due {
    fn default() -> Self {
        Self { permits: Semaphore::new(0), issued: AtomicUsize::new(0) }
    }
}

impl Load {
    /// Asks for another path, whose good answers have this body.
    #[must_use]
    pub fn asking(mut self, path: &'static str, body: &'static str) -> Self {
        self.plan.asked = Asked { path, body };
        self
    }

    /// Ends by itself after this many requests.
    #[must_use]
    pub fn requests(mut self, requests: usize) -> Self {
        self.plan.pace = Pace::ClosedFor(requests);
        self
    }

    /// An open loop: so many requests are due each second, at fixed times, from which their latency counts. A closed loop
    /// leaves out the requests that it did not send while it waited.
    #[must_use]
    pub fn rate(mut self, per_second: f64) -> Self {
        self.plan.pace = Pace::Open(per_second);
        self
    }

    /// The clients come one after the other in this time, instead of all at the same moment.
    #[must_use]
    pub fn arriving(mut self, arriving: Duration) -> Self {
        self.plan.arriving = arriving;
        self
    }

    /// How long a client waits for a response before it counts as hung.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.plan.patience = patience;
        self
    }

    /// Ends the load when every client has its answer.
    pub fn stop(&self) {
        self.state.stopped.store(true, Ordering::Relaxed);
    }

    /// How many requests have been answered so far.
    pub fn answered(&self) -> usize {
        self.state.answered.load(Ordering::Relaxed)
    }

    /// Sends requests from `clients` clients until it is stopped, but one from each at least.
    ///
    /// # Errors
    /// When a client cannot connect at the start. What goes wrong later is in the report.
    pub async fn run(&self, address: SocketAddr, clients: usize) -> Result<Report> {
        let mut connections = Vec::new();
        for _ in 0..clients {
            connections.push(Connection::open(address, self.plan.asked).await?);
        }
        let (began, plan) = (Instant::now(), self.plan);
        let mut running = JoinSet::new();
        for (index, connection) in (0..).zip(connections) {
            let begins = began + plan.arriving * index / u32::try_from(clients)?;
            let state = Arc::clone(&self.state);
            let client = Client { address, connection: Some(connection), state, plan, began, split: 0 };
            running.spawn(async move {
                tokio::time::sleep_until(begins.into()).await;
                client.run().await
            });
        }
        if let Pace::Open(rate) = plan.pace {
            let state = Arc::downgrade(&self.state);
            // A thread of its own: tokio's timers are a millisecond apart.
            let pacing = tokio::task::spawn_blocking(move || pace(&state, began, rate));
            pacing.await.context("pacing requests")?;
            self.drain().await;
        }
        let mut report = Report::default();
        while let Some(client) = running.join_next().await {
            let (samples, split) = client.context("waiting for a client")?;
            report.samples.extend(samples);
            report.split += split;
        }
        if let Pace::Open(rate) = plan.pace {
            let issued = self.state.due.issued.load(Ordering::Relaxed);
            let unsent = self.state.sent.load(Ordering::Relaxed)..issued;
            report.samples.extend(unsent.map(|number| Sample::never_sent(due_at(began, number, rate))));
        }
        Ok(report)
    }

    /// Waits until all requests that are due have been sent, as long as a client would.
    async fn drain(&self) {
        let ends = Instant::now() + self.plan.patience;
        while self.state.due.permits.available_permits() > 0 && Instant::now() < ends {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.state.due.permits.close();
    }
}

/// A load for this time; its clients leave with their answers.
///
/// # Errors
/// As [`Load::run`].
pub async fn run_for(address: SocketAddr, clients: usize, length: Duration) -> Result<Report> {
    let load = Load::default();
    let stop = async {
        tokio::time::sleep(length).await;
        load.stop();
    };
    let (report, ()) = futures::join!(load.run(address, clients), stop);
    report
}

/// Makes requests due until the load is stopped, or nobody waits for it any more.
fn pace(state: &Weak<State>, began: Instant, rate: f64) {
    for number in 0.. {
        std::thread::sleep(due_at(began, number, rate).saturating_duration_since(Instant::now()));
        match state.upgrade() {
            Some(state) if !state.stopped.load(Ordering::Relaxed) => {
                state.due.issued.fetch_add(1, Ordering::Relaxed);
                state.due.permits.add_permits(1);
            }
            _ => return,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "some hundred thousands")]
fn due_at(began: Instant, number: usize, rate: f64) -> Instant {
    began + Duration::from_secs_f64(number as f64 / rate)
}

struct Client {
    address: SocketAddr,
    connection: Option<Connection>,
    state: Arc<State>,
    plan: Plan,
    began: Instant,
    /// Responses in more than one TCP segment, on connections that have ended.
    split: u64,
}

impl Client {
    async fn run(mut self) -> (Vec<Sample>, u64) {
        let mut samples = Vec::new();
        while let Some(due) = self.next(samples.is_empty()).await {
            let late = due.elapsed();
            let outcome = tokio::time::timeout(self.plan.patience, self.get()).await;
            self.state.answered.fetch_add(1, Ordering::Relaxed);
            let response = match outcome {
                Err(_) => Response::wrong("hung"),
                Ok(Err(error)) => Response::wrong(format!("{error:#}")),
                Ok(Ok(response)) => response,
            };
            let took = due.elapsed();
            if self.connection.is_none() {
                // Nobody listens: not as fast as the machine can try.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            if response.wrong.is_some() || response.last {
                // Begin anew, as a client would.
                self.close();
            }
            samples.push(Sample::new(due, late, took, response));
        }
        self.close();
        (samples, self.split)
    }

    /// When the next request is due; `None` ends it.
    async fn next(&self, first: bool) -> Option<Instant> {
        match self.plan.pace {
            Pace::Closed => (first || !self.state.stopped.load(Ordering::Relaxed)).then(Instant::now),
            Pace::ClosedFor(all) => (self.state.sent.fetch_add(1, Ordering::Relaxed) < all).then(Instant::now),
            Pace::Open(rate) => {
                self.state.due.permits.acquire().await.ok()?.forget();
                Some(due_at(self.began, self.state.sent.fetch_add(1, Ordering::Relaxed), rate))
            }
        }
    }

    async fn get(&mut self) -> Result<Response> {
        if self.connection.is_none() {
            self.connection = Some(Connection::open(self.address, self.plan.asked).await?);
        }
        self.connection.as_mut().context("it was just opened")?.get().await
    }

    fn close(&mut self) {
        self.split += self.connection.take().map_or(0, |connection| connection.split());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Answers each request on each connection after this time.
    async fn server(after: Duration) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    while let Ok(1..) = client.read(&mut [0; 1024]).await {
                        tokio::time::sleep(after).await;
                        let response = b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"status\":\"ok\"}";
                        client.write_all(response).await.unwrap();
                    }
                });
            }
        });
        address
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_closed_loop_ends_after_its_requests() {
        let load = Load::default().requests(100);
        let report = load.run(server(Duration::ZERO).await, 4).await.unwrap();
        report.all_answered_within(Duration::from_secs(5)).unwrap();
        assert_eq!((report.samples.len(), load.answered(), report.split), (100, 100, 0));
    }

    /// One client, 50 ms for each answer, one request due every 10 ms: each waits 40 ms longer than the one before.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_open_loop_counts_from_when_a_request_was_due() {
        let address = server(Duration::from_millis(50)).await;
        let load = Load::default().rate(100.0).patience(Duration::from_millis(500));
        let stop = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            load.stop();
        };
        let (report, ()) = futures::join!(load.run(address, 1), stop);
        let report = report.unwrap();
        assert!(report.samples.len() >= 150, "what was due and not sent counts as well: {}", report.samples.len());
        assert_eq!(report.wrong().keys().collect::<Vec<_>>(), [&"never sent"]);
        assert!(
            percentile(&report.samples, 500) > Duration::from_millis(500),
            "{:?}",
            percentile(&report.samples, 500)
        );
        let late = report.samples.iter().filter(|sample| sample.late > Duration::from_millis(1)).count();
        assert!(late * 10 > report.samples.len() * 9, "{late} of {}", report.samples.len());
    }
}
