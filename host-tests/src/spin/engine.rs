//! The engine, and the components that it has compiled.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};
use wasmtime_wasi_http::handler::ProxyPre;
use wasmtime_wasi_http::{p2, p3};

use super::bindings::earlier::fermyon::spin::{key_value as key_value2, variables as variables2};
use super::bindings::earlier::spin::postgres::postgres as postgres3;
use super::bindings::spin::{key_value::key_value, postgres::postgres, variables::variables};
use super::compose::Sources;
use super::refusals;
use super::state::{Spin, State};

/// A component that can be instantiated.
pub(crate) struct Compiled {
    pub(crate) engine: Engine,
    pub(crate) pre: ProxyPre<State>,
}

/// Compiled once for each content in this process: tests start many Machines, and a guest that brings an interpreter
/// takes long.
pub(crate) fn compiled(sources: Sources) -> Result<Arc<Compiled>> {
    static ENGINE: LazyLock<Result<Engine, String>> = LazyLock::new(|| engine().map_err(|error| format!("{error:?}")));
    static COMPILED: LazyLock<Mutex<HashMap<Sources, Arc<Compiled>>>> = LazyLock::new(Mutex::default);
    let engine = ENGINE.as_ref().map_err(|error| anyhow!("{error}"))?;
    match COMPILED.lock().unwrap_or_else(PoisonError::into_inner).entry(sources) {
        Entry::Occupied(known) => Ok(Arc::clone(known.get())),
        Entry::Vacant(new) => {
            let composed = new.key().compose()?;
            let pre =
                link(engine, &composed).map_err(|error| anyhow!("{error:?}")).context("compiling the component")?;
            Ok(Arc::clone(new.insert(Arc::new(Compiled { engine: engine.clone(), pre: handler(pre)? }))))
        }
    }
}

fn link(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<InstancePre<State>> {
    let component = Component::new(engine, bytes)?;
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    p2::add_only_http_to_linker_async(&mut linker)?;
    p3::add_to_linker(&mut linker)?;
    key_value::add_to_linker::<_, Spin>(&mut linker, |state| state)?;
    key_value2::add_to_linker::<_, Spin>(&mut linker, |state| state)?;
    postgres::add_to_linker::<_, Spin>(&mut linker, |state| state)?;
    postgres3::add_to_linker::<_, Spin>(&mut linker, |state| state)?;
    variables::add_to_linker::<_, Spin>(&mut linker, |state| state)?;
    variables2::add_to_linker::<_, Spin>(&mut linker, |state| state)?;
    refusals::add_to_linker(&mut linker, &component)?;
    linker.instantiate_pre(&component)
}

/// Which of the two interfaces for a handler a component exports.
fn handler(pre: InstancePre<State>) -> Result<ProxyPre<State>> {
    match (p2::bindings::ProxyPre::new(pre.clone()), p3::bindings::ServicePre::new(pre)) {
        (Ok(pre), Err(_)) => Ok(ProxyPre::P2(pre)),
        (Err(_), Ok(pre)) => Ok(ProxyPre::P3(pre)),
        (Ok(_), Ok(_)) => {
            bail!("component exports multiple different handlers but it's expected to export only one")
        }
        (Err(_), Err(_)) => bail!(
            "Expected component to export one of `wasi:http/incoming-handler@0.2.*` or `wasi:http/handler@0.3.*`, \
             which are the ones of Spin's that this host knows, but it exported none of those."
        ),
    }
}

/// Spin's settings that a guest can feel (Spin `crates/core`). Its pool of a thousand instances takes 6 TB of address
/// space, which not every machine gives: Spin does without it there, and so does this.
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
        .max_core_instances_per_component(200)
        .max_tables_per_component(64)
        .max_memories_per_component(32)
        .max_tables_per_module(2)
        .max_memories_per_module(2)
        .max_memory_size(4 << 30)
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(1 << 19);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling));
    Engine::new(&config).or_else(|_| Engine::new(config.allocation_strategy(InstanceAllocationStrategy::OnDemand)))
}
