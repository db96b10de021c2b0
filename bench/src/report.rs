//! Everything that was measured in one run: `report.json`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::cost::{Cost, Wasm};
use crate::figures::{ByClients, Spread, Spreads};
use crate::machine::Machine;
use crate::regions::Regions;
use crate::throughput::Burst;
use crate::verdicts::Verdict;

/// The six parts, where and when, and what must be reached. Each figure is a median with its minimum and maximum, and
/// what each round measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Where, when and with what.
    pub machine: Machine,
    /// How many rounds the figures of `throughput` and `burst` are from; the others are from half as many.
    pub rounds: usize,
    /// For how many seconds each load of `throughput` and `burst` was measured.
    pub seconds: u64,
    /// For how many seconds those of `throughput` ran before.
    pub warm_up_seconds: u64,
    /// The host of `protocol`, `stalls`, `cost` and `price`: the real Spin where there was one.
    pub host: String,
    /// What the component says to Postgres.
    pub protocol: Protocol,
    /// Contender -> clients -> figures.
    pub throughput: ByClients<Spreads>,
    /// Contender -> figures of the first seconds of 256 clients that come at the same moment.
    pub burst: Burst,
    /// Responses that stall.
    pub stalls: Stalls,
    /// Region -> variant -> figures.
    pub regions: Regions,
    /// Round trips between the regions in milliseconds, as they were set: estimates.
    pub distances_ms: BTreeMap<String, u64>,
    /// The component as a file.
    pub wasm: Wasm,
    /// Instances and connections.
    pub cost: Cost,
    /// Step -> figures.
    pub price: BTreeMap<String, Spreads>,
    /// What must be reached, and whether it was.
    pub verdicts: Vec<Verdict>,
}

/// For each `GET /` in the steady state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Protocol {
    /// At 16 clients.
    #[serde(flatten)]
    pub shared: Spreads,
    /// At one client, which can share a connection with itself only.
    pub one_client: Spreads,
}

/// Responses that stall.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stalls {
    /// The component at 16 clients.
    #[serde(flatten)]
    pub ours: Spreads,
    /// The component at 4 clients.
    pub few_clients: Spreads,
    /// Everybody who was looked at.
    pub of: ByClients<Spreads>,
}

impl Report {
    /// Reads a `report.json`.
    ///
    /// # Errors
    /// When it is not there or not one.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// One figure of one contender, where it was measured.
    #[must_use]
    pub fn of(&self, contender: &str, clients: usize, figure: &str) -> Option<&Spread> {
        self.throughput.get(contender)?.get(&clients)?.get(figure)
    }

    /// One figure of a region.
    #[must_use]
    pub fn region(&self, region: &str, variant: &str, figure: &str) -> Option<&Spread> {
        self.regions.get(region)?.get(variant)?.get(figure)
    }
}
