//! Any text as a bookmark, and any headers before a replay: no panic, and what comes out is short and plain.

#![no_main]

use std::time::Instant;

use futures::FutureExt;
use libfuzzer_sys::fuzz_target;
use nearest_replica::{Config, Database, Variables};

fn database() -> Database {
    let variables = Variables {
        database_url: "postgres://ann:s3cret@direct.abc.flympg.net/app".to_owned(),
        primary_region: "sjc".to_owned(),
        fly_region: "fra".to_owned(),
        deadline_ms: "5000".to_owned(),
        lease_ms: "100".to_owned(),
        ..Variables::default()
    };
    let config = Config::new(&variables).expect("these are good");
    Database::new(config).now_or_never().expect("it has one candidate, so it asks nobody")
}

fuzz_target!(|input: (&str, &str, Vec<(&str, &str)>)| {
    let (bookmark, method, headers) = input;
    let database = database();
    let of = |text: &str| database.session(Instant::now(), text).bookmark().now_or_never().expect("it has read nothing");
    let read = of(bookmark);
    assert!(read.len() <= 64 && read.bytes().all(|byte| byte.is_ascii_graphic()), "{read:?}");
    assert_eq!(of(&read), read);
    let header = |name: &str| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    if let Ok(Some((name, value))) = database.replay(method, header) {
        assert_eq!(name, "fly-replay");
        assert_eq!(value, "region=sjc;state=nearest-replica;timeout=6s;fallback=prefer_self");
        assert!(header("fly-replay-src").is_none() && header("fly-replay-failed").is_none());
    }
});
