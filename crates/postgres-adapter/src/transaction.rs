//! A transaction that an app leaves open: Spin's pool would hand it on to the next request, whose writes would go into it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use nearest_replica::parts::{Notifier, channel, spawn_detached};

use crate::bindings::imports::spin::postgres::postgres as pg;
use crate::host::{Host, block};

const ROLLBACK: &str = "ROLLBACK";

/// How long a ROLLBACK may take that nobody waits for.
const ROLL_BACK: Duration = Duration::from_secs(10);

/// Whether a connection may be in a transaction, and who ends that.
#[derive(Clone, Default)]
pub(crate) struct OpenTransaction(Rc<RefCell<Option<Guard>>>);

enum Guard {
    /// A task of its own waits for this to be dropped, and rolls back unless the transaction has ended.
    Async { ended: Rc<Cell<bool>>, _notifier: Notifier },
    /// Whoever gives the connection back rolls back on it first.
    Blocking(Rc<pg::Connection>),
}

impl OpenTransaction {
    /// A statement is about to be handed on that begins a transaction, or may.
    pub(crate) async fn begins(&self, host: Host, connection: &Rc<pg::Connection>) {
        if host == Host::Blocking {
            self.0.borrow_mut().get_or_insert_with(|| Guard::Blocking(Rc::clone(connection)));
            return;
        }
        if matches!(*self.0.borrow(), Some(Guard::Async { .. })) {
            return;
        }
        let (notifier, mut notified) = channel();
        let ended = Rc::new(Cell::new(false));
        self.0.replace(Some(Guard::Async { ended: Rc::clone(&ended), _notifier: notifier }));
        let connection = Rc::clone(connection);
        spawn_detached(async move {
            notified.wait().await;
            if !ended.get() {
                host.within(ROLL_BACK, host.execute(&connection, ROLLBACK, Vec::new())).await;
            }
        })
        .await;
    }

    /// The statement that ends it has come to its end.
    pub(crate) fn ended(&self) {
        if let Some(Guard::Async { ended, .. }) = &*self.0.borrow() {
            ended.set(true);
        }
        self.0.take();
    }

    /// The app has given its connection back.
    pub(crate) fn give_up(&self) {
        if let Some(Guard::Blocking(connection)) = self.0.take() {
            let _ = block(Host::Blocking.execute(&connection, ROLLBACK, Vec::new()));
        }
    }
}
