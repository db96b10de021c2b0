//! One connection shared by the requests of this instance, for a short while.
//!
//! Spin's pool is shared by every instance and waits without bound. An instance that keeps a connection starves the
//! others, and one that opens a connection for each request pays a round trip each time. Here requests share one, on
//! which the driver pipelines their statements. It goes back when no request has come for a tick or two of the timer,
//! when its lease ends, or at once where it had to be waited for. One request opens it while the others wait for it.
//! An open that takes longer than that request has time goes on for the others.

use std::cell::{Cell, OnceCell, RefCell};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use super::signal::{self, Notifier, spawn_detached};
use super::timer::{keep_while, timeout, timeout_at};
use crate::rules::database_url::DatabaseUrl;
use crate::rules::failure::Failure;
use crate::spin::postgres::Connection;

/// A checkout that is faster than this did not wait for others, even on a busy machine.
const FAST_CHECKOUT: Duration = Duration::from_millis(10);

/// For how many of its round trips the connection to a far database may be shared, where that is longer than the lease.
/// A checkout is one more round trip before the two of a statement: with a lease of four, every other request paid it.
const FAR_ROUND_TRIPS: u32 = 16;

/// For how long it may be shared at most: half of the default deadline, for those who wait for it.
const LONGEST: Duration = Duration::from_millis(2_500);

/// How long an open may go on after the request that began it has given up, so that it ends where nothing ever answers.
const LATE_OPEN: Duration = Duration::from_secs(10);

/// A connection that several requests use at once. It goes back to Spin when the last of them drops it.
pub(crate) struct Lease {
    connection: Connection,
    /// How long the checkout took.
    checkout: Duration,
    /// From when on no other request may use it.
    ends: Cell<Instant>,
    /// Whether a request has come since the last tick, or was still using it then.
    used: Cell<bool>,
}

impl Lease {
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn is_fresh(&self, now: Instant) -> bool {
        !self.connection.is_poisoned() && now < self.ends.get()
    }

    /// Keeps the connection for the requests to come, until the lease ends or none has come for a tick or two. Not where
    /// it had to be waited for: others are waiting, too. `statement` is how long the first statement on it took.
    pub(crate) async fn keep(self: Rc<Self>, statement: Duration) {
        // A checkout is one round trip, a statement two.
        if self.checkout > FAST_CHECKOUT.max(statement * 3 / 4) {
            return;
        }
        let far = Instant::now() + (self.checkout.min(statement) * FAR_ROUND_TRIPS).min(LONGEST);
        self.ends.set(self.ends.get().max(far));
        self.keep_while_used().await;
    }

    async fn keep_while_used(self: Rc<Self>) {
        keep_while(move |now| {
            let in_use = Rc::strong_count(&self) > 1;
            self.is_fresh(now) && self.used.replace(in_use)
        })
        .await;
    }
}

/// Whether this request opened the connection or found it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Opened,
    Reused,
}

type Outcome = Result<Rc<Lease>, Failure>;

/// An open under way. It can move from the request that began it to a task of its own.
type Open = Pin<Box<dyn Future<Output = Outcome>>>;

/// The connection of one candidate.
#[derive(Default)]
pub(crate) struct SharedConnection {
    /// Weak, so that only the requests in flight and the timer keep it.
    current: RefCell<Weak<Lease>>,
    /// There while a request opens the next connection.
    opening: RefCell<Option<Rc<InFlightOpen>>>,
    /// Whether an open goes on whose request has given up.
    is_late: Cell<bool>,
    /// Those who have given up, and would still take the connection of that open.
    waiting_for_late: RefCell<Vec<Notifier>>,
}

/// One request opens a connection, others wait for it (single-flight).
#[derive(Default)]
struct InFlightOpen {
    /// Not set where the request that opens it has given up.
    outcome: OnceCell<Outcome>,
    waiters: RefCell<Vec<Notifier>>,
}

impl InFlightOpen {
    async fn wait(&self) -> Option<Outcome> {
        let (notifier, mut notified) = signal::channel();
        self.waiters.borrow_mut().push(notifier);
        notified.wait().await;
        self.outcome.get().cloned()
    }
}

impl SharedConnection {
    /// A connection that is shared for as long as `lease`, or somewhat longer where the database is far. Nothing where
    /// there is none at `until`: the next request that waits for it then opens another.
    pub(crate) async fn acquire(
        self: &Rc<Self>,
        url: &DatabaseUrl,
        lease: Duration,
        until: Instant,
    ) -> Option<Result<(Rc<Lease>, Origin), Failure>> {
        loop {
            if let Some(current) = self.usable() {
                return Some(Ok((current, Origin::Reused)));
            }
            let Some(opening) = self.opening.borrow().clone() else { break };
            if let Some(outcome) = timeout_at(until, opening.wait()).await? {
                return Some(outcome.map(|lease| (lease, Origin::Reused)));
            }
        }
        let guard = OpenGuard::take(self);
        let mut open = open(url.clone(), lease);
        if let Some(outcome) = timeout_at(until, &mut open).await {
            return Some(guard.finish(outcome).map(|lease| (lease, Origin::Opened)));
        }
        drop(guard);
        self.finish_late(open).await;
        None
    }

    /// Lets an open go on for the requests to come, unless another one does already. On a machine that is too busy to open
    /// any connection in the time of a request there would never be one.
    async fn finish_late(self: &Rc<Self>, open: Open) {
        if self.is_late.replace(true) {
            return;
        }
        let shared = Rc::clone(self);
        spawn_detached(async move {
            let outcome = timeout(LATE_OPEN, open).await;
            shared.is_late.set(false);
            if let Some(Ok(lease)) = outcome {
                *shared.current.borrow_mut() = Rc::downgrade(&lease);
                shared.waiting_for_late.take();
                // Those who wait for the next one need it no more.
                if let Some(opening) = &*shared.opening.borrow() {
                    opening.waiters.take();
                }
                lease.keep_while_used().await;
            }
        })
        .await;
    }

    /// The connection of an open that takes longer than the request that began it has time; pending where there is none.
    pub(crate) async fn late(&self) -> Rc<Lease> {
        loop {
            let (notifier, mut notified) = signal::channel();
            self.waiting_for_late.borrow_mut().push(notifier);
            notified.wait().await;
            if let Some(lease) = self.usable() {
                return lease;
            }
        }
    }

    fn usable(&self) -> Option<Rc<Lease>> {
        let current = self.current.borrow().upgrade()?;
        current.used.set(true);
        current.is_fresh(Instant::now()).then_some(current)
    }
}

/// Waits without bound for Spin.
fn open(url: DatabaseUrl, lease: Duration) -> Open {
    Box::pin(async move {
        let began = Instant::now();
        let connection = Connection::open(&url).await?;
        let opened = Instant::now();
        let (ends, used) = (Cell::new(opened + lease), Cell::new(true));
        Ok(Rc::new(Lease { connection, checkout: opened - began, ends, used }))
    })
}

/// The right to open the next connection. Dropping it, finished or not, wakes those who wait.
struct OpenGuard<'a> {
    shared: &'a SharedConnection,
    opening: Rc<InFlightOpen>,
}

impl<'a> OpenGuard<'a> {
    fn take(shared: &'a SharedConnection) -> Self {
        let opening = Rc::new(InFlightOpen::default());
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

impl Drop for OpenGuard<'_> {
    fn drop(&mut self) {
        self.shared.opening.take();
        self.opening.waiters.take();
    }
}
