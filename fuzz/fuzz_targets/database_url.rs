//! Any text as `DATABASE_URL`: no panic, and what is accepted is accepted again, unchanged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nearest_replica::{Config, Variables, candidates};

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

fuzz_target!(|text: &str| {
    for url in [text.to_owned(), format!("postgres://{text}")] {
        for candidate in config(&url, "fra").iter().flat_map(candidates) {
            let exposed = candidate.url.expose_secret();
            let again = config(&exposed, "sjc").expect("it was accepted before");
            assert_eq!(again.database_url.expose_secret(), exposed);
        }
    }
});
