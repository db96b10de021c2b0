//! What the adapter costs an app that knows nothing of regions, and what it brings: the same app behind it and alone, with
//! its database beside it; and in every region, by the distances.

use anyhow::Result;
use host_tests::machine::{Host, Machine, Routes, Setup};
use host_tests::postgres::{Cluster, PRIMARY, USER};
use host_tests::spin::build;

use crate::contender::{APPS, Kind, app_manifest};
use crate::load::{self, Bench, WARM_UP, load, steady};
use crate::regions::{self, Distances, REGIONS, between, view};

/// The parts of the report.
pub(crate) const PART: &str = "adapter";
pub(crate) const BY_REGION: &str = "adapter_regions";

/// The variants by region.
pub(crate) const WITH: &str = "with the adapter";
pub(crate) const ALONE: &str = "the app alone";

/// A case: how many rows each request reads, and from how many clients the requests come.
pub(crate) struct Case {
    /// As in the report.
    pub(crate) name: &'static str,
    pub(crate) rows: Rows,
    clients: usize,
}

/// How many rows a request reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    One,
    Fifty,
    TenThousand,
}

impl Rows {
    /// The request, and the body of its answer.
    fn asked(self) -> (&'static str, &'static str) {
        match self {
            Self::One => ("/1", r#"{"rows":1}"#),
            Self::Fifty => ("/50", r#"{"rows":50}"#),
            Self::TenThousand => ("/10000", r#"{"rows":10000}"#),
        }
    }
}

/// All of them.
pub(crate) const CASES: [Case; 6] = [
    case("1 row, 16 clients", Rows::One, 16),
    case("1 row, 64 clients", Rows::One, 64),
    case("50 rows, 16 clients", Rows::Fifty, 16),
    case("50 rows, 64 clients", Rows::Fifty, 64),
    // More clients would wait for seconds, adapter or not, and count as starved.
    case("10,000 rows, 4 clients", Rows::TenThousand, 4),
    case("10,000 rows, 16 clients", Rows::TenThousand, 16),
];

const fn case(name: &'static str, rows: Rows, clients: usize) -> Case {
    Case { name, rows, clients }
}

/// Clients in each region.
const CLIENTS: usize = 4;

/// All of it, in every round.
pub(crate) async fn measure(bench: &Bench, distances: &Distances) -> Result<()> {
    build(&app_manifest(Kind::AppWithAdapter))?;
    for round in 1..=bench.fewer {
        // Anew in each round: what 64 clients have left behind is not the next round's.
        let mut running = bench.start(bench.programs.available(&APPS)).await?;
        if round % 2 == 0 {
            running.reverse();
        }
        for Case { name, rows, clients } in CASES {
            let (path, body) = rows.asked();
            for (contender, server) in &running {
                let figures = bench.loaded(server, clients, steady().asking(path, body), WARM_UP).await?;
                bench.record(round, [PART, contender, name], figures);
            }
        }
    }
    by_region(bench, distances).await
}

/// One row, where the primary is far away.
async fn by_region(bench: &Bench, distances: &Distances) -> Result<()> {
    let cluster = Cluster::start(&REGIONS[1..]).await?;
    let host = bench.programs.spin.clone().map_or(Host::InHouse, Host::Spin);
    for round in 1..=bench.fewer {
        for region in REGIONS {
            let view = view(region, &cluster, distances).await?;
            let seen = |there: &str| view[there].address();
            let private = REGIONS.map(|there| (there.to_owned(), seen(there))).into();
            let routes = Routes { configured: seen(PRIMARY), local: seen(region), nearest: None, private };
            for (variant, kind) in [(ALONE, Kind::App), (WITH, Kind::AppWithAdapter)] {
                let setup = Setup::with_routes(region, USER, &routes, &host);
                let setup = Setup { manifest: Some(app_manifest(kind)), ..setup };
                let machine = Machine::start(&host, setup).await?;
                let (path, body) = Rows::One.asked();
                let load = load().arriving(regions::WARM_UP / 2).asking(path, body);
                let times = [regions::WARM_UP, bench.length];
                let (mut figures, _) = load::run(machine.address(), CLIENTS, load, times, || Ok(())).await?;
                figures.insert("distance_ms".to_owned(), between(distances, region, PRIMARY) as f64);
                bench.record(round, [BY_REGION, region, variant], figures);
            }
        }
    }
    Ok(())
}
