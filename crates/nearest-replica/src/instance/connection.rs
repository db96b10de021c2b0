//! One connection shared by the requests of this instance, for a short while.
//!
//! Spin's pool is shared by every instance and waits without bound. An instance that keeps a connection starves the
//! others, and one that opens a connection for each request pays a round trip each time. Here requests share one, on
//! which the driver pipelines their statements. It goes back when no request has come for some ticks of the timer, when its
//! lease ends, or at once where it had to be waited for. It is opened once for all who need it, by a task of its own: a
//! request that is not polled, or has no time left, holds up nobody. A connection on which a statement takes long is left to
//! that: those who wait behind it, and those who come, get another one.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use super::signal::{self, Notifier, spawn_detached};
use super::timer::{EndsEarly, keep_while, tick_every, timeout, timeout_at};
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

/// How long an open may go on that nobody waits for any more, so that it ends where nothing ever answers.
const LATE_OPEN: Duration = Duration::from_secs(10);

/// After how long without a request the connection goes back.
const IDLE: Duration = Duration::from_millis(20);

/// After how long a statement is slow for those behind it, and after how many round trips, where these take longer: to a far
/// database, or on a machine that is short of time. A statement is two of them.
const SLOW: Duration = Duration::from_millis(8);
const SLOW_ROUND_TRIPS: u32 = 8;

/// When a tick comes late: longer than the longest time between two, and a little.
const LATE_TICK: Duration = Duration::from_millis(40);

/// How many connections may be under way at once, so that those that never come leave the pool to others.
const MOST_OPENS: usize = 2;

/// A connection that several requests use at once. It goes back to Spin when the last of them drops it.
pub(crate) struct Lease {
    connection: Connection,
    /// A round trip, as far as that is known: how long the checkout took, or the first statement, both of which may be more.
    round_trip: Cell<Duration>,
    /// From when on no other request may use it.
    ends: Cell<Instant>,
    /// Whether a request has come since the last tick, or was still using it then.
    used: Cell<bool>,
    /// Since when it is not.
    idle_since: Cell<Option<Instant>>,
    /// The statement that the others wait for.
    first: Cell<Option<First>>,
    /// Whether a statement on it takes long.
    slow: Cell<bool>,
}

/// The first statement on a connection, as ticks have seen it.
#[derive(Clone, Copy)]
struct First {
    number: u64,
    since: Instant,
    last: Instant,
}

impl Lease {
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn is_fresh(&self, now: Instant) -> bool {
        !self.slow.get() && !self.connection.is_poisoned() && now < self.ends.get()
    }

    /// Looks at a tick whether a statement takes long.
    fn look(&self, now: Instant) {
        let number = self.connection.first_statement();
        let first = match self.first.get() {
            // Others look at the same tick.
            Some(first) if Some(first.number) == number && first.last == now => return,
            // A tick that is late says nothing: the answer may be behind it.
            Some(first) if Some(first.number) == number && now.duration_since(first.last) < LATE_TICK => {
                First { last: now, ..first }
            }
            Some(_) | None => match number {
                Some(number) => First { number, since: now, last: now },
                None => return self.first.set(None),
            },
        };
        self.first.set(Some(first));
        if now.duration_since(first.since) >= slow(self.round_trip.get()) {
            self.slow.set(true);
        }
    }

    /// Keeps the connection for the requests to come, until the lease ends or none has come for some ticks. Not where it had
    /// to be waited for: others are waiting, too. `statement` is how long the first statement on it took.
    pub(crate) async fn keep(self: Rc<Self>, statement: Duration) {
        // A checkout is one round trip, a statement two.
        let checkout = self.round_trip.get();
        self.round_trip.set(checkout.min(statement));
        tick_every(slow(self.round_trip.get()));
        if checkout > FAST_CHECKOUT.max(statement * 3 / 4) {
            return;
        }
        let far = Instant::now() + (checkout.min(statement) * FAR_ROUND_TRIPS).min(LONGEST);
        self.ends.set(self.ends.get().max(far));
        self.keep_while_used().await;
    }

    async fn keep_while_used(self: Rc<Self>) {
        keep_while(move |now| {
            let used = self.used.replace(Rc::strong_count(&self) > 1);
            let since = if used { now } else { self.idle_since.get().unwrap_or(now) };
            self.idle_since.set(Some(since));
            self.is_fresh(now) && now.duration_since(since) < IDLE
        })
        .await;
    }
}

impl EndsEarly for Lease {
    /// Whether the statement of this number waits behind another one that takes long.
    fn ends_early(&self, statement: u64, now: Instant) -> bool {
        self.look(now);
        self.slow.get() && self.connection.first_statement() != Some(statement)
    }
}

/// Whether this request began to open the connection, or another one did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Opened,
    Reused,
}

type Outcome = Result<Rc<Lease>, Failure>;

/// The connection of one candidate.
#[derive(Default)]
pub(crate) struct SharedConnection {
    /// Weak, so that only the requests in flight and the timer keep it.
    current: RefCell<Weak<Lease>>,
    /// There while the next connection is opened.
    opening: RefCell<Option<Rc<InFlightOpen>>>,
    /// How many are opened, also those that nobody waits for any more.
    under_way: Cell<usize>,
    /// Those who would take the connection of an open that they have waited for in vain.
    waiting_for_late: RefCell<Vec<Notifier>>,
}

/// A connection is opened by a task of its own, and all who need it wait for that (single-flight).
#[derive(Default)]
struct InFlightOpen {
    outcome: OnceCell<Outcome>,
    waiters: RefCell<Vec<Notifier>>,
}

impl InFlightOpen {
    async fn wait(&self) -> Option<Outcome> {
        if self.outcome.get().is_none() {
            let (notifier, mut notified) = signal::channel();
            self.waiters.borrow_mut().push(notifier);
            notified.wait().await;
        }
        self.outcome.get().cloned()
    }
}

impl SharedConnection {
    /// A connection that is shared for as long as `lease`, or somewhat longer where the database is far. Nothing where
    /// there is none at `until`: the next request that needs one then opens another.
    pub(crate) async fn acquire(
        self: &Rc<Self>,
        url: &DatabaseUrl,
        lease: Duration,
        until: Instant,
    ) -> Option<Result<(Rc<Lease>, Origin), Failure>> {
        loop {
            let mut origin = Origin::Reused;
            if let Some(current) = self.usable() {
                return Some(Ok((current, Origin::Reused)));
            }
            let under_way = self.opening.borrow().clone();
            let opening = match under_way {
                Some(opening) => opening,
                None => {
                    origin = Origin::Opened;
                    self.open(url.clone(), lease).await
                }
            };
            match timeout_at(until, opening.wait()).await {
                Some(Some(outcome)) => return Some(outcome.map(|lease| (lease, origin))),
                // One that had been given up came first.
                Some(None) => {}
                None => {
                    // Spin's pool may have handed out a connection on which a statement is stuck.
                    if self.under_way.get() < MOST_OPENS {
                        self.opening.borrow_mut().take_if(|present| Rc::ptr_eq(present, &opening));
                    }
                    return None;
                }
            }
        }
    }

    /// Begins to open the next connection. The task goes on whatever becomes of this request: on a machine that is too busy
    /// to open any connection in the time of a request there would never be one.
    async fn open(self: &Rc<Self>, url: DatabaseUrl, lease: Duration) -> Rc<InFlightOpen> {
        let opening = Rc::new(InFlightOpen::default());
        *self.opening.borrow_mut() = Some(Rc::clone(&opening));
        self.under_way.set(self.under_way.get() + 1);
        let guard = OpenGuard { shared: Rc::clone(self), opening: Rc::clone(&opening) };
        spawn_detached(async move {
            let outcome = timeout(LATE_OPEN, open(url, lease)).await.unwrap_or(Err(Failure::TimedOut));
            guard.finish(outcome).await;
        })
        .await;
        opening
    }

    /// The connection of an open that takes longer than those who waited for it have time; pending where there is none.
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

/// When a statement is slow where a round trip takes this long.
fn slow(round_trip: Duration) -> Duration {
    SLOW.max(round_trip * SLOW_ROUND_TRIPS)
}

/// Waits without bound for Spin.
async fn open(url: DatabaseUrl, lease: Duration) -> Outcome {
    let began = Instant::now();
    let connection = Connection::open(&url).await?;
    let opened = Instant::now();
    Ok(Rc::new(Lease {
        connection,
        round_trip: Cell::new(opened - began),
        ends: Cell::new(opened + lease),
        used: Cell::new(true),
        idle_since: Cell::new(None),
        first: Cell::new(None),
        slow: Cell::new(false),
    }))
}

/// The right to open the next connection. Dropping it, finished or not, wakes those who wait.
struct OpenGuard {
    shared: Rc<SharedConnection>,
    opening: Rc<InFlightOpen>,
}

impl OpenGuard {
    async fn finish(self, outcome: Outcome) {
        let lease = outcome.as_ref().ok().cloned();
        // Where it was given up, another one may be there already.
        if let Some(lease) = &lease
            && self.shared.usable().is_none()
        {
            *self.shared.current.borrow_mut() = Rc::downgrade(lease);
        }
        self.opening.outcome.get_or_init(|| outcome);
        let opening = Rc::clone(&self.opening);
        drop(self);
        // It is for the requests to come where nobody waits for it any more.
        if let Some(lease) = lease
            && Rc::strong_count(&opening) == 1
        {
            lease.keep_while_used().await;
        }
    }

    /// Whether the next request would wait for it.
    fn is_present(&self) -> bool {
        self.shared.opening.borrow().as_ref().is_some_and(|present| Rc::ptr_eq(present, &self.opening))
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.shared.under_way.set(self.shared.under_way.get() - 1);
        if self.is_present() {
            self.shared.opening.take();
        } else if let Some(present) = &*self.shared.opening.borrow() {
            // Those who wait for the next one need it no more.
            present.waiters.take();
        }
        self.opening.waiters.take();
        self.shared.waiting_for_late.take();
    }
}
