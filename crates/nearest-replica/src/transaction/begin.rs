//! How a transaction begins and that it ends: Spin's pool hands one that was left open on to the next request, so each
//! begins with a ROLLBACK.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::instance::signal::spawn_later;
use crate::instance::timer::{pause, timeout};
use crate::rules::failure::Failure;
use crate::rules::recovery::Recovery;
use crate::spin::postgres::Connection;
use crate::write::{BETWEEN_OPENS, within};

/// How long a ROLLBACK may take that nobody waits for.
const ROLL_BACK: Duration = Duration::from_secs(10);

/// A transaction that is given up, since its future was dropped or its time is over, is rolled back all the same.
pub(super) struct RollBackOnDrop(RefCell<Option<Connection>>);

impl RollBackOnDrop {
    /// There is nothing left to roll back.
    pub(super) fn disarm(&self) {
        self.0.take();
    }
}

impl Drop for RollBackOnDrop {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            spawn_later(async move {
                timeout(ROLL_BACK, connection.execute("ROLLBACK", &[])).await;
            });
        }
    }
}

/// Opens a connection and begins a transaction on it with `statement`, where `may_begin` agrees. Again where the connection
/// was lost meanwhile: the pool may have kept it for long, and nothing of the app was sent.
///
/// # Errors
/// With the last failure.
pub(super) async fn begin(
    end: Instant,
    open: impl AsyncFn() -> Result<Connection, Failure>,
    may_begin: impl AsyncFn(&Connection) -> Result<(), Failure>,
    statement: &str,
) -> Result<(Connection, RollBackOnDrop), Failure> {
    loop {
        let connection = open().await?;
        let guard = RollBackOnDrop(RefCell::new(Some(connection.clone())));
        let begun = async {
            connection.execute("ROLLBACK", &[]).await?;
            may_begin(&connection).await?;
            connection.execute(statement, &[]).await
        };
        let Err(failure) = within(end, begun).await else { return Ok((connection, guard)) };
        if Recovery::after(&failure) != Recovery::Retry || Instant::now() + BETWEEN_OPENS >= end {
            return Err(failure);
        }
        guard.disarm();
        drop(connection);
        pause(BETWEEN_OPENS).await;
    }
}
