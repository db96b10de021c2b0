//! The recipe's headline: how far away `GET /` is in each region, with and without replicas.
//!
//! On the in-house host only: it alone can be told private names. The wide-area delays are estimates.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use host_tests::fault::{Fault, FaultProxy};
use host_tests::machine::{Host, Machine, Routes, Setup};
use host_tests::postgres::{Cluster, PRIMARY, USER};
use host_tests::process::free_address;

use crate::figures::figures;
use crate::load::{self, Bench, load};

/// A primary and two replicas.
pub(crate) const REGIONS: [&str; 3] = [PRIMARY, "fra", "syd"];
/// Every region has a replica of its own.
pub(crate) const WITH: &str = "with replicas";
/// Everybody reads from the primary.
pub(crate) const WITHOUT: &str = "all on the primary";
const DEAD: &str = "its replica refuses";
const CLIENTS: usize = 4;
/// Longer than the slowest first request: the instances have found out by then who is dead.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);

/// Pairs of regions, and the round trip between them in milliseconds.
pub(crate) type Distances = [(&'static str, &'static str, u64)];

/// The round trip between two of them in milliseconds.
pub(crate) fn between(distances: &Distances, here: &str, there: &str) -> u64 {
    let is = |(one, other, _): &&(&str, &str, u64)| [[here, there], [there, here]].contains(&[*one, *other]);
    distances.iter().find(is).map_or(0, |(.., ms)| *ms)
}

/// The databases as they are seen from one region: each behind a link as long as the way to it.
pub(crate) type View = BTreeMap<&'static str, FaultProxy>;

/// What is seen from a region.
pub(crate) async fn view(here: &str, cluster: &Cluster, distances: &Distances) -> Result<View> {
    let mut links = View::new();
    for there in REGIONS {
        let link = FaultProxy::before(cluster.server(there).address()).await?;
        let delay = Duration::from_millis(between(distances, here, there)) / 2;
        if !delay.is_zero() {
            link.set(Fault::Delay(delay));
        }
        links.insert(there, link);
    }
    Ok(links)
}

/// Measures every region in every variant, in every round.
pub(crate) async fn measure(bench: &Bench, distances: &Distances) -> Result<()> {
    for (one, other, ms) in distances {
        bench.record(1, ["distances", one, other], figures([("ms", *ms as f64)]));
    }
    let cluster = Cluster::start(&REGIONS[1..]).await?;
    for round in 1..=bench.fewer {
        for region in REGIONS {
            let view = view(region, &cluster, distances).await?;
            for variant in [WITH, WITHOUT, DEAD] {
                let machine = machine(region, variant, &view, distances).await?;
                let (load, times) = (load().arriving(WARM_UP / 2), [WARM_UP, bench.length]);
                let (mut figures, _) = load::run(machine.address(), CLIENTS, load, times, || Ok(())).await?;
                figures.insert("distance_ms".to_owned(), between(distances, region, PRIMARY) as f64);
                bench.record(round, ["regions", region, variant], figures);
            }
        }
    }
    Ok(())
}

async fn machine(region: &str, variant: &str, view: &View, distances: &Distances) -> Result<Machine> {
    let (mut local, mut nearest) = (view[region].address(), view[region].address());
    if variant == DEAD && region != PRIMARY {
        // Nobody listens there.
        local = free_address()?;
        let others = REGIONS.into_iter().filter(|there| *there != region);
        let other = others.min_by_key(|there| between(distances, region, there));
        nearest = view[other.unwrap_or(PRIMARY)].address();
    }
    let seen = |there: &str| (there.to_owned(), if there == region { local } else { view[there].address() });
    let private = REGIONS.into_iter().map(seen).collect();
    let routes = Routes { configured: view[PRIMARY].address(), local, nearest: Some(nearest), private };
    let host = Host::InHouse;
    let mut setup = Setup::with_routes(region, USER, &routes, &host);
    if variant == WITHOUT {
        setup = setup.env("SPIN_VARIABLE_REPLICA_PORT", "");
    }
    Machine::start(&host, setup).await
}
