//! One request of an instance wakes another.
//!
//! To the component model each request is a task of its own, and a task wakes only for events of the component model:
//! a channel or a mutex made in Rust does not reach it. wit-bindgen's remedy, its feature `inter-task-wakeup`, traps on
//! wasmtime 48 ("waitable cannot be used synchronously while added to a waitable set"); wit-bindgen's pull request 1638
//! is about it. So the event here is one of the component model: the end of a stream that never carries anything. When
//! spin-sdk has a wit-bindgen whose tasks can wake each other, a oneshot channel can take the place of this file.

use spin_sdk::wasip3::wit_stream;
use spin_sdk::wit_bindgen::{StreamReader, StreamWriter, spawn, yield_async};

/// Starts a future that goes on while this request does, and after its response.
pub async fn spawn_detached(future: impl Future<Output = ()> + 'static) {
    spawn(future);
    // wit-bindgen polls what was spawned only when something wakes the task again, which may be long.
    yield_async().await;
}

/// The same where nothing can be awaited, as when a value is dropped. It begins when something next wakes the task.
pub(crate) fn spawn_later(future: impl Future<Output = ()> + 'static) {
    spawn(future);
}

/// Wakes whoever waits for it when it is dropped.
pub struct Notifier(#[expect(dead_code, reason = "kept for its Drop")] StreamWriter<u8>);

/// Waits for its [`Notifier`] to be dropped.
pub struct Notified(StreamReader<u8>);

/// A notifier and the one that it wakes.
#[must_use]
pub fn channel() -> (Notifier, Notified) {
    let (writer, reader) = wit_stream::new();
    (Notifier(writer), Notified(reader))
}

impl Notified {
    /// Dropping the future leaves everything as it was.
    pub async fn wait(&mut self) {
        // Nothing is ever written: `None` is the end.
        let _ = self.0.next().await;
    }
}
