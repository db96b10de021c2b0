//! Instances that nobody sends requests to, for those who want to know what an instance costs.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use wasmtime_wasi_http::handler::{HandlerState, Instance};

use super::app::prepare;
use super::options::Options;
use super::state::State;
use super::worker::{Expiration, Limits};
use crate::logs::Logs;

/// Instances that have not worked yet, and how long each took to make.
pub struct Instances(Vec<(Duration, Instance<State, Expiration, Limits>)>);

impl Instances {
    /// How long each took, in order.
    pub fn times(&self) -> impl Iterator<Item = Duration> {
        self.0.iter().map(|(took, _)| *took)
    }
}

/// Makes instances of an application.
///
/// # Errors
/// Where Spin would not start.
pub async fn instantiate(options: Options, count: usize) -> Result<Instances> {
    let workers = tokio::task::spawn_blocking(move || prepare(options, Logs::default())).await??;
    let mut instances = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        let instance = workers.instantiate().await.map_err(|error| anyhow!("{error:?}"))?;
        instances.push((started.elapsed(), instance));
    }
    Ok(Instances(instances))
}
