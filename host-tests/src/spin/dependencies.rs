//! `[component.<id>.dependencies]`: which of a component's imports another component stands in for, and what that one
//! inherits of the first one's configuration (Spin `crates/manifest`, `crates/serde`).

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

/// The name of a dependency: `package`, `package@version`, `package/interface` or `package/interface@version`; or a
/// plain name, without a package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(transparent)]
pub(crate) struct Name(String);

/// A name in its parts.
struct Parts<'a> {
    package: &'a str,
    interface: Option<&'a str>,
    version: Option<&'a str>,
}

/// One entry. Spin also has forms that take the dependency from a registry or a URL.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Entry {
    Component { component: String, export: Option<String>, inherit_configuration: Option<Inherit> },
    File { path: PathBuf, export: Option<String>, inherit_configuration: Option<Inherit> },
    Other(toml::Value),
}

/// What a dependency may use of what the component may use. Names that do not exist are no error in Spin either.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(untagged)]
pub(crate) enum Inherit {
    All(bool),
    Some(Vec<String>),
}

/// An entry, with the file that is behind it.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) source: PathBuf,
    pub(crate) export: Option<String>,
    pub(crate) inherit: Inherit,
}

impl Name {
    /// The package, which the composition calls the dependency by; a plain name is all of it.
    pub(crate) fn package(&self) -> &str {
        parts(&self.0).package
    }

    /// Whether all interfaces of a package are meant.
    pub(crate) fn is_package(&self) -> bool {
        self.0.contains(':') && parts(&self.0).interface.is_none()
    }

    /// Whether an import with this name is meant.
    pub(crate) fn matches(&self, import: &str) -> bool {
        let (name, import) = (parts(&self.0), parts(import));
        name.package == import.package
            && (name.interface.is_none() || name.interface == import.interface)
            && (name.version.is_none() || name.version == import.version)
    }

    /// Two names of one package must not mean the same import: they differ in the interface, or in a version that is
    /// not compatible.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            one.is_some() && other.is_some() && one != other
        }
        let (one, other) = (parts(&self.0), parts(&other.0));
        one.package == other.package
            && !differ(one.version.map(track), other.version.map(track))
            && !differ(one.interface, other.interface)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn parts(name: &str) -> Parts<'_> {
    let (name, version) = name.split_once('@').map_or((name, None), |(name, version)| (name, Some(version)));
    let (package, interface) = name.split_once('/').map_or((name, None), |(name, interface)| (name, Some(interface)));
    Parts { package, interface, version }
}

/// Versions with the same one are compatible: up to the first number that is not zero.
fn track(version: &str) -> &str {
    if version.contains('-') {
        return version;
    }
    let mut end = 0;
    for number in version.split_inclusive('.') {
        end += number.len();
        if number.trim_end_matches('.') != "0" {
            break;
        }
    }
    version[..end].trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name(text.to_owned())
    }

    #[test]
    fn a_name_means_every_import_that_it_does_not_rule_out() {
        for (text, import, expected) in [
            ("spin:postgres/postgres@4.2.0", "spin:postgres/postgres@4.2.0", true),
            ("spin:postgres/postgres@4.2.0", "spin:postgres/postgres@4.0.0", false),
            ("spin:postgres/postgres", "spin:postgres/postgres@3.0.0", true),
            ("spin:postgres@3.0.0", "spin:postgres/postgres@3.0.0", true),
            ("spin:postgres", "spin:postgres/postgres@3.0.0", true),
            ("spin:postgres", "spin:post/postgres@3.0.0", false),
            ("spin:postgres/pool", "spin:postgres/postgres@3.0.0", false),
            ("greet", "greet", true),
        ] {
            assert_eq!(name(text).matches(import), expected, "{text} and {import}");
        }
    }

    #[test]
    fn names_of_one_package_overlap_unless_interface_or_incompatible_version_tell_them_apart() {
        for (one, other, expected) in [
            ("a:b/c@4.2.0", "a:b/c@3.0.0", false),
            ("a:b/c@4.2.0", "a:b/c@4.0.0", true),
            ("a:b/c@0.2.0", "a:b/c@0.3.0", false),
            ("a:b/c@0.2.0", "a:b/c@0.2.6", true),
            ("a:b/c@0.3.0", "a:b/c@0.3.0-rc-2026-03-15", false),
            ("a:b/c", "a:b/d", false),
            ("a:b", "a:b/c@3.0.0", true),
            ("a:b", "a:c", false),
        ] {
            assert_eq!(name(one).overlaps(&name(other)), expected, "{one} and {other}");
        }
    }
}
