//! The middleware in front of an app that says what it was sent: bodies, methods, headers and failures, as they pass.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use host_tests::client::{Answer, Client};
use host_tests::fly::{Distances, Fly};
use host_tests::machine::{Machine, Setup, repository};
use host_tests::postgres::Cluster;
use host_tests::spin::build;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use crate::fixtures::{SharedCluster, host, shared_cluster};

/// Of the header and the cookie.
const NAME: &str = "nearest-replica-bookmark";

/// Machines in `fra` and `sjc`, and an edge in `fra` before them.
struct Behind {
    fra: Machine,
    sjc: Machine,
    edge: SocketAddr,
    _fly: Fly,
    _cluster: SharedCluster,
}

async fn behind() -> Behind {
    static BUILT: OnceCell<()> = OnceCell::const_new();
    let manifest = repository().join("host-tests/echo-guest/with-middleware.toml");
    let built = async || {
        let manifest = manifest.clone();
        tokio::task::spawn_blocking(move || build(&manifest).unwrap()).await.unwrap();
    };
    BUILT.get_or_init(built).await;
    let cluster = shared_cluster().await;
    let start = async |region, cluster: &Cluster| {
        let setup = Setup { manifest: Some(manifest.clone()), ..Setup::in_region(region, cluster, &host()) };
        Machine::start(&host(), setup).await.unwrap()
    };
    let (fra, sjc) = (start("fra", &cluster).await, start("sjc", &cluster).await);
    let fly = Fly::new(Distances::estimated().scaled(0.2));
    for (region, machine) in [("fra", &fra), ("sjc", &sjc)] {
        fly.add_machine(region, machine.address()).unwrap();
    }
    let edge = fly.start_edge("fra").await.unwrap();
    Behind { fra, sjc, edge, _fly: fly, _cluster: cluster }
}

async fn send(to: SocketAddr, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    Client::connect(to).await.unwrap().send_with(method, path, headers, body).await.unwrap()
}

fn told(answer: &Answer) -> (u16, &str, &str) {
    (answer.status.as_u16(), answer.header("machine-region"), answer.header("machine-reason"))
}

/// A `POST` in chunks, of which the first is on its way.
async fn upload(to: SocketAddr, first: &'static str) -> (UnboundedSender<&'static str>, Response<Incoming>) {
    let (pieces, rest) = unbounded::<&'static str>();
    pieces.unbounded_send(first).unwrap();
    let frames = futures::StreamExt::map(rest, |piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
    let (mut sender, connection) = handshake(TokioIo::new(TcpStream::connect(to).await.unwrap())).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("/echo").header("host", to.to_string()).body(StreamBody::new(frames)).unwrap();
    (pieces, sender.send_request(request).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_fly_cannot_replay_passes_here_whole() {
    let behind = behind().await;
    let long = "x".repeat(2_000_000);
    let answer = send(behind.edge, Method::POST, "/echo", &[], long.clone()).await;
    assert_eq!(told(&answer), (200, "fra", "not-replayable"));
    assert!(answer.body == long, "{} bytes came back, or others", answer.body.len());
    assert!(answer.header(NAME).starts_with("1-"), "{:?}", answer.headers);
    // A short one is replayed, and passes whole there.
    let answer = send(behind.edge, Method::POST, "/echo", &[], "short").await;
    assert_eq!((told(&answer), answer.body.as_str()), ((200, "sjc", "replayed"), "short"));
    // Nobody knows how long one in chunks will be.
    let (pieces, response) = upload(behind.edge, "one, ").await;
    assert_eq!(response.headers()["machine-reason"], "not-replayable");
    pieces.unbounded_send("two").unwrap();
    pieces.close_channel();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "one, two");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_stalls_or_whose_client_goes_away_holds_up_nobody() {
    let behind = behind().await;
    let mut stalled = Vec::new();
    for _ in 0..8 {
        let (pieces, mut response) = upload(behind.sjc.address(), "the beginning").await;
        // What there is of it has passed in both directions.
        let first = response.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "the beginning");
        stalled.push((pieces, response));
    }
    for _ in 0..50 {
        let answer = send(behind.sjc.address(), Method::GET, "/", &[], "").await;
        assert_eq!(told(&answer), (200, "sjc", "primary-region"));
    }
    drop(stalled);
    for _ in 0..50 {
        let answer = send(behind.sjc.address(), Method::POST, "/echo", &[], "another").await;
        assert_eq!((told(&answer), answer.body.as_str()), ((200, "sjc", "primary-region"), "another"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_read_pass_whatever_they_ask_for() {
    let behind = behind().await;
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "x")];
    for (method, headers) in [(Method::HEAD, &[][..]), (Method::OPTIONS, &[]), (Method::GET, &upgrade)] {
        let answer = send(behind.fra.address(), method.clone(), "/", headers, "").await;
        assert_eq!(told(&answer), (200, "fra", "read"), "{method} {answer:?}");
        assert_ne!(answer.header("content-length"), "0", "{method} {answer:?}");
        assert_eq!(answer.header(NAME), "");
    }
    // One that changes something and asks for another protocol cannot be replayed.
    let answer = send(behind.edge, Method::DELETE, "/", &[("x-y", "z")], "").await;
    assert_eq!(told(&answer), (200, "sjc", "replayed"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_for_everybody_brings_nobodys_bookmark_and_what_the_app_says_stays() {
    let behind = behind().await;
    let ask = async |headers: &[(&str, &str)]| send(behind.sjc.address(), Method::POST, "/", headers, "").await;
    // A bookmark that means nothing, in place of which a new one is due.
    let read = async |name: &str, value| {
        send(behind.sjc.address(), Method::GET, "/", &[(NAME, "x"), (&format!("answer-{name}"), value)], "").await
    };
    let all = |answer: &Answer, name: &str| {
        let values = answer.headers.get_all(name).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (name, shared) in [
        ("cache-control", "public"),
        ("cache-control", "Public, max-age=60"),
        ("cache-control", "max-age=1, s-maxage=60"),
        ("cache-control", "max-age=60, immutable"),
        ("cdn-cache-control", "max-age=60"),
        ("Surrogate-Control", "max-age=60, content=\"private\""),
        ("cloudflare-cdn-cache-control", "max-age=60"),
    ] {
        let answer = read(name, shared).await;
        assert_eq!([NAME, "set-cookie"].map(|name| answer.header(name)), ["", ""], "{shared}");
        assert_eq!(answer.header(name), shared);
        // No cache keeps an answer to a write, whose user may well read next.
        let answer = ask(&[(&format!("answer-{name}"), shared)]).await;
        assert!(
            answer.header(NAME).starts_with("1-") && !answer.header("set-cookie").is_empty(),
            "{shared} {answer:?}"
        );
        assert_eq!(all(&answer, "cache-control"), ["private"], "{shared}");
    }
    let for_ever = "public, max-age=31536000, immutable";
    assert_eq!(ask(&[("answer-cache-control", for_ever)]).await.header(NAME), "");
    let answer = read("cache-control", "private, max-age=60, immutable").await;
    assert!(answer.header(NAME).starts_with("1-"), "{answer:?}");
    for (own, expected) in [
        ("", "private"),
        ("max-age=60", "max-age=60|private"),
        ("no-store", "no-store"),
        ("no-cache=\"a, private\", max-age=60", "no-cache=\"a, private\", max-age=60|private"),
        // About this field only.
        ("private=\"x-mine\"", "private=\"x-mine\"|private"),
        ("private=\"x-mine, no-store, b\"", "private=\"x-mine, no-store, b\"|private"),
    ] {
        let headers = [
            ("answer-cache-control", own),
            ("answer-set-cookie", "a=b; Path=/"),
            ("answer-cdn-cache-control", "no-store, max-age=0"),
        ];
        let answer = ask(&headers[usize::from(own.is_empty())..]).await;
        assert_eq!(all(&answer, "cache-control").join("|"), expected);
        let [first, second] = &all(&answer, "set-cookie")[..] else { panic!("{answer:?}") };
        assert_eq!(first, "a=b; Path=/");
        let ours = second.starts_with("nearest-replica-bookmark=1-");
        assert!(ours && second.ends_with("; HttpOnly; SameSite=Lax"), "{second}");
    }
    // What the app says itself is not said twice.
    let own =
        [("answer-nearest-replica-bookmark", "own"), ("answer-machine-region", "x"), ("answer-machine-reason", "y")];
    let answer = ask(&own).await;
    assert_eq!((answer.header(NAME), answer.header("set-cookie")), ("own", ""));
    assert_eq!([all(&answer, "machine-region"), all(&answer, "machine-reason")], [["x"], ["y"]]);
    // An app may have a cookie or a header of a more common name.
    let answer = ask(&[("answer-bookmark", "own")]).await;
    assert!(answer.header("bookmark") == "own" && answer.header(NAME).starts_with("1-"), "{answer:?}");
    let secure = ask(&[("x-forwarded-proto", "https")]).await;
    assert!(secure.header("set-cookie").ends_with("; Secure"), "{secure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_the_app_is_its_own() {
    let behind = behind().await;
    let mut client = behind.sjc.client().await.unwrap();
    for path in ["/trap", "/fail"] {
        for method in [Method::GET, Method::POST] {
            let answer = client.send_with(method.clone(), path, &[], "").await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.body.as_str()), (500, ""), "{method} {path}");
            assert_eq!(told(&client.get("/").await.unwrap()), (200, "sjc", "primary-region"));
        }
    }
}
