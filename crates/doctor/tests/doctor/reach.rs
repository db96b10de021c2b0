//! Candidates that cannot be reached.

use host_tests::fault::{Fault, FaultProxy};
use host_tests::postgres::{Cluster, PASSWORD, PASSWORD_LOGIN, PASSWORD_USER};
use host_tests::process::free_address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::fixtures::{Doctor, shared, url};

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_wrong_everything_is_said_and_the_status_is_0() {
    let cluster = shared().await;
    let told = Doctor::of(cluster).examine().await;
    assert_eq!(told.wrong(), [""; 0], "{told}");
    assert_eq!(told.status, 0);
    let system = cluster.primary().ask("SELECT system_identifier FROM pg_control_system()").await.unwrap();
    for (name, role) in [("replica-port", "replica"), ("configured", "primary")] {
        let candidate = told.candidate(name);
        assert_eq!((&candidate["role"], &candidate["expected"]), (&role.into(), &role.into()), "{told}");
        assert_eq!((&candidate["system_identifier"], &candidate["timeline"]), (&system.as_str().into(), &1.into()));
        assert_eq!((&candidate["bookmarks"], &candidate["pooler"]), (&"fresh".into(), &"none-seen".into()), "{told}");
        assert_eq!((&candidate["options"], &candidate["connections"]["max"]), (&"taken".into(), &300.into()), "{told}");
        assert!(candidate["round_trip_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{told}");
    }
    let lag = &told.candidate("replica-port")["lag"];
    assert_eq!((&lag["streaming"], &lag["replay"]), (&true.into(), &"running".into()), "{told}");
    assert!(lag["bytes_to_replay"].is_u64() && lag["bytes_behind_primary"].is_u64(), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_on_which_nothing_listens_is_named_with_where_to_write_another() {
    let cluster = shared().await;
    let nobody = free_address().unwrap().port();
    let told = Doctor::in_fra(&url(cluster.primary().address().port()), nobody).examine().await;
    let (wrong, instead) = told.finding("connection-refused", Some("replica-port"));
    assert!(wrong.contains(&format!("127.0.0.1:{nobody}")) && instead.contains("SPIN_VARIABLE_REPLICA_PORT"), "{told}");
    assert_eq!(told.status, 1);

    let told = Doctor::in_fra(&url(nobody), cluster.server("fra").address().port()).examine().await;
    let (_, instead) = told.finding("connection-refused", Some("configured"));
    assert!(instead.contains("DATABASE_URL"), "{told}");
    assert_eq!(told.candidate("replica-port")["bookmarks"], "not-compared", "the replica is examined all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_does_not_hang_the_doctor() {
    let cluster = shared().await;
    let proxy = FaultProxy::before(cluster.server("fra").address()).await.unwrap();
    proxy.set(Fault::Stall);
    let doctor = Doctor::in_fra(&url(cluster.primary().address().port()), proxy.address().port());
    let told = doctor.with("SPIN_VARIABLE_DEADLINE_MS", "500").examine().await;
    assert!(proxy.hits() > 0, "the fault is in force");
    told.finding("timed-out", Some("replica-port"));
    assert_eq!(told.candidate("configured")["role"], "primary", "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_connections_and_does_not_answer_is_told_from_a_dead_one() {
    let cluster = Cluster::start(&[]).await.unwrap();
    let holder = cluster.primary().connect().await.unwrap();
    // Nothing but this view, so that connections can be opened.
    let hold = "SET allow_system_table_mods = on; BEGIN; ALTER VIEW pg_stat_database RESET (security_barrier)";
    holder.batch_execute(hold).await.unwrap();
    let doctor = Doctor::in_fra(&url(cluster.primary().address().port()), free_address().unwrap().port());
    let told = doctor.with("SPIN_VARIABLE_DEADLINE_MS", "1000").examine().await;
    told.finding("does-not-answer", Some("configured"));
    assert_eq!(told.candidate("configured")["role"], "primary", "what it has said counts: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_cut_at_once_is_told_from_a_refused_port() {
    let cluster = shared().await;
    let proxy = FaultProxy::before(cluster.server("fra").address()).await.unwrap();
    proxy.set(Fault::Reset);
    let told = Doctor::in_fra(&url(cluster.primary().address().port()), proxy.address().port()).examine().await;
    told.finding("connection-closed", Some("replica-port"));
    assert!(proxy.hits() > 0, "the fault is in force");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_name_that_does_not_resolve_is_explained() {
    let doctor = Doctor::in_fra("postgres://u@no-such-app.internal/app", 5433);
    let told = doctor.with("SPIN_VARIABLE_DEADLINE_MS", "1000").examine().await;
    for candidate in ["local", "nearest", "configured"] {
        let (_, instead) = told.finding("name-not-found", Some(candidate));
        assert!(instead.contains("Fly's private network"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_password_a_missing_one_and_a_missing_database_are_told_apart() {
    let cluster = shared().await;
    let (port, replica) = (cluster.primary().address().port(), cluster.server("fra").address().port());
    for (login, database, code) in [
        (format!("{PASSWORD_USER}:s3cret-and-wrong"), "postgres", "password-refused"),
        (PASSWORD_USER.to_owned(), "postgres", "password-refused"),
        (PASSWORD_LOGIN.to_owned(), "no_such", "no-such-database"),
    ] {
        let told = Doctor::in_fra(&format!("postgres://{login}@127.0.0.1:{port}/{database}"), replica).examine().await;
        told.finding(code, Some("configured"));
        told.finding(code, Some("replica-port"));
        assert_eq!(told.wrong().len(), 2, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_user_and_one_that_does_not_exist_are_told_apart_from_a_wrong_password() {
    let cluster = shared().await;
    let (port, replica) = (cluster.primary().address().port(), cluster.server("fra").address().port());
    let told = Doctor::in_fra(&format!("postgres://no_such@127.0.0.1:{port}/postgres"), replica).examine().await;
    let (wrong, instead) = told.finding("no-such-user", None);
    assert!(wrong.contains("\"no_such\" does not exist") && instead.contains("DATABASE_URL"), "{told}");
    assert_eq!(told.wrong(), ["no-such-user"], "{told}");

    let told = Doctor::in_fra(&format!("postgres://127.0.0.1:{port}/postgres"), replica).examine().await;
    let (wrong, instead) = told.finding("no-user", None);
    assert!(wrong.contains("names no user") && instead.contains("postgres://user:password@"), "{told}");
    assert_eq!((told.wrong(), told.status), (vec!["no-user"], 1), "{told}");
}

/// Something that waits for a line where that is asked for, says `answer`, and closes.
async fn no_postgres(answer: &'static str, waits_for_line: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut byte = [0];
                // To its first byte, or to the end of its first line.
                while stream.read(&mut byte).await.is_ok_and(|length| length > 0) && waits_for_line && byte != *b"\n" {}
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
                // Closed with unread bytes, it would take the answer with it.
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_postgres_is_called_that_with_how_its_answer_begins() {
    let cluster = shared().await;
    let replica = cluster.server("fra").address().port();
    for (answer, waits_for_line) in [
        ("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", false),
        ("HTTP/1.0 400 Bad request syntax\r\n\r\n", true),
        ("SSH-2.0-OpenSSH_9.2\r\n", false),
    ] {
        let port = no_postgres(answer, waits_for_line).await;
        for parameters in ["", "?sslmode=prefer", "?sslmode=require"] {
            let doctor = Doctor::in_fra(&format!("{}{parameters}", url(port)), replica);
            let told = doctor.with("SPIN_VARIABLE_DEADLINE_MS", "1000").examine().await;
            let (wrong, instead) = told.finding("not-postgres", Some("configured"));
            let line = answer.split_once('\r').unwrap().0;
            assert!(wrong.contains(&format!("127.0.0.1:{port}")) && wrong.contains(line), "{told}");
            assert!(instead.contains("DATABASE_URL"), "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_that_a_server_does_not_have_is_named_with_how_to_do_without() {
    let cluster = shared().await;
    let required = format!("{}?sslmode=require", url(cluster.primary().address().port()));
    let told = Doctor::in_fra(&required, cluster.server("fra").address().port()).examine().await;
    let (_, instead) = told.finding("tls", Some("configured"));
    assert!(instead.contains("sslmode=disable"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_is_in_any_output_and_a_backtrace_changes_nothing() {
    let cluster = shared().await;
    let (port, replica) = (cluster.primary().address().port(), cluster.server("fra").address().port());
    let nobody = free_address().unwrap().port();
    let mut seen = Vec::new();
    for url in [
        format!("postgres://{PASSWORD_LOGIN}@127.0.0.1:{port}/postgres"),
        format!("postgres://{PASSWORD_LOGIN}@127.0.0.1:{nobody}/postgres"),
        format!("postgres://{PASSWORD_USER}@127.0.0.1:{port}/postgres?password=s3cret"),
        format!("postgres://{PASSWORD_USER}:s3cret@127.0.0.1:{port}/postgres"),
        // Those make no sense.
        format!("postgres://{PASSWORD_USER}:s3cret/x@127.0.0.1:{port}/postgres"),
        format!("postgres://{PASSWORD_USER}:s3cret@127.0.0.1:{port}/postgres?sslmode=s3cret"),
        format!("postgres://{PASSWORD_USER}:s3cret@[::1]:{port}/postgres"),
        format!("host=127.0.0.1 port={port} password=s3cret"),
        format!("{PASSWORD_USER}:s3cret@127.0.0.1:{port}"),
    ] {
        for json in [false, true] {
            for backtrace in ["0", "full"] {
                let doctor = Doctor::in_fra(&url, replica).with("RUST_BACKTRACE", backtrace);
                let doctor = if json { doctor.argument("--json") } else { doctor };
                let (status, text) = doctor.text().await;
                let encoded = PASSWORD_LOGIN.split(':').nth(1).unwrap();
                for secret in [PASSWORD, encoded, "s3cret"] {
                    assert!(!text.contains(secret), "{status}: {text}");
                }
                assert!(!text.contains("backtrace") && !text.contains(".rs:"), "{text}");
                seen.push(status);
            }
        }
    }
    assert!([0, 1, 2].iter().all(|status| seen.contains(status)), "{seen:?}");
}
