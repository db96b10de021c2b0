//! `spin:postgres/postgres@3.0.0`: functions that block, fewer types, and errors as text.

use crate::Adapter;
use crate::bindings::exports::exports::spin::postgres3_0_0::postgres as app;
use crate::bindings::imports::spin::postgres::postgres as pg;
use crate::connection::Connection;
use crate::convert::match_versions;
use crate::host::{Address, block};

impl app::Guest for Adapter {
    type Connection = Connection;
}

impl app::GuestConnection for Connection {
    fn open(address: String) -> Result<app::Connection, app::Error> {
        Ok(app::Connection::new(Self::new(Address { text: address, ca_root: None })))
    }

    fn query(&self, statement: String, params: Vec<app::ParameterValue>) -> Result<app::RowSet, app::Error> {
        let params: Vec<_> = params.into_iter().map(param).collect();
        block(self.query_blocking(&statement, &params)).map(row_set).map_err(error)
    }

    fn execute(&self, statement: String, params: Vec<app::ParameterValue>) -> Result<u64, app::Error> {
        let params: Vec<_> = params.into_iter().map(param).collect();
        block(self.execute_blocking(&statement, &params)).map_err(error)
    }
}

fn param(value: app::ParameterValue) -> pg::ParameterValue {
    use app::ParameterValue as From;
    use pg::ParameterValue as To;
    match_versions!(value, {})
}

fn row_set(rows: pg::RowSet) -> app::RowSet {
    let column = |pg::Column { name, data_type }| app::Column { name, data_type: self::data_type(&data_type) };
    app::RowSet {
        columns: rows.columns.into_iter().map(column).collect(),
        rows: rows.rows.into_iter().map(|row| row.into_iter().map(value).collect()).collect(),
    }
}

/// What this version does not have, it calls unsupported.
fn value(value: pg::DbValue) -> app::DbValue {
    use app::DbValue as To;
    use pg::DbValue as From;
    match_versions!(value, {
        From::Uuid(_)
        | From::Jsonb(_)
        | From::Decimal(_)
        | From::RangeInt32(_)
        | From::RangeInt64(_)
        | From::RangeDecimal(_)
        | From::ArrayInt32(_)
        | From::ArrayInt64(_)
        | From::ArrayDecimal(_)
        | From::ArrayStr(_)
        | From::Interval(_)
        | From::Unsupported(_) => To::Unsupported,
    })
}

fn data_type(data_type: &pg::DbDataType) -> app::DbDataType {
    use app::DbDataType as To;
    use pg::DbDataType as From;
    match data_type {
        From::Boolean => To::Boolean,
        From::Int8 => To::Int8,
        From::Int16 => To::Int16,
        From::Int32 => To::Int32,
        From::Int64 => To::Int64,
        From::Floating32 => To::Floating32,
        From::Floating64 => To::Floating64,
        From::Str => To::Str,
        From::Binary => To::Binary,
        From::Date => To::Date,
        From::Time => To::Time,
        From::Datetime => To::Datetime,
        From::Timestamp => To::Timestamp,
        From::Uuid
        | From::Jsonb
        | From::Decimal
        | From::RangeInt32
        | From::RangeInt64
        | From::RangeDecimal
        | From::ArrayInt32
        | From::ArrayInt64
        | From::ArrayDecimal
        | From::ArrayStr
        | From::Interval
        | From::Other(_) => To::Other,
    }
}

fn error(error: pg::Error) -> app::Error {
    use app::Error as To;
    use pg::Error as From;
    match error {
        From::ConnectionFailed(text) => To::ConnectionFailed(text),
        From::BadParameter(text) => To::BadParameter(text),
        From::QueryFailed(pg::QueryError::Text(text)) => To::QueryFailed(text),
        From::QueryFailed(pg::QueryError::DbError(error)) => To::QueryFailed(error.as_text),
        From::ValueConversionFailed(text) => To::ValueConversionFailed(text),
        From::Other(text) => To::Other(text),
    }
}
