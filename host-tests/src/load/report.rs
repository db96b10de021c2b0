//! What the clients of a load saw.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::connection::Response;

/// One request as its client saw it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When it was sent; in an open loop, when it was due.
    pub sent: Instant,
    /// How much later than due it was sent.
    pub late: Duration,
    /// From `sent` until the last byte of the body.
    pub took: Duration,
    /// `None` is an answer as it should be; otherwise what was wrong with it.
    pub wrong: Option<String>,
    /// `database-candidate` and `database-role`.
    pub served_by: (String, String),
    /// What `server-timing` says of the database.
    pub database: Option<Duration>,
    /// An answer without `content-length`.
    pub chunked: bool,
}

/// What all clients saw.
#[derive(Debug, Default)]
pub struct Report {
    /// In no order.
    pub samples: Vec<Sample>,
    /// Responses in more than one TCP segment.
    pub split: u64,
}

impl Sample {
    pub(super) fn new(sent: Instant, late: Duration, took: Duration, response: Response) -> Self {
        let Response { wrong, served_by, database, chunked, .. } = response;
        Self { sent, late, took, wrong, served_by, database, chunked }
    }

    pub(super) fn never_sent(due: Instant) -> Self {
        Self::new(due, due.elapsed(), due.elapsed(), Response::wrong("never sent"))
    }

    /// When its client had the answer, or gave up.
    #[must_use]
    pub fn ended(&self) -> Instant {
        self.sent + self.took
    }
}

impl Report {
    /// Adds what the clients of another load saw.
    pub fn add(&mut self, other: Self) {
        self.samples.extend(other.samples);
        self.split += other.split;
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
