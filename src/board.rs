//! A notice board for the instances of this component: Spin's key-value store.
//!
//! An instance lives for 128 requests at most. Without the board each new one would find out for itself, and at the
//! cost of the requests it has, that a candidate is dead. The board is a help and no more: where the component may not
//! use a store (`key_value_stores` in spin.toml), or it is slow, instances learn by themselves.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spin_sdk::key_value::{Error, Store};

use crate::within::within;

/// How long the board may take; in Spin's own store it is well below a millisecond.
const PATIENCE: Duration = Duration::from_millis(100);

/// Until when the candidate behind `key` should rest, where somebody has written that down and it is still to come.
pub(crate) async fn read(key: &str) -> Option<Duration> {
    let value = within(PATIENCE, async { Store::open_default().await?.get(key).await }).await?.ok()??;
    let until = Duration::from_millis(String::from_utf8(value).ok()?.parse().ok()?);
    until.checked_sub(since_epoch()).filter(|left| !left.is_zero())
}

/// Writes down that the candidate behind `key` should rest for a while from now on.
pub(crate) async fn post(key: &str, rest: Duration) {
    let until = (since_epoch() + rest).as_millis().to_string();
    // Nobody depends on it.
    let _ = within(PATIENCE, async { Store::open_default().await?.set(key, until).await }).await;
}

/// Takes the note off the board.
pub(crate) async fn clear(key: &str) {
    // As above; it also runs out by itself.
    let _: Option<Result<(), Error>> = within(PATIENCE, async { Store::open_default().await?.delete(key).await }).await;
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
