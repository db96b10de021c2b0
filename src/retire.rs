//! An instance that is one too many leaves.
//!
//! Spin starts an instance whenever a request finds none free, and then gives all of them requests in turn, so that none
//! is idle for long enough to be ended. After a burst there may be a hundred and more, each with a request or two at a
//! time, and each in want of one of the 64 connections in Spin's pool. No instance can end itself, but it can say that it
//! takes no more calls (the component model's backpressure): Spin ends one that has said so and has nothing left to do.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use spin_sdk::wit_bindgen::{backpressure_dec, backpressure_inc, yield_async};

use crate::pulse;

/// An instance with more reads than this at once is of use.
const FEW: usize = 4;

/// One in so many of the reads that might make their instance leave does, so that not all leave at once.
const ODDS: u32 = 4;

#[derive(Default)]
struct Door {
    in_flight: Cell<usize>,
    crowded: Cell<bool>,
    leaving: Cell<bool>,
    closed: Cell<bool>,
}

thread_local! {
    static DOOR: Door = Door::default();
}

impl Door {
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

/// A read that is in progress.
pub(crate) struct InFlight(());

impl InFlight {
    /// Begins a read, where it can be before the request has waited for anything: then all that Spin has given to this
    /// instance has begun, and closing the door shuts nobody out.
    pub(crate) fn begin() -> Self {
        DOOR.with(|door| {
            door.in_flight.set(door.in_flight.get() + 1);
            if door.crowded.get() && door.in_flight.get() <= FEW && chance() {
                door.leaving.set(true);
            }
            if door.leaving.get() {
                door.close();
            }
        });
        Self(())
    }

    /// Ends it. The last one of an instance that leaves closes the door for good.
    pub(crate) async fn end(self) {
        drop(self);
        if DOOR.with(Door::is_left) {
            // Whoever stood before the closed door comes in now.
            yield_async().await;
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

/// Whether this instance is about to end.
pub(crate) fn is_leaving() -> bool {
    DOOR.with(|door| door.leaving.get())
}

/// Tells whether the last connection that was opened had to be waited for: there are more instances than connections.
pub(crate) fn set_crowded(crowded: bool) {
    DOOR.with(|door| door.crowded.set(crowded));
}

/// Random enough for instances that are not to do the same at the same time.
fn chance() -> bool {
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    (nanoseconds >> 6).is_multiple_of(ODDS)
}
