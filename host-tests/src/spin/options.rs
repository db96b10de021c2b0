//! What `spin up` can be told.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use wasmtime::{StoreLimits, StoreLimitsBuilder};

use super::resources::Entries;
use crate::names::Names;

/// What `spin up` can be told, with its defaults.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of `spin.toml` and of the sources named in it.
    pub manifest: PathBuf,
    /// `--runtime-config-file`
    pub runtime_config: Option<PathBuf>,
    /// The whole environment; this process's own is not looked at.
    pub environment: HashMap<String, String>,
    /// `--max-instance-reuse-count`
    pub max_instance_reuse_count: usize,
    /// `--max-instance-concurrent-reuse-count`
    pub max_instance_concurrent_reuse_count: usize,
    /// `--idle-instance-timeout`
    pub idle_instance_timeout: Duration,
    /// `--request-timeout`
    pub request_timeout: Option<Duration>,
    /// Private names; Spin has the machine's own DNS instead.
    pub names: Names,
    /// The key-value store, in memory as Spin's is without a state directory.
    pub store: Entries,
}

impl Options {
    /// Spin's defaults for a manifest.
    #[must_use]
    pub fn new(manifest: impl Into<PathBuf>) -> Self {
        Self {
            manifest: manifest.into(),
            runtime_config: None,
            environment: HashMap::new(),
            max_instance_reuse_count: 128,
            max_instance_concurrent_reuse_count: 16,
            idle_instance_timeout: Duration::from_secs(1),
            request_timeout: None,
            names: Names::default(),
            store: Entries::default(),
        }
    }

    /// The same with one more environment variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// What `SPIN_MAX_INSTANCE_MEMORY` says, in bytes.
    pub(crate) fn memory_limit(&self) -> StoreLimits {
        let bytes = self.environment.get("SPIN_MAX_INSTANCE_MEMORY").and_then(|bytes| bytes.parse().ok());
        bytes.map_or_else(StoreLimits::default, |bytes| StoreLimitsBuilder::new().memory_size(bytes).build())
    }
}
