//! What holds for every `DATABASE_URL`, judged by the parser that Spin uses, and by the one that browsers have; for every
//! bookmark, for every request that writes, and for every statement that is sent to a replica.

use std::time::Instant;

use futures::FutureExt;
use nearest_replica::{CandidateKind, Config, Database, Runs, Variables, candidates};
use proptest::prelude::*;
use tokio_postgres::config::{Host, TargetSessionAttrs};
use url::Url;

fn config(url: &str, region: &str) -> Option<Config> {
    let variables = Variables {
        database_url: url.to_owned(),
        primary_region: "sjc".to_owned(),
        fly_region: region.to_owned(),
        replica_port: "5433".to_owned(),
        deadline_ms: "5000".to_owned(),
        lease_ms: "100".to_owned(),
        ..Variables::default()
    };
    Config::new(&variables).ok()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9-]{0,12}\\.flycast",
        "[a-z][a-z0-9-]{0,12}\\.internal",
        "(ams|sjc)\\.[a-z][a-z0-9-]{0,12}\\.internal",
        "top[1-9]\\.nearest\\.of\\.[a-z][a-z0-9-]{0,12}\\.internal",
        "[0-9a-f]{14}\\.vm\\.[a-z][a-z0-9-]{0,12}\\.internal",
        "(direct|pgbouncer)\\.[a-z0-9]{8}\\.flympg\\.net",
        "[a-z]{1,9}(\\.[a-z]{1,9}){0,3}",
        "10\\.[1-9]\\.[1-9]\\.[1-9]",
        "[a-z]{1,9},[a-z]{1,9}\\.internal",
    ]
}

fn parameter() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("sslmode=disable".to_owned()),
        Just("sslmode=require".to_owned()),
        Just("connect_timeout=7".to_owned()),
        Just("keepalives=0".to_owned()),
        Just("target_session_attrs=read-write".to_owned()),
        "[a-z @/:?&=%]{0,9}".prop_map(|name| format!("application_name={}", encoded(&name))),
        "[a-z]{1,9}".prop_map(|path| format!("options=-c%20search_path%3D{path}")),
    ]
}

/// Everything in a configuration but hosts and ports, which may change.
fn kept(parsed: &tokio_postgres::Config, parameters: &[String]) -> Vec<String> {
    let given = |name: &str| parameters.iter().any(|parameter| parameter.starts_with(name));
    let mut kept = vec![
        format!("{:?}", parsed.get_user()),
        format!("{:?}", parsed.get_password()),
        format!("{:?}", parsed.get_dbname()),
        format!("{:?}", parsed.get_keepalives()),
    ];
    if given("sslmode") {
        kept.push(format!("{:?}", parsed.get_ssl_mode()));
    }
    if given("connect_timeout") {
        kept.push(format!("{:?}", parsed.get_connect_timeout()));
    }
    if given("application_name") {
        kept.push(format!("{:?}", parsed.get_application_name()));
    }
    if given("options") {
        kept.push(format!("{:?}", parsed.get_options()));
    }
    kept
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn only_host_and_port_change_and_only_our_own_parameters_are_added(
        user in "[^\u{0}]{1,8}",
        // An empty password is the same as none.
        password in "[^\u{0}]{1,12}",
        host in host(),
        port in prop_oneof![Just(String::new()), (1u16..).prop_map(|port| format!(":{port}"))],
        database in "[^\u{0}]{0,8}",
        parameters in proptest::collection::vec(parameter(), 0..4),
    ) {
        // To browsers these are a way up: refused, with what to write instead (`candidates.rs`).
        prop_assume!(!database.split('/').any(|part| [".", ".."].contains(&part)));
        let port = if host.contains(',') { String::new() } else { port };
        let (user, password, database) = (encoded(&user), encoded(&password), encoded(&database));
        let url = format!("postgres://{user}:{password}@{host}{port}/{database}?{}", parameters.join("&"));
        let given: tokio_postgres::Config = url.parse().unwrap();
        for region in ["sjc", "fra"] {
            let config = config(&url, region).expect("it is a good URL");
            let found = candidates(&config);
            prop_assert_eq!(found.last().map(|candidate| candidate.kind), Some(CandidateKind::Configured));
            for candidate in found {
                let exposed = candidate.url.expose_secret();
                let parsed: tokio_postgres::Config = exposed.parse().unwrap();
                let parsed_by_url = Url::parse(&exposed).map(|url| url.to_string());
                // To browsers, several hosts are no URL.
                if !host.contains(',') {
                    prop_assert_eq!(parsed_by_url.as_deref(), Ok(exposed.as_str()));
                }
                prop_assert_eq!(kept(&parsed, &parameters), kept(&given, &parameters));
                if candidate.kind == CandidateKind::Configured {
                    prop_assert_eq!(parsed.get_target_session_attrs(), given.get_target_session_attrs());
                    prop_assert_eq!(parsed.get_hosts(), given.get_hosts());
                    prop_assert_eq!(parsed.get_ports(), given.get_ports());
                } else {
                    prop_assert_eq!(parsed.get_target_session_attrs(), TargetSessionAttrs::Any);
                    prop_assert_eq!(parsed.get_ports(), &[5433][..]);
                }
            }
        }
    }

    #[test]
    fn no_text_panics_and_what_is_accepted_is_accepted_again(
        text in prop_oneof![
            any::<String>(),
            "postgres(ql)?://[ -~]{0,40}",
            "postgres://([a-z]{0,3}(:[a-z%@/]{0,6})?@)?[a-z.,:\\[\\]%0-9]{0,20}(/[a-z@%]{0,5})?(\\?[a-z=&_%@]{0,20})?",
        ],
    ) {
        for candidate in config(&text, "fra").iter().flat_map(candidates) {
            let exposed = candidate.url.expose_secret();
            let again = config(&exposed, "sjc").map(|config| config.database_url.expose_secret());
            prop_assert_eq!(again.as_deref(), Some(exposed.as_str()), "from {:?}", text);
            // What is accepted here is accepted by Spin's client, and never a Unix socket, which Spin refuses.
            let parsed = exposed.parse::<tokio_postgres::Config>();
            prop_assert!(parsed.is_ok(), "{} from {:?}: {:?}", exposed, text, parsed);
            prop_assert!(parsed.unwrap().get_hosts().iter().all(|host| matches!(host, Host::Tcp(_))), "{}", exposed);
        }
    }
}

/// Outside the primary region, with one candidate: nobody is asked anything when it is made.
fn database() -> Database {
    let config = config("postgres://ann:s3cret@direct.abc.flympg.net/app", "fra").expect("these are good");
    Database::new(config).now_or_never().expect("it asks nobody")
}

/// What a session that has done nothing hands on.
fn handed_on(database: &Database, bookmark: &str) -> String {
    database.session(Instant::now(), bookmark).bookmark().now_or_never().expect("it asks nobody")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_client_sends_for_a_bookmark_is_short_and_plain_when_it_is_handed_on(
        text in prop_oneof![any::<String>(), "1-[0-9a-fA-F+-]{0,60}", "1-until-[0-9a-f]{0,20}", "[0-9]-[a-z0-9-]{0,40}"],
    ) {
        let database = database();
        let read = handed_on(&database, &text);
        prop_assert!(read.len() <= 64 && read.bytes().all(|byte| byte.is_ascii_graphic()), "{:?} of {:?}", read, text);
        prop_assert_eq!(handed_on(&database, &read), read);
    }

    #[test]
    fn a_request_is_replayed_at_most_once_whatever_its_headers(
        method in prop_oneof!["GET", "POST", "PUT", "DELETE", any::<String>()],
        headers in proptest::collection::hash_map(
            prop_oneof![
                "fly-request-id", "fly-replay-src", "fly-replay-failed", "content-length", "transfer-encoding", "upgrade",
                any::<String>(),
            ],
            prop_oneof!["[0-9]{0,9}", any::<String>()],
            0..6,
        ),
    ) {
        let database = database();
        let replay = database.replay(&method, |name| headers.get(name).map(String::as_str));
        if let Ok(Some((name, value))) = replay {
            prop_assert_eq!(name, "fly-replay");
            prop_assert!(value.starts_with("region=sjc;") && !value.contains(['\r', '\n']), "{}", value);
            let guards = ["fly-replay-src", "fly-replay-failed", "transfer-encoding", "upgrade"];
            prop_assert!(!guards.iter().any(|name| headers.contains_key(*name)), "{:?}", headers);
        }
    }
}

/// Pieces that statements are made of, well and badly.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[(),;.*=+\\[\\]:-]",
        2 => "(SELECT|select|From|with|as|values|group by|order by|distinct on|for|join|over|filter|like|by|age)",
        1 => "(insert|UPDATE|delete|merge|Into|share|nextval|set_config|pg_advisory_lock|lock_it|pg_locks|a_seq|last_value)",
        1 => "(lower|count|coalesce|a|b|name|t|pg_catalog|\"lower\"|pg_class|numeric)",
        1 => "('a'|E'\\\\''|\\$\\$a\\$\\$|\\$1|1e5|B'1'|\"a\"\"b\"|-- a\n|/\\*a\\*/|::|'|\")",
    ]
}

/// The words of a text without quotes and comments, in small letters, each with what stands right before and behind it.
fn words(text: &str) -> Option<Vec<(String, String, char)>> {
    if text.contains(['\'', '"', '$', '\\']) || text.contains("--") || text.contains("/*") {
        return None;
    }
    let text = text.to_ascii_lowercase();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found: Vec<(String, String, char)> = Vec::new();
    let mut before = String::new();
    for token in text.split_inclusive(|c| !is_word(c)) {
        let word = token.trim_end_matches(|c| !is_word(c));
        let behind = &token[word.len()..];
        if !word.is_empty() {
            found.push((word.to_owned(), before.clone(), ' '));
            before = word.to_owned();
        }
        if !behind.trim().is_empty() {
            if let Some(last) = found.last_mut().filter(|(word, _, behind)| *behind == ' ' && *word == before) {
                last.2 = behind.chars().next().unwrap();
            }
            before = behind.to_owned();
        }
    }
    Some(found)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn a_statement_that_may_run_anywhere_is_a_read_and_says_nothing_harmful(
        text in prop_oneof![
            1 => any::<String>(),
            9 => proptest::collection::vec(piece(), 0..16).prop_map(|pieces| format!("SELECT {}", pieces.join(" "))),
        ],
    ) {
        let runs = Runs::of(&text);
        // What is around it changes nothing.
        let dressed = format!("/* ; */ -- nextval(\n\t{text}\n-- ;");
        prop_assert_eq!(Runs::of(&dressed) == Runs::Anywhere, runs == Runs::Anywhere, "{:?}", text);
        if runs == Runs::Anywhere && let Some(words) = words(&text) {
            prop_assert!(["select", "values", "table", "with"].contains(&words[0].0.as_str()), "{}", text);
            for (word, before, behind) in words {
                let word = word.as_str();
                prop_assert!(!["insert", "update", "delete", "merge", "into", "pg_locks", "a_seq"].contains(&word), "{}", text);
                let harmful = ["nextval", "set_config", "pg_advisory_lock", "lock_it"].contains(&word);
                let a_type_or_alias = ["as", ":"].contains(&before.as_str());
                prop_assert!(!(harmful && behind == '(') || a_type_or_alias, "{}", text);
                prop_assert!(!(before == "for" && word == "share"), "{}", text);
            }
        }
    }
}
