//! What the guest sends, as Postgres gets it.

use anyhow::{Context, Result};
use tokio_postgres::types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked};

use super::interval::Months;
use super::{Unfit, numeric, range, time};
use crate::spin::bindings::spin::postgres::postgres::ParameterValue;

pub(crate) type Parameter = Box<dyn ToSql + Send + Sync>;

pub(crate) fn parameter(value: &ParameterValue) -> Result<Parameter> {
    use ParameterValue as P;
    Ok(match value {
        P::Boolean(v) => Box::new(*v),
        P::Int8(v) => Box::new(*v),
        P::Int16(v) => Box::new(*v),
        P::Int32(v) => Box::new(*v),
        P::Int64(v) => Box::new(*v),
        P::Floating32(v) => Box::new(*v),
        P::Floating64(v) => Box::new(*v),
        P::Str(v) => Box::new(v.clone()),
        P::Binary(v) => Box::new(v.clone()),
        P::Date(v) => Box::new(time::to_date(*v)?),
        P::Time(v) => Box::new(time::to_clock(*v)?),
        P::Datetime(v) => Box::new(time::to_moment(*v)?),
        P::Timestamp(v) => Box::new(time::to_instant(*v)?),
        P::Uuid(v) => Box::new(uuid::Uuid::parse_str(v).with_context(|| format!("invalid UUID {v}"))?),
        P::Jsonb(v) => Box::new(json(v)?),
        P::Decimal(v) => Box::new(numeric::number(v)?),
        P::RangeInt32(v) => Box::new(range::to_range(v, Ok)?),
        P::RangeInt64(v) => Box::new(range::to_range(v, Ok)?),
        P::RangeDecimal(v) => Box::new(range::to_range(v, |text| numeric::number(&text).map(numeric::Bound))?),
        P::ArrayInt32(v) => Box::new(v.clone()),
        P::ArrayInt64(v) => Box::new(v.clone()),
        P::ArrayDecimal(v) => {
            let numbers = v.iter().map(|text| text.as_deref().map(numeric::number).transpose());
            Box::new(numbers.collect::<Result<Vec<_>>>()?)
        }
        P::ArrayStr(v) => Box::new(v.clone()),
        P::Interval(v) => Box::new(Months(*v)),
        P::DbNull => Box::new(Null),
    })
}

fn json(bytes: &[u8]) -> Result<serde_json::Value> {
    serde_json::from_slice(bytes).with_context(|| format!("invalid JSON {}", String::from_utf8_lossy(bytes)))
}

/// NULL of any type.
#[derive(Debug)]
struct Null;

impl ToSql for Null {
    fn to_sql(&self, _: &Type, _: &mut BytesMut) -> Result<IsNull, Unfit> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
