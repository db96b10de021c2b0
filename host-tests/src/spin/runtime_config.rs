//! The runtime configuration, as far as this host reads it: variables providers of the types `env` and `vault`.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::vault::Vault;

/// Unknown keys stop the start, as they do in Spin.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuntimeConfig {
    #[serde(default)]
    pub(crate) variables_provider: Vec<VariablesProvider>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type", deny_unknown_fields)]
pub(crate) enum VariablesProvider {
    Env { prefix: Option<String> },
    Vault(Vault),
}

impl RuntimeConfig {
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("parsing {}", path.display()))
    }
}
