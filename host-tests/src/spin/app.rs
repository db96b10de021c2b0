//! An application made ready to serve: manifest, runtime configuration, environment and the compiled component with its
//! dependencies and its middleware.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::allowed_hosts::AllowedHosts;
use super::compose::{Source, Sources, read};
use super::engine::compiled;
use super::manifest::{Manifest, folder_of};
use super::middleware::Member;
use super::options::Options;
use super::pool::Pools;
use super::resolver::Resolver;
use super::runtime_config::RuntimeConfig;
use super::state::App;
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
        entries: options.store.clone(),
        logs,
        info: serde_json::to_string_pretty(&BTreeMap::from([
            ("name", &manifest.application.name),
            ("version", &manifest.application.version),
        ]))?,
        stopping: AtomicBool::new(false),
    };
    let folder = folder_of(&options.manifest);
    let dependencies = manifest.dependencies()?.into_iter().map(|(name, dependency)| {
        Ok((name, Source::read(&folder.join(dependency.source), dependency.export, dependency.inherit)?))
    });
    let middleware = manifest.middleware()?.into_iter().map(|middleware| {
        Ok(Member { component: read(&folder.join(middleware.source))?, inherit: middleware.inherit })
    });
    let sources = Sources {
        id: id.to_owned(),
        component: read(&folder.join(&component.source))?,
        dependencies: dependencies.collect::<Result<_>>()?,
        middleware: middleware.collect::<Result<_>>()?,
    };
    Ok(Workers { app: Arc::new(app), compiled: compiled(sources)?, options })
}
