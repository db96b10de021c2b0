//! Variables as Spin resolves them: component variables are templates over application variables, whose value comes
//! from the first provider that has one, or from the default (Spin `crates/expressions`, `crates/variables-env`).

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, bail, ensure};

use super::bindings::spin::variables::variables::Error;
use super::manifest::{Manifest, Variable};
use super::runtime_config::{RuntimeConfig, VariablesProvider};

const DEFAULT_PREFIX: &str = "SPIN_VARIABLE";

/// The variables of an application, and those of its component.
#[derive(Debug)]
pub(crate) struct Resolver {
    component: String,
    /// Component variable -> template.
    templates: BTreeMap<String, String>,
    /// Application variable -> default.
    defaults: BTreeMap<String, Option<String>>,
    /// In the order in which Spin asks them.
    providers: Vec<VariablesProvider>,
    environment: HashMap<String, String>,
}

/// Application variable -> value.
pub(crate) struct Values(BTreeMap<String, String>);

impl Resolver {
    pub(crate) fn new(
        manifest: &Manifest,
        config: RuntimeConfig,
        environment: HashMap<String, String>,
    ) -> Result<Self> {
        let (id, component) = manifest.component();
        let default_of = |(name, variable): (&String, &Variable)| (name.clone(), variable.default.clone());
        let mut providers = config.variables_provider;
        providers.push(VariablesProvider::Env { prefix: None });
        let variables = Self {
            component: id.to_owned(),
            templates: component.variables.clone(),
            defaults: manifest.variables.iter().map(default_of).collect(),
            providers,
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
        let required = self.defaults.iter().filter(|(_, default)| default.is_none()).map(|(name, _)| name);
        let unresolved: Vec<_> = required.filter(|name| !self.may_be_resolved(name)).collect();
        ensure!(unresolved.is_empty(), "no provider resolved required variable(s): {unresolved:?}");
        Ok(())
    }

    /// Whether it makes sense to start: a Vault is not asked before a value is needed.
    fn may_be_resolved(&self, name: &str) -> bool {
        self.providers.iter().any(|provider| match provider {
            VariablesProvider::Env { prefix } => self.in_environment(prefix.as_deref(), name).is_some(),
            VariablesProvider::Vault(_) => true,
        })
    }

    /// What the guest gets for `get(name)`. The providers are asked each time.
    pub(crate) async fn get(&self, name: &str) -> Result<String, Error> {
        if !is_name(name) {
            return Err(Error::InvalidName(name.to_owned()));
        }
        let template = self
            .templates
            .get(name)
            .ok_or_else(|| Error::Undefined(format!("no variable for {:?}.{name:?}", self.component)))?;
        self.fill_in(template).await.map_err(|error| Error::Provider(format!("{error:#}")))
    }

    async fn fill_in(&self, template: &str) -> Result<String> {
        let mut values = Values(BTreeMap::new());
        for part in parts(template)? {
            if let Part::Variable(name) = part {
                values.0.insert(name.to_owned(), self.resolve(name).await?);
            }
        }
        values.fill_in(template)
    }

    /// All application variables.
    pub(crate) async fn resolve_all(&self) -> Result<Values> {
        let mut values = BTreeMap::new();
        for name in self.defaults.keys() {
            values.insert(name.clone(), self.resolve(name).await?);
        }
        Ok(Values(values))
    }

    async fn resolve(&self, name: &str) -> Result<String> {
        let default = self.defaults.get(name).with_context(|| format!("invalid name {name:?}"))?;
        for provider in &self.providers {
            let value = match provider {
                VariablesProvider::Env { prefix } => self.in_environment(prefix.as_deref(), name).map(str::to_owned),
                VariablesProvider::Vault(vault) => vault.get(name).await?,
            };
            if let Some(value) = value {
                return Ok(value);
            }
        }
        default.clone().with_context(|| format!("no provider resolved required variable {name:?}"))
    }

    /// An empty value counts as a value.
    fn in_environment(&self, prefix: Option<&str>, name: &str) -> Option<&str> {
        let variable = format!("{}_{}", prefix.unwrap_or(DEFAULT_PREFIX), name.to_ascii_uppercase());
        self.environment.get(&variable).map(String::as_str)
    }
}

impl Values {
    /// A template with its variables replaced. Those of `allowed_outbound_hosts` are over application variables as well.
    pub(crate) fn fill_in(&self, template: &str) -> Result<String> {
        let mut filled = String::new();
        for part in parts(template)? {
            filled += match part {
                Part::Literal(text) => text,
                Part::Variable(name) => self.0.get(name).with_context(|| format!("invalid name {name:?}"))?,
            };
        }
        Ok(filled)
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
