//! The guestbook in Python and in JavaScript, as apps are written that know nothing of regions: each answers as the one
//! in Rust does. They need what `scripts/setup languages` installs, so they are no part of `make test`.

use futures::future::join_all;
use host_tests::client::Answer;
use host_tests::machine::{Machine, Setup, repository};
use host_tests::postgres::Cluster;
use host_tests::process::free_address;
use host_tests::spin::build;
use http::Method;
use serde_json::Value;

use crate::fixtures::{host, url_of};
use crate::turn::alone;

pub(crate) const LANGUAGES: [&str; 2] = ["python", "javascript"];
const FORM: &str = "application/x-www-form-urlencoded";
pub(crate) const JSON: &str = "application/json";

/// Quotes, HTML and what is not in the Basic Multilingual Plane.
const UNUSUAL: &str = "{\"name\":\"Ann \\\"A\\\"\",\"message\":\"it's <script>alert(1)</script> & \u{1f600}\"}";

/// What guests do: a method, a path, a content type and a body.
pub(crate) const REQUESTS: &[(&str, &str, &str, &[u8])] = &[
    ("GET", "/", "", b""),
    ("GET", "/entries", "", b""),
    ("POST", "/entries", JSON, UNUSUAL.as_bytes()),
    ("GET", "/", "", b""),
    ("POST", "/entries", FORM, b"name=+Bob+&message=a%0D%0Ab"),
    ("POST", "/entries/1", JSON, br#"{"name":"Ann","message":"changed"}"#),
    ("POST", "/entries/2", FORM, b"name=Bob&message=%3Cb%3Ec%3C%2Fb%3E"),
    ("GET", "/", "", b""),
    ("GET", "/?a=b", "", b""),
    ("HEAD", "/", "", b""),
    ("GET", "/entries", "", b""),
    ("POST", "/entries", "text/plain", b"hello"),
    ("POST", "/entries", JSON, b"{"),
    ("POST", "/entries", JSON, b"{\"name\":\"\xff\",\"message\":\"x\"}"),
    ("POST", "/entries", JSON, &[b'['; 16_000]),
    ("POST", "/entries", JSON, br#"{"name":"Ann"}"#),
    ("POST", "/entries", JSON, br#"{"name":"Ann","message":7}"#),
    ("POST", "/entries", JSON, br#"{"name":" ","message":"x"}"#),
    ("POST", "/entries", JSON, br#"{"name":"a\u0000b","message":"x"}"#),
    ("POST", "/entries", FORM, b"name=Ann"),
    ("POST", "/entries", FORM, b"\xff\xfe"),
    ("POST", "/entries", FORM, &[b'x'; 20_000]),
    ("POST", "/entries/7", JSON, br#"{"name":"Ann","message":"x"}"#),
    ("POST", "/entries/x", JSON, br#"{"name":"Ann","message":"x"}"#),
    ("GET", "/x", "", b""),
    ("POST", "/", JSON, b"{}"),
    ("PUT", "/entries", "", b""),
    ("GET", "/entries/1", "", b""),
];

/// The guestbook in one language, in front of an address.
async fn serve(language: &str, url: &str) -> Machine {
    let manifest = Some(repository().join("examples").join(language).join("spin.toml"));
    let setup = Setup { manifest, ..Setup::default() }.env("DATABASE_URL", url).env("SPIN_VARIABLE_REPLICA_PORT", "");
    Machine::start(&host(), setup.env("SPIN_VARIABLE_ALLOWED_HOST", "postgres://127.0.0.1:*")).await.unwrap()
}

async fn guestbooks() -> Cluster {
    for language in ["rust"].into_iter().chain(LANGUAGES) {
        build(&repository().join("examples").join(language).join("spin.toml")).unwrap();
    }
    let cluster = Cluster::start(&[]).await.unwrap();
    let schema = std::fs::read_to_string(repository().join("examples/rust/schema.sql")).unwrap();
    cluster.primary().ask(&schema).await.unwrap();
    cluster
}

pub(crate) async fn send(machine: &Machine, request: (&str, &str, &str, &[u8])) -> Answer {
    let (method, path, content_type, body) = request;
    let headers = [("content-type", content_type)];
    let headers = if content_type.is_empty() { &[][..] } else { &headers[..] };
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    machine.client().await.unwrap().send_with(method, path, headers, body.to_vec()).await.unwrap()
}

/// What an answer says, without when that was, and without what the one in Rust says about regions.
pub(crate) fn said(answer: &Answer) -> Vec<String> {
    let content_type = answer.header("content-type").to_ascii_lowercase();
    let location = answer.header("location").split('?').next().unwrap();
    let headers = ["allow", "retry-after"].map(|name| answer.header(name).to_owned());
    let body = match content_type.split(';').next().unwrap() {
        "text/html" => html(&answer.body),
        // A HEAD has none.
        _ if answer.body.is_empty() => String::new(),
        "application/problem+json" => problem(&answer.body),
        _ => json(&answer.body),
    };
    let status = answer.status.to_string();
    [vec![status, content_type, location.to_owned(), body], headers.to_vec()].concat()
}

/// The same text however it is laid out and escaped.
fn html(page: &str) -> String {
    let words: Vec<_> = page.split_whitespace().collect();
    let page = words.join(" ").replace("> <", "><").replace(" />", ">").replace("<!doctype", "<!DOCTYPE");
    let page = page.replace("&#39;", "'").replace("&#x27;", "'").replace("> </", "></");
    let page = match (page.find("<p>This page is from"), page.find("<form")) {
        (Some(from), Some(to)) => format!("{}{}", &page[..from], &page[to..]),
        (Some(_) | None, _) => page,
    };
    let without_time = page.split("<small>").enumerate().map(|(at, part)| match (at, part.split_once("</small>")) {
        (0, _) | (_, None) => part.to_owned(),
        (_, Some((time, rest))) => format!("{}{rest}", if time.contains("edited") { "edited" } else { "signed" }),
    });
    without_time.collect()
}

fn json(body: &str) -> String {
    let value: Value = serde_json::from_str(body).unwrap();
    let mut entries = value.as_array().cloned().unwrap_or_else(|| vec![value]);
    for entry in &mut entries {
        assert_eq!(entry["signed"].as_str().map(str::len), Some("2026-01-01 00:00:00".len()), "{entry}");
        entry["signed"] = "then".into();
        entry["edited"] = entry["edited"].is_string().into();
    }
    Value::from(entries).to_string()
}

fn problem(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap();
    let name = body["type"].as_str().unwrap().rsplit(':').next().unwrap();
    let detail = body["detail"].as_str().unwrap_or_default();
    // What follows is the parser's own.
    let detail = detail.split("\"message\": \"...\"}:").next().unwrap();
    format!("{name} {} {detail}", body["status"])
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python and Node.js: make test-languages"]
async fn a_guestbook_in_any_language_answers_as_the_one_in_rust() {
    let _turn = alone().await;
    let cluster = guestbooks().await;
    let url = url_of(&cluster, "sslmode=disable");
    let mut expected = Vec::new();
    for language in ["rust"].into_iter().chain(LANGUAGES) {
        cluster.primary().ask("TRUNCATE entries RESTART IDENTITY").await.unwrap();
        let machine = serve(language, &url).await;
        for (at, request) in REQUESTS.iter().enumerate() {
            let answer = send(&machine, *request).await;
            let is_page = answer.header("content-type").starts_with("text/html");
            assert!(!is_page || !answer.body.contains("<script"), "{language}: {answer:?}");
            if language == "rust" {
                expected.push(said(&answer));
            } else {
                assert_eq!(said(&answer), expected[at], "{language}: {} {}: {answer:?}", request.0, request.1);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python and Node.js: make test-languages"]
async fn a_guestbook_in_any_language_says_that_its_database_is_down() {
    let _turn = alone().await;
    drop(guestbooks().await);
    let nobody = format!("postgres://127.0.0.1:{}/postgres", free_address().unwrap().port());
    for language in LANGUAGES {
        let machine = serve(language, &nobody).await;
        for request in [("GET", "/", "", &b""[..]), ("POST", "/entries", JSON, br#"{"name":"Ann","message":"x"}"#)] {
            let answer = send(&machine, request).await;
            assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"), "{language}: {answer:?}");
            assert_eq!(problem(&answer.body), "database-unavailable 503 ", "{language}: {answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python and Node.js: make test-languages"]
async fn a_guestbook_in_any_language_answers_a_crowd() {
    const GUESTS: usize = 64;
    let _turn = alone().await;
    let cluster = guestbooks().await;
    let url = url_of(&cluster, "sslmode=disable");
    for language in LANGUAGES {
        cluster.primary().ask("TRUNCATE entries RESTART IDENTITY").await.unwrap();
        let machine = serve(language, &url).await;
        let guest = async |guest: usize| {
            let mut client = machine.client().await.unwrap();
            let entry = format!(r#"{{"name":"guest {guest}","message":"x"}}"#);
            let signed = client.send_with(Method::POST, "/entries", &[("content-type", JSON)], entry).await.unwrap();
            assert_eq!(signed.status.as_u16(), 201, "{language}: {signed:?}");
            for path in ["/", "/entries"].into_iter().cycle().take(30) {
                let answer = client.get(path).await.unwrap();
                assert_eq!(answer.status.as_u16(), 200, "{language}: {answer:?}");
            }
        };
        join_all((0..GUESTS).map(guest)).await;
        let signed = cluster.primary().ask("SELECT count(DISTINCT name)::text FROM entries").await.unwrap();
        assert_eq!(signed, GUESTS.to_string(), "{language}");
        let at_once = "SELECT (count(*) > 8)::text FROM pg_stat_activity WHERE query LIKE '%FROM entries%'";
        assert_eq!(cluster.primary().ask(at_once).await.unwrap(), "true", "{language}: they came at once");
    }
}
