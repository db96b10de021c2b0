//! `dependencies.middleware` of `[[trigger.http]]`: components that each request passes before the one that serves, and
//! its answer after (Spin `crates/trigger-http/src/middleware.rs`). All of them become one component, and so one instance.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::Deserialize;
use wac_graph::CompositionGraph;
use wac_graph::types::Package;

use super::dependencies::Inherit;
use super::inheritance::restrict;

/// What all of them export, the one that serves included, and import, it excepted.
const HANDLER: &str = "wasi:http/handler@0.3.0";

/// The dependencies of an HTTP trigger, by what they are for.
pub(crate) type Dependencies = BTreeMap<String, Vec<Link>>;

/// One entry. Spin also has forms that take the middleware from a registry or a URL.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Link {
    Component { component: String, inherit_configuration: Option<Inherit> },
    File { path: PathBuf, inherit_configuration: Option<Inherit> },
    Other(toml::Value),
}

/// An entry, with the file that is behind it.
#[derive(Debug)]
pub(crate) struct Middleware {
    pub(crate) source: PathBuf,
    pub(crate) inherit: Inherit,
}

/// One in the chain.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Member {
    pub(crate) component: Vec<u8>,
    pub(crate) inherit: Inherit,
}

/// The entries that are middleware. A name that means nothing is an error beside them only, as in Spin: a misspelt one is
/// not noticed.
pub(crate) fn links(dependencies: &Dependencies) -> Result<&[Link]> {
    let Some(links) = dependencies.get("middleware") else { return Ok(&[]) };
    if dependencies.len() > 1 && dependencies.values().any(|links| !links.is_empty()) {
        bail!("the HTTP trigger's only allowed trigger dependency is `middleware`");
    }
    Ok(links)
}

/// The component behind its middleware, the outermost first.
pub(crate) fn chain(members: &[Member], component: Vec<u8>) -> Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let package = Package::from_bytes("primary", None, component, graph.types_mut())?;
    let package = graph.register_package(package)?;
    let innermost = graph.instantiate(package);
    let mut handler = graph.alias_instance_export(innermost, HANDLER)?;
    for (index, member) in members.iter().enumerate().rev() {
        let restricted = restrict(member.component.clone(), &member.inherit)?;
        let package = Package::from_bytes(&format!("middleware{index}"), None, restricted, graph.types_mut())?;
        let package = graph.register_package(package)?;
        let instance = graph.instantiate(package);
        graph.set_instantiation_argument(instance, HANDLER, handler)?;
        handler = graph.alias_instance_export(instance, HANDLER)?;
    }
    graph.export(handler, HANDLER)?;
    Ok(graph.encode(Default::default())?)
}
