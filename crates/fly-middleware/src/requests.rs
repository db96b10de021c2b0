//! Which requests may write: by their methods, unless the app says otherwise.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};
use matchit::Router;
use nearest_replica::ConfigError;

/// What a request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Reads,
    Writes,
}

/// The app's exceptions from the rule of methods.
pub(crate) struct Requests {
    reading: Exceptions,
    writing: Exceptions,
}

/// Paths, by method.
struct Exceptions(BTreeMap<String, Router<()>>);

impl Requests {
    /// From `reading_requests` and `writing_requests`.
    ///
    /// # Errors
    /// Names the variable and the entry that makes no sense, with what to write instead.
    pub(crate) fn parse(reading: &str, writing: &str) -> Result<Self, ConfigError> {
        let parse = |name, text| Exceptions::parse(text).map_err(|problem| ConfigError::new(name, problem));
        Ok(Self { reading: parse("reading_requests", reading)?, writing: parse("writing_requests", writing)? })
    }

    /// What a request with this method and path may do. Methods are those that RFC 9110 calls safe, and others.
    pub(crate) fn kind(&self, method: &str, path: &str) -> Kind {
        if self.reading.has(method, path) {
            Kind::Reads
        } else if self.writing.has(method, path) {
            Kind::Writes
        } else if ["GET", "HEAD", "OPTIONS", "TRACE"].contains(&method) {
            Kind::Reads
        } else {
            Kind::Writes
        }
    }
}

impl Exceptions {
    fn parse(text: &str) -> Result<Self> {
        let mut paths: BTreeMap<String, Router<()>> = BTreeMap::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (method, path) = entry.split_once(char::is_whitespace).unwrap_or((entry, ""));
            let path = path.trim();
            if !path.starts_with('/') || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
                bail!(
                    "has {entry:?}: write a method and a path, such as `POST /search`, `GET /users/{{id}}/visit` or \
                     `GET /cron/{{*rest}}`, with commas in between"
                );
            }
            let known = paths.entry(method.to_owned()).or_default();
            known.insert(path, ()).map_err(|why| anyhow!("has {entry:?}: {why}"))?;
        }
        Ok(Self(paths))
    }

    fn has(&self, method: &str, path: &str) -> bool {
        self.0.get(method).is_some_and(|paths| paths.at(path).is_ok())
    }
}
