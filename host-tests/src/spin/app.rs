//! An application made ready to serve: manifest, runtime configuration, environment and the compiled component.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, StoreLimits, StoreLimitsBuilder};

use super::allowed_hosts::AllowedHosts;
use super::bindings::spin::{key_value::key_value, postgres::postgres, variables::variables};
use super::key_value::Entries;
use super::manifest::Manifest;
use super::pool::Pools;
use super::runtime_config::RuntimeConfig;
use super::variables::Variables;
use super::worker::{App, Spin, State, Workers};
use super::{Logs, Names};

/// What `spin up` can be told, with its defaults.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of `spin.toml` and of the sources named in it.
    pub manifest: PathBuf,
    /// `--runtime-config-file`
    pub runtime_config: Option<PathBuf>,
    /// The whole environment; this process's own is not looked at.
    pub environment: HashMap<String, String>,
    /// `--max-instance-reuse-count`
    pub max_instance_reuse_count: usize,
    /// `--max-instance-concurrent-reuse-count`
    pub max_instance_concurrent_reuse_count: usize,
    /// `--idle-instance-timeout`
    pub idle_instance_timeout: Duration,
    /// `--request-timeout`
    pub request_timeout: Option<Duration>,
    /// Private names; Spin has the machine's own DNS instead.
    pub names: Names,
}

impl Options {
    /// Spin's defaults for a manifest.
    #[must_use]
    pub fn new(manifest: impl Into<PathBuf>) -> Self {
        Self {
            manifest: manifest.into(),
            runtime_config: None,
            environment: HashMap::new(),
            max_instance_reuse_count: 128,
            max_instance_concurrent_reuse_count: 16,
            idle_instance_timeout: Duration::from_secs(1),
            request_timeout: None,
            names: Names::default(),
        }
    }
}

impl Options {
    /// The same with one more environment variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// What `SPIN_MAX_INSTANCE_MEMORY` says, in bytes.
    pub(super) fn memory_limit(&self) -> StoreLimits {
        let bytes = self.environment.get("SPIN_MAX_INSTANCE_MEMORY").and_then(|bytes| bytes.parse().ok());
        bytes.map_or_else(StoreLimits::default, |bytes| StoreLimitsBuilder::new().memory_size(bytes).build())
    }
}

/// Builds the component as `spin build` does: with the manifest's own command, in the manifest's folder.
///
/// # Errors
/// When the command fails; what it printed is on stderr.
pub fn build(manifest: &Path) -> Result<()> {
    let folder = folder_of(manifest);
    let loaded = Manifest::load(manifest)?;
    let (id, component) = loaded.component();
    let Some(build) = &component.build else { return Ok(()) };
    let status = Command::new("sh")
        .args(["-c", &build.command])
        .current_dir(&folder)
        .status()
        .with_context(|| format!("starting {:?}", build.command))?;
    ensure!(status.success(), "building {id:?} with {:?} failed: {status}", build.command);
    Ok(())
}

pub(super) fn prepare(options: Options, logs: Logs) -> Result<Workers> {
    let manifest = Manifest::load(&options.manifest)?;
    let config = options.runtime_config.as_deref().map(RuntimeConfig::load).transpose()?.unwrap_or_default();
    let (id, component) = manifest.component();
    let variables = Variables::new(&manifest, &config, options.environment.clone())?;
    let allowed = AllowedHosts::new(&component.allowed_outbound_hosts, &variables)
        .with_context(|| format!("reading allowed_outbound_hosts of {id:?}"))?;
    let source = folder_of(&options.manifest).join(&component.source);
    let pre = compiled(&source)?;
    let pools = Pools::new(allowed, options.names.clone());
    let app = App {
        pools,
        variables,
        key_value_stores: component.key_value_stores.clone(),
        entries: Entries::default(),
        logs,
        info: serde_json::to_string_pretty(&BTreeMap::from([
            ("name", &manifest.application.name),
            ("version", &manifest.application.version),
        ]))?,
        stopping: AtomicBool::new(false),
    };
    Ok(Workers { app: Arc::new(app), pre, options })
}

fn folder_of(manifest: &Path) -> PathBuf {
    manifest.parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Compiled once for each content in this process: tests start many Machines.
fn compiled(source: &Path) -> Result<InstancePre<State>> {
    static COMPILED: Mutex<Option<(Vec<u8>, InstancePre<State>)>> = Mutex::new(None);
    let bytes = std::fs::read(source)
        .with_context(|| format!("reading {}: build it first (`make up` and `make test` do)", source.display()))?;
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((known, pre)) = compiled.as_ref()
        && *known == bytes
    {
        return Ok(pre.clone());
    }
    let pre = compile(&bytes).map_err(|error| anyhow!("{error:?}")).context("compiling the component")?;
    *compiled = Some((bytes, pre.clone()));
    Ok(pre)
}

fn compile(bytes: &[u8]) -> wasmtime::Result<InstancePre<State>> {
    let engine = engine()?;
    let component = Component::new(&engine, bytes)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    key_value::add_to_linker::<_, Spin>(&mut linker, |state| state)?;
    postgres::add_to_linker::<_, Spin>(&mut linker, |state| state)?;
    variables::add_to_linker::<_, Spin>(&mut linker, |state| state)?;
    linker.instantiate_pre(&component)
}

/// Spin's settings that a guest can feel. Its pool of a thousand instances takes 6 TB of address space, which not
/// every machine gives: Spin does without it there, and so does this.
fn engine() -> wasmtime::Result<Engine> {
    let instances = std::env::var("SPIN_MAX_INSTANCE_COUNT").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000);
    let mut config = Config::new();
    config.epoch_interruption(true).wasm_component_model_async(true);
    let mut pooling = PoolingAllocationConfig::default();
    pooling
        .total_component_instances(instances)
        .total_memories(instances)
        .total_tables(2 * instances)
        .total_stacks(instances)
        .total_core_instances(4 * instances)
        .table_elements(100_000)
        .max_component_instance_size(10 << 20)
        .max_core_instance_size(10 << 20)
        .max_memory_size(4 << 30)
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(1 << 19);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling));
    Engine::new(&config).or_else(|_| Engine::new(config.allocation_strategy(InstanceAllocationStrategy::OnDemand)))
}
