//! What a guest holds handles of: key-value stores and Postgres connections.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use deadpool_postgres::Object;

/// The entries of a store, shared by all instances.
#[derive(Clone, Debug, Default)]
pub struct Entries(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    entries: Mutex<BTreeMap<String, Vec<u8>>>,
    refuses_writes: AtomicBool,
}

impl Entries {
    /// Whether the store fails whoever writes, as Spin's own does while another process has locked its file.
    pub fn refuse_writes(&self, refuse: bool) {
        self.0.refuses_writes.store(refuse, Ordering::Relaxed);
    }

    pub(crate) fn with<R>(&self, read: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> R) -> R {
        read(&mut self.0.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Nothing where the store refuses it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) -> Option<()> {
        (!self.0.refuses_writes.load(Ordering::Relaxed)).then(|| self.with(change))
    }
}

/// What a store that refuses says.
pub(crate) const LOCKED: &str = "database is locked";

/// An open key-value store.
#[expect(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Store(pub(crate) Entries);

/// A Postgres connection. The pool gets it back when the guest and every call on it have let go.
#[expect(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Connection(pub(crate) Arc<Object>);

/// An address with a certificate authority of its own.
#[expect(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Builder {
    pub(crate) address: String,
    pub(crate) root_ca: Option<String>,
}
