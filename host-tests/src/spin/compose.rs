//! One component out of a component, its dependencies and its middleware (Spin `crates/compose`, over the same library).

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use wac_graph::types::{Package, SubtypeChecker, WorldId};
use wac_graph::{CompositionGraph, NodeId};
use wasmparser::Parser;

use super::dependencies::{Inherit, Name};
use super::inheritance::restrict;
use super::middleware::{Member, chain};

/// The files that make an application. Two with the same content are the same application.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Sources {
    pub(crate) id: String,
    pub(crate) component: Vec<u8>,
    pub(crate) dependencies: BTreeMap<Name, Source>,
    pub(crate) middleware: Vec<Member>,
}

/// A dependency's.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Source {
    pub(crate) component: Vec<u8>,
    pub(crate) export: Option<String>,
    pub(crate) inherit: Inherit,
}

impl Sources {
    /// The component with its dependencies in it and its middleware around it; as it is where it has neither.
    pub(crate) fn compose(&self) -> Result<Vec<u8>> {
        self.with_dependencies()
            .and_then(
                |component| if self.middleware.is_empty() { Ok(component) } else { chain(&self.middleware, component) },
            )
            .with_context(|| format!("failed to resolve dependencies for component {:?}", self.id))
    }

    fn with_dependencies(&self) -> Result<Vec<u8>> {
        if self.dependencies.is_empty() { Ok(self.component.clone()) } else { Composition::new(self)?.encode(self) }
    }
}

struct Composition {
    graph: CompositionGraph,
    component: Instance,
}

#[derive(Clone, Copy)]
struct Instance {
    world: WorldId,
    node: NodeId,
}

impl Composition {
    fn new(sources: &Sources) -> Result<Self> {
        let mut graph = CompositionGraph::new();
        let component = add(&mut graph, &sources.id, sources.component.clone())?;
        Ok(Self { graph, component })
    }

    fn encode(mut self, sources: &Sources) -> Result<Vec<u8>> {
        let imports: Vec<_> = self.graph.types()[self.component.world].imports.keys().cloned().collect();
        // All entries that are meant for an import are of one package, and a package can be added once: there is one.
        for (name, source) in &sources.dependencies {
            let mut meant = imports.iter().filter(|import| name.matches(import)).peekable();
            let id = &sources.id;
            ensure!(meant.peek().is_some(), "dependency '{name}' doesn't match any imports of component '{id}'");
            let restricted = restrict(source.component.clone(), &source.inherit)?;
            let dependency = add(&mut self.graph, name.package(), restricted)?;
            for import in meant {
                self.connect(import, name, source.export.as_ref().unwrap_or(import), dependency)?;
            }
        }
        let exports: Vec<_> = self.graph.types()[self.component.world].exports.keys().cloned().collect();
        for name in exports {
            let export = self.graph.alias_instance_export(self.component.node, &name)?;
            self.graph.export(export, name)?;
        }
        self.graph.encode(Default::default()).map_err(|error| anyhow!("failed to encode composition graph: {error}"))
    }

    /// Lets the export of a dependency stand in for an import.
    fn connect(&mut self, import: &str, name: &Name, export: &str, dependency: Instance) -> Result<()> {
        let types = self.graph.types();
        let exported = types[dependency.world]
            .exports
            .get(export)
            .with_context(|| format!("dependency '{name}' doesn't export '{export}' to satisfy import '{import}'"))?;
        let imported = types[self.component.world].imports[import];
        SubtypeChecker::new(&mut Default::default()).is_subtype(*exported, types, imported, types).with_context(
            || format!("dependency '{name}' exports '{export}' which is not compatible with import '{import}'"),
        )?;
        let export = self.graph.alias_instance_export(dependency.node, export)?;
        self.graph.set_instantiation_argument(self.component.node, import, export)?;
        Ok(())
    }
}

fn add(graph: &mut CompositionGraph, name: &str, component: Vec<u8>) -> Result<Instance> {
    let package = Package::from_bytes(name, None, component, graph.types_mut())?;
    let world = package.ty();
    let package = graph.register_package(package)?;
    Ok(Instance { world, node: graph.instantiate(package) })
}

impl Source {
    /// Reads a dependency's file.
    pub(crate) fn read(file: &Path, export: Option<String>, inherit: Inherit) -> Result<Self> {
        Ok(Self { component: read(file)?, export, inherit })
    }
}

/// Reads a component's file. Spin also makes components out of modules; this host serves what is one.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>> {
    let shown = file.display();
    let bytes = std::fs::read(file).with_context(|| {
        format!("{shown} cannot be read: it is what a `source` or `path` in spin.toml names, and is built first")
    })?;
    ensure!(
        Parser::is_component(&bytes),
        "{shown} is no WebAssembly component: build one, such as with Rust's target wasm32-wasip2"
    );
    Ok(bytes)
}
