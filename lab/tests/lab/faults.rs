//! Faults in orders that nobody would choose: the lab goes on, and a way back is left.

use std::io::Write;

use host_tests::wait::eventually;
use serde_json::{Value, json};

use crate::program::{Lab, SOON, home, turn};

fn to(database: &str, what: &str) -> Value {
    json!({"do": what, "database": database})
}

/// What a command was refused with.
async fn refused(lab: &Lab, command: &Value) -> String {
    let answer = lab.ask(command).await;
    assert_eq!(answer.status, 409, "{command}: {}", answer.body);
    answer.body
}

/// Waits until the app writes, wherever its primary is.
async fn writes(lab: &Lab) {
    let body = r#"{"name": "Ann", "message": "still here"}"#;
    let write = json!({"do": "send", "region": "sjc", "method": "POST", "path": "/entries", "body": body});
    let written = eventually(SOON, "a write", async || (lab.does(&write).await["status"] == 201).then_some(()));
    written.await.unwrap();
}

async fn guestbook() -> Lab {
    Lab::start(&["--app", "examples/rust", "--schema", "examples/rust/schema.sql", "--distance", "0"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_can_be_killed_and_one_that_hangs_is_not_promoted() {
    let _turn = turn().await;
    let lab = guestbook().await;
    lab.does(&to("fra", "hang")).await;
    let said = refused(&lab, &to("fra", "promote")).await;
    assert!(said.contains("`fra` does not answer: let it run first"), "{said}");
    writes(&lab).await;
    lab.does(&to("fra", "kill")).await;
    lab.does(&to("fra", "restart")).await;
    lab.does(&to("fra", "promote")).await;
    writes(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_does_not_wait_for_a_replica_that_hangs_and_that_one_follows_when_it_wakes() {
    let _turn = turn().await;
    let lab = guestbook().await;
    lab.does(&to("syd", "hang")).await;
    lab.does(&to("fra", "promote")).await;
    writes(&lab).await;
    lab.does(&to("syd", "wake")).await;
    let read = json!({"do": "send", "region": "syd", "method": "GET", "path": "/entries"});
    let follows = eventually(SOON, "syd to have what the new primary has", async || {
        lab.does(&json!({"do": "forget"})).await;
        let read = lab.does(&read).await;
        (read["reason"] == home() && read["body"].as_str()?.contains("still here")).then_some(())
    });
    follows.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_primary_keeps_its_data_until_there_is_a_new_one_to_copy() {
    let _turn = turn().await;
    let lab = guestbook().await;
    lab.does(&to("fra", "promote")).await;
    lab.does(&to("fra", "hang")).await;
    let said = refused(&lab, &to("sjc", "restart")).await;
    assert!(said.contains("`fra` does not answer"), "{said}");
    lab.does(&json!({"do": "lag", "ms": 1_000})).await;
    lab.does(&to("fra", "wake")).await;
    lab.does(&to("sjc", "restart")).await;
    writes(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_its_client_gives_up_is_shown_as_one() {
    let _turn = turn().await;
    let lab = Lab::start(&[]).await;
    for database in ["sjc", "fra", "syd"] {
        lab.does(&to(database, "hang")).await;
    }
    let mut client = std::net::TcpStream::connect(lab.region(1)).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    drop(client);
    let said = eventually(SOON, "a line about it", async || lab.said().contains("fra GET / - ").then_some(()));
    said.await.unwrap();
}
