//! The page over real sockets: what it shows is so, what it asks for happens, and nobody else can ask.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::time::Duration;

use host_tests::client::Client;
use host_tests::wait::eventually;
use http::Method;
use serde_json::{Value, json};

use crate::program::{Lab, SOON, home, turn};

/// Looks at the page's events for as long as it lives.
struct Events(BufReader<TcpStream>);

impl Events {
    fn of(lab: &Lab) -> Self {
        use std::io::Write;
        let mut stream = TcpStream::connect(lab.page()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        write!(stream, "GET /events HTTP/1.1\r\nhost: {}\r\n\r\n", lab.page()).unwrap();
        Self(BufReader::new(stream))
    }

    /// The next state.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the events have ended");
            if let Some(state) = line.strip_prefix("data: ") {
                return serde_json::from_str(state).unwrap();
            }
        }
    }

    /// The first state in which something is so.
    fn until(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let end = std::time::Instant::now() + SOON;
        loop {
            let state = self.next();
            if is_so(&state) {
                return state;
            }
            assert!(std::time::Instant::now() < end, "in vain for {what}: {state}");
        }
    }
}

fn of<'a>(state: &'a Value, list: &str, name: &str) -> &'a Value {
    state[list].as_array().into_iter().flatten().find(|one| one["name"] == name).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_killed_nobody_notices_and_reads_come_home() {
    let _turn = turn().await;
    let lab = Lab::start(&[]).await;
    let mut events = Events::of(&lab);
    let reason = |state: &Value, reason: &str| of(state, "regions", "fra")["reasons"][reason].as_u64().unwrap_or(0);
    let state = events.until("the load of a page that is open", |state| reason(state, home()) > 5);
    assert_eq!(state["phase"], "running");
    assert_eq!(
        (of(&state, "databases", "sjc")["replica"].as_bool(), of(&state, "databases", "fra")["replica"].as_bool()),
        (Some(false), Some(true))
    );
    lab.does(&json!({"do": "kill", "database": "fra"})).await;
    let state = events.until("reads to go elsewhere", |state| reason(state, "replica-down") > 5);
    assert_eq!(of(&state, "databases", "fra")["state"], "down");
    assert_eq!(of(&state, "regions", "fra")["failed"], 0, "{state}");
    let round_trips = of(&state, "regions", "fra")["links"].as_array().unwrap().iter().find(|link| link["to"] == "sjc");
    assert!(round_trips.unwrap()["round_trips"].as_f64().unwrap() > 0.0, "measured on the link itself: {state}");
    lab.does(&json!({"do": "restart", "database": "fra"})).await;
    let home = |state: &Value| reason(state, "replica-down") == 0 && reason(state, home()) > 5;
    let state = events.until("reads to come home", home);
    assert_eq!(
        (of(&state, "databases", "fra")["state"].as_str(), of(&state, "regions", "fra")["failed"].as_u64()),
        (Some("up"), Some(0))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_reads_what_they_wrote_and_sees_why_while_replay_is_paused() {
    let _turn = turn().await;
    let lab = Lab::start(&["--app", "examples/rust", "--schema", "examples/rust/schema.sql"]).await;
    let send = |method: &str, path: &str, body: &str| json!({"do": "send", "region": "fra", "method": method, "path": path, "body": body});
    let mut events = Events::of(&lab);
    lab.does(&json!({"do": "pause", "database": "fra"})).await;
    let signed = lab.does(&send("POST", "/entries", r#"{"name": "Ann", "message": "here I am"}"#)).await;
    assert_eq!(signed["status"], 201, "{signed}");
    let read = lab.does(&send("GET", "/entries", "")).await;
    assert!(read["body"].as_str().unwrap().contains("here I am"), "{read}");
    assert_ne!(read["reason"], home(), "{read}");
    let state = events
        .until("the replica to be behind", |state| of(state, "databases", "fra")["behind_bytes"].as_u64() > Some(0));
    assert_eq!(of(&state, "databases", "fra")["paused"], true);
    let seen = state["requests"].as_array().unwrap().iter().find(|one| one["method"] == "POST").unwrap();
    let hops: Vec<_> = seen["hops"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hop| (hop["region"].as_str().unwrap(), hop["why"].as_str().unwrap()))
        .collect();
    assert_eq!(hops, [("fra", "routed"), ("sjc", "replayed")], "{seen}");
    lab.does(&json!({"do": "forget"})).await;
    let stranger = lab.does(&send("GET", "/entries", "")).await;
    assert_eq!((stranger["reason"].as_str(), stranger["body"].as_str()), (Some(home()), Some("[]")), "{stranger}");
    lab.does(&json!({"do": "resume", "database": "fra"})).await;
    events.until("the replica to be up to date", |state| of(state, "databases", "fra")["behind_bytes"] == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_promoted_and_the_primary_that_was_comes_back_as_a_replica() {
    let _turn = turn().await;
    let lab = Lab::start(&["--app", "examples/rust", "--schema", "examples/rust/schema.sql", "--distance", "0"]).await;
    let mut events = Events::of(&lab);
    lab.does(&json!({"do": "promote", "database": "fra"})).await;
    let state = events.until("a new timeline in all regions that are up", |state| {
        ["fra", "syd"].iter().all(|name| of(state, "databases", name)["timeline"] == 2)
    });
    assert_eq!(
        (of(&state, "databases", "fra")["replica"].as_bool(), of(&state, "databases", "sjc")["state"].as_str()),
        (Some(false), Some("down"))
    );
    let body = r#"{"name": "Ann", "message": "after it"}"#;
    let write = json!({"do": "send", "region": "syd", "method": "POST", "path": "/entries", "body": body});
    eventually(SOON, "writes to go to the new primary", async || {
        (lab.does(&write).await["status"] == 201).then_some(())
    })
    .await
    .unwrap();
    lab.does(&json!({"do": "restart", "database": "sjc"})).await;
    let state = events.until("the old primary to stream", |state| of(state, "databases", "sjc")["timeline"] == 2);
    assert_eq!(of(&state, "databases", "sjc")["replica"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_cut_a_server_that_hangs_and_knobs_are_shown_as_they_are() {
    let _turn = turn().await;
    let lab = Lab::start(&["--lag", "1s"]).await;
    let mut events = Events::of(&lab);
    let state = events.next();
    assert_eq!(state["lag_ms"], 1000);
    lab.does(&json!({"do": "cut", "region": "fra", "database": "fra"})).await;
    lab.does(&json!({"do": "hang", "database": "syd"})).await;
    lab.does(&json!({"do": "distance", "scale": 2.0})).await;
    let link = |state: &Value| of(state, "regions", "fra")["links"][1].clone();
    let state = events.until("the server to hang", |state| of(state, "databases", "syd")["state"] == "hanging");
    assert_eq!((link(&state)["to"].as_str(), link(&state)["cut"].as_bool()), (Some("fra"), Some(true)));
    let to_primary = &of(&state, "regions", "fra")["links"][0];
    assert_eq!((to_primary["to"].as_str(), to_primary["one_way_ms"].as_f64()), (Some("sjc"), Some(150.0)));
    lab.does(&json!({"do": "mend", "region": "fra", "database": "fra"})).await;
    lab.does(&json!({"do": "wake", "database": "syd"})).await;
    let state = events.until("the server to wake", |state| of(state, "databases", "syd")["state"] == "up");
    assert_eq!(link(&state)["cut"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_page_commands_and_a_wish_that_makes_no_sense_is_answered() {
    let _turn = turn().await;
    let lab = Lab::start(&[]).await;
    let page = format!("http://{}", lab.page());
    let mut client = Client::connect(lab.page()).await.unwrap();
    let kill = json!({"do": "kill", "database": "fra"}).to_string();
    for (origin, kind, status) in [
        ("https://example.com", "application/json", 403),
        ("null", "application/json", 403),
        (page.as_str(), "text/plain", 415),
    ] {
        let headers = [("origin", origin), ("content-type", kind)];
        let answer = client.send_with(Method::POST, "/commands", &headers, kill.clone()).await.unwrap();
        assert_eq!(answer.status, status, "{origin} {kind}");
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
    let headers = [("origin", page.as_str()), ("content-type", "application/json")];
    for (body, status) in [("{", 400), (r#"{"do": "drop"}"#, 422), (" ".repeat((2 << 20) + 1).as_str(), 413)] {
        let mut client = Client::connect(lab.page()).await.unwrap();
        let answer = client.send_with(Method::POST, "/commands", &headers, body.to_owned()).await.unwrap();
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    let answer =
        client.send_with(Method::OPTIONS, "/commands", &[("origin", "https://example.com")], "").await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (403, ""));
    let page = client.get("/").await.unwrap();
    let policy = page.header("content-security-policy");
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'"), "{policy}");

    for (wish, said) in [
        (json!({"do": "kill", "database": "ams"}), "write sjc, fra or syd"),
        (json!({"do": "pause", "database": "sjc"}), "it replays nothing"),
        (json!({"do": "promote", "database": "sjc"}), "is the primary"),
        (json!({"do": "lag", "ms": 60_001}), "from 0 to 60000"),
        (json!({"do": "load", "rate": 101}), "from 0 to 100"),
        (json!({"do": "send", "region": "fra", "method": "GET", "path": "x"}), "starts with a slash"),
    ] {
        let answer = lab.ask(&wish).await;
        assert_eq!(answer.status, 409, "{wish}");
        assert!(answer.body.contains(said), "{wish}: {}", answer.body);
    }
    let mut events = Events::of(&lab);
    let state = events.until("all databases", |state| state["databases"].as_array().is_some_and(|all| all.len() == 3));
    assert!(["sjc", "fra", "syd"].iter().all(|name| of(&state, "databases", name)["state"] == "up"), "{state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_that_is_left_alone_stops_its_load_until_somebody_wants_something() {
    let _turn = turn().await;
    let lab = Lab::start(&["--left-alone-after", "2"]).await;
    let mut events = Events::of(&lab);
    events.until("the lab to be left alone", |state| state["phase"] == "left-alone");
    let sent = |state: &Value| of(state, "regions", "fra")["rate"].as_f64().unwrap_or_default();
    events.until("the load to have stopped for ten seconds", |state| sent(state) == 0.0);
    lab.does(&json!({"do": "load", "rate": 20})).await;
    events.until("the load to go on", |state| state["phase"] == "running" && sent(state) > 0.0);
    drop(events);
    // Nobody looks any more.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut events = Events::of(&lab);
    assert_eq!(events.next()["load"], 20);
}
