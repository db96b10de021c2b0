//! What fault tests run in: a region with a replica whose links can be broken, and sixteen clients who never stop
//! asking.

use std::ops::Deref;
use std::time::{Duration, Instant};

use host_tests::fault::{Fault, FaultProxy};
use host_tests::load::{Load, Report, Sample};
pub(crate) use host_tests::region::DEADLINE;
use host_tests::region::{Options, PATIENCE, ReplicaRegion, is_home};
use host_tests::wait::eventually;

use crate::fixtures::{host, host_with_private_names};
use crate::turn::{Turn, alone};

pub(crate) const CLIENTS: usize = 16;

/// A region, a load on it, and a turn without other tests.
pub(crate) struct Scenario {
    region: ReplicaRegion,
    pub(crate) load: Load,
    _alone: Turn,
}

impl Deref for Scenario {
    type Target = ReplicaRegion;

    fn deref(&self) -> &ReplicaRegion {
        &self.region
    }
}

/// What the clients saw, and when.
pub(crate) struct Observations {
    pub(crate) report: Report,
    /// The fault was in force from here...
    broken: Instant,
    /// ...to here.
    mended: Instant,
    /// Everybody should be served at home again from here on.
    home: Instant,
    /// How many requests tried a dead candidate before they were answered, from just before the fault until it was
    /// mended.
    fall_backs: usize,
}

impl Scenario {
    /// Its nearest replica is the region's own.
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    /// With another replica nearby.
    pub(crate) async fn with_nearest() -> Self {
        Self::with(Options { nearest: true, ..Options::default() }).await
    }

    pub(crate) async fn with(options: Options<'_>) -> Self {
        let alone = alone().await;
        let host = if options.nearest { host_with_private_names() } else { host() };
        Self { region: ReplicaRegion::start(&host, options).await.unwrap(), load: Load::default(), _alone: alone }
    }

    /// Healthy -> `break_it`, which also sees that the fault is in force -> a while of it -> `mend_it` -> home again.
    pub(crate) async fn run(&self, break_it: impl AsyncFnOnce(), mend_it: impl AsyncFnOnce()) -> Observations {
        let script = async {
            self.wait_for_home("healthy at first").await.unwrap();
            self.wait_for_answers(200).await;
            // Before the fault, so that the requests that it catches in flight count.
            let fall_backs_before = self.fall_backs();
            break_it().await;
            let broken = Instant::now();
            self.wait_for_answers(CLIENTS * 2).await;
            // Long enough for a few probes of the dead candidate.
            tokio::time::sleep(Duration::from_millis(2500)).await;
            let mended = Instant::now();
            let fall_backs = self.fall_backs() - fall_backs_before;
            mend_it().await;
            self.wait_for_home("home again by itself").await.unwrap();
            // The other instances come home after their own cool-down, which is a second more where they find that
            // somebody is just probing.
            tokio::time::sleep(Duration::from_secs(3)).await;
            let home = Instant::now();
            self.wait_for_answers(200).await;
            self.load.stop();
            (broken, mended, home, fall_backs)
        };
        let (report, script) = futures::join!(self.load.run(self.machine.address(), CLIENTS), script);
        let (broken, mended, home, fall_backs) = script;
        Observations { report: report.unwrap(), broken, mended, home, fall_backs }
    }

    async fn wait_for_answers(&self, more: usize) {
        let enough = self.load.answered() + more;
        let waited = eventually(PATIENCE, "more answers", async || (self.load.answered() >= enough).then_some(()));
        waited.await.unwrap();
    }

    pub(crate) fn assert_no_secret(&self) {
        self.no_secret_is_logged().unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// How many requests were answered by another candidate after having tried a dead one.
    pub(crate) fn fall_backs(&self) -> usize {
        self.machine.logs().matches("event=fell-back").count()
    }

    /// Waits until the Machine has logged something.
    pub(crate) async fn wait_for_log(&self, text: &str) {
        let logged =
            eventually(Duration::from_secs(5), text, async || self.machine.logs().contains(text).then_some(()));
        logged.await.unwrap_or_else(|error| panic!("{error:#} in\n{}", self.machine.logs()));
    }
}

impl Observations {
    /// The promise to a region with a replica, while one database of the cluster can be reached: no request fails or
    /// passes the deadline, only those in flight pay for the dead candidate, and traffic comes home by itself.
    #[track_caller]
    pub(crate) fn assert_nobody_noticed(&self, scenario: &Scenario) {
        self.assert_nobody_noticed_any_of(1, scenario);
    }

    /// The same for a fault that begins several times.
    #[track_caller]
    pub(crate) fn assert_nobody_noticed_any_of(&self, times: usize, scenario: &Scenario) {
        scenario.assert_no_secret();
        self.report.all_answered_within(DEADLINE).unwrap_or_else(|error| panic!("{error:#}"));
        let overlap = scenario.local.most_in_flight();
        assert!(overlap >= CLIENTS / 4, "the database had at most {overlap} requests at once");
        let (fall_backs, during) = (self.fall_backs, self.during().len());
        // Those in flight when the fault came, and the next ones of instances that had none in flight.
        let most = 2 * CLIENTS * times;
        assert!(fall_backs <= most, "{fall_backs} of {during} requests paid for the dead candidate");
        let after = self.report.between(self.home, Instant::now());
        assert!(after.len() >= CLIENTS, "there were requests after that");
        let elsewhere = after.iter().filter(|sample| !is_home(&sample.served_by.0)).count();
        assert_eq!(elsewhere, 0, "of {} requests after it was mended, these were not served at home", after.len());
    }

    /// The requests sent while the fault was in force.
    pub(crate) fn during(&self) -> Vec<&Sample> {
        self.report.between(self.broken, self.mended)
    }

    /// Whoever answered while the fault was in force was not the dead candidate.
    #[track_caller]
    pub(crate) fn assert_served_by(&self, candidate: &str, role: &str) {
        let during = self.during();
        assert!(during.len() >= CLIENTS, "{} requests", during.len());
        let expected = (candidate.to_owned(), role.to_owned());
        let others: Vec<_> = during.iter().filter(|sample| sample.served_by != expected).collect();
        assert!(others.is_empty(), "{} of {} by others, such as {:?}", others.len(), during.len(), others[0]);
    }
}

/// Breaks a link, and sees that it is broken.
pub(crate) async fn break_link(proxy: &FaultProxy, fault: Fault) {
    proxy.set(fault);
    if fault == Fault::Refuse {
        let refused = eventually(PATIENCE, "connections to be refused", async || {
            tokio::net::TcpStream::connect(proxy.address()).await.is_err().then_some(())
        });
        refused.await.unwrap();
    } else {
        let hit = eventually(PATIENCE, "the fault to hit something", async || (proxy.hits() > 0).then_some(()));
        hit.await.unwrap();
    }
}
