//! What happened to each request, for tests to look at.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, Method, StatusCode};

use super::route::InstanceId;

/// A request that has ended at an edge: with an answer, or because its client has gone.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its `fly-request-id`.
    pub id: String,
    /// The region of the edge.
    pub edge: String,
    /// The request: its method,
    pub method: Method,
    /// its path and query,
    pub path: String,
    /// and the name of the client (`user-agent`), empty where it has none.
    pub client: String,
    /// The answer: its status, nothing where the client has gone before,
    pub status: Option<StatusCode>,
    /// and its headers.
    pub headers: HeaderMap,
    /// From the request to the headers of the answer, or to its end.
    pub took: Duration,
    /// Where it went, in order.
    pub hops: Vec<Hop>,
}

/// One Machine that a request was sent to, or was to be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The Machine's region.
    pub region: String,
    /// The Machine.
    pub instance: InstanceId,
    /// Why it was sent there.
    pub why: Why,
    /// The status of the answer; nothing where the Machine was not reached, or broke off.
    pub answer: Option<StatusCode>,
}

/// Why a request was sent to a Machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It came from the client.
    Routed,
    /// A Machine replayed it.
    Replayed {
        /// Which one.
        from: InstanceId,
        /// With which state.
        state: Option<String>,
    },
    /// It had been replayed, and that failed.
    FellBack(Reason),
}

/// Why a replay failed. Fly does not say when it is which; an app does well not to depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The field `timeout` was up.
    Timeout,
    /// No Machine could be reached for as long as the proxy tries.
    RetriesExhausted,
    /// There was no Machine to try, at the end of either.
    NoCandidate,
}

impl Reason {
    pub(super) fn as_text(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::RetriesExhausted => "retries_exhausted",
            Self::NoCandidate => "no_candidate",
        }
    }
}

/// So that a benchmark does not fill the memory.
const KEPT: usize = 10_000;

/// Hops by request id; the ids are in order of time.
#[derive(Default)]
pub(super) struct Trace {
    requests: Mutex<BTreeMap<String, Vec<Hop>>>,
}

impl Trace {
    pub(super) fn add(&self, request_id: &str, hop: Hop) {
        let mut requests = self.lock();
        requests.entry(request_id.to_owned()).or_default().push(hop);
        if requests.len() > KEPT {
            requests.pop_first();
        }
    }

    pub(super) fn hops(&self, request_id: &str) -> Vec<Hop> {
        self.lock().get(request_id).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Hop>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A new `fly-request-id`: a ULID (milliseconds and random bits in Crockford's base 32) and the region of the edge.
pub(super) fn request_id(region: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let number = (now.as_millis() << 80) | (rand::random::<u128>() >> 48);
    let digit = |place: u32| char::from(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"[(number >> (5 * place) & 31) as usize]);
    format!("{}-{region}", (0..26).rev().map(digit).collect::<String>())
}
