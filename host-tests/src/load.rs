//! Many clients at once, each on a keep-alive connection of its own, and what they saw.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::client::{Answer, Client};
use crate::postgres::PASSWORD;

/// How long a client waits for an answer before it counts as hung. Longer than any deadline in use.
const HUNG: Duration = Duration::from_secs(30);

/// A load that can be stopped, and watched from other tasks.
#[derive(Default)]
pub struct Load {
    stop: AtomicBool,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    answered: AtomicUsize,
}

/// One request as its client saw it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When it was sent.
    pub sent: Instant,
    /// Until the last byte of the body.
    pub took: Duration,
    /// `None` is an answer as it should be; otherwise what was wrong with it.
    pub wrong: Option<String>,
    /// `database-candidate` and `database-role`.
    pub served_by: (String, String),
}

/// What all clients saw.
#[derive(Debug, Default)]
pub struct Report {
    /// In no order.
    pub samples: Vec<Sample>,
    /// The most requests that were in flight at once.
    pub most_in_flight: usize,
}

impl Load {
    /// Ends the load when every client has its answer.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// How many requests have been answered so far.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Sends `GET /` from `clients` clients, each as fast as the answers come, until it is stopped, but once at least.
    ///
    /// # Errors
    /// When a client cannot connect at the start. What goes wrong later is in the report.
    pub async fn run(&self, address: SocketAddr, clients: usize) -> Result<Report> {
        let mut connected = Vec::new();
        for _ in 0..clients {
            connected.push(Client::connect(address).await?);
        }
        let samples = futures::future::join_all(connected.into_iter().map(|client| self.one(address, client))).await;
        let most_in_flight = self.most_in_flight.load(Ordering::Relaxed);
        Ok(Report { samples: samples.into_iter().flatten().collect(), most_in_flight })
    }

    async fn one(&self, address: SocketAddr, client: Client) -> Vec<Sample> {
        let mut client = Some(client);
        let mut samples = Vec::new();
        loop {
            let sent = Instant::now();
            let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
            self.most_in_flight.fetch_max(now, Ordering::Relaxed);
            let outcome = tokio::time::timeout(HUNG, get(&mut client, address)).await;
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.answered.fetch_add(1, Ordering::Relaxed);
            let took = sent.elapsed();
            let (wrong, served_by) = match outcome {
                Err(_) => (Some("hung".to_owned()), None),
                Ok(Err(error)) => (Some(format!("{error:#}")), None),
                Ok(Ok(answer)) => (wrong_with(&answer), Some(answer)),
            };
            if wrong.is_some() {
                // Begin anew, as a client would.
                client = None;
            }
            let header = |name| served_by.as_ref().map(|answer| answer.header(name).to_owned()).unwrap_or_default();
            let served_by = (header("database-candidate"), header("database-role"));
            samples.push(Sample { sent, took, wrong, served_by });
            if self.stop.load(Ordering::Relaxed) {
                return samples;
            }
        }
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

async fn get(client: &mut Option<Client>, address: SocketAddr) -> Result<Answer> {
    let mut connection = match client.take() {
        Some(connection) => connection,
        None => Client::connect(address).await?,
    };
    let answer = connection.get("/").await?;
    *client = Some(connection);
    Ok(answer)
}

fn wrong_with(answer: &Answer) -> Option<String> {
    if format!("{answer:?}").contains(PASSWORD) {
        return Some("the password is in it".to_owned());
    }
    let good = answer.status == 200 && answer.body == r#"{"status":"ok"}"#;
    (!good).then(|| format!("{} {}", answer.status.as_u16(), answer.body))
}

impl Report {
    /// Adds what the clients of another load saw; `most_in_flight` is that of the larger load.
    pub fn add(&mut self, other: Self) {
        self.samples.extend(other.samples);
        self.most_in_flight = self.most_in_flight.max(other.most_in_flight);
    }

    /// The samples of requests that were sent in a stretch of time.
    #[must_use]
    pub fn between(&self, from: Instant, to: Instant) -> Vec<&Sample> {
        self.samples.iter().filter(|sample| sample.sent >= from && sample.sent < to).collect()
    }

    /// How often each thing went wrong.
    #[must_use]
    pub fn wrong(&self) -> BTreeMap<&str, usize> {
        let mut causes = BTreeMap::new();
        for cause in self.samples.iter().filter_map(|sample| sample.wrong.as_deref()) {
            *causes.entry(cause).or_insert(0) += 1;
        }
        causes
    }

    /// The slowest request.
    #[must_use]
    pub fn slowest(&self) -> Duration {
        self.samples.iter().map(|sample| sample.took).max().unwrap_or_default()
    }

    /// Fails unless every request was answered as it should be, before `deadline`.
    ///
    /// # Errors
    /// With the causes and their numbers, or the slowest request.
    pub fn all_answered_within(&self, deadline: Duration) -> Result<()> {
        ensure!(!self.samples.is_empty(), "there were no requests at all");
        let wrong = self.wrong();
        ensure!(wrong.is_empty(), "of {} requests went wrong: {wrong:?}", self.samples.len());
        ensure!(self.slowest() < deadline, "the slowest request took {:?}", self.slowest());
        Ok(())
    }
}

/// The `per_mille`-th thousandth of some durations, such as 990 for p99.
#[must_use]
pub fn percentile<'a>(samples: impl IntoIterator<Item = &'a Sample>, per_mille: usize) -> Duration {
    let mut times: Vec<_> = samples.into_iter().map(|sample| sample.took).collect();
    times.sort_unstable();
    times.get((times.len() * per_mille / 1000).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}
