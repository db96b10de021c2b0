//! What the edges have answered: rates, times and reasons for each region, and the last requests one by one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use host_tests::fly::{Seen, Why};
use serde::Serialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// What rates and times are about.
const WINDOW: Duration = Duration::from_secs(10);
/// Times of so many requests at most are kept for each region; above that the newest count.
const SAMPLES: usize = 20_000;
/// How many requests are shown one by one.
const SHOWN: usize = 40;
/// And how many of the load's, in which nothing happened that had not happened before.
const SHOWN_OF_LOAD: usize = 12;

/// One request.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    /// Counts up.
    number: u64,
    edge: String,
    method: String,
    path: String,
    /// Nothing where the client did not wait for an answer.
    status: Option<u16>,
    took_ms: f64,
    /// The regions of the Machines that it went to, with what Fly's proxy did.
    hops: Vec<Stop>,
    /// Why the answer came from where it came from, as the app says it.
    reason: String,
    pub(crate) from_load: bool,
}

/// A Machine on the way of a request.
#[derive(Clone, Debug, Serialize)]
struct Stop {
    region: String,
    why: &'static str,
}

/// One region.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Rates {
    /// Requests per second.
    rate: f64,
    /// To the headers of the answer; nothing where nothing was asked.
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    /// Answers with 5xx, and requests that were given up, in the window.
    failed: usize,
    /// How many for which reason, in the window.
    reasons: BTreeMap<String, usize>,
    /// How many were answered in which region.
    answered_in: BTreeMap<String, usize>,
}

struct Sample {
    at: Instant,
    took: Duration,
    failed: bool,
    reason: String,
    answered_in: String,
}

struct Region {
    began: Instant,
    samples: VecDeque<Sample>,
}

#[derive(Default)]
struct State {
    regions: BTreeMap<String, Region>,
    last: VecDeque<Shown>,
    number: u64,
}

/// What is kept. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Requests(Arc<Mutex<State>>);

/// How many different reasons are shown: an app may make one up for each request.
const REASONS_SHOWN: usize = 12;

/// The name of the lab's own clients (`user-agent`).
pub(crate) const LOAD: &str = "lab-load";

/// Says why an answer came from where it came from: the library's header, and the middleware's.
const REASONS: [&str; 2] = ["database-reason", "machine-reason"];

/// Why the answer is where it is from, in the words of the app, of Fly's proxy, or of nobody.
pub(crate) fn reason(headers: &http::HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let own = REASONS.into_iter().find_map(text);
    own.or_else(|| text(host_tests::fly::ERROR_HEADER)).unwrap_or_default().to_owned()
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on listening; `others` is told of each request that is not the load's.
    pub(crate) async fn watch(&self, mut seen: Receiver<Seen>, others: impl Fn(&Shown)) {
        loop {
            match seen.recv().await {
                Ok(request) => {
                    let shown = self.note(Instant::now(), &request);
                    if !shown.from_load {
                        others(&shown);
                    }
                }
                // What was missed is missing in the rates for ten seconds.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn note(&self, now: Instant, seen: &Seen) -> Shown {
        let mut state = self.lock();
        state.number += 1;
        let shown = Shown::of(state.number, seen);
        let new = || Region { began: now, samples: VecDeque::new() };
        let samples = &mut state.regions.entry(seen.edge.clone()).or_insert_with(new).samples;
        let news = !samples.iter().rev().take(SHOWN_OF_LOAD).any(|sample| sample.reason == shown.reason);
        samples.push_back(Sample {
            at: now,
            took: seen.took,
            failed: seen.status.is_none_or(|status| status.is_server_error()),
            reason: shown.reason.clone(),
            answered_in: seen.hops.last().map(|hop| hop.region.clone()).unwrap_or_default(),
        });
        if samples.len() > SAMPLES {
            samples.pop_front();
        }
        let of_load = state.last.iter().filter(|other| other.from_load).count();
        if shown.from_load && !news && of_load >= SHOWN_OF_LOAD {
            let oldest = state.last.iter().position(|other| other.from_load);
            oldest.map(|oldest| state.last.remove(oldest));
        }
        state.last.push_back(shown.clone());
        if state.last.len() > SHOWN {
            state.last.pop_front();
        }
        shown
    }

    /// The last ones, the newest first.
    pub(crate) fn last(&self) -> Vec<Shown> {
        self.lock().last.iter().rev().cloned().collect()
    }

    /// What came to the edge of a region in the last ten seconds.
    pub(crate) fn rates(&self, region: &str, now: Instant) -> Rates {
        let mut state = self.lock();
        let Some(Region { began, samples }) = state.regions.get_mut(region) else { return Rates::default() };
        while samples.front().is_some_and(|sample| now.duration_since(sample.at) > WINDOW) {
            samples.pop_front();
        }
        let (Some(first), count) = (samples.front(), samples.len()) else { return Rates::default() };
        // A window that is not full yet is shorter, and so is one whose samples are not all kept.
        let since = if count < SAMPLES { *began } else { first.at };
        let seconds = now.duration_since(since).clamp(Duration::from_secs(1), WINDOW);
        let mut times: Vec<_> = samples.iter().map(|sample| sample.took).collect();
        times.sort_unstable();
        let at = |per_cent: usize| ms(times[(times.len() * per_cent / 100).min(times.len() - 1)]);
        let mut rates = Rates {
            rate: count as f64 / seconds.as_secs_f64(),
            p50_ms: Some(at(50)),
            p99_ms: Some(at(99)),
            failed: samples.iter().filter(|sample| sample.failed).count(),
            ..Rates::default()
        };
        for sample in samples {
            let known = rates.reasons.len() < REASONS_SHOWN || rates.reasons.contains_key(&sample.reason);
            *rates.reasons.entry(if known { &sample.reason } else { "others" }.to_owned()).or_default() += 1;
            *rates.answered_in.entry(sample.answered_in.clone()).or_default() += 1;
        }
        rates
    }
}

impl Shown {
    fn of(number: u64, seen: &Seen) -> Self {
        let stop = |why: &Why| match why {
            Why::Routed => "routed",
            Why::Replayed { .. } => "replayed",
            Why::FellBack(_) => "fell back",
        };
        let hops = seen.hops.iter().map(|hop| Stop { region: hop.region.clone(), why: stop(&hop.why) });
        Self {
            number,
            edge: seen.edge.clone(),
            method: seen.method.to_string(),
            path: seen.path.clone(),
            status: seen.status.map(|status| status.as_u16()),
            took_ms: ms(seen.took),
            hops: hops.collect(),
            reason: if seen.status.is_none() { "given-up".to_owned() } else { reason(&seen.headers) },
            from_load: seen.client == LOAD,
        }
    }

    /// As one line of the terminal.
    pub(crate) fn line(&self) -> String {
        let regions: Vec<_> = self.hops.iter().map(|stop| stop.region.as_str()).collect();
        let Self { edge, method, path, took_ms, reason, .. } = self;
        let status = self.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        format!("{edge} {method} {path} {status} {took_ms:.1} ms {} {reason}", regions.join(" -> "))
            .trim_end()
            .to_owned()
    }
}

pub(crate) fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 1e2
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method, StatusCode};

    use super::*;

    fn seen(client: &str, reason: &str, took: u64, status: u16) -> Seen {
        Seen {
            id: String::new(),
            edge: "fra".to_owned(),
            method: Method::GET,
            path: "/".to_owned(),
            client: client.to_owned(),
            status: StatusCode::from_u16(status).ok(),
            headers: HeaderMap::from_iter([("database-reason".parse().unwrap(), reason.parse().unwrap())]),
            took: Duration::from_millis(took),
            hops: Vec::new(),
        }
    }

    #[test]
    fn rates_and_times_are_those_of_the_last_ten_seconds() {
        let (requests, now) = (Requests::default(), Instant::now());
        requests.note(now, &seen("", "local", 1_000, 503));
        for took in 1..=100 {
            requests.note(now + Duration::from_secs(5), &seen("", "local", took, 200));
        }
        let rates = requests.rates("fra", now + Duration::from_secs(12));
        assert_eq!((rates.p50_ms, rates.p99_ms, rates.failed), (Some(51.0), Some(100.0), 0));
        assert!((rates.rate - 10.0).abs() < 0.01, "{}", rates.rate);
        assert_eq!(rates.reasons, BTreeMap::from([("local".to_owned(), 100)]));
        assert_eq!(requests.rates("syd", now), Rates::default());
    }

    #[test]
    fn the_load_does_not_push_a_users_request_out_of_sight() {
        let (requests, now) = (Requests::default(), Instant::now());
        requests.note(now, &seen("curl/8", "primary", 1, 201));
        for _ in 0..1_000 {
            requests.note(now, &seen(LOAD, "local", 1, 200));
        }
        requests.note(now, &seen(LOAD, "replica-down", 1, 200));
        let last = requests.last();
        assert_eq!(last.first().map(|shown| shown.reason.as_str()), Some("replica-down"));
        assert!(last.iter().any(|shown| !shown.from_load), "{last:?}");
        assert!(last.len() <= SHOWN_OF_LOAD + 2, "{}", last.len());
    }
}
