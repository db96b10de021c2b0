//! A write: once, on `DATABASE_URL` as it was given. Opening a connection for it is tried again, the write never.

use std::time::{Duration, Instant};

use crate::instance::timer::{halfway_to, pause, timeout_at};
use crate::rules::database_url::DatabaseUrl;
use crate::rules::failure::Failure;
use crate::spin::postgres::Connection;

/// Between two attempts to open a connection.
pub(crate) const BETWEEN_OPENS: Duration = Duration::from_millis(100);

/// A fresh connection, so that a failure on it is not that of a connection that was closed long before. Tried again until
/// `end`: nothing has been sent yet.
///
/// # Errors
/// With the last failure.
pub(crate) async fn open(url: &DatabaseUrl, end: Instant) -> Result<Connection, Failure> {
    let mut last = Failure::TimedOut;
    loop {
        let now = Instant::now();
        if now >= end {
            return Err(last);
        }
        // Spin's pool may hand out a connection on which a statement is stuck, and waits for it: leave time for another.
        match timeout_at(halfway_to(end).max(now + BETWEEN_OPENS).min(end), Connection::open(url)).await {
            Some(Ok(connection)) => return Ok(connection),
            Some(Err(failure @ Failure::NotPermitted(_))) => return Err(failure),
            Some(Err(failure)) => last = failure,
            None => last = Failure::TimedOut,
        }
        pause(BETWEEN_OPENS.min(end.saturating_duration_since(Instant::now()))).await;
    }
}

/// The result of what was sent, or that there is none yet.
pub(crate) async fn within<T>(end: Instant, sent: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    timeout_at(end, sent).await.unwrap_or(Err(Failure::TimedOut))
}
