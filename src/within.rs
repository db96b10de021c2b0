//! Time limits in a guest, where the host waits without bound.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use spin_sdk::time::sleep;

/// The result, or `None` when it is not there after `limit`; the future is dropped then.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), pin!(sleep(limit))).await {
        Either::Left((result, _)) => Some(result),
        Either::Right(((), _)) => None,
    }
}
