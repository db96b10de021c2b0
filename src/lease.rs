//! One connection shared by the requests of this instance, for a short while.
//!
//! Spin's pool is shared by every instance and waits without bound, so an instance that keeps a connection starves
//! the others, and one that opens a connection for each request pays a round trip each time. Here requests share one
//! (the driver pipelines their statements); it goes back when none of them has come for a beat or two of the pulse,
//! when it gets old, or at once where it had to be waited for. One request opens it while the others wait for it.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use crate::database_url::DatabaseUrl;
use crate::failure::Failure;
use crate::pg::Connection;
use crate::pulse;
use crate::wake::{self, Waker};

/// A connection that Spin has is there sooner than this, even on a busy machine.
const PROMPT: Duration = Duration::from_millis(10);

/// How much longer than the lease the connection to a far database may be shared.
const LONGEST: Duration = Duration::from_secs(1);

/// A connection that several requests use at once. It goes back to Spin when the last of them lets go of it.
pub(crate) struct Lease {
    connection: Connection,
    /// How long it took to open.
    waited: Duration,
    /// From when on no other request may use it.
    ends: Cell<Instant>,
    broken: Cell<bool>,
    /// Whether a request has come since the last beat, or was still on it then.
    used: Cell<bool>,
}

impl Lease {
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn is_fresh(&self, now: Instant) -> bool {
        !self.broken.get() && now < self.ends.get()
    }

    /// Keeps the connection for the requests to come, until the lease ends or none has come for a beat or two. Not where
    /// it had to be waited for: others are waiting, too. `statement` is how long the first statement on it took.
    pub(crate) async fn keep(self: Rc<Self>, statement: Duration) {
        // To take a connection out of the pool is one round trip, a statement two.
        if self.waited > PROMPT.max(statement * 3 / 4) {
            return;
        }
        // The farther the database, the more is saved.
        let far = Instant::now() + (self.waited.min(statement) * 4).min(LONGEST);
        self.ends.set(self.ends.get().max(far));
        pulse::hold(move |now| {
            let in_use = Rc::strong_count(&self) > 1;
            self.is_fresh(now) && self.used.replace(in_use)
        })
        .await;
    }

    /// Keeps every later request off this connection: it saw an error or a time-out.
    pub(crate) fn give_up(&self) {
        self.broken.set(true);
    }
}

/// Whether this request opened the connection or found it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Opened,
    Joined,
}

type Outcome = Result<Rc<Lease>, Failure>;

/// The connection of one candidate.
#[derive(Default)]
pub(crate) struct Shared {
    /// Weak, so that only the requests in flight and the pulse keep it.
    current: RefCell<Weak<Lease>>,
    /// There while a request opens the next connection.
    opening: RefCell<Option<Rc<Opening>>>,
}

/// One request opens a connection, others wait for it.
#[derive(Default)]
struct Opening {
    /// Not set where the opener was given up by its own deadline.
    outcome: OnceCell<Outcome>,
    sleepers: RefCell<Vec<Waker>>,
}

impl Shared {
    /// A connection that is shared for as long as `lease`, or somewhat longer where the database is far. Waits without
    /// bound for Spin: the caller drops the future when its time is over, and the next one that waits for the connection
    /// opens it in its place.
    pub(crate) async fn acquire(&self, url: &DatabaseUrl, lease: Duration) -> Result<(Rc<Lease>, Origin), Failure> {
        loop {
            if let Some(current) = self.usable() {
                return Ok((current, Origin::Joined));
            }
            let Some(opening) = self.opening.borrow().clone() else { break };
            let (waker, mut woken) = wake::pair();
            opening.sleepers.borrow_mut().push(waker);
            woken.wait().await;
            if let Some(outcome) = opening.outcome.get() {
                return outcome.clone().map(|lease| (lease, Origin::Joined));
            }
        }
        let turn = Turn::take(self);
        let began = Instant::now();
        let outcome = Connection::open(url).await.map(|connection| {
            let opened = Instant::now();
            let (broken, used) = (Cell::new(false), Cell::new(true));
            Rc::new(Lease { connection, waited: opened - began, ends: Cell::new(opened + lease), broken, used })
        });
        Ok((turn.finish(outcome)?, Origin::Opened))
    }

    fn usable(&self) -> Option<Rc<Lease>> {
        let current = self.current.borrow().upgrade()?;
        current.used.set(true);
        current.is_fresh(Instant::now()).then_some(current)
    }
}

/// The right to open the next connection. Its end, finished or not, wakes those who wait.
struct Turn<'a> {
    shared: &'a Shared,
    opening: Rc<Opening>,
}

impl<'a> Turn<'a> {
    fn take(shared: &'a Shared) -> Self {
        let opening = Rc::new(Opening::default());
        *shared.opening.borrow_mut() = Some(Rc::clone(&opening));
        Self { shared, opening }
    }

    fn finish(self, outcome: Outcome) -> Outcome {
        if let Ok(lease) = &outcome {
            *self.shared.current.borrow_mut() = Rc::downgrade(lease);
        }
        self.opening.outcome.get_or_init(|| outcome).clone()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.shared.opening.take();
        self.opening.sleepers.take();
    }
}
