//! Who runs beside whom: tests that load the machine or measure time run alone, all others beside each other.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static TURN: RwLock<()> = RwLock::const_new(());

/// Kept by a test for as long as it needs a database. A test takes one turn only: a second one would wait for the first.
pub(crate) enum Turn {
    Alone { _turn: RwLockWriteGuard<'static, ()> },
    Shared { _turn: RwLockReadGuard<'static, ()> },
}

/// Waits until no other test uses a database, and keeps them all waiting.
pub(crate) async fn alone() -> Turn {
    Turn::Alone { _turn: TURN.write().await }
}

/// Waits until no test is alone.
pub(crate) async fn beside_others() -> Turn {
    Turn::Shared { _turn: TURN.read().await }
}
