//! Intervals, for which the driver has no type: microseconds, days and months, in this order, in both directions.

use bytes::{Buf, BufMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, private::BytesMut, to_sql_checked};

use super::Unfit;
use crate::spin::bindings::spin::postgres::postgres::Interval;

/// An interval, which is not only a time: a month has no length.
#[derive(Debug)]
pub(super) struct Months(pub(super) Interval);

/// 8 bytes, 4 and 4.
const LENGTH: usize = 16;

impl FromSql<'_> for Months {
    fn from_sql(_: &Type, mut raw: &[u8]) -> Result<Self, Unfit> {
        if raw.len() != LENGTH {
            return Err("unexpected binary format for Postgres INTERVAL".into());
        }
        Ok(Self(Interval { micros: raw.get_i64(), days: raw.get_i32(), months: raw.get_i32() }))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::INTERVAL
    }
}

impl ToSql for Months {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Unfit> {
        out.put_i64(self.0.micros);
        out.put_i32(self.0.days);
        out.put_i32(self.0.months);
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::INTERVAL
    }

    to_sql_checked!();
}
