//! Guests of an app in Rust that knows nothing of regions, who go from one to the other: behind the adapter and the middleware
//! they read what they have written, and the same checker finds it where the middleware is not there.

use host_tests::history::{
    Behind, Drive, Regions, Rule, State, Summary, Violation, check_guests, report, serve_everywhere,
};

use crate::fixtures::host;
use crate::history::{assert_only, requests, seed};
use crate::turn::alone;

/// How often the replay is paused, and how many requests there are in each pause and after it.
pub(crate) struct Pauses {
    pub(crate) count: usize,
    pub(crate) requests_in: usize,
    pub(crate) requests_after: usize,
}

/// What is found while replicas replay now and then.
pub(crate) async fn found_with_pauses(regions: Regions, pauses: &Pauses) -> (Vec<Violation>, Summary) {
    let drive = Drive::guests(&regions, seed());
    let script = async {
        // A Machine that has written itself reads from the primary soon, so each pause is a short time to be caught in.
        for _ in 0..pauses.count {
            for region in ["fra", "syd"] {
                regions.pause(region).await.unwrap();
            }
            requests(&drive, pauses.requests_in).await;
            for region in ["fra", "syd"] {
                regions.resume(region).await.unwrap();
            }
            regions.wait_for_replicas().await.unwrap();
            requests(&drive, pauses.requests_after).await;
        }
    };
    let (calls, ()) = drive.run(regions.while_connections_end(script)).await;
    let cluster = regions.close();
    let end = State::of_the_book(cluster.primary()).await.unwrap();
    (check_guests(&calls, &end), Summary::of(&calls))
}

async fn found(behind: Behind) -> (Vec<Violation>, Summary) {
    let regions = serve_everywhere(&host(), behind).await.unwrap();
    found_with_pauses(regions, &Pauses { count: 30, requests_in: 12, requests_after: 6 }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_who_go_from_region_to_region_read_what_they_have_written_and_without_the_middleware_are_caught() {
    let _turn = alone().await;
    let (with_both, summary) = found(Behind::Both).await;
    assert!(with_both.is_empty(), "{}\n{summary}", report(&with_both));
    assert!(summary.by_replicas >= 10, "a trivial history: {summary}");
    let (without, _) = found(Behind::Adapter).await;
    assert_only(&without, Rule::Stale);
}
