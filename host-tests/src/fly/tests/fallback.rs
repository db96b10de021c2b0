//! A replay that failed: who gets the request again, with what, and when.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Request, Response};

use super::super::{Fly, InstanceId, Reason, Settings, TimeoutCovers, Why};
use super::fixtures::{App, Regions, ask, full, get, header, impatient, nobody, refusal, replay, serve, with};

#[tokio::test]
async fn the_machine_that_asked_gets_the_request_again_and_why() {
    for asked in ["region=sjc;state=x;fallback=force_self", "region=sjc;fallback=prefer_self"] {
        let (fra, sjc) = (App::replaying(asked).await, App::saying("sjc").await);
        let regions = Regions::start(impatient(), &fra, &sjc).await;
        regions.fly.stop(&regions.sjc).unwrap();
        let request = Request::post("/rows").header("x-mine", "kept").body("body".into()).unwrap();
        let answer = ask(regions.edge, request).await;
        assert_eq!(answer.body(), "fell back");
        let again = fra.seen().remove(1);
        assert_eq!((again.method().as_str(), again.uri().path(), &again.body()[..]), ("POST", "/rows", &b"body"[..]));
        assert_eq!((header(again.headers(), "x-mine"), header(again.headers(), "fly-replay-src")), ("kept", ""));
        let failed = header(again.headers(), "fly-replay-failed");
        let expected =
            format!("app=nearest-replica;region=sjc;replay_source={};reason=no_candidate;elapsed_ms=", regions.fra);
        let elapsed: u64 = failed.strip_prefix(&expected).unwrap_or_else(|| panic!("{failed}")).parse().unwrap();
        assert!((300..10_000).contains(&elapsed), "{failed}");
        let last = regions.hops(&answer).pop();
        assert_eq!(last, Some(("fra".to_owned(), Why::FellBack(Reason::NoCandidate), Some(200))));
    }
}

#[tokio::test]
async fn the_reason_says_what_was_seen_last() {
    let (fra, sjc) = (App::replaying("region=sjc;timeout=100ms;fallback=force_self").await, App::saying("sjc").await);
    let regions = Regions::start(impatient(), &fra, &sjc).await;
    let failed = async || {
        assert_eq!(ask(regions.edge, get()).await.body(), "fell back");
        header(fra.seen().last().unwrap().headers(), "fly-replay-failed").to_owned()
    };
    regions.fly.cut_off(&regions.sjc).unwrap();
    let cut_off = failed().await;
    assert!(cut_off.starts_with(&format!("instance={};app=", regions.sjc)), "{cut_off}");
    assert!(cut_off.contains(";reason=timeout;"), "{cut_off}");

    let patient = App::replaying("region=sjc;fallback=force_self").await;
    let (address, _reserved) = nobody();
    let regions = Regions::start(impatient(), &patient, &sjc).await;
    regions.fly.stop(&regions.sjc).unwrap();
    regions.fly.add_machine("sjc", address).unwrap();
    assert_eq!(ask(regions.edge, get()).await.body(), "fell back");
    let refused = patient.seen().remove(1);
    let refused = header(refused.headers(), "fly-replay-failed");
    assert!(refused.contains(";reason=retries_exhausted;"), "{refused}");
}

#[tokio::test]
async fn when_the_machine_that_asked_is_gone_another_takes_over_only_if_it_may() {
    for (asked, expected) in [
        ("region=syd;timeout=50ms;fallback=prefer_self", "sjc"),
        ("region=syd;timeout=50ms;fallback=force_self", "PR01"),
    ] {
        let sjc = App::saying("sjc").await;
        let this = Arc::new(OnceLock::<(Arc<Fly>, InstanceId)>::new());
        let stopping = Arc::clone(&this);
        let fra = App::start(move |_| {
            let (fly, instance) = stopping.get().unwrap();
            fly.stop(instance).unwrap();
            replay(asked)
        })
        .await;
        let fly = Arc::new(Fly::new(impatient()));
        let edge = fly.start_edge("fra").await.unwrap();
        fly.add_machine("sjc", sjc.address).unwrap();
        this.set((Arc::clone(&fly), fly.add_machine("fra", fra.address).unwrap())).ok().unwrap();
        let answer = ask(edge, get()).await;
        if answer.status() == 200 {
            assert_eq!(answer.body(), expected);
            let seen = sjc.seen().remove(0);
            assert_ne!(header(seen.headers(), "fly-replay-failed"), "");
            assert_ne!(header(seen.headers(), "fly-preferred-instance-unavailable"), "");
        } else {
            assert_eq!(refusal(&answer), (502, expected));
        }
    }
}

#[tokio::test]
async fn an_error_of_the_app_is_an_answer() {
    let fra = App::replaying("region=sjc;fallback=prefer_self").await;
    let sjc = App::start(|_| Response::builder().status(500).body("broken".into()).unwrap()).await;
    let regions = Regions::start(impatient(), &fra, &sjc).await;
    let answer = ask(regions.edge, get()).await;
    assert_eq!((answer.status().as_u16(), &answer.body()[..]), (500, &b"broken"[..]));
    assert_eq!(fra.seen().len(), 1);
}

#[tokio::test]
async fn the_answer_to_a_fallback_cannot_be_a_replay() {
    let sjc = App::saying("sjc").await;
    let fra = App::start(|_| replay("region=syd;fallback=force_self")).await;
    let regions = Regions::start(impatient(), &fra, &sjc).await;
    assert_eq!(refusal(&ask(regions.edge, get()).await), (502, "PA03"));
    assert_eq!(fra.seen().len(), 2);
}

#[tokio::test]
async fn a_forged_failure_is_no_fallback() {
    let (fra, sjc) = (App::start(|_| replay("region=sjc")).await, App::saying("sjc").await);
    let regions = Regions::start(impatient(), &fra, &sjc).await;
    assert_eq!(ask(regions.edge, with("fly-replay-failed", "reason=timeout")).await.body(), "sjc");
    assert_eq!(header(fra.seen()[0].headers(), "fly-replay-failed"), "reason=timeout", "it gets to the app");
}

#[tokio::test]
async fn a_machine_that_is_reached_and_slow_is_waited_for_unless_the_timeout_covers_the_answer() {
    for (timeout_covers, expected) in [(TimeoutCovers::Reaching, "slow"), (TimeoutCovers::Answering, "fell back")] {
        let fra = App::replaying("region=sjc;timeout=100ms;fallback=force_self").await;
        let (slow, _serving) = serve(|_| async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            Response::new(full("slow"))
        })
        .await;
        let fly = Fly::new(Settings { timeout_covers, ..impatient() });
        let edge = fly.start_edge("fra").await.unwrap();
        fly.add_machine("fra", fra.address).unwrap();
        fly.add_machine("sjc", slow).unwrap();
        let answer = ask(edge, get()).await;
        assert_eq!(answer.body(), expected);
        let hops = fly.hops(header(answer.headers(), "fly-request-id"));
        assert_eq!((hops[1].region.as_str(), hops[1].answer.is_some()), ("sjc", expected == "slow"));
    }
}
