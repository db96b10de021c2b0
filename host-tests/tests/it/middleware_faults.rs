//! The middleware where something goes wrong on the way, or where somebody wants it to: replays that fail, replicas that hang,
//! bookmarks of a client's own making.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use host_tests::client::Client;
use host_tests::fault::{Fault, FaultProxy};
use host_tests::fly::{Reason, TimeoutCovers, Why};
use host_tests::machine::{Routes, Setup};
use host_tests::postgres::USER;
use host_tests::region::PATIENCE;
use host_tests::wait::eventually;
use http::Method;
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::time::timeout;

use crate::adapted::{App, add};
use crate::fixtures::assert_problem;
use crate::middleware::{Behind, User, pair, told, where_and_how_many};
use crate::playground::replayed;
use crate::scenario::DEADLINE;

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_replay_has_timed_out_is_run_nowhere_else_and_read_from_the_primary_afterwards() {
    // Fly waits for two seconds then.
    let change = |setup: Setup| setup.env("SPIN_VARIABLE_DEADLINE_MS", "1000");
    let behind = Behind::through(change, TimeoutCovers::Answering).await;
    let other = behind.adapted.primary().connect().await.unwrap();
    other.batch_execute("BEGIN; LOCK TABLE notes IN SHARE MODE").await.unwrap();
    let mut ann = User::default();
    // A second one would wait for the table, as the first does.
    let written = timeout(PATIENCE, ann.write(behind.edge, "once")).await.unwrap();
    assert_problem(&written, 500, "outcome-unknown");
    assert_eq!(told(&written), (500, "fra", "replay-failed"), "{written:?}");
    let hops = behind.fly.hops(written.header("fly-request-id"));
    assert!(matches!(hops.last().unwrap().why, Why::FellBack(Reason::Timeout)), "{hops:?}");
    assert!(ann.bookmark.starts_with("1-until-"), "{written:?}");
    assert!(behind.fra.logs().contains("event=outcome-unknown"), "{}", behind.fra.logs());
    // It was on its way all the time.
    behind.pause().await;
    other.batch_execute("COMMIT").await.unwrap();
    let seen = eventually(DEADLINE, "the write to be there", async || {
        let read = ann.read(behind.edge, &where_and_how_many()).await;
        assert_eq!((told(&read), &pair(&read)[0][..]), ((200, "sjc", "replayed"), "sjc"), "{read:?}");
        (pair(&read)[1] == "1").then_some(())
    });
    seen.await.unwrap();
    assert_eq!(behind.notes().await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_forges_flys_headers_gets_a_longer_way_or_a_write_that_is_not_done() {
    let behind = Behind::new().await;
    let replayed = ("fly-replay-src", "instance=x;region=sjc");
    let reached_nobody = ("fly-replay-failed", "reason=no_candidate");
    for (number, (name, value)) in (1..).zip([replayed, reached_nobody]) {
        let mut mallory = User::default();
        let body = json!({ "steps": [add(0, name)] }).to_string();
        let written = mallory.send(behind.edge, Method::POST, "/4.2.0", &[(name, value)], &body).await;
        assert_eq!((written.status.as_u16(), written.header("machine-region")), (200, "fra"), "{written:?}");
        assert_eq!(behind.way(&written), std::slice::from_ref(&behind.in_fra), "one request stays one");
        assert_eq!(behind.notes().await, number.to_string());
    }
    let body = json!({ "steps": [add(0, "never")] }).to_string();
    for value in ["reason=timeout", "reason=new", "x"] {
        for to in [behind.edge, behind.sjc.address()] {
            let forged = [("fly-replay-failed", value)];
            let written = User::default().send(to, Method::POST, "/4.2.0", &forged, &body).await;
            assert_problem(&written, 500, "outcome-unknown");
        }
        let read = User::default().send(behind.edge, Method::GET, "/1", &[("fly-replay-failed", value)], "").await;
        assert_eq!(told(&read), (200, "fra", "read"), "{read:?}");
    }
    assert_eq!(behind.notes().await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bookmark_of_a_clients_own_making_does_not_send_its_machine_to_the_primary() {
    let behind = Behind::new().await;
    let mut ann = User::default();
    ann.write(behind.edge, "one").await;
    replayed(&behind.adapted.cluster, "fra").await;
    let parts: Vec<_> = ann.bookmark.split('-').collect();
    let [_, system, timeline, _] = parts[..] else { panic!("{}", ann.bookmark) };
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let soon = since_epoch + Duration::from_secs(60);
    for forged in [
        format!("1-{system}-{timeline}-ffffffffffffff"),
        format!("1-{system}-7-1"),
        "1-1-1-1".to_owned(),
        "x".to_owned(),
        "primary".to_owned(),
        format!("1-until-{:x}", soon.as_millis()),
    ] {
        // Straight to the Machine, which cannot have it replayed.
        let mut mallory = User { bookmark: forged.clone() };
        let read = mallory.read(behind.fra.address(), &where_and_how_many()).await;
        assert_eq!(
            (told(&read), pair(&read)),
            ((200, "fra", "read"), ["fra", "1"].map(str::to_owned)),
            "{forged}: {read:?}"
        );
        assert_eq!(mallory.bookmark == forged, forged.contains("until"), "{forged}: {read:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_bookmarks_the_one_counts_that_demands_most_and_a_cookie_of_the_apps_is_none() {
    let behind = Behind::new().await;
    let mut ann = User::default();
    ann.write(behind.edge, "one").await;
    let old = ann.bookmark.clone();
    replayed(&behind.adapted.cluster, "fra").await;
    behind.pause().await;
    ann.write(behind.edge, "two").await;
    let new = &ann.bookmark;
    let cookie = |value: &str| ("cookie", format!("a=b; nearest-replica-bookmark={value}"));
    let header = |value: &str| ("nearest-replica-bookmark", value.to_owned());
    let both = format!("{old}; nearest-replica-bookmark={new}");
    let swapped = format!("{new}; nearest-replica-bookmark={old}");
    for (headers, region) in [
        (vec![("cookie", "bookmark=x; a-nearest-replica-bookmark=x".to_owned()), ("bookmark", "x".to_owned())], "fra"),
        (vec![cookie(&old)], "fra"),
        (vec![cookie(new)], "sjc"),
        (vec![cookie(&both)], "sjc"),
        (vec![cookie(&swapped)], "sjc"),
        (vec![header(&old), cookie(new)], "sjc"),
        (vec![header(new), cookie(&old)], "sjc"),
        (vec![header(""), cookie(&old)], "fra"),
        (vec![header(&old), cookie("1-1-1-1")], "sjc"),
        (vec![cookie("no bookmark")], "sjc"),
        (vec![cookie("no bookmark"), header(&old)], "fra"),
    ] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut client = Client::connect(behind.edge).await.unwrap();
        let answer = client.send_with(Method::GET, "/1", &headers, "").await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.header("machine-region")), (200, region), "{headers:?} {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_hangs_is_not_asked_for_each_bookmark_and_the_log_says_it_once() {
    let behind = Behind::new().await;
    let (cluster, host) = (&behind.adapted.cluster, &behind.adapted.host);
    let link = FaultProxy::before(cluster.server("fra").address()).await.unwrap();
    let routes = Routes {
        configured: cluster.primary().address(),
        local: link.address(),
        nearest: None,
        private: vec![("fra".to_owned(), link.address())],
    };
    let setup = Setup { manifest: Some(App::WithBoth.manifest()), ..Setup::with_routes("fra", USER, &routes, host) };
    let setup = setup.env("SPIN_VARIABLE_DEADLINE_MS", "2000");
    let fra = behind.adapted.start(setup).await;
    behind.fly.stop(&behind.in_fra).unwrap();
    behind.fly.add_machine("fra", fra.address()).unwrap();
    let mut ann = User::default();
    ann.write(behind.edge, "one").await;
    replayed(cluster, "fra").await;
    let read = ann.read(behind.edge, &where_and_how_many()).await;
    assert_eq!(told(&read), (200, "fra", "read"), "{read:?}");

    link.set(Fault::Stall);
    let mut read = async || {
        let read = ann.read(behind.edge, &where_and_how_many()).await;
        assert_eq!((told(&read), pair(&read)), ((200, "sjc", "replayed"), ["sjc", "1"].map(str::to_owned)), "{read:?}");
    };
    // One for each name that leads there.
    for _ in 0..2 {
        read().await;
    }
    let before = link.hits();
    assert!(before > 0, "the replica was asked");
    for _ in 0..40 {
        read().await;
    }
    // The probes in the background, one in a second or two.
    let more = link.hits() - before;
    assert!(more < 20, "{more} messages to a replica that hangs, of 40 requests");
    let logs = fra.logs();
    assert_eq!(logs.matches("event=detour").count(), 1, "{logs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_a_bookmark_leaves_the_app_time_to_answer_without_its_database() {
    const LONG: Duration = Duration::from_secs(20);
    let behind = Behind::with(|setup| setup.env("SPIN_VARIABLE_DEADLINE_MS", LONG.as_millis().to_string())).await;
    let mut ann = User::default();
    ann.write(behind.edge, "one").await;
    let primary = behind.adapted.primary();
    primary.signal_all(Signal::SIGSTOP).unwrap();
    // One that is to be checked, and one in place of which a new one is due.
    for bookmark in [ann.bookmark, "primary".to_owned()] {
        let mut user = User { bookmark: bookmark.clone() };
        // A read of a database that hangs takes three quarters of that.
        let read = timeout(LONG / 2, user.send(behind.sjc.address(), Method::GET, "/text/2", &[], "")).await;
        let answer = read.expect("a check takes a quarter");
        assert_eq!((told(&answer), answer.body.as_str()), ((200, "sjc", "primary-region"), "xx"), "{answer:?}");
        assert_eq!(user.bookmark, bookmark, "{answer:?}");
    }
    primary.signal_all(Signal::SIGCONT).unwrap();
}
