//! The component's variables, found in the environment as Spin finds them there.

use nearest_replica::{Config, ConfigError};

/// The prefixes by which Spin looks for a variable, first one first: those of runtime-config.toml, then its own.
const PREFIXES: [&str; 3] = ["FLY", "DATABASE", "SPIN_VARIABLE"];

/// The component's name of each variable, the application's, and its default in spin.toml.
const NAMES: [(&str, &str, &str); 7] = [
    ("database_url", "url", ""),
    ("fly_region", "region", ""),
    ("primary_region", "primary_region", ""),
    ("replica_port", "replica_port", "5433"),
    ("deadline_ms", "deadline_ms", "5000"),
    ("lease_ms", "lease_ms", "100"),
    ("allowed_host", "allowed_host", ""),
];

/// The variables as text, with where each was found.
pub struct Variables {
    found: Vec<Variable>,
    /// Fly's own variable for the primary region, which Spin cannot read under its name.
    pub(crate) fly_primary_region: Option<String>,
}

/// One of them.
pub(crate) struct Variable {
    /// As the component calls it.
    name: &'static str,
    pub(crate) value: String,
    /// The name in the environment; nothing where it is the default.
    pub(crate) from: Option<String>,
}

impl Variables {
    /// Asks for every name that counts.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let found = NAMES.map(|(name, outside, default)| {
            let places = PREFIXES.map(|prefix| format!("{prefix}_{}", outside.to_uppercase()));
            let set = places.into_iter().find_map(|place| Some((lookup(&place)?, place)));
            match set {
                Some((value, place)) => Variable { name, value, from: Some(place) },
                None => Variable { name, value: default.to_owned(), from: None },
            }
        });
        Self { found: found.into(), fly_primary_region: lookup("PRIMARY_REGION") }
    }

    /// By the component's name.
    pub(crate) fn get(&self, name: &str) -> &Variable {
        self.found.iter().find(|variable| variable.name == name).expect("only names of the table are asked for")
    }

    /// Each with where it was found, by the component's name.
    pub(crate) fn origins(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        self.found.iter().map(|variable| (variable.name, variable.from.as_deref()))
    }

    /// What the component makes of them.
    ///
    /// # Errors
    /// In the component's own words.
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        let value = |name| self.get(name).value.clone();
        Config::new(&nearest_replica::Variables {
            database_url: value("database_url"),
            primary_region: value("primary_region"),
            fly_region: value("fly_region"),
            replica_port: value("replica_port"),
            deadline_ms: value("deadline_ms"),
            lease_ms: value("lease_ms"),
            bookmark_wait_ms: String::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> toml::Table {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn they_are_found_where_the_runtime_configuration_says() {
        let configuration = document(include_str!("../../../runtime-config.toml"));
        let providers = configuration["variables_provider"].as_array().unwrap();
        let prefixes: Vec<_> = providers.iter().map(|provider| provider["prefix"].as_str().unwrap()).collect();
        assert_eq!(PREFIXES[..2], prefixes);
        let both = Variables::read(|name| match name {
            "DATABASE_URL" => Some("first".to_owned()),
            "SPIN_VARIABLE_URL" => Some("second".to_owned()),
            _ => None,
        });
        assert_eq!(both.get("database_url").value, "first");
        assert_eq!(both.get("database_url").from.as_deref(), Some("DATABASE_URL"));
    }

    #[test]
    fn names_and_defaults_are_those_of_the_manifest() {
        let manifest = document(include_str!("../../../spin.toml"));
        let application = manifest["variables"].as_table().unwrap();
        assert_eq!(application.len(), NAMES.len());
        let component = manifest["component"]["nearest-replica"]["variables"].as_table().unwrap();
        for (name, outside, default) in NAMES {
            let stated = application[outside].get("default").and_then(toml::Value::as_str);
            assert_eq!(stated.unwrap_or_default(), default, "{outside}");
            let template = component.get(name).and_then(toml::Value::as_str);
            assert!(template.is_none_or(|template| template == format!("{{{{ {outside} }}}}")), "{name}: {template:?}");
            assert!(template.is_some() || name == "allowed_host", "{name}");
        }
    }
}
