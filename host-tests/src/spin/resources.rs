//! What a guest holds handles of: key-value stores and Postgres connections.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use deadpool_postgres::Object;

/// The entries of a store, shared by all instances.
#[derive(Clone, Default)]
pub(crate) struct Entries(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Entries {
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

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
