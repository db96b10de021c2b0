//! The scenario for fault tests: a cluster behind proxies, one Machine in `fra`, and sixteen clients who never stop asking.

use std::time::{Duration, Instant};

use host_tests::fault::{Fault, FaultProxy};
use host_tests::load::{Load, Report, Sample};
use host_tests::machine::{Machine, Routes, Setup};
use host_tests::postgres::{Cluster, PASSWORD, PASSWORD_USER, Server};
use host_tests::wait::eventually;
use tokio::sync::{Mutex, MutexGuard};

use crate::fixtures::host;

pub(crate) const CLIENTS: usize = 16;
/// What spin.toml sets.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(30);

/// Fault tests load the machine: one at a time.
pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

pub(crate) struct Scenario {
    pub(crate) cluster: Cluster,
    /// Between the Machine and `fra`'s replica.
    pub(crate) local: FaultProxy,
    /// Between the Machine and the primary.
    pub(crate) primary: FaultProxy,
    pub(crate) machine: Machine,
    pub(crate) load: Load,
    _alone: MutexGuard<'static, ()>,
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
    /// How many requests tried a dead candidate before they were answered, while the fault was in force.
    fall_backs: usize,
}

impl Scenario {
    pub(crate) async fn new() -> Self {
        Self::with("", &[]).await
    }

    /// With more URL parameters and more settings for the servers.
    pub(crate) async fn with(parameters: &str, settings: &[(&str, &str)]) -> Self {
        let alone = alone().await;
        let cluster = Cluster::start_with(&["fra"], settings).await.unwrap();
        let local = FaultProxy::before(cluster.server("fra").address()).await.unwrap();
        let primary = FaultProxy::before(cluster.primary().address()).await.unwrap();
        let routes = Routes {
            given: primary.address(),
            local: local.address(),
            nearest: None,
            private: vec![("fra".to_owned(), local.address())],
        };
        let host = host();
        // `p@ss:5432/%40`: the log of every scenario is searched for it.
        let login = format!("{PASSWORD_USER}:p%40ss%3A5432%2F%2540");
        let mut setup = Setup::with_routes("fra", &login, &routes, &host);
        if !parameters.is_empty() {
            let url = setup.environment["DATABASE_URL"].clone();
            let joint = if url.contains('?') { '&' } else { '?' };
            setup = setup.env("DATABASE_URL", format!("{url}{joint}{parameters}"));
        }
        let machine = Machine::start(&host, setup).await.unwrap();
        Self { cluster, local, primary, machine, load: Load::default(), _alone: alone }
    }

    pub(crate) fn fra(&self) -> &Server {
        self.cluster.server("fra")
    }

    /// Healthy -> `break_it`, which also sees that the fault is in force -> a while of it -> `mend_it` -> home again.
    pub(crate) async fn run(&self, break_it: impl AsyncFnOnce(), mend_it: impl AsyncFnOnce()) -> Observations {
        let script = async {
            self.wait_for_home("healthy at first").await;
            self.wait_for_answers(200).await;
            break_it().await;
            let broken = (Instant::now(), self.fall_backs());
            self.wait_for_answers(CLIENTS * 2).await;
            // Long enough for a few probes of the dead candidate.
            tokio::time::sleep(Duration::from_millis(2500)).await;
            let mended = (Instant::now(), self.fall_backs());
            mend_it().await;
            self.wait_for_home("home again by itself").await;
            // The other instances come home when their own rest is over, which is a second more where they find that
            // somebody is just probing.
            tokio::time::sleep(Duration::from_secs(3)).await;
            let home = Instant::now();
            self.wait_for_answers(200).await;
            self.load.stop();
            (broken, mended, home)
        };
        let (report, (broken, mended, home)) = futures::join!(self.load.run(self.machine.address(), CLIENTS), script);
        let fall_backs = mended.1 - broken.1;
        Observations { report: report.unwrap(), broken: broken.0, mended: mended.0, home, fall_backs }
    }

    async fn wait_for_answers(&self, more: usize) {
        let enough = self.load.answered() + more;
        let waited = eventually(PATIENCE, "more answers", async || (self.load.answered() >= enough).then_some(()));
        waited.await.unwrap();
    }

    /// A whole round of answers by the region's own server.
    async fn wait_for_home(&self, what: &str) {
        let home = eventually(PATIENCE, what, async || {
            let answer = self.machine.client().await.ok()?.get("/").await.ok()?;
            (answer.status == 200 && is_home(answer.header("database-candidate"))).then_some(())
        });
        home.await.unwrap();
    }

    /// Nothing secret in anything that was logged.
    pub(crate) fn assert_no_secret(&self) {
        let logs = self.machine.logs();
        for secret in [PASSWORD, "p%40ss%3A5432%2F%2540", "ss:5432"] {
            assert!(!logs.contains(secret), "{logs}");
        }
    }

    /// How many requests were answered by another candidate after having tried a dead one.
    pub(crate) fn fall_backs(&self) -> usize {
        self.machine.logs().matches("event=fell-back").count()
    }
}

pub(crate) fn is_home(candidate: &str) -> bool {
    ["local", "replica-port"].contains(&candidate)
}

impl Observations {
    /// The promise to a region with a replica, while one database of the cluster can be reached: no request fails or
    /// passes the deadline, only those in flight pay for the dead candidate, and traffic comes home by itself.
    #[track_caller]
    pub(crate) fn assert_nobody_noticed(&self, scenario: &Scenario) {
        scenario.assert_no_secret();
        self.report.all_answered_within(DEADLINE).unwrap_or_else(|error| panic!("{error:#}"));
        assert!(self.report.most_in_flight >= CLIENTS, "{} requests overlapped", self.report.most_in_flight);
        let (fall_backs, during) = (self.fall_backs, self.during().len());
        // Those in flight when the fault came, and those of instances that began before the word was out.
        assert!(fall_backs <= 2 * CLIENTS, "{fall_backs} of {during} requests paid for the dead candidate");
        let after = self.report.between(self.home, Instant::now());
        assert!(after.len() >= CLIENTS, "there were requests after that");
        let abroad = after.iter().filter(|sample| !is_home(&sample.served_by.0)).count();
        assert_eq!(abroad, 0, "of {} requests after it was mended, these were not served at home", after.len());
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
