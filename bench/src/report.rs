//! Everything that was measured in one run: `report.json`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::cost::Cost;
use crate::figures::{ByClients, Summaries, Summary};
use crate::machine::Machine;
use crate::regions::{Distances, REGIONS, Regions, VARIANTS};
use crate::throughput::ByContender;
use crate::verdict::Verdict;
use crate::wasm::Wasm;

/// All parts, where and when, and what must be reached. Each figure is what each round measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Where, when and with what.
    pub(crate) machine: Machine,
    /// For how many seconds each load was measured.
    pub(crate) seconds: u64,
    /// For how many seconds it ran before.
    pub(crate) warm_up_seconds: u64,
    /// The host of `protocol`, `cost` and `overhead`: the real Spin where there was one.
    pub(crate) host: String,
    /// Clients -> what the component says to Postgres for each `GET /`.
    pub(crate) protocol: BTreeMap<usize, Summaries>,
    /// In the steady state.
    pub(crate) throughput: ByClients,
    /// The first seconds of 256 clients that come at the same moment.
    pub(crate) burst: ByContender,
    /// Requests per second of `at_fixed_rate`.
    pub(crate) fixed_rate: f64,
    /// In an open loop.
    pub(crate) at_fixed_rate: ByContender,
    /// Responses that stall.
    pub(crate) stalls: ByClients,
    /// How far away `GET /` is.
    pub(crate) regions: Regions,
    /// As they were set: estimates.
    pub(crate) distances_ms: Distances,
    /// The component as a file.
    pub(crate) wasm: Wasm,
    /// Instances and connections.
    pub(crate) cost: Cost,
    /// What our own rules cost.
    pub(crate) overhead: ByContender,
    /// What must be reached, and whether it was.
    pub(crate) verdicts: Vec<Verdict>,
}

impl Report {
    /// Reads a `report.json`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// One figure of one contender, where it was measured.
    pub(crate) fn of(&self, contender: &str, clients: usize, figure: &str) -> Option<&Summary> {
        self.throughput.get(contender)?.get(&clients)?.get(figure)
    }

    /// One figure of a region.
    pub(crate) fn region(&self, region: &str, variant: &str, figure: &str) -> Option<&Summary> {
        self.regions.get(region)?.get(variant)?.get(figure)
    }

    /// Each region and variant, and what was measured.
    pub(crate) fn region_rows(&self) -> impl Iterator<Item = (String, &Summaries)> {
        REGIONS.into_iter().flat_map(move |region| {
            let of = move |variant| self.regions.get(region)?.get(variant);
            VARIANTS.into_iter().filter_map(move |(variant, label)| Some((format!("{region}, {label}"), of(variant)?)))
        })
    }

    /// The component where it was measured best: on a real Spin where there was one.
    pub(crate) fn component(&self) -> &'static str {
        if self.throughput.contains_key("spin-component") { "spin-component" } else { "component" }
    }
}
