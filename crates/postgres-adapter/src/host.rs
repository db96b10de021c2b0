//! What the adapter asks of Spin, in the two ways in which an app asks the adapter: functions that wait, and functions that
//! block. What is called by a function that blocks may itself only block.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nearest_replica::parts::{STORE_TIMEOUT, pause, timeout};
use spin_sdk::key_value::{Error as StoreError, Store};

use crate::bindings::imports::fermyon::spin::{key_value as blocking_store, variables as blocking_variables};
use crate::bindings::imports::spin::postgres::postgres as pg;

/// Where a connection leads.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    /// A URL, or libpq's `key=value` pairs.
    pub(crate) text: String,
    /// A certificate authority of the app's own.
    pub(crate) ca_root: Option<String>,
}

/// The key-value store has not answered.
pub(crate) struct NoStore;

/// How to ask Spin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// Others of the instance go on meanwhile.
    Async,
    /// Nothing else goes on, and there are no time limits but those of the address.
    Blocking,
}

/// Runs what asks [`Host::Blocking`], which is never pending.
pub(crate) fn block<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("functions that block do not wait"),
    }
}

impl Host {
    /// Takes a connection out of Spin's pool for this address, or opens one.
    pub(crate) async fn open(self, address: &Address) -> Result<pg::Connection, pg::Error> {
        match (self, &address.ca_root) {
            (Self::Async, None) => pg::Connection::open_async(address.text.clone()).await,
            (Self::Async, Some(_)) => builder(address)?.build_async().await,
            (Self::Blocking, None) => pg::Connection::open(&address.text),
            (Self::Blocking, Some(_)) => builder(address)?.build(),
        }
    }

    /// Runs a statement of our own, for the number of its rows.
    pub(crate) async fn execute(
        self,
        connection: &pg::Connection,
        statement: &str,
        params: Vec<pg::ParameterValue>,
    ) -> Result<u64, pg::Error> {
        match self {
            Self::Async => connection.execute_async(statement.to_owned(), params).await,
            Self::Blocking => connection.execute(statement, &params),
        }
    }

    /// Runs a statement of our own, for its only row.
    pub(crate) async fn row(self, connection: &pg::Connection, statement: &str) -> Result<Option<pg::Row>, pg::Error> {
        match self {
            Self::Async => {
                let (_, mut rows, result) = connection.query_async(statement.to_owned(), Vec::new()).await?;
                let row = rows.next().await;
                drop(rows);
                result.await.map(|()| row)
            }
            Self::Blocking => connection.query(statement, &[]).map(|answer| answer.rows.into_iter().next()),
        }
    }

    /// The value of a variable, or nothing where the component has none of that name.
    ///
    /// # Errors
    /// With the first line of Spin's text.
    pub(crate) async fn variable(self, name: &str) -> Result<Option<String>, String> {
        use blocking_variables::Error as Blocking;
        use spin_sdk::variables::Error as Async;
        let text = match self {
            Self::Async => match spin_sdk::variables::get(name).await {
                Ok(value) => return Ok(Some(value)),
                Err(Async::Undefined(_)) => return Ok(None),
                Err(Async::InvalidName(text) | Async::Provider(text) | Async::Other(text)) => text,
            },
            Self::Blocking => match blocking_variables::get(name) {
                Ok(value) => return Ok(Some(value)),
                Err(Blocking::Undefined(_)) => return Ok(None),
                Err(Blocking::InvalidName(text) | Blocking::Provider(text) | Blocking::Other(text)) => text,
            },
        };
        // With RUST_BACKTRACE set, Spin appends a backtrace.
        Err(text.lines().next().unwrap_or_default().to_owned())
    }

    /// Whether the component may use a key-value store.
    pub(crate) async fn may_use(self, store: &str) -> bool {
        match self {
            Self::Async => kept(store).await.is_ok(),
            Self::Blocking => blocking_store::Store::open(store).is_ok(),
        }
    }

    /// The text behind a key.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn get(self, store: &str, key: &str) -> Result<Option<String>, NoStore> {
        let value = match self {
            Self::Async => {
                let value = self.within(STORE_TIMEOUT, async { kept(store).await?.get(key).await }).await;
                value.ok_or(NoStore)?.map_err(|_| NoStore)?
            }
            Self::Blocking => {
                blocking_store::Store::open(store).and_then(|store| store.get(key)).map_err(|_| NoStore)?
            }
        };
        // What others have put there is told apart, and that is all.
        Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
    }

    /// Writes a text.
    ///
    /// # Errors
    /// When the store does not take it, or not within `limit`, where that can be said.
    pub(crate) async fn set(self, store: &str, key: &str, text: String, limit: Duration) -> Result<(), NoStore> {
        match self {
            Self::Async => {
                let written = self.within(limit, async { kept(store).await?.set(key, text).await }).await;
                written.ok_or(NoStore)?.map_err(|_| NoStore)
            }
            Self::Blocking => {
                let written = blocking_store::Store::open(store).and_then(|store| store.set(key, text.as_bytes()));
                written.map_err(|_| NoStore)
            }
        }
    }

    /// Waits; where nothing can be awaited, all of the instance does.
    pub(crate) async fn pause(self, duration: Duration) {
        match self {
            Self::Async => pause(duration).await,
            Self::Blocking => std::thread::sleep(duration),
        }
    }

    /// The result of a future, or nothing where it is not there after `limit`: only where that can be said.
    pub(crate) async fn within<T>(self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        match self {
            Self::Async => timeout(limit, future).await,
            Self::Blocking => Some(future.await),
        }
    }
}

/// The store, which an instance opens once: each call of the host costs as much as its answer.
async fn kept(label: &str) -> Result<Rc<Store>, StoreError> {
    thread_local! {
        static KEPT: RefCell<Option<(String, Rc<Store>)>> = const { RefCell::new(None) };
    }
    let known = |kept: &Option<(String, Rc<Store>)>| {
        kept.as_ref().filter(|(known, _)| known == label).map(|(_, store)| Rc::clone(store))
    };
    if let Some(store) = KEPT.with_borrow(known) {
        return Ok(store);
    }
    let store = Rc::new(Store::open(label).await?);
    KEPT.set(Some((label.to_owned(), Rc::clone(&store))));
    Ok(store)
}

/// # Errors
/// When the certificate is none, in Spin's own words.
pub(crate) fn builder(address: &Address) -> Result<pg::ConnectionBuilder, pg::Error> {
    let builder = pg::ConnectionBuilder::new(&address.text);
    if let Some(certificate) = &address.ca_root {
        builder.set_ca_root(certificate)?;
    }
    Ok(builder)
}
