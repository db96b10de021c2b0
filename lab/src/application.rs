//! The app that the lab serves: what its manifest asks for, and what is wrong with it, as far as that can be told before
//! anything is started.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use host_tests::machine::{Host, repository};

use crate::step;

/// A manifest that was read.
pub(crate) struct Application {
    pub(crate) manifest: PathBuf,
    content: toml::Table,
    /// Whether it is the component of this repository.
    pub(crate) is_recipe: bool,
}

/// Where replicas are for a real Spin.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Replicas {
    /// On port 5433, as on Fly.
    OnTheirPort,
    /// On ports that are free.
    OnAnyPort,
}

/// Where the databases are for a Machine: values that stand for `{name}` in a variable of the user's own.
pub(crate) type Places = HashMap<&'static str, String>;

/// The variables that every Machine is given, as far as the manifest declares them, and the environment that sets them.
const GIVEN: [&str; 5] = ["url", "region", "primary_region", "replica_port", "allowed_host"];

const PREFIX: &str = "SPIN_VARIABLE_";

impl Application {
    /// Reads a manifest, or that of a folder; that of this repository where there is none.
    pub(crate) fn read(app: Option<&Path>) -> Result<Self> {
        let manifest = match app {
            None => repository().join("spin.toml"),
            Some(folder) if folder.is_dir() => folder.join("spin.toml"),
            Some(file) => file.to_owned(),
        };
        let shown = manifest.display().to_string();
        ensure!(manifest.is_file(), "APP: there is no file {shown}: write the path of a spin.toml");
        let text = std::fs::read_to_string(&manifest).with_context(|| format!("APP: reading {shown}"))?;
        let content: toml::Table = toml::from_str(&text).with_context(|| format!("APP: {shown} is no TOML"))?;
        let application = Self { is_recipe: app.is_none(), manifest, content };
        application.check().with_context(|| format!("APP: {shown}"))?;
        Ok(application)
    }

    fn check(&self) -> Result<()> {
        let version = self.content.get("spin_manifest_version").and_then(toml::Value::as_integer);
        ensure!(version == Some(2), "`spin_manifest_version` is not 2: write the manifest of a Spin app");
        let triggers = self.content.get("trigger").and_then(toml::Value::as_table);
        let others: Vec<_> = triggers.into_iter().flat_map(toml::Table::keys).filter(|kind| *kind != "http").collect();
        if let Some(other) = others.first() {
            bail!("it has the trigger `{other}`, and the lab can only send HTTP requests");
        }
        ensure!(triggers.is_some_and(|triggers| triggers.contains_key("http")), "it has no `[[trigger.http]]`");
        Ok(())
    }

    /// What it calls itself.
    pub(crate) fn name(&self) -> &str {
        let name = self.content.get("application").and_then(|application| application.get("name"));
        name.and_then(toml::Value::as_str).unwrap_or("an app without a name")
    }

    /// Checks what needs to be known of the host: a variable without a value, addresses that it may not use.
    pub(crate) fn check_for(&self, host: &Host, environment: &[(String, String)], replicas: Replicas) -> Result<()> {
        let shown = self.manifest.display();
        for name in self.required() {
            let variable = format!("{PREFIX}{}", name.to_uppercase());
            let given = GIVEN.contains(&name) || environment.iter().any(|(set, _)| *set == variable);
            ensure!(
                given,
                "APP: {shown} needs a value for its variable `{name}`: set {variable}; in it, {{url}} stands for the \
                 address of the primary as the region reaches it, {{replica_url}} for that of the region's own replica"
            );
        }
        #[cfg(feature = "in-house")]
        if matches!(host, Host::InHouse) {
            let checked = host_tests::spin::check(&self.manifest);
            return checked.context(
                "APP: the in-house host, which serves where no Spin is on the PATH, cannot serve this app; a real Spin \
                 may, 4.1 or newer: SPIN=/path/to/spin",
            );
        }
        if self.is_recipe {
            return Ok(());
        }
        let allows = |text: &str| self.allowed_hosts().iter().any(|allowed| allowed.contains(text));
        ensure!(
            ["{{", "*:*"].iter().any(|text| allows(text)),
            "APP: {shown} does not let its component reach the databases of the lab, which for a real Spin are at \
             addresses of this machine that it does not know before: add \"{{{{ allowed_host }}}}\" to \
             `allowed_outbound_hosts`, and `allowed_host = {{ default = \"\" }}` to `[variables]`"
        );
        ensure!(
            !self.has_adapter() || self.declares("replica_port") || replicas == Replicas::OnTheirPort,
            "APP: {shown} has the adapter and no variable `replica_port`: on this machine the replicas of the lab are \
             on ports that are free, so add `replica_port = {{ default = \"5433\" }}` to `[variables]`, and \
             `replica_port = \"{{{{ replica_port }}}}\"` to the variables of the component"
        );
        Ok(())
    }

    /// Whether it may use the names of Fly's private network.
    pub(crate) fn allows_private_names(&self) -> bool {
        self.is_recipe || self.allowed_hosts().iter().any(|allowed| allowed.contains(".flycast"))
    }

    fn declares(&self, name: &str) -> bool {
        self.variables().any(|(variable, _)| variable == name)
    }

    fn variables(&self) -> impl Iterator<Item = (&str, &toml::Value)> {
        let variables = self.content.get("variables").and_then(toml::Value::as_table);
        variables.into_iter().flatten().map(|(name, variable)| (name.as_str(), variable))
    }

    fn required(&self) -> impl Iterator<Item = &str> {
        let required = |variable: &toml::Value| variable.get("required").and_then(toml::Value::as_bool) == Some(true);
        self.variables().filter(move |(_, variable)| required(variable)).map(|(name, _)| name)
    }

    fn components(&self) -> impl Iterator<Item = &toml::Value> {
        let components = self.content.get("component").and_then(toml::Value::as_table);
        components.into_iter().flat_map(toml::Table::values)
    }

    fn allowed_hosts(&self) -> Vec<&str> {
        let lists = self.components().filter_map(|component| component.get("allowed_outbound_hosts")?.as_array());
        lists.flatten().filter_map(toml::Value::as_str).collect()
    }

    fn has_adapter(&self) -> bool {
        let dependencies = self.components().filter_map(|component| component.get("dependencies")?.as_table());
        dependencies.flat_map(toml::Table::keys).any(|name| name.starts_with("spin:postgres"))
    }
}

/// The variables of the app that the user has set, with the addresses of a Machine in them.
pub(crate) fn variables(environment: &[(String, String)], places: &Places) -> Vec<(String, String)> {
    let set = |value: &str| {
        places.iter().fold(value.to_owned(), |value, (name, place)| value.replace(&format!("{{{name}}}"), place))
    };
    environment.iter().map(|(name, value)| (name.clone(), set(value))).collect()
}

/// Builds an app; says that it does.
pub(crate) async fn build(host: &Host, manifest: &Path) -> Result<()> {
    step("2/4 building the app (about half a minute the first time)");
    let (host, building) = (host.clone(), manifest.to_owned());
    let built = tokio::task::spawn_blocking(move || host.build(&building)).await?;
    built.with_context(|| format!("building {}", manifest.display()))
}

/// The variables of the app in this process's environment.
pub(crate) fn environment() -> Vec<(String, String)> {
    std::env::vars().filter(|(name, _)| name.starts_with(PREFIX)).collect()
}

/// The statements of a schema.
pub(crate) struct Schema {
    path: PathBuf,
    text: String,
}

impl Schema {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        ensure!(path.is_file(), "SCHEMA: there is no file {shown}: write the path of a file of SQL statements");
        let text = std::fs::read_to_string(path).with_context(|| format!("SCHEMA: reading {shown}"))?;
        Ok(Self { path: path.to_owned(), text })
    }

    /// What the server says of it, with the line that it means.
    pub(crate) fn error(&self, error: &tokio_postgres::Error) -> anyhow::Error {
        let shown = self.path.display();
        let Some(said) = error.as_db_error() else { return anyhow::anyhow!("SCHEMA: running {shown}: {error}") };
        let line = match said.position() {
            Some(tokio_postgres::error::ErrorPosition::Original(at)) => {
                let before = self.text.chars().take((*at as usize).saturating_sub(1));
                format!(", line {}", 1 + before.filter(|character| *character == '\n').count())
            }
            Some(tokio_postgres::error::ErrorPosition::Internal { .. }) | None => String::new(),
        };
        let hint = match said.code() {
            _ if self.text.contains("FROM stdin;") => {
                " (data behind COPY is no SQL: write it with `pg_dump --inserts`)"
            }
            code if *code == tokio_postgres::error::SqlState::SYNTAX_ERROR && self.text.contains("\n\\") => {
                " (commands of psql, which start with a backslash, are no SQL)"
            }
            _ => "",
        };
        anyhow::anyhow!("SCHEMA: {shown}{line}: {} (SQLSTATE {}){hint}", said.message(), said.code().code())
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Application> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("spin.toml"), text).unwrap();
        Application::read(Some(folder.path()))
    }

    fn said(text: &str) -> String {
        format!("{:#}", of(text).err().expect("it is refused"))
    }

    const HTTP: &str = "spin_manifest_version = 2\n[[trigger.http]]\nroute = \"/...\"\ncomponent = \"app\"\n";

    #[test]
    fn what_is_no_manifest_of_an_http_app_is_refused() {
        let missing = Application::read(Some(Path::new("/nowhere/spin.toml"))).err().expect("it is refused");
        assert!(missing.to_string().contains("write the path of a spin.toml"), "{missing}");
        assert!(said("x").contains("is no TOML"));
        assert!(said("a = 1").contains("`spin_manifest_version` is not 2"));
        assert!(said("spin_manifest_version = 2").contains("no `[[trigger.http]]`"));
        assert!(said("spin_manifest_version = 2\n[[trigger.redis]]\n").contains("the trigger `redis`"));
        assert!(of(HTTP).is_ok());
    }

    #[test]
    fn a_variable_without_a_value_is_named_with_what_sets_it() {
        let app = of(&format!("{HTTP}[variables]\nurl = {{ required = true }}\npg = {{ required = true }}\n")).unwrap();
        let host = Host::Spin("spin".into());
        let error = app.check_for(&host, &[], Replicas::OnTheirPort).unwrap_err().to_string();
        assert!(error.contains("`pg`: set SPIN_VARIABLE_PG; in it, {url} stands for"), "{error}");
        let set = [("SPIN_VARIABLE_PG".to_owned(), "{url}".to_owned())];
        let error = app.check_for(&host, &set, Replicas::OnTheirPort).unwrap_err().to_string();
        assert!(error.contains("add \"{{ allowed_host }}\""), "{error}");
    }

    #[test]
    fn the_adapter_needs_to_know_where_a_replica_is_that_is_on_any_port() {
        let component = "[component.app]\nallowed_outbound_hosts = [\"{{ allowed_host }}\"]\n\
                         [component.app.dependencies]\n\"spin:postgres\" = { path = \"x\" }\n";
        let host = Host::Spin("spin".into());
        let check = |text: &str, replicas| of(text).unwrap().check_for(&host, &[], replicas);
        let error = check(&format!("{HTTP}{component}"), Replicas::OnAnyPort).unwrap_err().to_string();
        assert!(error.contains("no variable `replica_port`"), "{error}");
        assert!(check(&format!("{HTTP}{component}"), Replicas::OnTheirPort).is_ok());
        let declared = format!("{HTTP}[variables]\nreplica_port = {{ default = \"5433\" }}\n{component}");
        assert!(check(&declared, Replicas::OnAnyPort).is_ok());
    }

    #[test]
    fn addresses_stand_where_a_variable_has_their_names() {
        let places = Places::from([("url", "postgres://a".to_owned()), ("replica_url", "postgres://b".to_owned())]);
        let set = |value: &str| variables(&[("SPIN_VARIABLE_X".to_owned(), value.to_owned())], &places).remove(0).1;
        assert_eq!(set("{url}?x=1"), "postgres://a?x=1");
        assert_eq!(set("{replica_url}"), "postgres://b");
        assert_eq!(set("{other}"), "{other}");
    }
}
