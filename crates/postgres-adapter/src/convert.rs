//! The values of the interface that the app imports, and of the one that Spin provides: the same, but each of wit-bindgen's
//! modules has types of its own.

/// `match` from one enum, imported as `From`, to another, imported as `To`: what every version has with the same content, and
/// the arms for the rest.
macro_rules! match_versions {
    ($value:expr, { $($rest:tt)* }) => {
        match $value {
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
            $($rest)*
        }
    };
}

/// For a version that has the very types of 4.2.0.
macro_rules! same_types {
    ($app:path) => {
        mod convert {
            use $app as app;

            use crate::bindings::imports::spin::postgres::postgres as pg;
            use crate::convert::match_versions;

            /// Every parameter as Spin takes it.
            pub(super) fn params(params: Vec<app::ParameterValue>) -> Vec<pg::ParameterValue> {
                params.into_iter().map(param).collect()
            }

            fn param(value: app::ParameterValue) -> pg::ParameterValue {
                use app::ParameterValue as From;
                use pg::ParameterValue as To;
                match_versions!(value, {
                    From::Uuid(value) => To::Uuid(value),
                    From::Jsonb(value) => To::Jsonb(value),
                    From::Decimal(value) => To::Decimal(value),
                    From::RangeInt32((lower, upper)) => To::RangeInt32((lower.map(bound_in), upper.map(bound_in))),
                    From::RangeInt64((lower, upper)) => To::RangeInt64((lower.map(bound_in), upper.map(bound_in))),
                    From::RangeDecimal((lower, upper)) => To::RangeDecimal((lower.map(bound_in), upper.map(bound_in))),
                    From::ArrayInt32(value) => To::ArrayInt32(value),
                    From::ArrayInt64(value) => To::ArrayInt64(value),
                    From::ArrayDecimal(value) => To::ArrayDecimal(value),
                    From::ArrayStr(value) => To::ArrayStr(value),
                    From::Interval(app::Interval { micros, days, months }) => {
                        To::Interval(pg::Interval { micros, days, months })
                    }
                })
            }

            fn bound_in<T>((value, kind): (T, app::RangeBoundKind)) -> (T, pg::RangeBoundKind) {
                let kind = match kind {
                    app::RangeBoundKind::Inclusive => pg::RangeBoundKind::Inclusive,
                    app::RangeBoundKind::Exclusive => pg::RangeBoundKind::Exclusive,
                };
                (value, kind)
            }

            fn bound_out<T>((value, kind): (T, pg::RangeBoundKind)) -> (T, app::RangeBoundKind) {
                let kind = match kind {
                    pg::RangeBoundKind::Inclusive => app::RangeBoundKind::Inclusive,
                    pg::RangeBoundKind::Exclusive => app::RangeBoundKind::Exclusive,
                };
                (value, kind)
            }

            /// A whole answer.
            pub(super) fn row_set(rows: pg::RowSet) -> app::RowSet {
                app::RowSet { columns: columns(rows.columns), rows: rows.rows.into_iter().map(row).collect() }
            }

            pub(super) fn row(row: pg::Row) -> app::Row {
                row.into_iter().map(value).collect()
            }

            fn value(value: pg::DbValue) -> app::DbValue {
                use app::DbValue as To;
                use pg::DbValue as From;
                match_versions!(value, {
                    From::Uuid(value) => To::Uuid(value),
                    From::Jsonb(value) => To::Jsonb(value),
                    From::Decimal(value) => To::Decimal(value),
                    From::RangeInt32((lower, upper)) => To::RangeInt32((lower.map(bound_out), upper.map(bound_out))),
                    From::RangeInt64((lower, upper)) => To::RangeInt64((lower.map(bound_out), upper.map(bound_out))),
                    From::RangeDecimal((lower, upper)) => {
                        To::RangeDecimal((lower.map(bound_out), upper.map(bound_out)))
                    }
                    From::ArrayInt32(value) => To::ArrayInt32(value),
                    From::ArrayInt64(value) => To::ArrayInt64(value),
                    From::ArrayDecimal(value) => To::ArrayDecimal(value),
                    From::ArrayStr(value) => To::ArrayStr(value),
                    From::Interval(pg::Interval { micros, days, months }) => {
                        To::Interval(app::Interval { micros, days, months })
                    }
                    From::Unsupported(value) => To::Unsupported(value),
                })
            }

            pub(super) fn columns(columns: Vec<pg::Column>) -> Vec<app::Column> {
                let column =
                    |pg::Column { name, data_type }| app::Column { name, data_type: self::data_type(data_type) };
                columns.into_iter().map(column).collect()
            }

            fn data_type(data_type: pg::DbDataType) -> app::DbDataType {
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
                    From::Uuid => To::Uuid,
                    From::Jsonb => To::Jsonb,
                    From::Decimal => To::Decimal,
                    From::RangeInt32 => To::RangeInt32,
                    From::RangeInt64 => To::RangeInt64,
                    From::RangeDecimal => To::RangeDecimal,
                    From::ArrayInt32 => To::ArrayInt32,
                    From::ArrayInt64 => To::ArrayInt64,
                    From::ArrayDecimal => To::ArrayDecimal,
                    From::ArrayStr => To::ArrayStr,
                    From::Interval => To::Interval,
                    From::Other(name) => To::Other(name),
                }
            }

            /// With every field that Spin gives.
            pub(super) fn error(error: pg::Error) -> app::Error {
                use app::Error as To;
                use pg::Error as From;
                match error {
                    From::ConnectionFailed(text) => To::ConnectionFailed(text),
                    From::BadParameter(text) => To::BadParameter(text),
                    From::QueryFailed(pg::QueryError::Text(text)) => To::QueryFailed(app::QueryError::Text(text)),
                    From::QueryFailed(pg::QueryError::DbError(error)) => {
                        let pg::DbError { as_text, severity, code, message, detail, extras } = error;
                        let error = app::DbError { as_text, severity, code, message, detail, extras };
                        To::QueryFailed(app::QueryError::DbError(error))
                    }
                    From::ValueConversionFailed(text) => To::ValueConversionFailed(text),
                    From::Other(text) => To::Other(text),
                }
            }
        }
    };
}

pub(crate) use {match_versions, same_types};
