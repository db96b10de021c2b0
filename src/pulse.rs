//! The one timer of an instance. A timer of each request's own would be a call of the host that has to be cancelled
//! when the answer is there, and that is dear: it stops the whole instance until the host has let go, and costs as much
//! CPU time as a tenth of a read (`make bench`, "the price of our own rules").
//!
//! While something waits or is held, one task of the instance beats. It belongs to the request that began it, and goes
//! on behind that request's response.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use spin_sdk::time::sleep;

use crate::wake::{self, Waker, Woken, beside};

/// The longest time between two beats: how late an alarm may be that was set for less than that.
const BEAT: Duration = Duration::from_millis(25);

#[derive(Default)]
struct Pulse {
    beating: Cell<bool>,
    alarms: RefCell<Vec<Set>>,
    last_alarm: Cell<u64>,
    /// What alarms were made of that are over: as many as ever were set at once.
    spare: RefCell<Vec<(Waker, Woken)>>,
    /// Called at each beat until they say `false`.
    held: RefCell<Vec<Box<Keep>>>,
}

/// Whether to keep something on, at the time of a beat.
type Keep = dyn Fn(Instant) -> bool;

struct Set {
    number: u64,
    rings: Instant,
    waker: Waker,
}

thread_local! {
    static PULSE: Pulse = Pulse::default();
}

/// Rings at a time that is set, unless it is dropped before.
struct Alarm {
    number: u64,
    woken: Option<Woken>,
}

impl Alarm {
    fn set(rings: Instant) -> Self {
        let (number, woken) = PULSE.with(|pulse| {
            let (waker, woken) = pulse.spare.borrow_mut().pop().unwrap_or_else(wake::pair);
            let number = pulse.last_alarm.get() + 1;
            pulse.last_alarm.set(number);
            pulse.alarms.borrow_mut().push(Set { number, rings, waker });
            (number, woken)
        });
        Self { number, woken: Some(woken) }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        PULSE.with(|pulse| {
            let mut alarms = pulse.alarms.borrow_mut();
            let set = alarms.iter().position(|set| set.number == self.number).map(|at| alarms.swap_remove(at));
            // It did not ring: the next alarm can have what it is made of.
            pulse.spare.borrow_mut().extend(set.map(|set| set.waker).zip(self.woken.take()));
        });
    }
}

/// Calls `keep` at each beat until it says that there is nothing to keep any more.
pub(crate) async fn hold(keep: impl Fn(Instant) -> bool + 'static) {
    PULSE.with(|pulse| pulse.held.borrow_mut().push(Box::new(keep)));
    begin().await;
}

async fn begin() {
    if !PULSE.with(|pulse| pulse.beating.replace(true)) {
        beside(beat()).await;
    }
}

async fn beat() {
    /// However it ends, the next alarm finds no pulse, and those that wait look at the clock and set theirs again.
    struct Ended;
    impl Drop for Ended {
        fn drop(&mut self) {
            PULSE.with(|pulse| {
                pulse.beating.set(false);
                pulse.alarms.take();
                pulse.held.take();
            });
        }
    }
    let _ended = Ended;
    while let Some(next) = PULSE.with(Pulse::next) {
        sleep(next).await;
        PULSE.with(|pulse| pulse.strike(Instant::now()));
    }
}

impl Pulse {
    /// How long until the next beat; `None` where nobody needs one.
    fn next(&self) -> Option<Duration> {
        let alarms = self.alarms.borrow();
        let first = alarms.iter().map(|set| set.rings).min();
        if first.is_none() && self.held.borrow().is_empty() {
            return None;
        }
        Some(first.map_or(BEAT, |first| first.saturating_duration_since(Instant::now()).min(BEAT)))
    }

    fn strike(&self, now: Instant) {
        self.alarms.borrow_mut().retain(|set| set.rings > now);
        self.held.borrow_mut().retain(|keep| keep(now));
    }
}

/// One step with a time limit: the result, or `None` when it is not there after `limit`; the future is dropped then.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    until(Instant::now() + limit, future).await
}

/// The result, or `None` when it is not there at `end`; the future is dropped then.
pub(crate) async fn until<T>(end: Instant, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    if let Poll::Ready(result) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        return Some(result);
    }
    // An alarm may be early, where the beat was broken off.
    while Instant::now() < end {
        let mut alarm = Alarm::set(end);
        begin().await;
        let mut ringing = pin!(alarm.woken.as_mut()?.wait());
        // The future has been polled before, and is woken for what has happened since.
        let mut polled = true;
        let result = poll_fn(|cx| {
            if !std::mem::take(&mut polled)
                && let Poll::Ready(result) = future.as_mut().poll(cx)
            {
                return Poll::Ready(Some(result));
            }
            ringing.as_mut().poll(cx).map(|()| None)
        });
        if let Some(result) = result.await {
            return Some(result);
        }
    }
    None
}
