//! Whole requests behind the imitated proxy of Fly: a write is replayed in the primary region, and is done once, whatever
//! becomes of that.

use std::net::SocketAddr;
use std::time::Duration;

use host_tests::client::{Answer, Client};
use host_tests::fly::{Distances, Fly, Hop, InstanceId, Settings, Why};
use host_tests::machine::Machine;
use http::Method;

use crate::fixtures::assert_problem;
use crate::guestbook::{Guestbook, guestbook};

const ENTRY: &str = r#"{"name":"Ann","message":"hello"}"#;

/// The guestbook behind an edge in `fra`.
struct Behind {
    book: Guestbook,
    sjc_machine: Machine,
    fly: Fly,
    edge: SocketAddr,
    fra: InstanceId,
    sjc: InstanceId,
}

async fn behind() -> Behind {
    let book = guestbook().await;
    let sjc = book.machine("sjc", "sjc").await;
    let distances = Distances::estimated().scaled(0.2);
    let fly = Fly::new(Settings { give_up_after: Duration::from_millis(300), ..distances.into() });
    let edge = fly.start_edge("fra").await.unwrap();
    let in_fra = fly.add_machine("fra", book.fra.address()).unwrap();
    let in_sjc = fly.add_machine("sjc", sjc.address()).unwrap();
    Behind { book, sjc_machine: sjc, fly, edge, fra: in_fra, sjc: in_sjc }
}

async fn post(edge: SocketAddr, headers: &[(&str, &str)]) -> Answer {
    let headers: Vec<_> = [("content-type", "application/json")].iter().chain(headers).copied().collect();
    Client::connect(edge).await.unwrap().send_with(Method::POST, "/entries", &headers, ENTRY).await.unwrap()
}

impl Behind {
    /// Where the request of an answer went.
    fn hops(&self, answer: &Answer) -> Vec<Hop> {
        self.fly.hops(answer.header("fly-request-id"))
    }

    /// The Machines that the request of an answer went to.
    fn way(&self, answer: &Answer) -> Vec<InstanceId> {
        self.hops(answer).into_iter().map(|hop| hop.instance).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_replayed_in_the_primary_region_and_seen_at_home() {
    let behind = behind().await;
    behind.book.cluster.server("fra").pause_replay().await.unwrap();
    let written = post(behind.edge, &[]).await;
    assert_eq!((written.status.as_u16(), written.header("machine-region")), (201, "sjc"), "{written:?}");
    assert_eq!(written.header("fly-replay"), "");
    let hops = behind.hops(&written);
    assert_eq!(behind.way(&written), [behind.fra.clone(), behind.sjc.clone()], "{hops:?}");
    let Why::Replayed { state, .. } = &hops[1].why else { panic!("{hops:?}") };
    assert_eq!(state.as_deref(), Some("nearest-replica"));
    let bookmark = [("bookmark", written.header("bookmark"))];
    let mut client = Client::connect(behind.edge).await.unwrap();
    let page = client.send_with(Method::GET, "/", &bookmark, "").await.unwrap();
    assert!(page.body.contains("hello") && page.header("machine-region") == "fra", "{page:?}");
    assert_eq!(page.header("database-reason"), "bookmark-behind");
    assert_eq!(behind.book.entries().await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_goes_over_the_distance_where_the_primary_region_has_no_machine_that_can_be_reached() {
    let behind = behind().await;
    behind.fly.stop(&behind.sjc).unwrap();
    let written = post(behind.edge, &[]).await;
    assert_eq!((written.status.as_u16(), written.header("machine-region")), (201, "fra"), "{written:?}");
    let hops = behind.hops(&written);
    assert!(matches!(hops.last().unwrap().why, Why::FellBack(_)), "{hops:?}");
    behind.fly.start(&behind.sjc).unwrap();
    behind.fly.cut_off(&behind.sjc).unwrap();
    let written = post(behind.edge, &[]).await;
    assert_eq!((written.status.as_u16(), written.header("machine-region")), (201, "fra"), "{written:?}");
    assert_eq!(behind.book.entries().await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_region_that_is_not_the_primarys_costs_a_detour_and_no_loop() {
    let behind = behind().await;
    // Each says that the other's region is the primary's.
    let (fra, sjc) = (behind.book.machine("fra", "sjc").await, behind.book.machine("sjc", "fra").await);
    let fly = Fly::new(Distances::estimated().scaled(0.2));
    let edge = fly.start_edge("fra").await.unwrap();
    for (region, machine) in [("fra", &fra), ("sjc", &sjc)] {
        fly.add_machine(region, machine.address()).unwrap();
    }
    let written = post(edge, &[]).await;
    assert_eq!((written.status.as_u16(), written.header("machine-region")), (201, "sjc"), "{written:?}");
    assert_eq!(fly.hops(written.header("fly-request-id")).len(), 2);
    assert_eq!(behind.book.entries().await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_forges_flys_headers_gets_a_longer_way_at_most() {
    let behind = behind().await;
    let failed = ("fly-replay-failed", "reason=no_candidate");
    for (name, value) in [("fly-replay-src", "instance=x;region=sjc"), failed] {
        let written = post(behind.edge, &[(name, value)]).await;
        assert_eq!((written.status.as_u16(), written.header("machine-region")), (201, "fra"), "{written:?}");
        assert_eq!(behind.way(&written), std::slice::from_ref(&behind.fra), "one request stays one");
    }
    assert_eq!(behind.book.entries().await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_replay_may_have_run_is_not_run_again_and_its_user_reads_from_the_primary() {
    let behind = behind().await;
    for reason in ["reason=timeout;elapsed_ms=6000", "reason=yet-to-come"] {
        for machine in [&behind.book.fra, &behind.sjc_machine] {
            let failed = [("fly-replay-failed", reason)];
            let written = post(machine.address(), &failed).await;
            assert_problem(&written, 500, "outcome-unknown");
            assert!(written.header("bookmark").starts_with("1-until-"), "{written:?}");
        }
    }
    assert_eq!(behind.book.entries().await, "0");
}
