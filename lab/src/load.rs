//! Requests that come by themselves, in each region, while somebody looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use host_tests::client::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::lab::Lab;
use crate::regions::REGIONS;
use crate::requests::LOAD;

/// The most requests per second in a region.
pub(crate) const MOST: u32 = 100;
/// How many of a region's may be under way: where nobody answers, no more are sent.
const UNDER_WAY: usize = 64;
/// After that a request is given up.
const PATIENCE: Duration = Duration::from_secs(15);
/// A lab that is left alone for that long stops its load.
pub(crate) const LEFT_ALONE: Duration = Duration::from_secs(3600);

/// Who is looking. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Watchers(Arc<AtomicUsize>);

/// One who looks, until this is dropped.
pub(crate) struct Watcher(Watchers);

impl Watchers {
    pub(crate) fn join(&self) -> Watcher {
        self.0.fetch_add(1, Ordering::AcqRel);
        Watcher(self.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What the load does, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    Running,
    /// Nobody looks at the page.
    NobodyLooks,
    /// Nobody has changed anything for an hour.
    LeftAlone,
}

/// What goes for the load of a lab at this moment.
pub(crate) fn phase(lab: &Lab, watchers: &Watchers, left_alone: Duration) -> Phase {
    if lab.left_alone() > left_alone {
        Phase::LeftAlone
    } else if watchers.count() == 0 {
        Phase::NobodyLooks
    } else {
        Phase::Running
    }
}

/// Goes on sending `GET path` in all regions, as often as the knob says, while the load is running.
pub(crate) async fn run(lab: &Lab, path: &str, phase: watch::Receiver<Phase>) {
    join_all(REGIONS.map(|region| in_region(lab, region, path, phase.clone()))).await;
}

async fn in_region(lab: &Lab, region: &str, path: &str, mut phase: watch::Receiver<Phase>) {
    let (knobs, edge) = (lab.knobs(), lab.edge(region));
    let mut idle: Vec<Client> = Vec::new();
    let mut under_way = JoinSet::new();
    let mut next = Instant::now();
    loop {
        if phase.wait_for(|phase| *phase == Phase::Running).await.is_err() {
            return;
        }
        while let Some(done) = under_way.try_join_next() {
            idle.extend(done.ok().flatten());
        }
        let rate = knobs.borrow().load;
        if rate > 0 && under_way.len() < UNDER_WAY {
            let (client, path) = (idle.pop(), path.to_owned());
            under_way.spawn(async move { timeout(PATIENCE, ask(client, edge, &path)).await.ok().flatten() });
        }
        // Not made up for where this falls behind, or was stopped for a while.
        let pause = Duration::from_secs(1) / rate.clamp(1, MOST);
        next = (next + pause).max(Instant::now());
        sleep_until(next).await;
    }
}

/// One request; the connection comes back where it can be used again.
async fn ask(client: Option<Client>, edge: std::net::SocketAddr, path: &str) -> Option<Client> {
    let mut client = match client {
        Some(client) => client,
        None => Client::connect(edge).await.ok()?,
    };
    client.skip(path, &[("user-agent", LOAD)]).await.ok()?;
    Some(client)
}
