//! An instance that is one too many ends.
//!
//! Spin starts an instance whenever a request finds none free, and then gives all of them requests in turn, so that none
//! is idle for long enough to be ended. After a burst there may be two hundred, each with a request or two at a time, and
//! each in want of one of the 64 connections in Spin's pool. No instance can end itself, but it can say that it takes no
//! more calls (the component model's backpressure): Spin ends one that has said so and has nothing left to do.
//!
//! That is so where Spin itself calls this component. Behind HTTP middleware Spin does not see what it says, and would go
//! on to give it requests, which would wait for ever: the variable `retire` has to be `false` there.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spin_sdk::time::sleep;
use spin_sdk::wit_bindgen::{backpressure_dec, backpressure_inc};

use crate::pulse;

/// An instance with more requests than this at once is of use.
const FEW: usize = 4;

/// One in so many of the requests that might make their instance leave does, so that not all leave at once.
const ODDS: u32 = 4;

/// For how long the door stands open before it is closed for good. Any timer of the host would do: a yield may be over
/// before Spin has had its turn, where this task has other work.
const LAST_CALL: Duration = Duration::from_millis(1);

#[derive(Default)]
struct Door {
    allowed: Cell<bool>,
    in_flight: Cell<usize>,
    /// How many connections in a row had to be waited for.
    waits: Cell<usize>,
    leaving: Cell<bool>,
    closed: Cell<bool>,
}

thread_local! {
    static DOOR: Door = Door::default();
}

impl Door {
    /// The first connection of an instance may be a new one, which is always slow.
    fn is_crowded(&self) -> bool {
        self.waits.get() > 1 && self.in_flight.get() <= FEW
    }

    fn close(&self) {
        if !self.closed.replace(true) {
            backpressure_inc();
        }
    }

    fn open(&self) {
        if self.closed.replace(false) {
            backpressure_dec();
        }
    }

    fn is_left(&self) -> bool {
        self.leaving.get() && self.in_flight.get() == 0
    }
}

/// A request that is in progress.
pub(crate) struct InFlight(());

impl InFlight {
    /// The first thing that a request does: what Spin has given to this instance has begun by then, and closing the door
    /// shuts nobody out.
    pub(crate) fn begin() -> Self {
        DOOR.with(|door| {
            door.in_flight.set(door.in_flight.get() + 1);
            if door.allowed.get() && door.is_crowded() && chance() {
                door.leaving.set(true);
            }
            if door.leaving.get() {
                door.close();
            }
        });
        Self(())
    }

    /// The last thing that it does. The last request of an instance that leaves closes the door for good.
    pub(crate) async fn end(self) {
        drop(self);
        if DOOR.with(Door::is_left) {
            // Should somebody stand before the closed door after all, he comes in now.
            sleep(LAST_CALL).await;
            if DOOR.with(Door::is_left) {
                DOOR.with(Door::close);
                pulse::stop();
            }
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        DOOR.with(|door| {
            door.in_flight.set(door.in_flight.get() - 1);
            // Nobody would be left to open it.
            if door.in_flight.get() == 0 {
                door.open();
            }
        });
    }
}

/// Whether this instance may leave at all.
pub(crate) fn allow(allowed: bool) {
    DOOR.with(|door| door.allowed.set(allowed));
}

/// Whether this instance is about to end.
pub(crate) fn is_leaving() -> bool {
    DOOR.with(|door| door.leaving.get())
}

/// Tells whether the last connection that was opened had to be waited for: there are more instances than connections.
pub(crate) fn set_waited(waited: bool) {
    DOOR.with(|door| door.waits.set(if waited { door.waits.get() + 1 } else { 0 }));
}

/// Random enough for instances that are not to do the same at the same time.
fn chance() -> bool {
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    (nanoseconds >> 6).is_multiple_of(ODDS)
}
