//! The circuit breaker of one candidate, and its record in Spin's key-value store.
//!
//! An instance lives for 128 requests at most. Without the record each new one would find out for itself, and at the
//! cost of the requests it has, that a candidate is dead. The store is a help and no more: where the component may not
//! use it (`key_value_stores` in spin.toml), or it is slow, instances find out by themselves.

use std::cell::Cell;
use std::hash::Hasher;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fnv::FnvHasher;

use super::signal::spawn_detached;
use super::timer::timeout;
use crate::rules::breaker::{BreakerRecord, CircuitBreaker, Now, State, Timestamp};
use crate::rules::database_url::DatabaseUrl;
use crate::spin::store;

/// How long the store may take; Spin's own is well below a millisecond.
pub const STORE_TIMEOUT: Duration = Duration::from_millis(100);

/// What the records are about.
const BREAKER: &str = "breaker";

/// What this instance knows about one candidate, and tells the others.
#[derive(Debug)]
pub struct SharedBreaker {
    breaker: Cell<CircuitBreaker>,
    key: String,
}

impl SharedBreaker {
    /// For the candidate at `url`.
    #[must_use]
    pub fn new(url: &DatabaseUrl) -> Self {
        Self { breaker: Cell::default(), key: key(BREAKER, url) }
    }

    /// Where its record is.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether nothing is known against the candidate.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.breaker.get().is_closed()
    }

    /// The state at `now`.
    #[must_use]
    pub fn state(&self, now: Instant) -> State {
        self.breaker.get().state(now)
    }

    /// Takes over what other instances know.
    pub(crate) async fn refresh(&self) {
        self.refresh_from(async { timeout(STORE_TIMEOUT, store::get(&self.key)).await.flatten() }).await;
    }

    /// The same out of a record that is yet to come.
    pub async fn refresh_from(&self, record: impl Future<Output = Option<String>>) {
        let before = self.breaker.get();
        let text = record.await;
        // What this instance has seen meanwhile is newer.
        if self.breaker.get() == before
            && let Some(record) = text.as_deref().and_then(BreakerRecord::parse)
        {
            self.change(|breaker| breaker.apply(record, now()));
        }
    }

    /// Gives the caller, and nobody else in this instance, the right to probe the candidate, where that is due.
    pub fn begin_probe(&self, now: Instant) -> bool {
        self.change(|breaker| breaker.begin_probe(now))
    }

    /// The candidate failed. What to tell the other instances, where this request is the first that sees it.
    pub fn failed(&self) -> Option<BreakerRecord> {
        self.change(|breaker| breaker.record_failure(now()))
    }

    /// The candidate answered. What to tell the other instances.
    pub fn succeeded(&self) -> Option<BreakerRecord> {
        // Most often it is closed, and nobody needs to look at a clock.
        if self.is_closed() { None } else { self.change(|breaker| breaker.record_success(now())) }
    }

    /// Tells the other instances that somebody is about to probe it.
    pub(crate) async fn claim_probe(&self) {
        store(&self.key, BreakerRecord::opened(now())).await;
    }

    /// The candidate failed. The first of the requests that see it tells the other instances.
    pub(crate) async fn record_failure(&self) {
        self.publish(self.failed()).await;
    }

    /// The candidate answered.
    pub(crate) async fn record_success(&self) {
        self.publish(self.succeeded()).await;
    }

    async fn publish(&self, record: Option<BreakerRecord>) {
        if let Some(record) = record {
            let key = self.key.clone();
            spawn_detached(async move { store(&key, record).await }).await;
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut CircuitBreaker) -> T) -> T {
        let mut breaker = self.breaker.get();
        let result = change(&mut breaker);
        self.breaker.set(breaker);
        result
    }
}

async fn store(key: &str, record: BreakerRecord) {
    let _ = timeout(STORE_TIMEOUT, store::set(key, record.to_string())).await;
}

/// Where a record about a database is: by a hash of host, port and database that stays the same from release to release.
/// Nothing of the user or the password goes into it, so nobody can guess them from the store.
#[must_use]
pub fn key(topic: &str, url: &DatabaseUrl) -> String {
    let mut hasher = FnvHasher::default();
    hasher.write(format!("{}:{}{}", url.host(), url.port(), url.path()).as_bytes());
    format!("{}/{topic}/{:016x}", env!("CARGO_PKG_NAME"), hasher.finish())
}

/// This moment.
#[must_use]
pub fn now() -> Now {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let timestamp = Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX));
    Now { instant: Instant::now(), timestamp }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(url: &str) -> String {
        key(BREAKER, &DatabaseUrl::parse(url).unwrap())
    }

    #[test]
    fn the_key_depends_on_host_port_and_database_only_and_stays_the_same() {
        // FNV-1a of `db.flycast:5432/app`, worked out elsewhere.
        let known = key_of("postgres://ann:s3cret@db.flycast/app");
        assert_eq!(known, "nearest-replica/breaker/6937ab3c1d554d9f");
        assert_eq!(key_of("postgres://bob:other@db.flycast:5432/app?sslmode=disable"), known);
        for other in ["postgres://db.flycast:5433/app", "postgres://db.flycast/other", "postgres://db.internal/app"] {
            assert_ne!(key_of(other), known, "{other}");
        }
    }
}
