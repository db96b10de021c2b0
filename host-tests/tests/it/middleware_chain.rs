//! HTTP middleware before an app, by the manifest alone: in which order it is passed, what it may use, what comes through
//! unchanged, and manifests that cannot be.

use std::convert::Infallible;

use bytes::{Bytes, BytesMut};
use futures::channel::mpsc;
use host_tests::client::Answer;
use host_tests::machine::Machine;
use host_tests::wait::eventually;
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;

use crate::guest_app::{GuestApp, NOWHERE};
use crate::scenario::DEADLINE;

/// Middleware that may read the app's variables, and so knows its mark.
const NAMED: &str = r#"{ component = "marking-middleware", inherit_configuration = ["variables"] }"#;
/// The same, but that may not.
const DENIED: &str = r#"{ component = "marking-middleware" }"#;

/// What the HTTP trigger depends on.
fn trigger(dependencies: &str) -> String {
    format!("[trigger.http.dependencies]\n{dependencies}")
}

/// The app behind these middlewares.
async fn behind(middleware: &[&str]) -> Machine {
    let more = trigger(&format!("middleware = [{}]", middleware.join(", ")));
    GuestApp::of("echo-guest", &more).await.start(NOWHERE).await.unwrap()
}

async fn send(machine: &Machine, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    machine.client().await.unwrap().send_with(method, path, headers, Bytes::new()).await.unwrap()
}

/// The marks on the request, as the app saw it.
fn on_request(answer: &Answer) -> Vec<&str> {
    answer.body.lines().filter_map(|line| line.strip_prefix("mark: ")).collect()
}

/// The marks on the answer.
fn on_answer(answer: &Answer) -> Vec<&str> {
    answer.headers.get_all("mark").iter().map(|mark| mark.to_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_pass_the_first_middleware_first_and_answers_pass_it_last() {
    for (chain, request, answer) in [
        (&[NAMED][..], &["named"][..], &["named"][..]),
        (&[NAMED, DENIED], &["named", "denied"], &["denied", "named"]),
        (&[DENIED, NAMED, NAMED], &["denied", "named", "named"], &["named", "named", "denied"]),
        (&[], &[], &[]),
    ] {
        let seen = send(&behind(chain).await, Method::GET, "/", &[]).await;
        assert_eq!((on_request(&seen), on_answer(&seen)), (request.to_vec(), answer.to_vec()), "{chain:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn middleware_is_denied_what_it_does_not_inherit() {
    const FILE: &str = r#"path = "../../target/wasm32-wasip2/release/marking_middleware.wasm""#;
    for (inherit, mark) in [
        ("", "denied"),
        (", inherit_configuration = false", "denied"),
        (r#", inherit_configuration = ["key_value_stores", "no_such_thing"]"#, "denied"),
        (", inherit_configuration = true", "named"),
        (r#", inherit_configuration = ["no_such_thing", "variables"]"#, "named"),
    ] {
        for source in [r#"component = "marking-middleware""#, FILE] {
            let machine = behind(&[&format!("{{ {source}{inherit} }}")]).await;
            assert_eq!(on_request(&send(&machine, Method::GET, "/", &[]).await), [mark], "{source}{inherit}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_with_a_dependency_is_chained_with_it() {
    let more = format!(
        r#"
        {}
        [component.postgres-guest.dependencies]
        "spin:postgres/postgres@3.0.0" = {{ component = "stand-in" }}
        [component.stand-in]
        source = "../../target/wasm32-wasip2/release/stand_in.wasm"
        [component.marking-middleware]
        source = "../../target/wasm32-wasip2/release/marking_middleware.wasm"
        "#,
        trigger(&format!("middleware = [{DENIED}]"))
    );
    for built in ["echo-guest", "sync-guest"] {
        GuestApp::of(built, "").await;
    }
    let machine = GuestApp::of("postgres-guest", &more).await.start(NOWHERE).await.unwrap();
    let script = json!({ "steps": [{ "statement": "hello" }] }).to_string();
    let answer = machine.client().await.unwrap().send_with(Method::POST, "/3.0.0", &[], script).await.unwrap();
    assert!(answer.body.contains("stand-in 3.0.0") && answer.body.contains("hello"), "{answer:?}");
    assert_eq!(on_answer(&answer), ["denied"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_sees_the_request_that_it_would_see_without_middleware() {
    const CLIENT: &str = "spin-client-addr: 127.0.0.1:";
    let headers = [
        ("x-twice", "one"),
        ("x-twice", "two"),
        ("cookie", "a=b"),
        ("spin-client-addr", "what the client says"),
        ("upgrade", "websocket"),
        ("proxy-authorization", "Basic abc"),
        ("te", "trailers"),
    ];
    let (without, with) = (behind(&[]).await, behind(&[NAMED, DENIED]).await);
    let seen = async |machine: &Machine, method: Method| {
        let answer = send(machine, method, "/some/path?and=query", &headers).await;
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
        let text = answer.body.replace(&machine.address().to_string(), "<address>");
        let mut lines: Vec<_> = text.lines().filter(|line| !line.starts_with("mark: ")).map(str::to_owned).collect();
        // The port of the client's own is another one each time.
        let address = lines.iter_mut().find(|line| line.starts_with(CLIENT)).expect("Spin says who the client is");
        address.truncate(CLIENT.len());
        lines.sort();
        lines
    };
    for method in [Method::GET, Method::OPTIONS, Method::DELETE, Method::from_bytes(b"PURGE").unwrap()] {
        let expected = seen(&without, method.clone()).await;
        assert!(expected.contains(&"spin-client-addr: what the client says".to_owned()), "{expected:?}");
        assert!(expected.contains(&"x-twice: two".to_owned()), "{expected:?}");
        assert_eq!(seen(&with, method).await, expected);
    }
    let answer = send(&with, Method::HEAD, "/", &[]).await;
    assert_eq!((answer.body.as_str(), on_answer(&answer)), ("", vec!["denied", "named"]));
    assert_ne!(answer.header("content-length"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_trailers_pass_unchanged_as_they_come() {
    const PIECES: usize = 32;
    let machine = behind(&[NAMED, DENIED]).await;
    let pieces: Vec<_> = (0..PIECES).map(|n| Bytes::from(vec![u8::try_from(n).unwrap(); 64 * 1024])).collect();
    let (frames, body) = mpsc::unbounded();
    let send = |frame| frames.unbounded_send(Ok::<_, Infallible>(frame)).unwrap();
    let (mut sender, connection) =
        handshake(TokioIo::new(TcpStream::connect(machine.address()).await.unwrap())).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("/echo").header("host", machine.address().to_string());
    let request = request.header("te", "trailers").header("trailer", "checksum");
    send(Frame::data(pieces[0].clone()));
    let mut response = sender.send_request(request.body(StreamBody::new(body)).unwrap()).await.unwrap();
    let mut received = BytesMut::new();
    let first = async {
        while received.len() < pieces[0].len() {
            received.extend(response.frame().await.unwrap().unwrap().into_data().unwrap());
        }
    };
    tokio::time::timeout(DEADLINE, first).await.expect("the first piece is there before the others are");
    pieces[1..].iter().for_each(|piece| send(Frame::data(piece.clone())));
    let trailers = HeaderMap::from_iter([("checksum".parse().unwrap(), HeaderValue::from_static("abc"))]);
    send(Frame::trailers(trailers.clone()));
    frames.close_channel();
    let rest = response.into_body().collect().await.unwrap();
    assert_eq!(rest.trailers(), Some(&trailers));
    received.extend(rest.to_bytes());
    assert!(received == pieces.concat(), "{} bytes came back, or others", received.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn middleware_may_answer_without_the_app() {
    let machine = behind(&[DENIED, NAMED]).await;
    let answer = send(&machine, Method::GET, "/trap", &[("stop", "named")]).await;
    assert_eq!((answer.status.as_u16(), on_answer(&answer)), (200, vec!["named", "denied"]));
    let answer = send(&machine, Method::GET, "/trap", &[("stop", "denied")]).await;
    assert_eq!((answer.status.as_u16(), on_answer(&answer)), (200, vec!["denied"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_app_can_be_answered_by_the_innermost_middleware() {
    let answer = send(&behind(&[]).await, Method::GET, "/fail", &[]).await;
    assert_eq!((answer.status.as_u16(), on_answer(&answer)), (500, vec![]));
    let machine = behind(&[DENIED, NAMED]).await;
    let answer = send(&machine, Method::GET, "/fail", &[]).await;
    assert_eq!((answer.status.as_u16(), on_answer(&answer)), (502, vec!["named", "denied"]));
    let line = "named: the next one failed: ErrorCode::InternalError(Some(\"told to fail\"))";
    eventually(DEADLINE, line, async || machine.logs().contains(line).then_some(())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_anywhere_in_the_chain_is_all_that_the_client_sees_of_it() {
    let machine = behind(&[DENIED, NAMED]).await;
    let mut client = machine.client().await.unwrap();
    for (path, headers) in [("/trap", &[][..]), ("/", &[("trap", "named")]), ("/", &[("trap", "denied")])] {
        // A member is never told that another one failed: all of them are one instance, which is gone.
        let answer = client.send_with(Method::GET, path, headers, Bytes::new()).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (500, ""), "{path} {headers:?}");
        assert_eq!(on_answer(&answer), [""; 0]);
        let answer = client.get("/").await.unwrap();
        assert_eq!(on_request(&answer), ["denied", "named"], "the next request has another instance");
    }
    // What was sent before the trap cannot be taken back, and ends as if it were complete.
    let answer = client.get("/trap-late").await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "a part"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_kind_of_dependency_is_not_noticed() {
    let app = GuestApp::of("echo-guest", &trigger(&format!("middlewares = [{NAMED}]"))).await;
    let answer = send(&app.start(NOWHERE).await.unwrap(), Method::GET, "/", &[]).await;
    assert_eq!(on_request(&answer), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_whose_middleware_cannot_be_chained_says_why() {
    const OTHER: &str = r#"
        [component.other]
        source = "../../target/wasm32-wasip2/release/echo_guest.wasm""#;
    let named = format!("middleware = [{NAMED}]");
    for (dependencies, why) in [
        (format!("middleware = {NAMED}"), "invalid type: map, expected a sequence"),
        (format!("{named}\nother = []"), "the HTTP trigger's only allowed trigger dependency is `middleware`"),
        (r#"middleware = [{ component = "nobody" }]"#.to_owned(), "dependency ID nobody does not exist"),
        (
            format!("{named}\n[component.marking-middleware.variables]\nmark = \"own\""),
            "Component marking-middleware cannot be used as a dependency of echo-guest-http-trigger because it \
             specifies: variables",
        ),
        (r#"middleware = [{ path = "nowhere.wasm" }]"#.to_owned(), "nowhere.wasm"),
        (
            format!("middleware = [{{ component = \"other\" }}]{OTHER}"),
            "argument name `wasi:http/handler@0.3.0` is not an import of package `middleware0`",
        ),
    ] {
        let refusal = GuestApp::of("echo-guest", &trigger(&dependencies)).await.refusal().await;
        assert!(refusal.contains(why), "{refusal}");
    }
    // Of an app of WASI 0.2, which JavaScript makes, no more is said.
    let middleware = format!(
        "{}\n[component.marking-middleware]\nsource = \"../../target/wasm32-wasip2/release/marking_middleware.wasm\"",
        trigger(&named)
    );
    let refusal = GuestApp::of("sync-guest", &middleware).await.refusal().await;
    for part in [
        "failed to resolve dependencies for component \"sync-guest\"",
        "instance does not have an export named `wasi:http/handler@0.3.0`",
    ] {
        assert!(refusal.contains(part), "{refusal}");
    }
}
