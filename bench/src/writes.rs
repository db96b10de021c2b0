//! What sessions and writes cost: beside the same by hand in the region, and over the distance, with Fly's proxy replaying
//! the whole request and without.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use host_tests::client::Client;
use host_tests::fault::{Fault, FaultProxy};
use host_tests::fly::{Distances, Fly};
use host_tests::machine::{Host, Machine, Routes, Setup, repository};
use host_tests::postgres::{Cluster, PRIMARY, USER};
use host_tests::spin::build;
use http::Method;
use serde_json::{Value, json};

use crate::contender::REGION;
use crate::figures::{figures, median};
use crate::load::Bench;

/// Requests one after the other, for each figure; over the distance.
const REQUESTS: usize = 300;
const FAR_REQUESTS: usize = 20;

/// A part's rows; those that limits speak of.
pub(crate) const READ: &str = "read";
pub(crate) const READ_WITH_BOOKMARK: &str = "read with a bookmark";
pub(crate) const WRITE_BY_HAND: &str = "write by hand";
pub(crate) const WRITE: &str = "write";
pub(crate) const REPLAYED: &str = "replayed in the primary region";
const WRITE_AND_BOOKMARK: &str = "write, and its bookmark";
const OVER_THE_DISTANCE: &str = "over the distance";

const INSERT: &str = "INSERT INTO entries (name, message) VALUES ('Ann', 'hello') RETURNING id";
const COUNT: &str = "SELECT count(*) FROM entries WHERE id = 1";

/// All of it, in every round; `round_trip_ms` is that between the primary's region and [`REGION`].
pub(crate) async fn measure(bench: &Bench, round_trip_ms: u64) -> Result<()> {
    let manifests = ["host-tests/session-guest/spin.toml", "examples/rust/spin.toml"].map(|it| repository().join(it));
    for manifest in &manifests {
        build(manifest)?;
    }
    let [guest, guestbook] = manifests;
    let cluster = Cluster::start(&[REGION]).await?;
    let schema = std::fs::read_to_string(repository().join("examples/rust/schema.sql"))?;
    cluster.primary().ask(&schema).await?;
    let host = bench.programs.spin.clone().map_or(Host::InHouse, Host::Spin);
    let setup = Setup { manifest: Some(guest), ..Setup::in_region(REGION, &cluster, &host) };
    let machine = Machine::start(&host, setup).await?;
    for round in 1..=bench.fewer {
        let script = |bookmark: &str, step: Value, mint: bool| {
            json!({ "bookmark": bookmark, "steps": [step], "mint": mint }).to_string()
        };
        let written = post(machine.address(), "/", &[], &script("", json!({ "write": INSERT }), true)).await?.1;
        let written: Value = serde_json::from_str(&written)?;
        let bookmark = written["bookmark"].as_str().context("it has a bookmark")?;
        let scripts = [
            (READ, script("", json!({ "read": COUNT }), false)),
            (READ_WITH_BOOKMARK, script(bookmark, json!({ "read": COUNT }), false)),
            (WRITE_BY_HAND, script("", json!({ "by-hand": INSERT }), false)),
            (WRITE, script("", json!({ "write": INSERT }), false)),
            (WRITE_AND_BOOKMARK, script("", json!({ "write": INSERT }), true)),
        ];
        for (name, script) in scripts {
            let p50 = p50_ms(machine.address(), "/", &[], &script, REQUESTS).await?;
            bench.record(round, ["writes", name, REGION], figures([("p50_ms", p50)]));
        }
        far(bench, round, &guestbook, &cluster, &SIGN, round_trip_ms).await?;
    }
    Ok(())
}

/// A request that writes, from far away.
pub(crate) struct Far<'a> {
    /// The part of the report.
    pub(crate) part: &'static str,
    pub(crate) path: &'a str,
    pub(crate) body: &'a str,
}

/// A guest who signs.
const SIGN: Far<'_> = Far { part: "replay", path: "/entries", body: r#"{"name":"Ann","message":"hello"}"# };

/// A request to an app from [`REGION`]. On the in-house host, as all that is far away.
pub(crate) async fn far(
    bench: &Bench,
    round: u64,
    app: &Path,
    cluster: &Cluster,
    request: &Far<'_>,
    round_trip_ms: u64,
) -> Result<()> {
    let one_way = Duration::from_millis(round_trip_ms) / 2;
    let link = FaultProxy::before(cluster.primary().address()).await?;
    link.set(Fault::Delay(one_way));
    let local = cluster.server(REGION).address();
    let private = vec![(REGION.to_owned(), local)];
    let host = Host::InHouse;
    let routes = Routes { configured: link.address(), local, nearest: None, private };
    let here = Setup { manifest: Some(app.to_owned()), ..Setup::with_routes(REGION, USER, &routes, &host) };
    let there = Setup { manifest: Some(app.to_owned()), ..Setup::in_region(PRIMARY, cluster, &host) };
    let (here, there) = (Machine::start(&host, here).await?, Machine::start(&host, there).await?);
    let fly = Fly::new(Distances::estimated().with(PRIMARY, REGION, one_way));
    let edge = fly.start_edge(REGION).await?;
    fly.add_machine(REGION, here.address())?;
    fly.add_machine(PRIMARY, there.address())?;
    // As if a replay had failed: it is not replayed again.
    let failed = ("fly-replay-failed", "reason=no_candidate");
    for (name, header) in [(REPLAYED, None), (OVER_THE_DISTANCE, Some(failed))] {
        let headers: Vec<_> = [("content-type", "application/json")].into_iter().chain(header).collect();
        let p50 = p50_ms(edge, request.path, &headers, request.body, FAR_REQUESTS).await?;
        let figures = figures([("p50_ms", p50), ("distance_ms", round_trip_ms as f64)]);
        bench.record(round, [request.part, name, REGION], figures);
    }
    Ok(())
}

/// The median of so many requests, each of which must succeed; the first few open connections.
async fn p50_ms(to: SocketAddr, path: &str, headers: &[(&str, &str)], body: &str, requests: usize) -> Result<f64> {
    let mut times = Vec::with_capacity(requests);
    for _ in 0..requests + 3 {
        times.push(post(to, path, headers, body).await?.0.as_secs_f64() * 1e3);
    }
    Ok(median(&times[3..]))
}

async fn post(to: SocketAddr, path: &str, headers: &[(&str, &str)], body: &str) -> Result<(Duration, String)> {
    let mut client = Client::connect(to).await?;
    let answer = client.send_with(Method::POST, path, headers, body.to_owned()).await?;
    ensure!(answer.status.is_success(), "POST {path} was answered with {}: {}", answer.status, answer.body);
    Ok((answer.took, answer.body))
}
