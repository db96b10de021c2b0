//! Spin's errors by the library's rules.

use nearest_replica::Failure;

use crate::bindings::imports::spin::postgres::postgres as pg;

/// Why no connection could be opened.
pub(crate) fn of_open(error: &pg::Error) -> Failure {
    match error {
        pg::Error::ConnectionFailed(text) => Failure::from_open(text),
        // Spin could not read `allowed_outbound_hosts`.
        pg::Error::Other(text) => Failure::NotPermitted(text.clone()),
        pg::Error::BadParameter(_) | pg::Error::QueryFailed(_) | pg::Error::ValueConversionFailed(_) => of(error),
    }
}

/// Why a statement failed.
pub(crate) fn of(error: &pg::Error) -> Failure {
    match error {
        pg::Error::QueryFailed(pg::QueryError::DbError(error)) => {
            Failure::from_server(&error.severity, &error.code, error.message.clone())
        }
        pg::Error::QueryFailed(pg::QueryError::Text(text)) => Failure::from_query(text),
        pg::Error::ConnectionFailed(text) => Failure::Lost(text.clone()),
        pg::Error::BadParameter(text) => Failure::NotSent(text.clone()),
        pg::Error::ValueConversionFailed(text) | pg::Error::Other(text) => Failure::Unusable(text.clone()),
    }
}
