//! The middleware with variables that make no sense, or wired wrongly: what is said, and that it says what to write.

use host_tests::client::Answer;
use host_tests::machine::{Machine, Setup, repository};
use http::Method;

use crate::adapted::{Adapted, App};
use crate::fixtures::assert_problem;
use crate::middleware::{User, pair, told, where_and_how_many};

/// What the middleware inherits, and nothing else does.
const MIDDLEWARE: &str =
    r#""fly-middleware", inherit_configuration = ["allowed_outbound_hosts", "key_value_stores", "variables"]"#;
const HOSTS: &str = r#"allowed_outbound_hosts = ["postgres://*.internal:5432..5434", "postgres://*.flycast:5432..5434", "{{ allowed_host }}"]"#;

/// A Machine in a region with a manifest in which some text is another.
async fn changed(adapted: &Adapted, region: &str, from: &str, to: &str) -> (Machine, tempfile::TempDir) {
    let manifest = std::fs::read_to_string(App::WithBoth.manifest()).unwrap();
    assert!(manifest.contains(from), "{from}");
    let root = repository().to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spin.toml");
    std::fs::write(&path, manifest.replace(from, to).replace("\"../../", &format!("\"{root}/"))).unwrap();
    let setup = adapted.setup(region, App::WithBoth);
    (adapted.start(Setup { manifest: Some(path), ..setup }).await, folder)
}

fn inheriting(names: &str) -> String {
    format!("\"fly-middleware\", inherit_configuration = [{names}]")
}

#[track_caller]
fn assert_misconfigured(answer: &Answer, starts: &str, contains: &str) {
    let body = assert_problem(answer, 500, "misconfigured");
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.starts_with(starts) && detail.contains(contains), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn middleware_that_may_not_reach_the_database_says_so_and_what_to_write() {
    let adapted = Adapted::new().await;
    let inherit = (MIDDLEWARE, &inheriting(r#""key_value_stores", "variables", "allowed_hosts""#)[..]);
    for (from, to) in [inherit, (HOSTS, "allowed_outbound_hosts = []")] {
        let (machine, _folder) = changed(&adapted, "sjc", from, to).await;
        let mut ann = User::default();
        // The app needs no database for these.
        for _ in 0..2 {
            let written = ann.send(machine.address(), Method::DELETE, "/text/2", &[], "").await;
            assert_eq!(told(&written), (200, "sjc", "primary-region"), "{written:?}");
            assert_eq!(ann.bookmark, "primary");
        }
        let known = "event=misconfigured region=sjc reason=\"`allowed_outbound_hosts` does not let Spin connect to";
        assert_eq!(machine.logs().matches(known).count(), 1, "{}", machine.logs());
        "1-1-1-1".clone_into(&mut ann.bookmark);
        let read = ann.send(machine.address(), Method::GET, "/text/2", &[], "").await;
        let instead = "into `[component.<app>]`, and \"allowed_outbound_hosts\" into `inherit_configuration`";
        assert_misconfigured(&read, "`allowed_outbound_hosts` does not let Spin connect to", instead);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn middleware_that_may_not_reach_the_replica_says_so_and_goes_to_the_primary() {
    let adapted = Adapted::new().await;
    let sjc = adapted.start(adapted.setup("sjc", App::WithBoth)).await;
    let port = adapted.primary().address().port();
    let hosts = format!(r#"allowed_outbound_hosts = ["postgres://*.flycast:5432", "postgres://127.0.0.1:{port}"]"#);
    let (fra, _folder) = changed(&adapted, "fra", HOSTS, &hosts).await;
    let mut ann = User::default();
    ann.write(sjc.address(), "one").await;
    for _ in 0..2 {
        let read = ann.read(fra.address(), &where_and_how_many()).await;
        assert_eq!(
            (told(&read), pair(&read)),
            ((200, "fra", "bookmark-behind"), ["sjc", "1"].map(str::to_owned)),
            "{read:?}"
        );
    }
    let known = "event=misconfigured region=fra reason=\"`allowed_outbound_hosts` does not let Spin connect to";
    assert_eq!(fra.logs().matches(known).count(), 1, "{}", fra.logs());
}

#[tokio::test(flavor = "multi_thread")]
async fn middleware_without_the_apps_variables_or_store_says_what_to_write() {
    let adapted = Adapted::new().await;
    let no_variables = inheriting(r#""allowed_outbound_hosts", "key_value_stores""#);
    let no_store = inheriting(r#""allowed_outbound_hosts", "variables""#);
    for (from, to, starts, contains) in [
        (
            MIDDLEWARE,
            &no_variables[..],
            "`database_url` cannot be resolved by Spin (",
            "\"variables\" into `inherit_configuration`",
        ),
        (
            "fly_region = \"{{ region }}\"\n",
            "",
            "`fly_region` cannot be resolved by Spin (",
            "set it in spin.toml or the environment",
        ),
        (
            MIDDLEWARE,
            &no_store[..],
            "`key_value_store` is \"default\"",
            "\"key_value_stores\" into `inherit_configuration`",
        ),
        (
            "key_value_stores = [\"default\"]\n",
            "",
            "`key_value_store` is \"default\"",
            "write `key_value_stores = [\"default\"]`",
        ),
    ] {
        let (machine, _folder) = changed(&adapted, "fra", from, to).await;
        for method in [Method::GET, Method::POST] {
            let answer = User::default().send(machine.address(), method, "/text/2", &[], "").await;
            assert_misconfigured(&answer, starts, contains);
        }
        assert!(machine.logs().contains("event=misconfigured"), "{}", machine.logs());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_store_a_read_that_the_primary_must_answer_is_refused() {
    let adapted = Adapted::new().await;
    let sjc = adapted.start(adapted.setup("sjc", App::WithBoth)).await;
    let fra = adapted.start(adapted.setup("fra", App::WithBoth).env("SPIN_VARIABLE_KEY_VALUE_STORE", "")).await;
    adapted.cluster.server("fra").pause_replay().await.unwrap();
    let mut ann = User::default();
    ann.write(sjc.address(), "one").await;
    let read = ann.read(fra.address(), &where_and_how_many()).await;
    assert_problem(&read, 503, "database-behind");
    assert_eq!(told(&read), (503, "fra", "bookmark-behind"), "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_makes_no_sense_is_named_with_what_to_write() {
    let adapted = Adapted::new().await;
    let (reading, writing) = ("SPIN_VARIABLE_READING_REQUESTS", "SPIN_VARIABLE_WRITING_REQUESTS");
    let cases = [
        ("SPIN_VARIABLE_REPLAY", "yes", "`replay` is \"yes\": write `on` or `off`"),
        ("SPIN_VARIABLE_READS", "always", "`reads` is \"always\": write `replica` or `primary`"),
        (reading, "/search", "`reading_requests` has \"/search\": write a method in capitals and a path"),
        (reading, "post /search", "`reading_requests` has \"post /search\": write a method in capitals"),
        (reading, "POST /a b", "`reading_requests` has \"POST /a b\": write a comma between two requests"),
        (reading, "POST /a; POST /b", "`reading_requests` has \"POST /a; POST /b\": write a comma between two"),
        (reading, "POST /a?b=c", "`reading_requests` has \"POST /a?b=c\": write the path alone"),
        (reading, "POST /ä", "`reading_requests` has \"POST /ä\": write 'ä' as clients send it, percent-encoded"),
        (writing, "GET /a, GET cron", "`writing_requests` has \"GET cron\": write a method"),
        (writing, "GET /a/:id", "`writing_requests` has \"GET /a/:id\": write `{name}` for one part of a path"),
        (
            writing,
            "GET /a/*",
            "`writing_requests` has \"GET /a/*\": write `{name}` for one part of a path, and `{*rest}`",
        ),
        (
            writing,
            "GET /<id>",
            "`writing_requests` has \"GET /<id>\": write '<' as clients send it, percent-encoded; `{name}`",
        ),
        (writing, "GET /a/{*rest}/b", "`writing_requests` has \"GET /a/{*rest}/b\": "),
        (
            "SPIN_VARIABLE_KEY_VALUE_STORE",
            "mine",
            "`key_value_store` is \"mine\", which the component may not use: write",
        ),
        ("SPIN_VARIABLE_PRIMARY_REGION", "s jc", "`primary_region` is \"s jc\", which is not a region"),
    ];
    for (name, value, expected) in cases {
        let machine = adapted.start(adapted.setup("fra", App::WithBoth).env(name, value)).await;
        let answer = User::default().write(machine.address(), "never").await;
        assert_misconfigured(&answer, expected, "");
        assert!(!answer.body.contains("postgres://"), "{answer:?}");
    }
    assert_eq!(adapted.primary().ask("SELECT count(*)::text FROM notes").await.unwrap(), "0");
}
