//! The middleware in front of an app behind the adapter: whole requests where they belong, behind the imitated proxy of Fly.

use std::net::SocketAddr;
use std::time::Duration;

use host_tests::client::{Answer, Client};
use host_tests::fly::{Distances, Fly, InstanceId, Settings, TimeoutCovers, Why};
use host_tests::machine::{Machine, Routes, Setup};
use host_tests::postgres::USER;
use host_tests::wait::eventually;
use http::Method;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::adapted::{Adapted, App, NOTES, PLACE, add, on, outcomes, values};
use crate::fixtures::assert_problem;
use crate::playground::replayed;
use crate::scenario::DEADLINE;

/// A user: one script at a time, with the bookmark that the last answer brought.
#[derive(Default)]
pub(crate) struct User {
    pub(crate) bookmark: String,
}

/// Machines in `fra` and `sjc` behind an edge in `fra`.
pub(crate) struct Behind {
    pub(crate) adapted: Adapted,
    pub(crate) fra: Machine,
    pub(crate) sjc: Machine,
    pub(crate) fly: Fly,
    pub(crate) edge: SocketAddr,
    pub(crate) in_fra: InstanceId,
    pub(crate) in_sjc: InstanceId,
}

impl Behind {
    pub(crate) async fn new() -> Self {
        Self::with(|setup| setup).await
    }

    pub(crate) async fn with(change: impl Fn(Setup) -> Setup) -> Self {
        Self::through(change, TimeoutCovers::Reaching).await
    }

    pub(crate) async fn through(change: impl Fn(Setup) -> Setup, timeout_covers: TimeoutCovers) -> Self {
        let adapted = Adapted::new().await;
        let start = async |region| adapted.start(change(adapted.setup(region, App::WithBoth))).await;
        let (fra, sjc) = (start("fra").await, start("sjc").await);
        let distances = Distances::estimated().scaled(0.2);
        let patience = Duration::from_millis(300);
        let fly = Fly::new(Settings { give_up_after: patience, timeout_covers, ..distances.into() });
        let edge = fly.start_edge("fra").await.unwrap();
        let in_fra = fly.add_machine("fra", fra.address()).unwrap();
        let in_sjc = fly.add_machine("sjc", sjc.address()).unwrap();
        Self { adapted, fra, sjc, fly, edge, in_fra, in_sjc }
    }

    /// The Machines that the request of an answer went to.
    pub(crate) fn way(&self, answer: &Answer) -> Vec<InstanceId> {
        self.fly.hops(answer.header("fly-request-id")).into_iter().map(|hop| hop.instance).collect()
    }

    pub(crate) async fn pause(&self) {
        self.adapted.cluster.server("fra").pause_replay().await.unwrap();
    }

    pub(crate) async fn resume(&self) {
        self.adapted.cluster.server("fra").resume_replay().await.unwrap();
    }

    pub(crate) async fn notes(&self) -> String {
        self.adapted.primary().ask("SELECT count(*)::text FROM notes").await.unwrap()
    }
}

impl User {
    /// A script as a request of which the middleware knows that it only reads.
    pub(crate) async fn read(&mut self, address: SocketAddr, steps: &[Value]) -> Answer {
        self.send(address, Method::POST, "/read/4.2.0", &[], &json!({ "steps": steps }).to_string()).await
    }

    pub(crate) async fn write(&mut self, address: SocketAddr, note: &str) -> Answer {
        self.send(address, Method::POST, "/4.2.0", &[], &json!({ "steps": [add(0, note)] }).to_string()).await
    }

    pub(crate) async fn send(
        &mut self,
        address: SocketAddr,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let bookmark = self.bookmark.clone();
        let mut headers = headers.to_vec();
        if !bookmark.is_empty() {
            headers.push(("nearest-replica-bookmark", &bookmark));
        }
        let mut client = Client::connect(address).await.unwrap();
        let answer = client.send_with(method, path, &headers, body.to_owned()).await.unwrap();
        let new = answer.header("nearest-replica-bookmark");
        if !new.is_empty() {
            assert!(
                answer.header("set-cookie").starts_with(&format!("nearest-replica-bookmark={new}; Path=/;")),
                "{answer:?}"
            );
            assert_eq!(answer.header("cache-control"), "private", "{answer:?}");
            new.clone_into(&mut self.bookmark);
        }
        answer
    }
}

/// The status, the Machine's region, and why it has answered.
pub(crate) fn told(answer: &Answer) -> (u16, &str, &str) {
    (answer.status.as_u16(), answer.header("machine-region"), answer.header("machine-reason"))
}

/// What the two steps of a script have brought.
pub(crate) fn pair(answer: &Answer) -> [String; 2] {
    let outcomes = outcomes(&answer.body);
    let [one, other] = values(&outcomes)[..] else { panic!("{answer:?}") };
    [one.to_owned(), other.to_owned()]
}

pub(crate) fn where_and_how_many() -> [Value; 2] {
    [on(0, PLACE), on(1, NOTES)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_replayed_in_the_primary_region_and_its_user_sees_it_wherever_they_read() {
    let behind = Behind::new().await;
    behind.pause().await;
    let (mut ann, mut other) = (User::default(), User::default());
    let first = ann.read(behind.edge, &where_and_how_many()).await;
    assert_eq!((told(&first), pair(&first)), ((200, "fra", "read"), ["fra", "0"].map(str::to_owned)));
    assert_eq!(ann.bookmark, "", "nothing on an answer without a write");

    let written = ann.write(behind.edge, "from fra").await;
    assert_eq!(told(&written), (200, "sjc", "replayed"), "{written:?}");
    assert_eq!(behind.way(&written), [behind.in_fra.clone(), behind.in_sjc.clone()]);
    assert_eq!(written.header("fly-replay"), "");
    // The replica has not replayed it: the request goes where it is.
    let read = ann.read(behind.edge, &where_and_how_many()).await;
    assert_eq!((told(&read), pair(&read)), ((200, "sjc", "replayed"), ["sjc", "1"].map(str::to_owned)), "{read:?}");
    // Nobody else is sent away.
    let read = other.read(behind.edge, &where_and_how_many()).await;
    assert_eq!((told(&read), pair(&read)), ((200, "fra", "read"), ["fra", "0"].map(str::to_owned)));

    behind.resume().await;
    let home = eventually(DEADLINE, "the replica to have it", async || {
        let read = ann.read(behind.edge, &where_and_how_many()).await;
        assert_eq!(pair(&read)[1], "1", "{read:?}");
        (told(&read) == (200, "fra", "read")).then(|| pair(&read))
    });
    assert_eq!(home.await.unwrap(), ["fra", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_further_away_does_not_answer_for_the_one_that_reads_are_from() {
    let behind = Behind::new().await;
    let (cluster, host) = (&behind.adapted.cluster, &behind.adapted.host);
    let routes = Routes {
        configured: cluster.primary().address(),
        local: cluster.server("fra").address(),
        nearest: Some(cluster.server("syd").address()),
        private: Vec::new(),
    };
    let setup = Setup { manifest: Some(App::WithBoth.manifest()), ..Setup::with_routes("fra", USER, &routes, host) };
    let fra = behind.adapted.start(setup).await;
    behind.pause().await;
    let mut ann = User::default();
    ann.write(behind.edge, "one").await;
    replayed(cluster, "syd").await;
    let read = ann.read(fra.address(), &where_and_how_many()).await;
    assert_eq!(
        (told(&read), pair(&read)),
        ((200, "fra", "bookmark-behind"), ["sjc", "1"].map(str::to_owned)),
        "{read:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_cannot_be_replayed_is_from_the_primary_until_the_replica_has_what_its_user_has_seen() {
    let behind = Behind::new().await;
    behind.pause().await;
    let mut ann = User::default();
    ann.write(behind.edge, "one").await;
    // Straight to the Machine: there is no proxy that could replay it.
    for _ in 0..3 {
        let read = ann.read(behind.fra.address(), &where_and_how_many()).await;
        assert_eq!(told(&read), (200, "fra", "bookmark-behind"), "{read:?}");
        assert_eq!(pair(&read), ["sjc", "1"], "{read:?}");
    }
    // One that means nothing becomes one of what the primary has, which asks for no question more.
    for made_up in ["x", "primary", "1-1-1-ffffffff"] {
        let mut bob = User { bookmark: made_up.to_owned() };
        let read = bob.read(behind.fra.address(), &where_and_how_many()).await;
        assert_eq!((told(&read), &pair(&read)[0][..]), ((200, "fra", "bookmark-behind"), "sjc"), "{read:?}");
        assert!(bob.bookmark.starts_with("1-") && bob.bookmark != made_up, "{read:?}");
    }
    behind.resume().await;
    let home = eventually(DEADLINE, "the replica to be read from", async || {
        let read = ann.read(behind.fra.address(), &where_and_how_many()).await;
        assert_eq!(pair(&read)[1], "1", "{read:?}");
        (told(&read) == (200, "fra", "read") && pair(&read)[0] == "fra").then_some(())
    });
    home.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bookmark_that_means_nothing_costs_one_detour_and_brings_a_new_one() {
    let behind = Behind::new().await;
    let foreign = "1-1-1-ffffffff";
    for made_up in ["x", "primary", foreign, "1-until-1", "'; DROP TABLE notes"] {
        let mut mallory = User { bookmark: made_up.to_owned() };
        let read = mallory.read(behind.edge, &where_and_how_many()).await;
        assert_eq!(told(&read), (200, "sjc", "replayed"), "{made_up}: {read:?}");
        assert_eq!(behind.way(&read).len(), 2, "one request stays one");
        assert!(mallory.bookmark.starts_with("1-") && mallory.bookmark != made_up, "{made_up}: {read:?}");
        let home = eventually(DEADLINE, "the replica to have it", async || {
            (told(&mallory.read(behind.edge, &[]).await) == (200, "fra", "read")).then_some(())
        });
        home.await.unwrap();
    }
    // Nobody writes a bookmark from the future: it is one detour like the others, and not a way to be slow for ever.
    let mut mallory = User { bookmark: format!("1-until-{:x}", u64::MAX) };
    let read = mallory.read(behind.edge, &[]).await;
    assert_eq!(told(&read), (200, "sjc", "replayed"), "{read:?}");
    assert!(!mallory.bookmark.contains("until"), "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_only_read_and_gets_that_write_are_as_the_app_says() {
    let behind = Behind::with(|setup| setup.env("SPIN_VARIABLE_WRITING_REQUESTS", "GET /3, GET /cron/{*rest}")).await;
    let mut ann = User::default();
    for (path, region) in [("/1", "fra"), ("/3", "sjc"), ("/3?a=b", "sjc"), ("/cron/1", "sjc"), ("/cron", "fra")] {
        let answer = ann.send(behind.edge, Method::GET, path, &[], "").await;
        assert_eq!(answer.header("machine-region"), region, "{path}: {answer:?}");
        assert_eq!(answer.header("nearest-replica-bookmark").is_empty(), region == "fra", "{path}: {answer:?}");
    }
    let answer = User::default().send(behind.edge, Method::HEAD, "/3", &[], "").await;
    assert_eq!(answer.header("machine-region"), "sjc", "as GET: {answer:?}");
    for method in [Method::HEAD, Method::OPTIONS] {
        let answer = User::default().send(behind.edge, method.clone(), "/1", &[], "").await;
        assert_eq!(
            (answer.header("machine-region"), answer.header("nearest-replica-bookmark")),
            ("fra", ""),
            "{method}: {answer:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_replay_off_everything_is_answered_where_it_comes() {
    let behind = Behind::with(|setup| setup.env("SPIN_VARIABLE_REPLAY", "off")).await;
    behind.pause().await;
    let mut ann = User::default();
    let written = ann.write(behind.edge, "over the distance").await;
    assert_eq!(told(&written), (200, "fra", "not-replayable"), "{written:?}");
    let read = ann.read(behind.edge, &where_and_how_many()).await;
    assert_eq!((told(&read), pair(&read)), ((200, "fra", "bookmark-behind"), ["sjc", "1"].map(str::to_owned)));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_primary_region_dead_reads_go_on_and_a_write_is_told_that_it_was_not_done() {
    let behind = Behind::new().await;
    let (mut ann, mut other) = (User::default(), User::default());
    ann.write(behind.edge, "before").await;
    let home = eventually(DEADLINE, "the replica to have it", async || {
        (told(&ann.read(behind.edge, &[]).await) == (200, "fra", "read")).then_some(())
    });
    home.await.unwrap();
    behind.fly.stop(&behind.in_sjc).unwrap();
    behind.adapted.primary().end(Signal::SIGKILL).unwrap();
    for user in [&mut ann, &mut other] {
        let read = user.read(behind.edge, &where_and_how_many()).await;
        assert_eq!((told(&read), pair(&read)), ((200, "fra", "read"), ["fra", "1"].map(str::to_owned)), "{read:?}");
        let written = user.write(behind.edge, "never").await;
        assert_problem(&written, 503, "database-unavailable");
        assert_eq!(told(&written), (503, "fra", "replay-failed"), "{written:?}");
        let hops = behind.fly.hops(written.header("fly-request-id"));
        assert!(matches!(hops.last().unwrap().why, Why::FellBack(_)), "{hops:?}");
    }
    // Who has seen more than the replica has is told so, and nothing old.
    let mut eve = User { bookmark: "1-1-1-ffffffff".to_owned() };
    let read = eve.read(behind.edge, &where_and_how_many()).await;
    assert_problem(&read, 503, "database-unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_does_not_say_how_far_it_is_costs_its_users_next_read_a_detour() {
    let behind = Behind::with(|setup| setup.env("SPIN_VARIABLE_DEADLINE_MS", "2000")).await;
    let primary = behind.adapted.primary();
    let mut ann = User::default();
    ann.write(behind.edge, "before").await;
    primary.signal_all(Signal::SIGSTOP).unwrap();
    // The app needs no database for its answer.
    let answer = ann.send(behind.sjc.address(), Method::DELETE, "/text/2", &[], "").await;
    assert_eq!((told(&answer), answer.body.as_str()), ((200, "sjc", "primary-region"), "xx"));
    assert_eq!(ann.bookmark, "primary");
    primary.signal_all(Signal::SIGCONT).unwrap();
    let read = ann.read(behind.edge, &where_and_how_many()).await;
    assert_eq!((told(&read), pair(&read)), ((200, "sjc", "replayed"), ["sjc", "1"].map(str::to_owned)), "{read:?}");
    assert!(ann.bookmark.starts_with("1-"), "{read:?}");
}
