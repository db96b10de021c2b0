//! `spin:postgres@3.0.0` on top of 4.2.0: synchronous, with fewer types, and with a text where 4.2.0 has the parts of a
//! database error (Spin `crates/world/src/conversions.rs`).
//!
//! 4.0.0 and 4.1.0 need nothing of their own: a component that imports them is given 4.2.0, which has all of them.

use wasmtime::component::Resource;

use super::bindings::earlier::spin::postgres::postgres as v3;
use super::bindings::spin::postgres::postgres as v4;
use super::resources::Connection;
use super::state::State;

impl v3::Host for State {
    fn convert_error(&mut self, error: v3::Error) -> wasmtime::Result<v3::Error> {
        Ok(error)
    }
}

impl v3::HostConnection for State {
    async fn open(&mut self, address: String) -> Result<Resource<Connection>, v3::Error> {
        v4::HostConnection::open(self, address).await.map_err(error)
    }

    async fn query(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<v3::ParameterValue>,
    ) -> Result<v3::RowSet, v3::Error> {
        let params = params.into_iter().map(parameter).collect();
        let v4::RowSet { columns, rows } =
            v4::HostConnection::query(self, connection, statement, params).await.map_err(error)?;
        Ok(v3::RowSet {
            columns: columns.into_iter().map(column).collect(),
            rows: rows.into_iter().map(|row| row.into_iter().map(value).collect()).collect(),
        })
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<v3::ParameterValue>,
    ) -> Result<u64, v3::Error> {
        let params = params.into_iter().map(parameter).collect();
        v4::HostConnection::execute(self, connection, statement, params).await.map_err(error)
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        v4::HostConnection::drop(self, connection).await
    }
}

fn error(error: v4::Error) -> v3::Error {
    match error {
        v4::Error::ConnectionFailed(text) => v3::Error::ConnectionFailed(text),
        v4::Error::BadParameter(text) => v3::Error::BadParameter(text),
        v4::Error::QueryFailed(v4::QueryError::Text(text)) => v3::Error::QueryFailed(text),
        v4::Error::QueryFailed(v4::QueryError::DbError(error)) => v3::Error::QueryFailed(error.as_text),
        v4::Error::ValueConversionFailed(text) => v3::Error::ValueConversionFailed(text),
        v4::Error::Other(text) => v3::Error::Other(text),
    }
}

fn column(column: v4::Column) -> v3::Column {
    use v3::DbDataType as To;
    use v4::DbDataType as From;
    let data_type = match column.data_type {
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
    };
    v3::Column { name: column.name, data_type }
}

fn value(value: v4::DbValue) -> v3::DbValue {
    use v3::DbValue as To;
    use v4::DbValue as From;
    match value {
        From::Boolean(value) => To::Boolean(value),
        From::Int8(value) => To::Int8(value),
        From::Int16(value) => To::Int16(value),
        From::Int32(value) => To::Int32(value),
        From::Int64(value) => To::Int64(value),
        From::Floating32(value) => To::Floating32(value),
        From::Floating64(value) => To::Floating64(value),
        From::Str(value) => To::Str(value),
        From::Binary(value) => To::Binary(value),
        From::Date(value) => To::Date(value),
        From::Time(value) => To::Time(value),
        From::Datetime(value) => To::Datetime(value),
        From::Timestamp(value) => To::Timestamp(value),
        From::DbNull => To::DbNull,
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
    }
}

fn parameter(value: v3::ParameterValue) -> v4::ParameterValue {
    use v3::ParameterValue as From;
    use v4::ParameterValue as To;
    match value {
        From::Boolean(value) => To::Boolean(value),
        From::Int8(value) => To::Int8(value),
        From::Int16(value) => To::Int16(value),
        From::Int32(value) => To::Int32(value),
        From::Int64(value) => To::Int64(value),
        From::Floating32(value) => To::Floating32(value),
        From::Floating64(value) => To::Floating64(value),
        From::Str(value) => To::Str(value),
        From::Binary(value) => To::Binary(value),
        From::Date(value) => To::Date(value),
        From::Time(value) => To::Time(value),
        From::Datetime(value) => To::Datetime(value),
        From::Timestamp(value) => To::Timestamp(value),
        From::DbNull => To::DbNull,
    }
}
