//! The parameters of a statement, as a test writes them in JSON.

use serde::Deserialize;

/// Every kind of parameter that a version has, and in place of a byte string of JSON its text.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Param {
    Boolean(bool),
    Int8(i8),
    Int16(i16),
    Int32(i32),
    Int64(i64),
    Floating32(f32),
    Floating64(f64),
    Str(String),
    Binary(Vec<u8>),
    Date((i32, u8, u8)),
    Time((u8, u8, u8, u32)),
    Datetime((i32, u8, u8, u8, u8, u8, u32)),
    Timestamp(i64),
    Null,
    #[serde(untagged)]
    Newer(Newer),
}

/// What 3.0.0 lacks.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Newer {
    Uuid(String),
    Jsonb(String),
    Decimal(String),
    RangeInt32(Range<i32>),
    RangeInt64(Range<i64>),
    RangeDecimal(Range<String>),
    ArrayInt32(Vec<Option<i32>>),
    ArrayInt64(Vec<Option<i64>>),
    ArrayDecimal(Vec<Option<String>>),
    ArrayStr(Vec<Option<String>>),
    Interval { micros: i64, days: i32, months: i32 },
}

type Range<T> = (Option<(T, Kind)>, Option<(T, Kind)>);

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Inclusive,
    Exclusive,
}

macro_rules! version {
    ($name:ident, $path:path, $newer:ident) => {
        pub(crate) mod $name {
            use $path as pg;

            use super::Param;

            /// Fails where the version has no such parameter.
            pub(crate) fn all(params: &[Param]) -> Result<Vec<pg::ParameterValue>, pg::Error> {
                params.iter().cloned().map(one).collect()
            }

            fn one(param: Param) -> Result<pg::ParameterValue, pg::Error> {
                Ok(match param {
                    Param::Boolean(value) => pg::ParameterValue::Boolean(value),
                    Param::Int8(value) => pg::ParameterValue::Int8(value),
                    Param::Int16(value) => pg::ParameterValue::Int16(value),
                    Param::Int32(value) => pg::ParameterValue::Int32(value),
                    Param::Int64(value) => pg::ParameterValue::Int64(value),
                    Param::Floating32(value) => pg::ParameterValue::Floating32(value),
                    Param::Floating64(value) => pg::ParameterValue::Floating64(value),
                    Param::Str(value) => pg::ParameterValue::Str(value),
                    Param::Binary(value) => pg::ParameterValue::Binary(value),
                    Param::Date(value) => pg::ParameterValue::Date(value),
                    Param::Time(value) => pg::ParameterValue::Time(value),
                    Param::Datetime(value) => pg::ParameterValue::Datetime(value),
                    Param::Timestamp(value) => pg::ParameterValue::Timestamp(value),
                    Param::Null => pg::ParameterValue::DbNull,
                    Param::Newer(newer) => return $newer!(pg, newer),
                })
            }
        }
    };
}

macro_rules! none {
    ($pg:ident, $newer:ident) => {{
        let _ = $newer;
        Err($pg::Error::Other("this version has no such parameter".to_owned()))
    }};
}

macro_rules! all {
    ($pg:ident, $newer:ident) => {{
        use super::{Kind, Newer, Range};
        fn range<T>((lower, upper): Range<T>) -> (Option<(T, $pg::RangeBoundKind)>, Option<(T, $pg::RangeBoundKind)>) {
            let bound = |(value, kind)| match kind {
                Kind::Inclusive => (value, $pg::RangeBoundKind::Inclusive),
                Kind::Exclusive => (value, $pg::RangeBoundKind::Exclusive),
            };
            (lower.map(bound), upper.map(bound))
        }
        Ok(match $newer {
            Newer::Uuid(value) => $pg::ParameterValue::Uuid(value),
            Newer::Jsonb(value) => $pg::ParameterValue::Jsonb(value.into_bytes()),
            Newer::Decimal(value) => $pg::ParameterValue::Decimal(value),
            Newer::RangeInt32(value) => $pg::ParameterValue::RangeInt32(range(value)),
            Newer::RangeInt64(value) => $pg::ParameterValue::RangeInt64(range(value)),
            Newer::RangeDecimal(value) => $pg::ParameterValue::RangeDecimal(range(value)),
            Newer::ArrayInt32(value) => $pg::ParameterValue::ArrayInt32(value),
            Newer::ArrayInt64(value) => $pg::ParameterValue::ArrayInt64(value),
            Newer::ArrayDecimal(value) => $pg::ParameterValue::ArrayDecimal(value),
            Newer::ArrayStr(value) => $pg::ParameterValue::ArrayStr(value),
            Newer::Interval { micros, days, months } => {
                $pg::ParameterValue::Interval($pg::Interval { micros, days, months })
            }
        })
    }};
}

version!(v3_0, crate::bindings::spin::postgres3_0_0::postgres, none);
version!(v4_0, crate::bindings::spin::postgres4_0_0::postgres, all);
version!(v4_2, crate::bindings::spin::postgres4_2_0::postgres, all);
