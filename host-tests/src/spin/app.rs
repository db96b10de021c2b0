//! An application made ready to serve: manifest, runtime configuration, environment and the compiled component.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::allowed_hosts::AllowedHosts;
use super::bindings::spin::{key_value::key_value, postgres::postgres, variables::variables};
use super::manifest::{Manifest, folder_of};
use super::options::Options;
use super::pool::Pools;
use super::resolver::Resolver;
use super::resources::Entries;
use super::runtime_config::RuntimeConfig;
use super::state::{App, Spin, State};
use super::worker::Workers;
use crate::logs::Logs;

/// Takes a while, for the component is compiled: not for a thread that serves others.
pub(crate) fn prepare(options: Options, logs: Logs) -> Result<Workers> {
    let manifest = Manifest::load(&options.manifest)?;
    let config = options.runtime_config.as_deref().map(RuntimeConfig::load).transpose()?.unwrap_or_default();
    let (id, component) = manifest.component();
    let variables = Resolver::new(&manifest, config, options.environment.clone())?;
    AllowedHosts::check(&component.allowed_outbound_hosts)
        .with_context(|| format!("reading allowed_outbound_hosts of {id:?}"))?;
    let app = App {
        pools: Pools::new(options.names.clone()),
        variables,
        allowed_outbound_hosts: component.allowed_outbound_hosts.clone(),
        key_value_stores: component.key_value_stores.clone(),
        entries: Entries::default(),
        logs,
        info: serde_json::to_string_pretty(&BTreeMap::from([
            ("name", &manifest.application.name),
            ("version", &manifest.application.version),
        ]))?,
        stopping: AtomicBool::new(false),
    };
    let pre = compiled(&folder_of(&options.manifest).join(&component.source))?;
    Ok(Workers { app: Arc::new(app), pre, options })
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
