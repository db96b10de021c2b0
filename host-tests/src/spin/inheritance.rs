//! What a dependency does not inherit, it is denied: its imports of that kind get another name, under which the host
//! has functions that refuse (`refusals.rs`). Spin composes a component of its own before it instead (Spin
//! `crates/capabilities`); which imports that takes, down to versions, is the same here.
//!
//! Left alone are the interfaces of WASI: this host gives nobody files, an environment, sockets or outbound HTTP.

use anyhow::{Result, bail};
use wac_graph::CompositionGraph;
use wac_graph::types::{Interface, ItemKind, Package, are_semver_compatible};

use super::dependencies::Inherit;

/// What the names of denied imports begin with.
pub(crate) const DENIED: &str = "denied-";

/// The kinds of configuration that can be inherited, and the interfaces that each stands for, as far as this host has
/// them. An import of a compatible version is meant as well, but only one.
const KINDS: [(&str, &[&str]); 3] = [
    ("allowed_outbound_hosts", &["spin:postgres/postgres@3.0.0", "spin:postgres/postgres@4.2.0"]),
    ("key_value_stores", &["fermyon:spin/key-value@2.0.0", "spin:key-value/key-value@3.0.0"]),
    ("variables", &["fermyon:spin/variables@2.0.0", "spin:variables/variables@3.0.0"]),
];

/// The same component, cut off from what it does not inherit.
pub(crate) fn restrict(source: Vec<u8>, inherit: &Inherit) -> Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let package = Package::from_bytes("dependency", None, source.clone(), graph.types_mut())?;
    let world = package.ty();
    let denied = denied_imports(graph.types()[world].imports.keys(), inherit);
    if denied.is_empty() {
        return Ok(source);
    }
    let package = graph.register_package(package)?;
    let instance = graph.instantiate(package);
    for name in denied {
        let ItemKind::Instance(interface) = graph.types()[world].imports[&name] else {
            bail!("import '{name}' is not an interface");
        };
        let renamed = format!("{DENIED}{name}");
        let Interface { uses, exports, .. } = graph.types()[interface].clone();
        let interface = graph.types_mut().add_interface(Interface { id: Some(renamed.clone()), uses, exports });
        let import = graph.import(renamed, ItemKind::Instance(interface))?;
        graph.set_instantiation_argument(instance, &name, import)?;
    }
    let exports: Vec<_> = graph.types()[world].exports.keys().cloned().collect();
    for name in exports {
        let export = graph.alias_instance_export(instance, &name)?;
        graph.export(export, name)?;
    }
    Ok(graph.encode(Default::default())?)
}

fn denied_imports<'a>(imports: impl Iterator<Item = &'a String> + Clone, inherit: &Inherit) -> Vec<String> {
    let inherits = |kind: &str| match inherit {
        Inherit::All(all) => *all,
        Inherit::Some(kinds) => kinds.iter().any(|inherited| inherited == kind),
    };
    let denied = KINDS.iter().filter(|(kind, _)| !inherits(kind)).flat_map(|(_, interfaces)| *interfaces);
    denied
        .filter_map(|interface| {
            let exact = imports.clone().find(|import| import == interface);
            exact.or_else(|| imports.clone().find(|import| are_semver_compatible(interface, import)))
        })
        .cloned()
        .collect()
}
