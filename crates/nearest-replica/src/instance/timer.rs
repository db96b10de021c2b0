//! The one timer of an instance. If each request had a timer of its own, it would have to cancel a call of the host when
//! its answer is there. That is expensive: it stops the whole instance until the host has let go, and costs as much CPU
//! time as a tenth of a read (`make bench`, "what our own rules cost").
//!
//! While something waits or is kept, one task of the instance ticks. It belongs to the request that started it, and goes
//! on after that request's response.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use spin_sdk::time::sleep;

use super::signal::{self, Notified, Notifier, spawn_detached};

/// The time between two ticks, at least and at most: how late a sleep may end that was shorter, and a statement see that the
/// one before it is slow.
const TICK: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_millis(25);

#[derive(Default)]
struct Timer {
    running: Cell<bool>,
    /// How soon somebody would like the next tick.
    wanted: Cell<Duration>,
    due: RefCell<Vec<Due>>,
    last_number: Cell<u64>,
    /// The channels of sleeps that are over: as many as there ever were at once.
    spare: RefCell<Vec<(Notifier, Notified)>>,
    /// Called at each tick until they say `false`.
    kept: RefCell<Vec<Box<Keep>>>,
}

/// What is asked at the time of a tick whether to keep something for longer.
type Keep = dyn Fn(Instant) -> bool;

/// Who says at each tick whether a sleep ends before its time.
pub(crate) trait EndsEarly {
    /// For the sleep of this number.
    fn ends_early(&self, number: u64, now: Instant) -> bool;
}

/// One of these, and the number to ask it for.
pub(crate) type Early = (Rc<dyn EndsEarly>, u64);

/// A sleep that has not ended.
struct Due {
    number: u64,
    at: Instant,
    /// Says at each tick whether it ends before.
    early: Option<Early>,
    notifier: Notifier,
}

/// Why there is no result yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The time is over.
    Late,
    /// The caller had said that it ends now.
    Early,
}

thread_local! {
    static TIMER: Timer = Timer::default();
}

/// Ends at a certain time, unless it is dropped before.
struct Sleep {
    number: u64,
    notified: Option<Notified>,
}

impl Sleep {
    fn until(at: Instant, early: Option<Early>) -> Self {
        let (number, notified) = TIMER.with(|timer| {
            let (notifier, notified) = timer.spare.borrow_mut().pop().unwrap_or_else(signal::channel);
            let number = timer.last_number.get() + 1;
            timer.last_number.set(number);
            timer.due.borrow_mut().push(Due { number, at, early, notifier });
            (number, notified)
        });
        Self { number, notified: Some(notified) }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        TIMER.with(|timer| {
            let mut due = timer.due.borrow_mut();
            let mine = due.iter().position(|due| due.number == self.number).map(|index| due.swap_remove(index));
            // It did not end: the next sleep can have its channel.
            timer.spare.borrow_mut().extend(mine.map(|due| due.notifier).zip(self.notified.take()));
        });
    }
}

/// From now on ticks come about this often.
pub(crate) fn tick_every(wanted: Duration) {
    TIMER.with(|timer| timer.wanted.set(wanted));
}

/// Calls `keep` at each tick until it says `false`.
pub(crate) async fn keep_while(keep: impl Fn(Instant) -> bool + 'static) {
    TIMER.with(|timer| timer.kept.borrow_mut().push(Box::new(keep)));
    start().await;
}

/// Whether the timer was running, so that nothing was waited for.
async fn start() -> bool {
    let was_running = TIMER.with(|timer| timer.running.replace(true));
    if !was_running {
        // It may be cut off before it begins.
        let ended = Ended;
        spawn_detached(run(ended)).await;
    }
    was_running
}

/// However the timer ends, the next sleep finds none and starts one; those that wait look at the clock and sleep again.
struct Ended;

impl Drop for Ended {
    fn drop(&mut self) {
        TIMER.with(|timer| {
            timer.running.set(false);
            timer.due.take();
            timer.kept.take();
        });
    }
}

async fn run(_ended: Ended) {
    while let Some(next) = TIMER.with(Timer::next_tick) {
        sleep(next).await;
        TIMER.with(|timer| timer.fire_due(Instant::now()));
    }
}

impl Timer {
    /// How long until the next tick; nothing where nobody needs one.
    fn next_tick(&self) -> Option<Duration> {
        let due = self.due.borrow();
        let first = due.iter().map(|due| due.at).min();
        if first.is_none() && self.kept.borrow().is_empty() {
            return None;
        }
        let tick = self.wanted.get().clamp(*TICK.start(), *TICK.end());
        Some(first.map_or(tick, |first| first.saturating_duration_since(Instant::now()).min(tick)))
    }

    fn fire_due(&self, now: Instant) {
        self.due.borrow_mut().retain(|due| {
            due.at > now && !due.early.as_ref().is_some_and(|(early, number)| early.ends_early(*number, now))
        });
        self.kept.borrow_mut().retain(|keep| keep(now));
    }
}

/// Where half of the time that is left is over.
pub(crate) fn halfway_to(end: Instant) -> Instant {
    end - end.saturating_duration_since(Instant::now()) / 2
}

/// Waits, by a timer of its own: it is seldom given up, and a tick of the common one may be late by more than it is long.
pub async fn pause(duration: Duration) {
    sleep(duration).await;
}

/// The result of a future, or nothing when it is not there after `limit`; the future is dropped then.
pub async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    if let Poll::Ready(result) = at_once(future.as_mut()).await {
        return Some(result);
    }
    // A look at the clock is a call of the host: one is enough.
    unless_ended(Instant::now() + limit, None, future).await.ok()
}

/// The result of a future, or nothing when it is not there at `end`; the future is dropped then.
pub(crate) async fn timeout_at<T>(end: Instant, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    if let Poll::Ready(result) = at_once(future.as_mut()).await {
        return Some(result);
    }
    if Instant::now() < end { unless_ended(end, None, future).await.ok() } else { None }
}

/// The result of a future, which stays as it is where that is not there at `end`, or where `early` says at a tick before that
/// it is not to be waited for any more.
///
/// # Errors
/// Says which of the two.
pub(crate) async fn unless<T>(
    end: Instant,
    early: Option<&Early>,
    mut future: Pin<&mut impl Future<Output = T>>,
) -> Result<T, Stopped> {
    match at_once(future.as_mut()).await {
        Poll::Ready(result) => Ok(result),
        Poll::Pending => unless_ended(end, early, future).await,
    }
}

async fn at_once<T>(mut future: Pin<&mut dyn Future<Output = T>>) -> Poll<T> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// [`unless`] for a future that was polled a moment ago; of any type, so that the code for it is there once.
async fn unless_ended<T>(
    end: Instant,
    early: Option<&Early>,
    mut future: Pin<&mut dyn Future<Output = T>>,
) -> Result<T, Stopped> {
    loop {
        let mut sleep = Sleep::until(end, early.cloned());
        // The future was polled a moment ago, and wakes this task for what has happened since, unless that has woken it already.
        let mut polled = start().await;
        let mut sleeping = pin!(sleep.notified.as_mut().expect("it has not ended").wait());
        let result = poll_fn(|cx| {
            if !std::mem::take(&mut polled)
                && let Poll::Ready(result) = future.as_mut().poll(cx)
            {
                return Poll::Ready(Some(result));
            }
            sleeping.as_mut().poll(cx).map(|()| None)
        });
        if let Some(result) = result.await {
            return Ok(result);
        }
        let now = Instant::now();
        if now >= end {
            return Err(Stopped::Late);
        }
        // A sleep may also end where the timer was cut off with the request that had started it.
        if early.is_some_and(|(early, number)| early.ends_early(*number, now)) {
            return Err(Stopped::Early);
        }
    }
}
