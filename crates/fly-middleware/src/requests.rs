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

    /// What a request with this method and path may do. Methods are those that RFC 9110 calls safe, and others. The path is
    /// asked for where it matters.
    pub(crate) fn kind(&self, method: &str, path: impl Fn() -> String) -> Kind {
        if self.reading.has(method, &path) {
            Kind::Reads
        } else if self.writing.has(method, &path) {
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
            if let Some(instead) = instead(method, path) {
                bail!("has {entry:?}: write {instead}");
            }
            let known = paths.entry(method.to_owned()).or_default();
            known.insert(path, ()).map_err(|why| anyhow!("has {entry:?}: {why}"))?;
        }
        Ok(Self(paths))
    }

    fn has(&self, method: &str, path: &impl Fn() -> String) -> bool {
        // A server answers HEAD as it answers GET, and only leaves out the body.
        let methods = if method == "HEAD" { &["HEAD", "GET"][..] } else { &[method] };
        methods.iter().any(|method| self.0.get(*method).is_some_and(|paths| paths.at(&path()).is_ok()))
    }
}

/// What to write instead of an entry that no request can match.
fn instead(method: &str, path: &str) -> Option<String> {
    const EXAMPLES: &str = "a method in capitals and a path, such as `POST /search`, `GET /users/{id}/visit` or \
                            `GET /cron/{*rest}`, with commas in between";
    if !path.starts_with('/') || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
        return Some(EXAMPLES.to_owned());
    }
    if path.contains(char::is_whitespace) || path.contains(';') {
        return Some("a comma between two requests, and no blank in a path".to_owned());
    }
    if path.contains(['?', '#']) {
        return Some("the path alone: what is behind it in an address is not compared".to_owned());
    }
    if path.contains("/:") || path.replace("{*", "").contains('*') {
        return Some("`{name}` for one part of a path, and `{*rest}` for all that is left".to_owned());
    }
    let is_sent = |byte: u8| byte.is_ascii_alphanumeric() || b"/{}*-._~%!$&'()+=:@".contains(&byte);
    path.chars()
        .find(|&char| !u8::try_from(char).is_ok_and(is_sent))
        .map(|char| format!("{char:?} as clients send it, percent-encoded; `{{name}}` for one part of a path"))
}
