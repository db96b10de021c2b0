//! A write, from when it is sent until the app is told of it.

use std::rc::Rc;

use nearest_replica::parts::Outcome;

use crate::bindings::imports::spin::postgres::postgres as pg;
use crate::database::Replicas;
use crate::failure::of;
use crate::floor::Writes;
use crate::host::{Host, block};

/// What may have been written, and nobody else on this Machine knows of yet. Dropped, as where the app does not wait for the
/// end, it may still happen.
pub(crate) struct Written {
    host: Host,
    writes: Writes,
    /// Where reads are to be at home again soon.
    replicas: Option<Rc<Replicas>>,
    pending: bool,
}

impl Written {
    pub(crate) fn may_be(host: Host, writes: Writes, replicas: Option<Rc<Replicas>>) -> Self {
        Self { host, writes, replicas, pending: true }
    }

    /// The statement has come to its end.
    pub(crate) async fn done(mut self) {
        self.pending = false;
        self.writes.written(self.host).await;
        if let (Host::Async, Some(replicas)) = (self.host, &self.replicas) {
            replicas.mint(self.host).await;
        }
        self.writes.known(self.host).await;
    }

    /// It has failed.
    pub(crate) async fn failed(mut self, error: &pg::Error) {
        self.pending = false;
        match Outcome::after(&of(error)) {
            Outcome::Unknown => {
                self.writes.may_be_written(self.host).await;
                self.writes.known(self.host).await;
            }
            Outcome::RolledBack { .. } | Outcome::NotSent | Outcome::ReadOnly => {}
        }
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if self.pending {
            // Nothing can be awaited, and what is spawned ends with the request.
            block(self.writes.may_be_written(Host::Blocking));
        }
    }
}
