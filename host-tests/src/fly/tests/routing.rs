//! Which Machine gets a request, with which headers, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use http::Response;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::time::timeout;

use super::super::body::Task;
use super::super::{Distances, Fly};
use super::fixtures::{App, Regions, ask, full, get, header, impatient, nobody, refusal, serve, with};
use crate::client::Client;
use crate::wait::eventually;

#[tokio::test]
async fn a_request_goes_to_the_nearest_machine_that_is_started() {
    let (fra, sjc) = (App::saying("fra").await, App::saying("sjc").await);
    let regions = Regions::start(impatient(), &fra, &sjc).await;
    let sydney = regions.fly.start_edge("syd").await.unwrap();
    assert_eq!(ask(regions.edge, get()).await.body(), "fra");
    assert_eq!(ask(sydney, get()).await.body(), "sjc");
    regions.fly.stop(&regions.fra).unwrap();
    assert_eq!(ask(regions.edge, get()).await.body(), "sjc");
    regions.fly.start(&regions.fra).unwrap();
    assert_eq!(ask(regions.edge, get()).await.body(), "fra");
}

#[tokio::test]
async fn the_machines_of_a_region_take_turns() {
    let (first, second) = (App::saying("first").await, App::saying("second").await);
    let fly = Fly::new(impatient());
    let edge = fly.start_edge("fra").await.unwrap();
    for app in [&first, &second] {
        fly.add_machine("fra", app.address).unwrap();
    }
    for _ in 0..4 {
        ask(edge, get()).await;
    }
    assert_eq!((first.seen().len(), second.seen().len()), (2, 2));
}

#[tokio::test]
async fn clients_prefer_and_force_regions_and_instances() {
    let (fra, sjc) = (App::saying("fra").await, App::saying("sjc").await);
    let regions = Regions::start(impatient(), &fra, &sjc).await;
    let machine = regions.sjc.to_string();
    let none = "0000000aaaaaaa";
    for (name, value, expected) in [
        ("fly-prefer-region", "sjc", "sjc"),
        ("fly-prefer-region", "syd, sjc", "sjc"),
        ("fly-prefer-region", "us", "sjc"),
        ("fly-prefer-region", "syd", "fra"),
        ("fly-prefer-region", "nowhere", "fra"),
        ("fly-force-region", "sjc", "sjc"),
        ("fly-force-region", "syd", "PR01"),
        ("fly-force-region", "nowhere", "PR01"),
        ("fly-prefer-instance-id", machine.as_str(), "sjc"),
        ("fly-prefer-instance-id", none, "fra"),
        ("fly-force-instance-id", machine.as_str(), "sjc"),
        ("fly-force-instance-id", none, "PR01"),
    ] {
        let answer = ask(regions.edge, with(name, value)).await;
        let answered = if answer.status() == 200 { str::from_utf8(answer.body()).unwrap() } else { refusal(&answer).1 };
        assert_eq!(answered, expected, "{name}: {value}");
    }
    let unavailable: Vec<_> =
        fra.seen().iter().map(|seen| header(seen.headers(), "fly-preferred-instance-unavailable").to_owned()).collect();
    let expected: Vec<_> = ["", "", none].map(str::to_owned).into();
    assert_eq!(unavailable, expected);
}

#[tokio::test]
async fn an_app_is_told_where_a_request_comes_from_and_a_client_cannot_forge_that() {
    let (fra, sjc) = (App::saying("fra").await, App::saying("sjc").await);
    let regions = Regions::start(impatient(), &fra, &sjc).await;
    let mut request = with("x-forwarded-for", "10.0.0.1");
    let forged = [("fly-region", "syd"), ("fly-client-ip", "10.0.0.1"), ("fly-request-id", "mine")];
    // Not known to be taken out on Fly.
    let passed = [("fly-replay-src", "instance=1;region=sjc;t=1"), ("fly-replay-failed", "reason=timeout")];
    for (name, value) in forged.into_iter().chain(passed).chain([("connection", "x-mine"), ("x-mine", "1")]) {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = ask(regions.edge, request).await;
    let seen = fra.seen().remove(0);
    let told = |name| header(seen.headers(), name);
    assert_eq!((told("fly-region"), told("fly-client-ip"), told("via")), ("fra", "127.0.0.1", "1.1 fly.io"));
    assert_eq!((told("x-forwarded-for"), told("x-forwarded-proto")), ("10.0.0.1, 127.0.0.1, 127.0.0.1", "http"));
    assert_eq!(told("x-forwarded-port"), regions.edge.port().to_string());
    assert_eq!((told("connection"), told("x-mine")), ("", ""), "they ended at the edge");
    for (name, value) in passed {
        assert_eq!(told(name), value);
    }
    let id = told("fly-request-id");
    assert_eq!((id.len(), &id[26..]), (30, "-fra"));
    assert_eq!(header(answer.headers(), "fly-request-id"), id);
    assert_eq!(header(answer.headers(), "via"), "1.1 fly.io");
    assert!(header(answer.headers(), "server").starts_with("Fly/"));
}

#[tokio::test]
async fn a_client_keeps_its_connection_whatever_a_machine_does_with_the_other() {
    let fra = App::start(|_| Response::builder().header("connection", "close").body("fra".into()).unwrap()).await;
    let regions = Regions::start(impatient(), &fra, &fra).await;
    let mut client = Client::connect(regions.edge).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let answer = client.get("/path").await.unwrap();
        assert_eq!(answer.body, "fra");
        ids.push(answer.header("fly-request-id").to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn a_request_takes_the_distance_both_ways_and_no_other_waits_for_it() {
    let (fra, sjc) = (App::saying("fra").await, App::saying("sjc").await);
    let regions = Regions::start(Distances::estimated().into(), &fra, &sjc).await;
    let there_and_back = Duration::from_millis(150);
    let started = Instant::now();
    let requests = (0..20).map(|_| async {
        let started = Instant::now();
        assert_eq!(ask(regions.edge, with("fly-force-region", "sjc")).await.body(), "sjc");
        assert!(started.elapsed() >= there_and_back);
    });
    join_all(requests).await;
    assert!(started.elapsed() < 10 * there_and_back, "{:?} for twenty at once", started.elapsed());
}

#[tokio::test]
async fn requests_are_at_a_machine_at_the_same_time() {
    let both = Arc::new(Barrier::new(2));
    let (address, _serving) = serve(move |_| {
        let both = Arc::clone(&both);
        async move {
            both.wait().await;
            Response::new(full("both"))
        }
    })
    .await;
    let fly = Fly::new(Distances::estimated().scaled(0.1));
    let edge = fly.start_edge("fra").await.unwrap();
    fly.add_machine("sjc", address).unwrap();
    let answers = timeout(Duration::from_secs(10), join_all([ask(edge, get()), ask(edge, get())])).await;
    assert!(answers.unwrap().iter().all(|answer| answer.body() == "both"));
}

#[tokio::test]
async fn a_request_that_reaches_no_machine_is_refused_with_flys_code() {
    let (fra, sjc) = (App::saying("fra").await, App::saying("sjc").await);
    let regions = Regions::start(impatient(), &fra, &sjc).await;
    regions.fly.cut_off(&regions.fra).unwrap();
    assert_eq!(ask(regions.edge, get()).await.body(), "sjc", "the next candidate, after a while");
    regions.fly.stop(&regions.sjc).unwrap();
    assert_eq!(refusal(&ask(regions.edge, get()).await), (503, "PR04"));
    regions.fly.stop(&regions.fra).unwrap();
    assert_eq!(refusal(&ask(regions.edge, get()).await), (503, "PR01"));
    let (address, _reserved) = nobody();
    regions.fly.add_machine("fra", address).unwrap();
    assert_eq!(refusal(&ask(regions.edge, get()).await), (503, "PR03"));
    regions.fly.start(&regions.sjc).unwrap();
    assert_eq!(ask(regions.edge, get()).await.body(), "sjc", "the next candidate, at once");
}

#[tokio::test]
async fn a_machine_that_breaks_off_is_not_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fly = Fly::new(impatient());
    let edge = fly.start_edge("fra").await.unwrap();
    fly.add_machine("fra", listener.local_addr().unwrap()).unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let _serving = Task::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let _ = stream.read(&mut [0; 1024]).await;
        }
    });
    assert_eq!(refusal(&ask(edge, get()).await), (502, "PU02"));
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn dropping_it_stops_its_edges() {
    let fly = Fly::new(impatient());
    let edge = fly.start_edge("fra").await.unwrap();
    let mut client = TcpStream::connect(edge).await.unwrap();
    drop(fly);
    let closed = timeout(Duration::from_secs(10), client.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    let refused = async || TcpStream::connect(edge).await.is_err().then_some(());
    eventually(Duration::from_secs(10), "the edge to be gone", refused).await.unwrap();
}

#[tokio::test]
async fn a_region_without_a_distance_is_not_let_in() {
    let fly = Fly::new(impatient());
    fly.start_edge("fra").await.unwrap();
    let nowhere = ([127, 0, 0, 1], 1).into();
    assert!(fly.add_machine("nrt", nowhere).unwrap_err().to_string().contains("no distance between nrt and fra"));
    assert!(fly.add_machine("Frankfurt", nowhere).unwrap_err().to_string().contains("not a region's code"));
}

#[tokio::test]
async fn who_listens_hears_of_every_answer_where_it_went_and_that_distances_have_changed() {
    let (fra, sjc) = (App::replaying("region=sjc").await, App::saying("sjc").await);
    let regions = Regions::start(Distances::estimated().into(), &fra, &sjc).await;
    ask(regions.edge, get()).await;
    let mut answers = regions.fly.listen();
    regions.fly.scale(0.0);
    ask(regions.edge, with("user-agent", "someone")).await;
    let seen = answers.recv().await.unwrap();
    let went: Vec<_> = seen.hops.iter().map(|hop| hop.region.as_str()).collect();
    assert_eq!(
        (seen.edge.as_str(), seen.client.as_str(), seen.status.map(|status| status.as_u16()), went),
        ("fra", "someone", Some(200), vec!["fra", "sjc"])
    );
    assert!(answers.is_empty(), "nothing of what was before");
    assert_eq!(regions.fly.network.delay("fra", "sjc"), Duration::ZERO);
    regions.fly.scale(2.0);
    assert_eq!(regions.fly.network.delay("fra", "sjc"), Duration::from_millis(150), "of those that it began with");
}
