//! Interfaces of earlier versions of Spin, on top of today's: `fermyon:spin/variables@2.0.0` and
//! `fermyon:spin/key-value@2.0.0`. Other languages call them where they cannot call an `async` function.

use wasmtime::component::Resource;

use super::bindings::earlier::fermyon::spin::{key_value, variables};
use super::bindings::spin::key_value::key_value as key_value3;
use super::bindings::spin::variables::variables as variables3;
use super::resources::{Entries, LOCKED, Store};
use super::state::State;

impl variables::Host for State {
    fn convert_error(&mut self, error: variables::Error) -> wasmtime::Result<variables::Error> {
        Ok(error)
    }

    async fn get(&mut self, name: String) -> Result<String, variables::Error> {
        use variables::Error as To;
        use variables3::Error as From;
        self.app.variables.get(&name).await.map_err(|error| match error {
            From::InvalidName(text) => To::InvalidName(text),
            From::Undefined(text) => To::Undefined(text),
            From::Provider(text) => To::Provider(text),
            From::Other(text) => To::Other(text),
        })
    }
}

impl key_value::Host for State {
    fn convert_error(&mut self, error: key_value::Error) -> wasmtime::Result<key_value::Error> {
        Ok(error)
    }
}

impl State {
    fn entries(&mut self, store: &Resource<Store>) -> Result<Entries, key_value::Error> {
        let found = self.table.get(store);
        found.map(|Store(entries)| entries.clone()).map_err(|_| key_value::Error::NoSuchStore)
    }
}

impl key_value::HostStore for State {
    async fn open(&mut self, label: String) -> Result<Resource<Store>, key_value::Error> {
        use key_value::Error as To;
        use key_value3::Error as From;
        self.open_store(&label).map_err(|error| match error {
            From::StoreTableFull => To::StoreTableFull,
            From::NoSuchStore => To::NoSuchStore,
            From::AccessDenied => To::AccessDenied,
            From::Other(text) => To::Other(text),
        })
    }

    async fn get(&mut self, store: Resource<Store>, key: String) -> Result<Option<Vec<u8>>, key_value::Error> {
        Ok(self.entries(&store)?.with(|entries| entries.get(&key).cloned()))
    }

    async fn set(&mut self, store: Resource<Store>, key: String, value: Vec<u8>) -> Result<(), key_value::Error> {
        let changed = self.entries(&store)?.change(|entries| drop(entries.insert(key, value)));
        changed.ok_or_else(|| key_value::Error::Other(LOCKED.to_owned()))
    }

    async fn delete(&mut self, store: Resource<Store>, key: String) -> Result<(), key_value::Error> {
        let changed = self.entries(&store)?.change(|entries| drop(entries.remove(&key)));
        changed.ok_or_else(|| key_value::Error::Other(LOCKED.to_owned()))
    }

    async fn exists(&mut self, store: Resource<Store>, key: String) -> Result<bool, key_value::Error> {
        Ok(self.entries(&store)?.with(|entries| entries.contains_key(&key)))
    }

    async fn get_keys(&mut self, store: Resource<Store>) -> Result<Vec<String>, key_value::Error> {
        Ok(self.entries(&store)?.with(|entries| entries.keys().cloned().collect()))
    }

    async fn drop(&mut self, store: Resource<Store>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}
