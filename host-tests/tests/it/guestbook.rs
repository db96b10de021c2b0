//! The example: a guestbook, as its guests use it.

use host_tests::client::Answer;
use host_tests::machine::{Machine, Setup, repository};
use host_tests::postgres::Cluster;
use host_tests::process::free_address;
use host_tests::region::is_home;
use host_tests::spin::build;
use http::Method;
use serde_json::{Value, json};

use crate::fixtures::{assert_problem, get, host};
use crate::playground::replayed;
use crate::turn::{Turn, alone};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

pub(crate) struct Guestbook {
    pub(crate) fra: Machine,
    syd: Machine,
    pub(crate) cluster: Cluster,
    setup: Setup,
    _turn: Turn,
}

impl Guestbook {
    /// Another Machine.
    pub(crate) async fn machine(&self, region: &str, primary_region: &str) -> Machine {
        let setup = self.setup.clone().env("FLY_REGION", region);
        Machine::start(&host(), setup.env("SPIN_VARIABLE_PRIMARY_REGION", primary_region)).await.unwrap()
    }

    pub(crate) async fn entries(&self) -> String {
        self.cluster.primary().ask("SELECT count(*)::text FROM entries").await.unwrap()
    }
}

pub(crate) async fn guestbook() -> Guestbook {
    // A whole build takes all of a machine.
    let turn = alone().await;
    let manifest = repository().join("examples/rust/spin.toml");
    let host = host();
    build(&manifest).unwrap();
    let cluster = Cluster::start(&["fra", "syd"]).await.unwrap();
    let schema = std::fs::read_to_string(repository().join("examples/rust/schema.sql")).unwrap();
    cluster.primary().ask(&schema).await.unwrap();
    let setup = |region: &str| Setup { manifest: Some(manifest.clone()), ..Setup::in_region(region, &cluster, &host) };
    for region in ["fra", "syd"] {
        replayed(&cluster, region).await;
    }
    let (fra, syd) =
        (Machine::start(&host, setup("fra")).await.unwrap(), Machine::start(&host, setup("syd")).await.unwrap());
    let setup = setup("fra");
    Guestbook { fra, syd, cluster, setup, _turn: turn }
}

async fn send(machine: &Machine, path: &str, headers: &[(&str, &str)], body: impl Into<bytes::Bytes>) -> Answer {
    machine.client().await.unwrap().send_with(Method::POST, path, headers, body).await.unwrap()
}

async fn get_with(machine: &Machine, path: &str, headers: &[(&str, &str)]) -> Answer {
    machine.client().await.unwrap().send_with(Method::GET, path, headers, "").await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_sees_what_they_have_written_on_the_next_page_wherever_that_is_read() {
    let book = guestbook().await;
    for region in ["fra", "syd"] {
        book.cluster.server(region).pause_replay().await.unwrap();
    }
    let empty = get(&book.fra).await;
    assert!(is_home(empty.header("database-candidate")) && empty.header("content-type").starts_with("text/html"));
    let reader = ["set-cookie", "bookmark", "cache-control"].map(|name| empty.header(name));
    assert_eq!(reader, ["", "", ""], "nothing on an answer without a write");

    let signed =
        send(&book.fra, "/entries", &[("content-type", FORM)], "name=Ann&message=%3Cb%3Ehello%3C%2Fb%3E").await;
    assert_eq!((signed.status.as_u16(), signed.header("location")), (303, "/?written-by=fra"), "{signed:?}");
    assert_eq!((signed.header("database-candidate"), signed.header("database-reason")), ("configured", "write"));
    assert!(signed.header("cache-control").contains("private"), "{signed:?}");
    let cookie = signed.header("set-cookie");
    let attributes: Vec<_> = cookie.split("; ").skip(1).collect();
    assert_eq!(attributes, ["Path=/", "Max-Age=86400", "HttpOnly", "SameSite=Lax"], "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(cookie, format!("bookmark={}", signed.header("bookmark")));
    for machine in [&book.fra, &book.syd] {
        let page = get_with(machine, "/?written-by=fra", &[("cookie", &format!("a=b; {cookie}"))]).await;
        assert!(
            page.body.contains("&lt;b&gt;hello&lt;/b&gt;") && page.body.contains("went to the primary"),
            "{page:?}"
        );
        assert_eq!(page.header("database-reason"), "bookmark-behind");
        let others = get(machine).await;
        assert!(!others.body.contains("hello"), "it has not been replayed: {others:?}");
    }

    let renewed = get_with(&book.fra, "/", &[("cookie", "bookmark=nonsense")]).await;
    assert_eq!(renewed.header("database-reason"), "bookmark-primary");
    assert!(renewed.header("set-cookie").starts_with("bookmark=1-"), "it would cost each page a detour: {renewed:?}");

    let bookmark = signed.header("bookmark");
    let headers = [("content-type", JSON), ("bookmark", bookmark), ("x-forwarded-proto", "https")];
    let edited = send(&book.syd, "/entries/1", &headers, r#"{"name":"Ann","message":"changed"}"#).await;
    assert_eq!(edited.status.as_u16(), 200, "{edited:?}");
    assert!(edited.header("set-cookie").ends_with("; Secure"), "{edited:?}");
    let listed = get_with(&book.fra, "/entries", &[("bookmark", edited.header("bookmark"))]).await;
    let listed: Value = serde_json::from_str(&listed.body).unwrap();
    assert_eq!((&listed[0]["message"], listed.as_array().unwrap().len()), (&json!("changed"), 1), "{listed}");
    assert!(listed[0]["edited"].is_string(), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_input_is_named_with_what_to_send_instead() {
    let book = guestbook().await;
    let long = format!(r#"{{"name":"Ann","message":"{}"}}"#, "x".repeat(20_000));
    let cases: &[(&str, &str, &[u8], u16, &str)] = &[
        ("/entries", "text/plain", b"hello", 415, "send application/json or"),
        ("/entries", "", b"hello", 415, "send application/json or"),
        ("/entries", JSON, b"{", 400, "the body is not {\"name\""),
        ("/entries", JSON, br#"{"name":"Ann"}"#, 400, "missing field `message`"),
        ("/entries", JSON, br#"{"name":" ","message":"x"}"#, 400, "`name` must have 1 to 80 characters"),
        ("/entries", JSON, br#"{"name":"a\u0000b","message":"x"}"#, 400, "and no NUL"),
        ("/entries", FORM, b"name=Ann", 400, "`message` must have 1 to 1000 characters"),
        ("/entries", FORM, b"\xff\xfe", 400, "`name` must have"),
        ("/entries", JSON, long.as_bytes(), 413, "send at most 16384 bytes"),
    ];
    for (path, content_type, body, status, expected) in cases {
        let answer = send(&book.fra, path, &[("content-type", content_type)], body.to_vec()).await;
        assert_eq!(answer.status.as_u16(), *status, "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(expected), "{answer:?}");
        assert_eq!(answer.header("set-cookie"), "", "nothing was written");
    }
    let good = r#"{"name":"Ann","message":"x"}"#;
    let json = [("content-type", JSON)];
    for (path, status, name) in
        [("/entries/7", 404, "not-found"), ("/entries/x", 404, "not-found"), ("/x", 404, "not-found")]
    {
        assert_problem(&send(&book.fra, path, &json, good).await, status, name);
    }
    for (method, path, allowed) in [
        (Method::POST, "/", "GET, HEAD"),
        (Method::PUT, "/entries", "GET, HEAD, POST"),
        (Method::GET, "/entries/1", "POST"),
    ] {
        let answer = book.fra.client().await.unwrap().send(method, path).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, allowed), "{path}: {answer:?}");
    }
    assert_eq!(book.entries().await, "0");

    let nobody = format!("postgres://127.0.0.1:{}/postgres", free_address().unwrap().port());
    let setup = book.setup.clone().env("DATABASE_URL", nobody).env("SPIN_VARIABLE_REPLICA_PORT", "");
    let alone =
        Machine::start(&host(), setup.env("SPIN_VARIABLE_ALLOWED_HOST", "postgres://127.0.0.1:*")).await.unwrap();
    assert_problem(&get(&alone).await, 503, "database-unavailable");
    assert_problem(&send(&alone, "/entries", &json, good).await, 503, "database-unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_behind_flys_proxy_is_handed_back_to_it_once() {
    let book = guestbook().await;
    let body = r#"{"name":"Ann","message":"x"}"#;
    let by_fly = [("content-type", JSON), ("fly-request-id", "01J-fra")];
    let handed_back = send(&book.fra, "/entries", &by_fly, body).await;
    assert!(handed_back.header("fly-replay").starts_with("region=sjc;state="), "{handed_back:?}");
    assert!(handed_back.body.is_empty() && handed_back.header("set-cookie").is_empty(), "{handed_back:?}");
    for (name, value) in [("fly-replay-src", "region=fra"), ("fly-replay-failed", "reason=no_candidate")] {
        let headers = [by_fly[0], by_fly[1], (name, value)];
        let written = send(&book.fra, "/entries", &headers, body).await;
        assert_eq!((written.status.as_u16(), written.header("fly-replay")), (201, ""), "{written:?}");
    }
    assert_eq!(book.entries().await, "2");
}
