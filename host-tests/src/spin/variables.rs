//! The functions of `spin:variables@3.0.0`.

use std::sync::Arc;

use wasmtime::component::Accessor;

use super::bindings::spin::variables::variables::{Error, Host, HostWithStore};
use super::state::{Spin, State};

impl Host for State {
    fn convert_error(&mut self, error: Error) -> wasmtime::Result<Error> {
        Ok(error)
    }
}

impl<T: Send> HostWithStore<T> for Spin {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> Result<String, Error> {
        let app = accessor.with(|mut access| Arc::clone(&access.get().app));
        app.variables.get(&name).await
    }
}
