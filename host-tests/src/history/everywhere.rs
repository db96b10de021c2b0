//! Guests who go from region to region while everything goes wrong: an app in Rust that knows nothing of regions, on Machines
//! in all of them, behind the imitated proxy of Fly.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::check::check_guests;
use super::disturbance::disturb;
use super::drive::Drive;
use super::regions::Regions;
use super::state::State;
use super::summary::Summary;
use super::violation::Violation;
use crate::fly::Distances;
use crate::machine::{Host, repository};

/// The app behind the adapter and the middleware, or behind the adapter alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// The adapter alone.
    Adapter,
    /// And the middleware.
    Both,
}

/// Starts Machines in all regions, which serve it behind edges.
///
/// # Errors
/// When it cannot be built, or does not start.
pub async fn serve_everywhere(host: &Host, behind: Behind) -> Result<Regions> {
    let folder = repository().join("host-tests/postgres-guest");
    let build = folder.join("with-both.toml");
    tokio::task::spawn_blocking(move || crate::spin::build(&build)).await.context("building the app")??;
    let manifest = match behind {
        Behind::Adapter => folder.join("with-adapter.toml"),
        Behind::Both => folder.join("with-both.toml"),
    };
    Regions::behind_fly(host, &manifest, Distances::estimated().scaled(0.1)).await
}

/// Lets guests go on for as long as this, while what can go wrong does, and checks what they were told.
///
/// # Errors
/// When something cannot be brought about or mended, and when too little has happened.
pub async fn guests_everywhere(regions: Regions, seed: u64, length: Duration) -> Result<(Summary, Vec<Violation>)> {
    let drive = Drive::guests(&regions, seed);
    let disturbed = regions.while_connections_end(disturb(&regions, length, StdRng::seed_from_u64(seed)));
    let (calls, disturbed) = drive.run(disturbed).await;
    disturbed?;
    let cluster = regions.close();
    let end = State::of_the_book(cluster.primary()).await?;
    let summary = Summary::of(&calls);
    ensure!(summary.acknowledged >= 50 && summary.by_replicas > 0, "a trivial history: {summary}");
    Ok((summary, check_guests(&calls, &end)))
}
