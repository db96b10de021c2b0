//! What the Machine's environment can say, right and wrong.

use std::time::Duration;

use host_tests::machine::{Machine, Setup};
use host_tests::postgres::{PASSWORD, PASSWORD_USER};
use host_tests::wait::eventually;

use crate::fixtures::{assert_ok, assert_problem, get, host, machine_for, shared_cluster, url_of};

async fn started(setup: Setup) -> Machine {
    Machine::start(&host(), setup).await.unwrap()
}

async fn refusal(setup: Setup) -> String {
    match Machine::start(&host(), setup).await {
        Ok(_) => panic!("it started"),
        Err(error) => format!("{error:#}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_database_url_it_does_not_start() {
    let refusal = refusal(Setup::default()).await;
    assert!(refusal.contains("no provider resolved required variable(s)") && refusal.contains("url"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_variable_is_named_in_the_body_and_in_the_log() {
    for (name, value, problem) in [
        ("DATABASE_URL", "", "`database_url` is empty"),
        ("DATABASE_URL", "host=localhost", "`database_url` is not a URL"),
        (
            "DATABASE_URL",
            "postgres://u@localhost/app?connect_timeout=abc",
            "`database_url` has the parameter `connect_timeout`",
        ),
        ("DATABASE_URL", "postgres://u@.flycast/app", "`database_url` has a host with an empty name"),
        ("FLY_REGION", "fra,syd", "`fly_region` is \"fra,syd\", which is not a region"),
        ("SPIN_VARIABLE_PRIMARY_REGION", "s j c", "`primary_region` is \"s j c\""),
        ("SPIN_VARIABLE_REPLICA_PORT", "http", "`replica_port` is \"http\""),
        ("SPIN_VARIABLE_DEADLINE_MS", "soon", "`deadline_ms` is \"soon\""),
        ("SPIN_VARIABLE_LEASE_MS", "9999", "`lease_ms` is \"9999\""),
    ] {
        let machine = started(Setup::default().env("DATABASE_URL", "postgres:///db").env(name, value)).await;
        let body = assert_problem(&get(&machine).await, 500, "misconfigured");
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.starts_with(problem) && detail.contains(": write "), "{detail}");
        let quoted = format!("event=misconfigured reason={detail:?}");
        let logged =
            eventually(Duration::from_secs(5), &quoted, async || machine.logs().contains(&quoted).then_some(()));
        logged.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_with_every_reserved_character_gets_in_and_never_gets_out() {
    let cluster = shared_cluster().await;
    let address = cluster.primary().address();
    // `p@ss:5432/%40`, percent-encoded; the last @ may also stand as it is.
    for spelling in ["p%40ss%3A5432%2F%2540", "p@ss%3A5432%2F%2540"] {
        let machine = machine_for(&format!("postgresql://{PASSWORD_USER}:{spelling}@{address}/postgres")).await;
        assert_ok(&get(&machine).await);
    }
    let wrong = machine_for(&format!("postgres://{PASSWORD_USER}:wrong%40secret@{address}/postgres")).await;
    let answer = get(&wrong).await;
    let body = assert_problem(&answer, 503, "database-unavailable");
    assert_eq!(body["tried"], serde_json::json!([{ "candidate": "configured", "error": "unreachable" }]));
    let logged = eventually(Duration::from_secs(5), "the log line", async || {
        wrong.logs().contains("event=database-unavailable").then_some(())
    });
    logged.await.unwrap();
    for text in [wrong.logs(), format!("{answer:?}")] {
        for secret in ["wrong@secret", "wrong%40secret", PASSWORD] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    assert!(!format!("{answer:?}").contains("127.0.0.1"), "no host names for strangers: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_allowed_is_refused_until_it_is_named() {
    let cluster = shared_cluster().await;
    let url = url_of(&cluster, "");
    let machine = started(Setup::default().env("DATABASE_URL", &url)).await;
    let body = assert_problem(&get(&machine).await, 500, "misconfigured");
    let detail = body["detail"].as_str().unwrap();
    let (_, value) = detail.split_once("set SPIN_VARIABLE_ALLOWED_HOST=").unwrap_or_else(|| panic!("{detail}"));

    let setup = || Setup::default().env("DATABASE_URL", &url);
    let unreadable = started(setup().env("SPIN_VARIABLE_ALLOWED_HOST", "127.0.0.1:5432")).await;
    let body = assert_problem(&get(&unreadable).await, 500, "misconfigured");
    assert_eq!(body["detail"], detail);

    // Pasted as it stands, it helps.
    assert_ok(&get(&started(setup().env("SPIN_VARIABLE_ALLOWED_HOST", value)).await).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_the_private_network_and_this_machine_is_allowed_by_default() {
    for host in ["evil.com", "evil.com:5433", "db.internal.evil.com", "localhost:6543", "10.0.0.1", "db.flycast:5434"] {
        let machine = started(Setup::default().env("DATABASE_URL", format!("postgres://u@{host}/app"))).await;
        let answer = get(&machine).await;
        assert_problem(&answer, 500, "misconfigured");
        // The log names the value to set; the answer does not name a host that strangers do not know.
        let name = host.split(':').next().unwrap();
        let logged = format!("SPIN_VARIABLE_ALLOWED_HOST=postgres://{name}:");
        let found =
            eventually(Duration::from_secs(5), &logged, async || machine.logs().contains(&logged).then_some(()));
        found.await.unwrap();
        assert!(name == "localhost" || !answer.body.contains(name), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_is_unavailable_within_the_deadline() {
    let machine = machine_for("postgres://nobody@127.0.0.1:1/nowhere").await;
    let answer = get(&machine).await;
    let body = assert_problem(&answer, 503, "database-unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(body["tried"], serde_json::json!([{ "candidate": "configured", "error": "unreachable" }]));
    assert!(answer.took < Duration::from_secs(5), "{answer:?}");
}
