//! `fly-replay`: where a request goes again, and what is refused.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{Request, Response};

use super::super::{Distances, Fly, Settings, Why};
use super::fixtures::{App, Regions, ask, get, header, impatient, refusal, replay, with};
use crate::wait::eventually;

#[tokio::test]
async fn a_request_is_replayed_whole_with_the_state() {
    let (fra, sjc) = (App::replaying("region=sjc;state=write").await, App::saying("done").await);
    let regions = Regions::start(impatient(), &fra, &sjc).await;
    let request = Request::patch("/rows/1?x=y").header("x-mine", "kept").header("fly-replay-src", "forged");
    let answer = ask(regions.edge, request.body("body".into()).unwrap()).await;
    assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"done"[..]));
    assert_eq!(header(answer.headers(), "via"), "1.1 fly.io, 1.1 fly.io");
    assert_eq!(header(answer.headers(), "fly-replay"), "");

    let (first, second) = (fra.seen().remove(0), sjc.seen().remove(0));
    assert_eq!(header(first.headers(), "fly-replay-src"), "forged", "it is no replay");
    for seen in [&first, &second] {
        assert_eq!((seen.method().as_str(), seen.uri().to_string().as_str()), ("PATCH", "/rows/1?x=y"));
        assert_eq!((header(seen.headers(), "x-mine"), &seen.body()[..]), ("kept", &b"body"[..]));
        assert_eq!(header(seen.headers(), "fly-request-id"), header(answer.headers(), "fly-request-id"));
    }
    assert_eq!(second.headers().get_all("fly-replay-src").iter().count(), 1);
    let source: Vec<_> = header(second.headers(), "fly-replay-src").split(';').collect();
    assert_eq!((source[0], source[1]), (format!("instance={}", regions.fra).as_str(), "region=fra"));
    assert!(source[2].strip_prefix("t=").unwrap().parse::<u64>().unwrap() > 1_700_000_000_000_000, "microseconds");
    assert_eq!(source[3], "state=write");

    let from = regions.fra.clone();
    let replayed = Why::Replayed { from, state: Some("write".to_owned()) };
    let expected = [("fra".to_owned(), Why::Routed, Some(409)), ("sjc".to_owned(), replayed, Some(200))];
    assert_eq!(regions.hops(&answer), expected);
}

#[tokio::test]
async fn a_replay_goes_back_through_the_edge() {
    let (fra, sjc) = (App::replaying("region=sjc").await, App::replaying("region=fra;state=back").await);
    let regions = Regions::start(Distances::estimated().scaled(0.2).into(), &fra, &sjc).await;
    let started = Instant::now();
    let answer = ask(regions.edge, get()).await;
    // Ten replays, each other one to San Jose, 15 ms away.
    assert_eq!(refusal(&answer), (502, "PA02"));
    assert!(started.elapsed() >= 5 * 2 * Duration::from_millis(15), "{:?}", started.elapsed());
}

#[tokio::test]
async fn ten_replays_are_allowed_and_no_more() {
    for (replays, expected) in [(10, 200), (11, 502)] {
        let left = AtomicUsize::new(replays);
        let count = move || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        let fra = App::start(move |_| if count().is_ok() { replay("region=fra") } else { Response::default() }).await;
        let regions = Regions::start(impatient(), &fra, &fra).await;
        let answer = ask(regions.edge, get()).await;
        assert_eq!(answer.status(), expected);
        assert_eq!(regions.hops(&answer).len(), 11);
        if expected == 502 {
            assert_eq!(refusal(&answer).1, "PA02");
        }
    }
}

#[tokio::test]
async fn a_replay_can_name_regions_machines_or_anywhere_else() {
    let sjc = App::saying("sjc").await;
    for (asked, expected) in [
        ("region=sjc", "sjc"),
        ("region=us", "sjc"),
        ("region=\"syd,any\";elsewhere=true", "sjc"),
        ("elsewhere=true", "sjc"),
        ("instance={sjc}", "sjc"),
        ("prefer_instance={sjc}", "sjc"),
        ("instance=00bb33ff", "PR01"),
        ("instance={sjc};region=fra", "PR01"),
        ("prefer_instance=00bb33ff;region=sjc", "sjc"),
        ("region=syd", "PR01"),
        ("region=xyz", "PR01"),
        ("region=\"syd,xyz\"", "PR01"),
        ("app=nearest-replica;region=sjc", "sjc"),
        ("app=another", "PA04"),
        ("region=sjc,any", "PA03"),
        ("to=sjc", "PA03"),
    ] {
        let fra = App::start(move |request| replay(&asked.replace("{sjc}", header(request.headers(), "x-sjc")))).await;
        let regions = Regions::start(impatient(), &fra, &sjc).await;
        let answer = ask(regions.edge, with("x-sjc", &regions.sjc.to_string())).await;
        let answered = match answer.status().as_u16() {
            200 => str::from_utf8(answer.body()).unwrap(),
            status => {
                assert_eq!(status, 502);
                refusal(&answer).1
            }
        };
        assert_eq!(answered, expected, "{asked}");
    }
    let unavailable = sjc.seen();
    let unavailable = unavailable.iter().map(|seen| header(seen.headers(), "fly-preferred-instance-unavailable"));
    assert_eq!(unavailable.filter(|other| *other == "00bb33ff").count(), 1);
}

#[tokio::test]
async fn a_list_of_regions_falls_to_the_next_where_the_first_is_not_reached() {
    let (fra, sjc) = (App::replaying("region=\"sjc,any\"").await, App::saying("sjc").await);
    let regions = Regions::start(impatient(), &fra, &sjc).await;
    regions.fly.stop(&regions.sjc).unwrap();
    let answer = ask(regions.edge, get()).await;
    assert_eq!(refusal(&answer).1, "PA02", "it lands where it came from, again and again");
    assert!(regions.hops(&answer).iter().all(|(region, ..)| region == "fra"));
}

#[tokio::test]
async fn what_is_not_a_replay_of_the_documented_form_is_refused() {
    let several = || Response::builder().header("fly-replay", "region=sjc").header("fly-replay", "region=fra");
    let json = || Response::builder().header("content-type", "application/vnd.fly.replay+json");
    let cached = || Response::builder().header("fly-replay", "region=sjc").header("fly-replay-cache", "/*");
    let blank = || Response::builder().header("fly-replay", "region=sjc; state=x");
    let answers = [several, json, cached, blank].map(|answer| move || answer().body("".into()).unwrap());
    let sjc = App::saying("sjc").await;
    for (place, answer) in answers.into_iter().enumerate() {
        let fra = App::start(move |_| answer()).await;
        let regions = Regions::start(impatient(), &fra, &sjc).await;
        assert_eq!(refusal(&ask(regions.edge, get()).await), (502, "PA03"), "{place}");
    }
    assert!(sjc.seen().is_empty());
}

#[tokio::test]
async fn an_upgrade_is_not_replayed() {
    let (fra, sjc) = (App::replaying("region=sjc").await, App::saying("sjc").await);
    let regions = Regions::start(impatient(), &fra, &sjc).await;
    let mut request = with("upgrade", "websocket");
    request.headers_mut().insert("connection", "upgrade".parse().unwrap());
    assert_eq!(refusal(&ask(regions.edge, request).await), (502, "PA03"));
    assert!(sjc.seen().is_empty());
}

#[tokio::test]
async fn a_timeout_makes_a_replay_fail_sooner() {
    let (fra, sjc) = (App::replaying("region=sjc;timeout=100ms").await, App::saying("sjc").await);
    let patient = Settings { give_up_after: Duration::from_secs(60), ..impatient() };
    let regions = Regions::start(patient, &fra, &sjc).await;
    for (expected, change) in [("PR04", Fly::cut_off as fn(&Fly, &_) -> _), ("PR01", Fly::stop)] {
        change(&regions.fly, &regions.sjc).unwrap();
        let started = Instant::now();
        assert_eq!(refusal(&ask(regions.edge, get()).await), (502, expected));
        assert!(started.elapsed() >= Duration::from_millis(100));
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_machine_that_starts_in_time_gets_the_replay() {
    let (fra, sjc) = (App::replaying("region=sjc").await, App::saying("sjc").await);
    let regions = Regions::start(Distances::estimated().scaled(0.0).into(), &fra, &sjc).await;
    regions.fly.stop(&regions.sjc).unwrap();
    let start = async {
        let asked = async || (!fra.seen().is_empty()).then_some(());
        eventually(Duration::from_secs(10), "the replay", asked).await.unwrap();
        regions.fly.start(&regions.sjc).unwrap();
    };
    let (answer, ()) = tokio::join!(ask(regions.edge, get()), start);
    assert_eq!(answer.body(), "sjc");
}

#[tokio::test]
async fn a_timeout_below_the_distance_never_reaches() {
    let (fra, sjc) = (App::replaying("region=sjc;timeout=20ms").await, App::saying("sjc").await);
    let regions = Regions::start(Distances::estimated().into(), &fra, &sjc).await;
    assert_eq!(refusal(&ask(regions.edge, get()).await), (502, "PR04"));
    assert!(sjc.seen().is_empty());
}
