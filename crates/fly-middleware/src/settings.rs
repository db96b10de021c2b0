//! What the middleware is told: variables of the component that it stands in front of.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use anyhow::anyhow;
use nearest_replica::parts::{method_name, misconfigured, variables};
use nearest_replica::{ConfigError, Database, Problem};
use spin_sdk::key_value::Store;

use crate::received::Received;
use crate::requests::Requests;

/// The variables, read, and the database that they lead to.
pub(crate) struct Settings {
    pub(crate) database: Database,
    pub(crate) requests: Requests,
    /// Whether the app, or its adapter, reads from replicas, so that a user may see less than they have written.
    pub(crate) reads_from_replicas: bool,
    /// The label of the key-value store by which the adapter is told.
    pub(crate) store: Option<String>,
    replays: bool,
}

thread_local! {
    static SETTINGS: RefCell<Option<Rc<Settings>>> = const { RefCell::new(None) };
}

impl Settings {
    /// Those of this instance, asked for at its first request.
    ///
    /// # Errors
    /// [`Problem::Misconfigured`] names the variable that makes no sense, and says what to write.
    pub(crate) async fn of_instance() -> Result<Rc<Self>, Problem> {
        if let Some(settings) = SETTINGS.with_borrow(Clone::clone) {
            return Ok(settings);
        }
        let arrived = Instant::now();
        let database = Database::of_instance(arrived).await?;
        let settings = Rc::new(Self::load(database, arrived).await.map_err(misconfigured)?);
        SETTINGS.set(Some(Rc::clone(&settings)));
        Ok(settings)
    }

    async fn load(database: Database, arrived: Instant) -> Result<Self, ConfigError> {
        let names = [
            ("replay", "on"),
            ("reading_requests", ""),
            ("writing_requests", ""),
            ("reads", "replica"),
            ("key_value_store", ""),
        ];
        let [replay, reading, writing, reads, store] = variables(names, arrived).await?;
        let store = Some(store.trim().to_owned()).filter(|label| !label.is_empty());
        if let Some(label) = &store
            && Store::open(label).await.is_err()
        {
            let why = anyhow!(
                "is {label:?}, which the component may not use: write `key_value_stores = [{label:?}]` into \
                 `[component.<app>]`, and \"key_value_stores\" into `inherit_configuration`; or nothing"
            );
            return Err(ConfigError::new("key_value_store", why));
        }
        Ok(Self {
            database,
            replays: one_of("replay", &replay, ["on", "off"])? == "on",
            reads_from_replicas: one_of("reads", &reads, ["replica", "primary"])? == "replica",
            requests: Requests::parse(&reading, &writing)?,
            store,
        })
    }

    /// The header that has a request that reads replayed in the primary region, where it can be.
    pub(crate) fn replay_read(&self, received: &Received) -> Option<(&'static str, String)> {
        // Whether that was read or not, it may be read again.
        if received.has("fly-replay-failed") { None } else { self.replay_write(received).ok().flatten() }
    }

    /// The same for one that writes.
    ///
    /// # Errors
    /// [`Problem::OutcomeUnknown`] where it may have been written by a replay that has failed.
    pub(crate) fn replay_write(&self, received: &Received) -> Result<Option<(&'static str, String)>, Problem> {
        if !self.replays {
            return Ok(None);
        }
        self.database.replay(method_name(&received.method), |name| received.header(name))
    }
}

fn one_of<'a>(name: &'static str, value: &'a str, allowed: [&str; 2]) -> Result<&'a str, ConfigError> {
    let value = value.trim();
    let [first, second] = allowed;
    if value == first || value == second {
        return Ok(value);
    }
    Err(ConfigError::new(name, anyhow!("is {value:?}: write `{first}` or `{second}`")))
}
