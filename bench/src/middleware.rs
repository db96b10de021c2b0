//! What the middleware costs an app: the same app behind the adapter, with the middleware in front, with middleware that
//! does nothing, and with none; and what it brings to a request of several statements that comes from far away.

use anyhow::Result;
use host_tests::postgres::Cluster;
use host_tests::spin::build;
use serde_json::json;

use crate::contender::{APPS_WITH_BOTH, Kind, REGION, app_manifest};
use crate::load::{Bench, WARM_UP, steady};
use crate::writes::{Far, far};

/// The parts of the report.
pub(crate) const PART: &str = "middleware";
pub(crate) const REPLAY: &str = "middleware_replay";

/// A case: what each request asks for, and from how many clients they come.
pub(crate) struct Case {
    /// As in the report.
    pub(crate) name: &'static str,
    pub(crate) asked: Asked,
    clients: usize,
}

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// One row.
    Row,
    /// A small answer that needs no database.
    Text,
    /// 1 MB that needs none.
    Megabyte,
}

/// All of them.
pub(crate) const CASES: [Case; 5] = [
    case("1 row, 16 clients", Asked::Row, 16),
    case("1 row, 64 clients", Asked::Row, 64),
    case("a small text, no database, 16 clients", Asked::Text, 16),
    case("a small text, no database, 64 clients", Asked::Text, 64),
    case("1 MB, no database, 16 clients", Asked::Megabyte, 16),
];

const fn case(name: &'static str, asked: Asked, clients: usize) -> Case {
    Case { name, asked, clients }
}

/// Five statements of one request.
const STATEMENTS: usize = 5;

/// All of it, in every round; `round_trip_ms` is that between the primary's region and [`REGION`].
pub(crate) async fn measure(bench: &Bench, round_trip_ms: u64) -> Result<()> {
    let manifest = app_manifest(Kind::AppWithBoth);
    build(&manifest)?;
    build(&app_manifest(Kind::AppWithPlain))?;
    let megabyte: &str = Box::leak("x".repeat(1 << 20).into_boxed_str());
    let cluster = Cluster::start(&[REGION]).await?;
    let step = json!({ "statement": "CREATE TEMPORARY TABLE IF NOT EXISTS t (n int)", "execute": true });
    let script = json!({ "steps": vec![step; STATEMENTS] }).to_string();
    let request = Far { part: REPLAY, path: "/4.2.0", body: &script };
    for round in 1..=bench.fewer {
        // Anew in each round: what 64 clients have left behind is not the next round's.
        let mut running = bench.start(bench.programs.available(&APPS_WITH_BOTH)).await?;
        if round % 2 == 0 {
            running.reverse();
        }
        for Case { name, asked, clients } in CASES {
            let (path, body) = match asked {
                Asked::Row => ("/1", r#"{"rows":1}"#),
                Asked::Text => ("/text/2", "xx"),
                Asked::Megabyte => ("/text/1048576", megabyte),
            };
            for (contender, server) in &running {
                let figures = bench.loaded(server, clients, steady().asking(path, body), WARM_UP).await?;
                bench.record(round, [PART, contender, name], figures);
            }
        }
        far(bench, round, &manifest, &cluster, &request, round_trip_ms).await?;
    }
    Ok(())
}
