//! What all edges share: the settings, the Machines and what happened.

use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::sync::broadcast;

use super::distances::Distances;
use super::machines::Machines;
use super::regions::is_code;
use super::trace::{Seen, Trace};

/// How the proxy behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How far the regions are from each other.
    pub distances: Distances,
    /// How long a request is tried to be routed before that fails, where no `timeout` says less. A replay to where no
    /// Machine is was measured to fail after 7.5 seconds on Fly.
    pub give_up_after: Duration,
    /// What the field `timeout` of a replay limits.
    pub timeout_covers: TimeoutCovers,
}

/// What the field `timeout` of a replay limits. Fly says "how long the proxy tries to reach the replay target".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutCovers {
    /// Until there is a connection: a Machine that takes connections and never answers keeps the client waiting.
    Reaching,
    /// Until there is an answer: the fallback may come although the other Machine has done the work.
    Answering,
}

impl From<Distances> for Settings {
    fn from(distances: Distances) -> Self {
        Self { distances, give_up_after: Duration::from_millis(7_500), timeout_covers: TimeoutCovers::Reaching }
    }
}

/// How many answers a slow listener may be behind.
const UNHEARD: usize = 10_000;

pub(super) struct Network {
    pub(super) settings: Settings,
    distances: RwLock<Distances>,
    pub(super) seen: broadcast::Sender<Seen>,
    pub(super) machines: Machines,
    pub(super) trace: Trace,
    regions: Mutex<Vec<String>>,
}

impl Network {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            distances: RwLock::new(settings.distances.clone()),
            settings,
            seen: broadcast::Sender::new(UNHEARD),
            machines: Machines::default(),
            trace: Trace::default(),
            regions: Mutex::default(),
        }
    }

    pub(super) fn distances(&self) -> Distances {
        self.distances.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long it takes from one region to the other, now.
    pub(super) fn delay(&self, a: &str, b: &str) -> Duration {
        self.distances.read().unwrap_or_else(PoisonError::into_inner).delay(a, b)
    }

    /// All distances are this many times those that the network began with.
    pub(super) fn scale(&self, by: f64) {
        let scaled = self.settings.distances.clone().scaled(by);
        *self.distances.write().unwrap_or_else(PoisonError::into_inner) = scaled;
    }

    /// A region comes into use.
    pub(super) fn enter(&self, region: &str) -> Result<()> {
        ensure!(is_code(region), "`{region}` is not a region's code");
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        for other in regions.iter() {
            let known = self.settings.distances.between(region, other).is_some();
            ensure!(known, "no distance between {region} and {other}: give it to `Distances::with`");
        }
        regions.push(region.to_owned());
        Ok(())
    }
}
