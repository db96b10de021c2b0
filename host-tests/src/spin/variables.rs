//! Variables as Spin resolves them: component variables are templates over application variables, whose value comes
//! from the first provider that has one, or from the default (Spin `crates/expressions`, `crates/variables-env`).

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, bail, ensure};

use super::bindings::spin::variables::variables::Error;
use super::manifest::{Manifest, Variable};
use super::runtime_config::{RuntimeConfig, VariablesProvider};

const DEFAULT_PREFIX: &str = "SPIN_VARIABLE";

/// The resolved view of one component.
#[derive(Debug)]
pub(crate) struct Variables {
    component: String,
    /// Component variable -> template.
    templates: BTreeMap<String, String>,
    /// Application variable -> default.
    defaults: BTreeMap<String, Option<String>>,
    /// Prefixes of environment variables, in the order in which Spin asks.
    prefixes: Vec<String>,
    environment: HashMap<String, String>,
}

impl Variables {
    pub(crate) fn new(
        manifest: &Manifest,
        config: &RuntimeConfig,
        environment: HashMap<String, String>,
    ) -> Result<Self> {
        let (id, component) = manifest.component();
        let providers = config
            .variables_provider
            .iter()
            .map(|VariablesProvider::Env { prefix }| prefix.clone().unwrap_or_else(|| DEFAULT_PREFIX.to_owned()));
        let default_of = |(name, variable): (&String, &Variable)| (name.clone(), variable.default.clone());
        let variables = Self {
            component: id.to_owned(),
            templates: component.variables.clone(),
            defaults: manifest.variables.iter().map(default_of).collect(),
            prefixes: providers.chain([DEFAULT_PREFIX.to_owned()]).collect(),
            environment,
        };
        variables.check()?;
        Ok(variables)
    }

    fn check(&self) -> Result<()> {
        for name in self.defaults.keys().chain(self.templates.keys()) {
            ensure!(is_name(name), "invalid variable name: {name:?}");
        }
        for template in self.templates.values() {
            for part in parts(template)? {
                if let Part::Variable(name) = part {
                    ensure!(self.defaults.contains_key(name), "invalid variable template: unknown variable {name:?}");
                }
            }
        }
        let unresolved: Vec<_> = self
            .defaults
            .iter()
            .filter(|(name, default)| default.is_none() && self.in_environment(name).is_none())
            .map(|(name, _)| name)
            .collect();
        ensure!(unresolved.is_empty(), "no provider resolved required variable(s): {unresolved:?}");
        Ok(())
    }

    /// What the guest gets for `get(name)`.
    pub(crate) fn get(&self, name: &str) -> Result<String, Error> {
        if !is_name(name) {
            return Err(Error::InvalidName(name.to_owned()));
        }
        let template = self
            .templates
            .get(name)
            .ok_or_else(|| Error::Undefined(format!("no variable for {:?}.{name:?}", self.component)))?;
        self.resolve(template).map_err(|error| Error::Provider(format!("{error:#}")))
    }

    /// Fills in a template. Templates of `allowed_outbound_hosts` are over application variables as well.
    pub(crate) fn resolve(&self, template: &str) -> Result<String> {
        let mut resolved = String::new();
        for part in parts(template)? {
            match part {
                Part::Literal(text) => resolved += text,
                Part::Variable(name) => {
                    let default = self.defaults.get(name).with_context(|| format!("invalid name {name:?}"))?;
                    let value = self.in_environment(name).or(default.as_deref());
                    resolved += value.with_context(|| format!("no provider resolved required variable {name:?}"))?;
                }
            }
        }
        Ok(resolved)
    }

    /// An empty value counts as a value.
    fn in_environment(&self, name: &str) -> Option<&str> {
        let name = name.to_ascii_uppercase();
        self.prefixes.iter().find_map(|prefix| self.environment.get(&format!("{prefix}_{name}"))).map(String::as_str)
    }
}

pub(crate) fn is_template(text: &str) -> bool {
    text.contains("{{")
}

enum Part<'a> {
    Literal(&'a str),
    Variable(&'a str),
}

fn parts(template: &str) -> Result<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((literal, expression)) = rest.split_once("{{") {
        let Some((name, behind)) = expression.split_once("}}") else { bail!("unmatched '{{{{' in template") };
        parts.extend([Part::Literal(literal), Part::Variable(name.trim())]);
        rest = behind;
    }
    parts.push(Part::Literal(rest));
    Ok(parts)
}

/// Lower-case letters, digits and single underscores; starts with a letter and does not end with an underscore.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('_')
        && !name.contains("__")
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}
