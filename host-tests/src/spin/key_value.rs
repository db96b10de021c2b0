//! `spin:key-value@3.0.0` over one store in memory, the `default` one, as Spin has it without a state directory.

use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use super::bindings::spin::key_value::key_value as wit;
use super::bindings::spin::key_value::key_value::Error;
use super::resources::{Entries, LOCKED, Store};
use super::rows::Rows;
use super::state::{Spin, State};

impl wit::Host for State {
    fn convert_error(&mut self, error: Error) -> wasmtime::Result<Error> {
        Ok(error)
    }
}

impl wit::HostStore for State {
    async fn drop(&mut self, store: Resource<Store>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

impl State {
    /// A store, if the component may use it.
    pub(crate) fn open_store(&mut self, label: &str) -> Result<Resource<Store>, Error> {
        if !self.app.key_value_stores.iter().any(|known| known == label) {
            return Err(Error::AccessDenied);
        }
        let store = Store(self.app.entries.clone());
        self.table.push(store).map_err(|_| Error::StoreTableFull)
    }
}

fn entries<T: Send>(accessor: &Accessor<T, Spin>, store: &Resource<Store>) -> Result<Entries, Error> {
    accessor.with(|mut access| {
        access.get().table.get(store).map(|Store(entries)| entries.clone()).map_err(|_| Error::NoSuchStore)
    })
}

impl<T: Send> wit::HostStoreWithStore<T> for Spin {
    async fn open(accessor: &Accessor<T, Self>, label: String) -> Result<Resource<Store>, Error> {
        accessor.with(|mut access| access.get().open_store(&label))
    }

    async fn get(accessor: &Accessor<T, Self>, store: Resource<Store>, key: String) -> Result<Option<Vec<u8>>, Error> {
        // Spin's store is not there at once either: others of the instance come between.
        tokio::task::yield_now().await;
        Ok(entries(accessor, &store)?.with(|entries| entries.get(&key).cloned()))
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), Error> {
        tokio::task::yield_now().await;
        let changed = entries(accessor, &store)?.change(|entries| drop(entries.insert(key, value)));
        changed.ok_or_else(|| Error::Other(LOCKED.to_owned()))
    }

    async fn delete(accessor: &Accessor<T, Self>, store: Resource<Store>, key: String) -> Result<(), Error> {
        let changed = entries(accessor, &store)?.change(|entries| drop(entries.remove(&key)));
        changed.ok_or_else(|| Error::Other(LOCKED.to_owned()))
    }

    async fn exists(accessor: &Accessor<T, Self>, store: Resource<Store>, key: String) -> Result<bool, Error> {
        Ok(entries(accessor, &store)?.with(|entries| entries.contains_key(&key)))
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), Error>>)> {
        let (result_to, result) = oneshot::channel();
        let (keys_to, keys) = mpsc::channel(1);
        match entries(accessor, &store) {
            Err(error) => {
                let _ = result_to.send(Err(error));
            }
            Ok(entries) => {
                tokio::spawn(async move {
                    for key in entries.with(|entries| entries.keys().cloned().collect::<Vec<_>>()) {
                        if keys_to.send(key).await.is_err() {
                            break;
                        }
                    }
                    let _ = result_to.send(Ok(()));
                });
            }
        }
        accessor.with(|mut access| {
            Ok((StreamReader::new(&mut access, Rows(keys))?, FutureReader::new(&mut access, result)?))
        })
    }
}
