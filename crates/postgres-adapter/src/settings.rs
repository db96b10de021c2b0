//! What the adapter is told: variables of the component that it stands in front of.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use nearest_replica::{Config, ConfigError, Variables};

use crate::floor::Writes;
use crate::host::Host;

/// Where statements that only read may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    Replica,
    Primary,
}

/// The variables, as they are.
pub(crate) struct Settings {
    variables: Variables,
    /// Whether the Machine is in another region than the primary's.
    elsewhere: bool,
    deadline: Duration,
    pub(crate) reads: Reads,
    /// The label of the key-value store by which the instances on a Machine tell each other what they know.
    pub(crate) store: Option<String>,
}

thread_local! {
    static SETTINGS: RefCell<Option<Rc<Settings>>> = const { RefCell::new(None) };
}

/// A variable, and its value where the component has none of that name.
const NAMES: [(&str, Option<&str>); 7] = [
    ("fly_region", None),
    ("primary_region", None),
    ("replica_port", Some("5433")),
    ("deadline_ms", Some("5000")),
    ("bookmark_wait_ms", Some("")),
    ("reads", Some("replica")),
    ("key_value_store", Some("")),
];

impl Settings {
    /// Those of this instance, asked for at its first statement.
    ///
    /// # Errors
    /// Names the variable that is missing or makes no sense, and says what to write.
    pub(crate) async fn of_instance(host: Host) -> Result<Rc<Self>, String> {
        if let Some(settings) = SETTINGS.with_borrow(Clone::clone) {
            return Ok(settings);
        }
        let settings = Rc::new(Self::load(host).await.map_err(|why| format!("postgres-adapter: {why}"))?);
        SETTINGS.set(Some(Rc::clone(&settings)));
        Ok(settings)
    }

    async fn load(host: Host) -> Result<Self, String> {
        let values = join_all(NAMES.map(|(name, default)| variable(host, name, default))).await;
        let mut values = values.into_iter();
        let mut next = || values.next().expect("there is a value for each name");
        let variables = Variables {
            database_url: "postgres://unknown".to_owned(),
            fly_region: next()?,
            primary_region: next()?,
            replica_port: next()?,
            deadline_ms: next()?,
            bookmark_wait_ms: next()?,
            lease_ms: "100".to_owned(),
        };
        let (reads, store) = (next()?, next()?);
        let reads = match reads.trim() {
            "replica" => Reads::Replica,
            "primary" => Reads::Primary,
            other => return Err(format!("`reads` is {other:?}: write `replica` or `primary`")),
        };
        let store = Some(store.trim().to_owned()).filter(|label| !label.is_empty());
        if let Some(store) = &store
            && !host.may_use(store).await
        {
            return Err(format!(
                "`key_value_store` is {store:?}, which the component may not use: write `key_value_stores = [{store:?}]` \
                 into `[component.<app>]`, and \"key_value_stores\" into `inherit_configuration`; or nothing"
            ));
        }
        let config = Config::new(&variables).map_err(|error| error.public())?;
        let elsewhere = config.placement.other_region().is_some();
        Ok(Self { elsewhere, deadline: config.deadline, reads, store, variables })
    }

    /// Where to tell of writes: nothing in the primary region, where nobody reads from a replica.
    pub(crate) fn writes(&self) -> Option<Writes> {
        self.elsewhere.then(|| Writes::new(self.store.clone(), self.deadline))
    }

    /// The configuration for an address of the app's.
    ///
    /// # Errors
    /// Where the address is no URL as the library takes it.
    pub(crate) fn config(&self, address: String) -> Result<Config, ConfigError> {
        Config::new(&Variables { database_url: address, ..self.variables.clone() })
    }
}

async fn variable(host: Host, name: &str, default: Option<&str>) -> Result<String, String> {
    let value = host.variable(name).await.map_err(|why| format!("`{name}` cannot be resolved by Spin ({why})"))?;
    value.or_else(|| default.map(str::to_owned)).ok_or_else(|| {
        format!(
            "the component has no variable `{name}`: write it into `[component.<app>.variables]`, and \"variables\" into \
             `inherit_configuration`"
        )
    })
}
