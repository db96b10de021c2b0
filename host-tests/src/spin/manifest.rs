//! `spin.toml`, as far as this host runs it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

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
}

/// One component.
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
    pub(crate) build: Option<Build>,
}

/// How `spin build` builds a component.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Build {
    pub(crate) command: String,
    #[serde(default)]
    #[expect(dead_code, reason = "for `spin watch` only")]
    watch: Vec<String>,
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
        ensure!(self.component.len() == 1, "this host serves exactly one component");
        for label in &self.component().1.key_value_stores {
            ensure!(label == DEFAULT, "unknown key_value_stores label {label:?}: this host has {DEFAULT:?} only");
        }
        Ok(())
    }

    /// The id of the component and the component.
    pub(crate) fn component(&self) -> (&str, &Component) {
        let (id, component) = self.component.iter().next().expect("there is exactly one");
        (id, component)
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

/// The folder that the paths in a manifest start from.
pub(crate) fn folder_of(manifest: &Path) -> PathBuf {
    manifest.parent().map_or_else(PathBuf::new, Path::to_path_buf)
}
