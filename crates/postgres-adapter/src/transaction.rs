//! A transaction that an app leaves open: Spin's pool would hand it on to the next request, whose writes would go into it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use nearest_replica::parts::{Notifier, channel, spawn_detached};

use crate::bindings::imports::spin::postgres::postgres as pg;
use crate::host::{Host, block};

const ROLLBACK: &str = "ROLLBACK";

/// Whether a connection may be in a transaction, and who ends that.
#[derive(Clone, Default)]
pub(crate) struct OpenTransaction(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    /// How many have begun.
    begun: u64,
    /// Who rolls the last one back, where that has not ended.
    guard: Option<Guard>,
}

enum Guard {
    /// A task that waits until the notifier is dropped.
    Task { has_ended: Rc<Cell<bool>>, _notifier: Notifier },
    /// Whoever gives the connection back.
    Drop(Rc<pg::Connection>),
}

/// The one that a statement ends.
pub(crate) struct Ending {
    transaction: OpenTransaction,
    begun: u64,
}

impl OpenTransaction {
    /// A statement is about to be handed on that begins a transaction, or may.
    pub(crate) async fn begins(&self, host: Host, connection: &Rc<pg::Connection>) {
        let has_task = matches!(self.0.borrow().guard, Some(Guard::Task { .. }));
        self.0.borrow_mut().begun += 1;
        match host {
            _ if has_task => {}
            Host::Blocking => self.0.borrow_mut().guard = Some(Guard::Drop(Rc::clone(connection))),
            Host::Async => {
                let (notifier, mut notified) = channel();
                let has_ended = Rc::new(Cell::new(false));
                let watch = Watch {
                    transaction: self.clone(),
                    has_ended: Rc::clone(&has_ended),
                    connection: Some(Rc::clone(connection)),
                };
                self.0.borrow_mut().guard = Some(Guard::Task { has_ended, _notifier: notifier });
                spawn_detached(async move {
                    notified.wait().await;
                    watch.end().await;
                })
                .await;
            }
        }
    }

    /// A statement is about to be handed on that ends it.
    pub(crate) fn ending(&self) -> Ending {
        Ending { transaction: self.clone(), begun: self.0.borrow().begun }
    }

    /// The app has given its connection back.
    pub(crate) fn give_up(&self) {
        let guard = self.0.borrow_mut().guard.take();
        if let Some(Guard::Drop(connection)) = guard {
            let _ = block(Host::Blocking.execute(&connection, ROLLBACK, Vec::new()));
        }
    }
}

impl Ending {
    /// The statement has come to its end.
    pub(crate) fn ended(self) {
        let mut state = self.transaction.0.borrow_mut();
        // Another may have begun since.
        if state.begun == self.begun
            && let Some(Guard::Task { has_ended, .. }) = state.guard.take()
        {
            has_ended.set(true);
        }
    }
}

/// A task that rolls back, unless the transaction has ended. It is cut off with the call that has begun the transaction,
/// where the app gives that up.
struct Watch {
    transaction: OpenTransaction,
    has_ended: Rc<Cell<bool>>,
    connection: Option<Rc<pg::Connection>>,
}

impl Watch {
    /// However long that takes: the next user of the connection would wait for it as well.
    async fn end(mut self) {
        if let Some(connection) = self.connection.as_ref().filter(|_| !self.has_ended.get()) {
            let _ = Host::Async.execute(connection, ROLLBACK, Vec::new()).await;
        }
        self.connection = None;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            let mut state = self.transaction.0.borrow_mut();
            if !self.has_ended.get() && matches!(state.guard, Some(Guard::Task { .. })) {
                state.guard = Some(Guard::Drop(connection));
            }
        }
    }
}
