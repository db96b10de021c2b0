//! `spin:postgres/postgres@4.0.0`: functions that block.

use crate::Adapter;
use crate::bindings::exports::exports::spin::postgres4_0_0::postgres as app;
use crate::connection::Connection;
use crate::convert::same_types;
use crate::host::{Address, block};

same_types!(crate::bindings::exports::exports::spin::postgres4_0_0::postgres);

impl app::Guest for Adapter {
    type Connection = Connection;
}

impl app::GuestConnection for Connection {
    fn open(address: String) -> Result<app::Connection, app::Error> {
        Ok(app::Connection::new(Self::new(Address { text: address, ca_root: None })))
    }

    fn query(&self, statement: String, params: Vec<app::ParameterValue>) -> Result<app::RowSet, app::Error> {
        let rows = block(self.query_blocking(&statement, &convert::params(params)));
        rows.map(convert::row_set).map_err(convert::error)
    }

    fn execute(&self, statement: String, params: Vec<app::ParameterValue>) -> Result<u64, app::Error> {
        block(self.execute_blocking(&statement, &convert::params(params))).map_err(convert::error)
    }
}
