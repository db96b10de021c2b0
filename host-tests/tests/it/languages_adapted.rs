//! The guestbooks in Python and in JavaScript behind the adapter: what their manifests add, that they answer alike, and
//! where they read.

use host_tests::client::Answer;
use host_tests::history::make_book;
use host_tests::machine::{Machine, Routes, Setup, repository};
use host_tests::postgres::{Cluster, USER};
use host_tests::private_network::PrivateNetwork;
use host_tests::region::on_private_network;
use host_tests::spin::build;
use host_tests::wait::eventually;
use nix::sys::signal::Signal;
use toml::{Table, Value};

use crate::adapted::App;
use crate::fixtures::host;
use crate::languages::{JSON, LANGUAGES, REQUESTS, said, send};
use crate::playground::replayed;
use crate::scenario::DEADLINE;
use crate::texts::read;
use crate::turn::alone;

const ENTRY: &[u8] = br#"{"name":"Ann","message":"x"}"#;

fn table(text: &str) -> Table {
    toml::from_str(text).unwrap()
}

/// Puts tables into tables; everything else of `more` is new.
fn add(to: &mut Table, more: Table) {
    for (key, value) in more {
        match (to.get_mut(&key), value) {
            (Some(Value::Table(to)), Value::Table(more)) => add(to, more),
            (None, value) => {
                to.insert(key, value);
            }
            (Some(known), value) => panic!("{key} is {known} already, and {value} is to be added"),
        }
    }
}

#[test]
fn what_the_guide_shows_is_all_that_a_guestbook_adds_for_the_adapter() {
    let guide = read("docs/adapter.md");
    let shown = guide.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a manifest is shown");
    let shown = shown.replace("component.app", "component.guestbook").replace(
        "\"postgres_adapter.wasm\"",
        "\"../../target/wasm32-wasip2/release/postgres_adapter.wasm\"\n[component.postgres-adapter.build]\n\
         command = \"cargo build --locked --release --target wasm32-wasip2 --package postgres-adapter\"",
    );
    for host in ["postgres://*.internal:5432..5434", "postgres://*.flycast:5432..5434"] {
        assert!(guide.contains(&format!("`{host}`")), "the guide says that {host} must be allowed");
    }
    for language in LANGUAGES {
        let mut expected = read(&format!("examples/{language}/spin.toml"));
        // The replica port, wherever there may be replicas.
        for host in ["*.internal", "*.flycast", "localhost", "127.0.0.1"] {
            let port = format!("\"postgres://{host}:5432\"");
            assert!(expected.contains(&port), "{language}: {port}");
            expected = expected.replace(&port, &format!("\"postgres://{host}:5432..5434\""));
        }
        let mut expected = table(&expected);
        add(&mut expected, table(&shown));
        add(&mut expected, table("variables = { region = { default = '' }, primary_region = { default = '' } }"));
        assert_eq!(table(&read(&format!("examples/{language}/with-adapter.toml"))), expected, "{language}");
    }
}

#[test]
fn what_the_guide_shows_is_all_that_a_guestbook_adds_for_the_middleware() {
    let guide = read("docs/middleware.md");
    let shown: Vec<_> = guide
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().expect("it ends"))
        .map(|shown| shown.replace("\"app\"", "\"guestbook\"").replace("component.app", "component.guestbook"))
        .map(|shown| {
            table(&shown.replace(
                "\"fly_middleware.wasm\"",
                "\"../../target/wasm32-wasip2/release/fly_middleware.wasm\"\n[component.fly-middleware.build]\n\
                 command = \"cargo build --locked --release --target wasm32-wasip2 --package fly-middleware\"",
            ))
        })
        .collect();
    let regions = || table("variables = { region = { default = '' }, primary_region = { default = '' } }");
    let cases =
        [("with-adapter", "with-both", &shown[0], None), ("spin", "with-middleware", &shown[1], Some(regions()))];
    for (from, to, shown, more) in cases {
        let mut expected = table(&read(&format!("examples/python/{from}.toml")));
        // The trigger becomes another one.
        expected.remove("trigger");
        add(&mut expected, shown.clone());
        more.into_iter().for_each(|more| add(&mut expected, more));
        assert_eq!(table(&read(&format!("examples/python/{to}.toml"))), expected, "{to}");
    }
}

/// Builds a guestbook and the adapter.
pub(crate) async fn build_with_adapter(language: &str) {
    build_example(&format!("{language}/with-adapter.toml")).await;
}

/// Builds all components of an example's manifest.
pub(crate) async fn build_example(manifest: &str) {
    let manifest = repository().join("examples").join(manifest);
    tokio::task::spawn_blocking(move || build(&manifest).unwrap()).await.unwrap();
}

/// A guestbook in one language, on a Machine in a region of a cluster.
struct Guestbook {
    machine: Machine,
    _network: Option<PrivateNetwork>,
}

impl Guestbook {
    async fn start(language: &str, region: &str, app: App, cluster: &Cluster) -> Self {
        let host = host();
        let file = app.manifest();
        let manifest = repository().join("examples").join(language).join(file.file_name().unwrap());
        let here = cluster.server(region).address();
        let private = vec![(region.to_owned(), here)];
        let routes = Routes { configured: cluster.primary().address(), local: here, nearest: None, private };
        let (setup, _network) = on_private_network(region, USER, &routes, &host).await.unwrap();
        let machine = Machine::start(&host, Setup { manifest: Some(manifest), ..setup }).await.unwrap();
        Self { machine, _network }
    }

    /// Where the entries were read from, and what they say.
    async fn entries(&self) -> Vec<(String, String)> {
        let answer = send(&self.machine, ("GET", "/entries", "", b"")).await;
        assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
        let entries: Vec<serde_json::Value> = serde_json::from_str(&answer.body).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        entries.iter().map(|entry| (text(&entry["name"]), text(&entry["message"]))).collect()
    }

    async fn region(&self) -> String {
        self.entries().await.swap_remove(0).0
    }

    async fn sign(&self) -> Answer {
        send(&self.machine, ("POST", "/entries", JSON, ENTRY)).await
    }

    /// Waits until it reads from a region.
    async fn wait_for(&self, region: &str) {
        let home = async || (self.region().await == region).then_some(());
        let outcome = eventually(DEADLINE, &format!("reads from {region}"), home).await;
        outcome.unwrap_or_else(|error| panic!("{error:#}: {}", self.machine.logs()));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python and Node.js: make test-languages"]
async fn a_guestbook_in_any_language_answers_behind_the_adapter_and_the_middleware_as_without_them() {
    let _turn = alone().await;
    let cluster = Cluster::start(&["fra"]).await.unwrap();
    cluster.primary().ask(&read("examples/rust/schema.sql")).await.unwrap();
    for language in LANGUAGES {
        build_with_adapter(language).await;
        let mut expected = Vec::new();
        let mut apps = vec![App::Alone, App::WithAdapter];
        if language == "python" {
            // Spin can put nothing in front of a handler of WASI 0.2.
            build_example("python/with-both.toml").await;
            apps.push(App::WithBoth);
        }
        for app in apps {
            cluster.primary().ask("TRUNCATE entries RESTART IDENTITY").await.unwrap();
            replayed(&cluster, "fra").await;
            let fra = Guestbook::start(language, "fra", app, &cluster).await;
            for (at, request) in REQUESTS.iter().enumerate() {
                let answer = send(&fra.machine, *request).await;
                match app {
                    App::Alone => expected.push(said(&answer)),
                    App::WithAdapter | App::WithBoth => {
                        let (method, path, ..) = request;
                        assert_eq!(said(&answer), expected[at], "{language}: {method} {path}: {answer:?}");
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python and Node.js: make test-languages"]
async fn a_guestbook_in_any_language_reads_from_its_region_and_has_what_was_signed_there_at_once() {
    let _turn = alone().await;
    for language in LANGUAGES {
        build_with_adapter(language).await;
        let cluster = Cluster::start(&["fra"]).await.unwrap();
        make_book(cluster.primary()).await.unwrap();
        replayed(&cluster, "fra").await;
        for (region, app) in [("sjc", App::WithAdapter), ("fra", App::Alone)] {
            let machine = Guestbook::start(language, region, app, &cluster).await;
            assert_eq!(machine.region().await, "sjc", "{language} in {region}, {app:?}");
        }
        let fra = Guestbook::start(language, "fra", App::WithAdapter, &cluster).await;
        assert_eq!(fra.region().await, "fra", "{language}");

        cluster.server("fra").pause_replay().await.unwrap();
        for signed in 1..=3 {
            let answer = fra.sign().await;
            assert_eq!(answer.status.as_u16(), 201, "{language}: {answer:?}");
            for _ in 0..5 {
                let entries = fra.entries().await;
                let there = entries.iter().filter(|(_, message)| message == "x").count();
                assert_eq!((there, entries[0].0.as_str()), (signed, "sjc"), "{language}");
            }
        }
        cluster.server("fra").resume_replay().await.unwrap();
        fra.wait_for("fra").await;

        cluster.server("fra").end(Signal::SIGKILL).unwrap();
        for _ in 0..10 {
            assert_eq!(fra.region().await, "sjc", "{language}: {}", fra.machine.logs());
        }
        assert_eq!(fra.sign().await.status.as_u16(), 201, "{language}");
    }
}
