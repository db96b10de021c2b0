//! The order of an app's statements on one connection: each is handed on to Spin when the one before has brought its first
//! row, or has come to its end. Spin keeps the order only of what is begun in one go: of statements that are handed on one
//! after the other, while some are under way, a later one may reach the server first.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use nearest_replica::parts::{Notifier, channel};

use crate::bindings::imports::spin::postgres::postgres as pg;
use crate::host::Host;

/// One queue for a connection of the app.
#[derive(Default)]
pub(crate) struct Turns {
    taken: Cell<bool>,
    waiting: RefCell<VecDeque<Waiting>>,
}

/// The right to hand the next statement on. Dropping it gives the turn to the one that has waited longest.
pub(crate) struct Turn<'a>(&'a Turns);

/// A statement that was begun and has not had its turn.
struct Waiting {
    called: Rc<RefCell<Called>>,
    #[expect(dead_code, reason = "kept for its Drop, which wakes the statement")]
    notifier: Notifier,
}

/// What a waiting statement is woken for.
#[derive(Default)]
enum Called {
    #[default]
    NotYet,
    Turn,
    /// The connection could not be opened: what was begun meanwhile has the same error.
    Refused(pg::Error),
}

impl Turns {
    /// Waits for the statements that were begun before. To be called before anything else is awaited.
    ///
    /// # Errors
    /// Where the connection could not be opened meanwhile, with that error; and where a function that blocks is called while
    /// another statement has its turn, for which it cannot wait.
    pub(crate) async fn take(&self, host: Host) -> Result<Turn<'_>, pg::Error> {
        if !self.taken.replace(true) {
            return Ok(Turn(self));
        }
        if host == Host::Blocking {
            return Err(pg::Error::Other(
                "postgres-adapter: a function that blocks was called on a connection while a statement begun by a function \
                 that waits is not answered: await that first, or use another connection"
                    .to_owned(),
            ));
        }
        let called = Rc::new(RefCell::default());
        let (notifier, mut notified) = channel();
        self.waiting.borrow_mut().push_back(Waiting { called: Rc::clone(&called), notifier });
        let place = Place { turns: self, called };
        notified.wait().await;
        match place.called.take() {
            Called::Turn => Ok(Turn(self)),
            Called::Refused(error) => Err(error),
            Called::NotYet => unreachable!("whoever wakes it has said what for"),
        }
    }

    fn next(&self) {
        let next = self.waiting.borrow_mut().pop_front();
        match next {
            Some(next) => drop(next.called.replace(Called::Turn)),
            None => self.taken.set(false),
        }
    }
}

impl Turn<'_> {
    /// The connection could not be opened: all that was begun meanwhile has the same error, as on Spin, where the app would
    /// have no connection to begin it on.
    pub(crate) fn refuse(&self, error: &pg::Error) {
        for waiting in self.0.waiting.take() {
            waiting.called.replace(Called::Refused(error.clone()));
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.next();
    }
}

/// A place in the queue, which a statement that is given up leaves.
struct Place<'a> {
    turns: &'a Turns,
    called: Rc<RefCell<Called>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.turns.waiting.borrow_mut().retain(|waiting| !Rc::ptr_eq(&waiting.called, &self.called));
        // It was given up between its call and its turn.
        if matches!(*self.called.borrow(), Called::Turn) {
            self.turns.next();
        }
    }
}
