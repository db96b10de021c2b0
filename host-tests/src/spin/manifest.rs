//! `spin.toml`, as far as this host runs it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::dependencies::{Dependency, Entry, Inherit, Name};
use super::middleware::{self, Link, Middleware};

/// The label of the one key-value store that Spin has without a runtime configuration.
const DEFAULT: &str = "default";

/// A manifest of version 2. Unknown keys are refused: Spin may do something with them that this host does not.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    spin_manifest_version: u32,
    pub(crate) application: Application,
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, Variable>,
    trigger: Triggers,
    component: BTreeMap<String, Component>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Application {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) version: String,
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(default, rename = "authors")]
    _authors: Vec<String>,
}

/// An application variable: required, or with a default, never both.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variable {
    #[serde(default)]
    required: bool,
    pub(crate) default: Option<String>,
    #[serde(default)]
    #[expect(dead_code, reason = "informational in Spin as well")]
    secret: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Triggers {
    http: Vec<HttpTrigger>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpTrigger {
    route: String,
    component: String,
    #[serde(default)]
    dependencies: middleware::Dependencies,
}

/// One component. One that is only a dependency of another needs a source and nothing else.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Component {
    pub(crate) source: PathBuf,
    #[serde(default)]
    pub(crate) allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    pub(crate) key_value_stores: Vec<String>,
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) dependencies: BTreeMap<Name, Entry>,
    pub(crate) dependencies_inherit_configuration: Option<bool>,
    pub(crate) build: Option<Build>,
}

/// How `spin build` builds a component.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Build {
    pub(crate) command: Commands,
    /// Where the commands run, below the manifest's folder.
    pub(crate) workdir: Option<PathBuf>,
    #[serde(default)]
    #[expect(dead_code, reason = "for `spin watch` only")]
    watch: Vec<String>,
}

/// One command, or several, one after the other.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Commands {
    One(String),
    Several(Vec<String>),
}

impl Manifest {
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let manifest: Self = toml::from_str(&text).with_context(|| format!("parsing {}", path.display()))?;
        manifest.check().with_context(|| format!("checking {}", path.display()))?;
        Ok(manifest)
    }

    fn check(&self) -> Result<()> {
        ensure!(self.spin_manifest_version == 2, "spin_manifest_version must be 2");
        for (name, variable) in &self.variables {
            ensure!(
                variable.required != variable.default.is_some(),
                "variable {name:?} must be `required` OR have a `default`"
            );
        }
        let [trigger] = self.trigger.http.as_slice() else { bail!("this host serves exactly one HTTP trigger") };
        ensure!(trigger.route == "/...", "this host serves the route \"/...\" only");
        ensure!(self.component.contains_key(&trigger.component), "unknown component {:?}", trigger.component);
        for id in self.component.keys() {
            resolve(id, &self.component)?;
        }
        self.middleware()?;
        for label in &self.component().1.key_value_stores {
            ensure!(label == DEFAULT, "unknown key_value_stores label {label:?}: this host has {DEFAULT:?} only");
        }
        Ok(())
    }

    fn trigger(&self) -> &HttpTrigger {
        self.trigger.http.first().expect("there is exactly one")
    }

    /// The component that serves: its id, and itself.
    pub(crate) fn component(&self) -> (&str, &Component) {
        let id = &self.trigger().component;
        (id, &self.component[id])
    }

    /// All components, by their ids.
    pub(crate) fn components(&self) -> &BTreeMap<String, Component> {
        &self.component
    }

    /// What the component that serves depends on.
    pub(crate) fn dependencies(&self) -> Result<BTreeMap<Name, Dependency>> {
        resolve(self.component().0, &self.component)
    }

    /// The middleware in front of it, the outermost first.
    pub(crate) fn middleware(&self) -> Result<Vec<Middleware>> {
        let trigger = self.trigger();
        let links = middleware::links(&trigger.dependencies)?.iter().map(|link| {
            let (source, inherit) = match link {
                Link::File { path, inherit_configuration } => (path, inherit_configuration),
                Link::Component { component: id, inherit_configuration } => {
                    let depender = format!("{}-http-trigger", trigger.component);
                    (&dependency(id, &self.component, &depender)?.source, inherit_configuration)
                }
                Link::Other(value) => bail!(
                    "the HTTP trigger has the middleware {value}: this host takes `component` or `path`, and \
                     `inherit_configuration`"
                ),
            };
            Ok(Middleware { source: source.clone(), inherit: inherit.clone().unwrap_or(Inherit::All(false)) })
        });
        links.collect()
    }
}

/// The dependencies of a component, checked as Spin checks them before it looks into any file.
fn resolve(id: &str, components: &BTreeMap<String, Component>) -> Result<BTreeMap<Name, Dependency>> {
    let component = &components[id];
    let mut resolved = BTreeMap::new();
    for (name, entry) in &component.dependencies {
        let (source, export, inherit) = match entry {
            Entry::File { path, export, inherit_configuration } => (path, export, inherit_configuration),
            Entry::Component { component: other, export, inherit_configuration } => {
                (&dependency(other, components, id)?.source, export, inherit_configuration)
            }
            Entry::Other(value) => bail!(
                "the dependency \"{name}\" of {id:?} is {value}: this host takes `component` or `path`, `export` and \
                 `inherit_configuration`"
            ),
        };
        ensure!(
            !name.is_package() || export.is_none(),
            "using an export to satisfy the package dependency \"{name}\" is not currently permitted"
        );
        let inherit = match (component.dependencies_inherit_configuration, inherit) {
            (Some(_), Some(_)) => bail!(
                "Component `{id}` specifies both `dependencies_inherit_configuration` and per-dependency \
                 `inherit_configuration`. These are mutually exclusive; use one or the other."
            ),
            (Some(all), None) => Inherit::All(all),
            (None, inherit) => inherit.clone().unwrap_or(Inherit::All(false)),
        };
        resolved.insert(name.clone(), Dependency { source: source.clone(), export: export.clone(), inherit });
    }
    let names: Vec<_> = resolved.keys().collect();
    for (index, one) in names.iter().enumerate() {
        if let Some(other) = names[index + 1..].iter().find(|other| one.overlaps(other)) {
            bail!("component {id:?} has invalid dependencies: \"{one}\" dependency conflicts with \"{other}\"");
        }
    }
    Ok(resolved)
}

/// A component as a dependency. What it may use counts for nothing there, so Spin does not let it say anything.
fn dependency<'a>(id: &str, components: &'a BTreeMap<String, Component>, depender: &str) -> Result<&'a Component> {
    let component = components.get(id).with_context(|| format!("dependency ID {id} does not exist"))?;
    let own = [
        ("allowed_outbound_hosts", component.allowed_outbound_hosts.is_empty()),
        ("dependencies", component.dependencies.is_empty()),
        ("key_value_stores", component.key_value_stores.is_empty()),
        ("variables", component.variables.is_empty()),
    ];
    let own: Vec<_> = own.iter().filter(|(_, none)| !none).map(|(name, _)| *name).collect();
    ensure!(
        own.is_empty(),
        "Dependencies may not have their own resources or permissions. Component {id} cannot be used as a dependency \
         of {depender} because it specifies: {}",
        own.join(", ")
    );
    Ok(component)
}

/// The folder that the paths in a manifest start from.
pub(crate) fn folder_of(manifest: &Path) -> PathBuf {
    manifest.parent().map_or_else(PathBuf::new, Path::to_path_buf)
}
