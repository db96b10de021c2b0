//! A write, from when it is sent until the app is told of it.

use std::rc::Rc;

use nearest_replica::parts::Outcome;

use crate::bindings::imports::spin::postgres::postgres as pg;
use crate::database::Replicas;
use crate::failure::of;
use crate::floor::Writes;
use crate::host::{Host, NoStore, block};

/// What may have been written, and nobody else on this Machine knows of yet. Dropped, as where the app does not wait for the
/// end, it may still happen.
pub(crate) struct Written {
    host: Host,
    writes: Writes,
    /// Where reads are to be at home again soon.
    replicas: Option<Rc<Replicas>>,
    /// Whether a part of it may stay where it fails.
    in_parts: bool,
    pending: bool,
}

impl Written {
    pub(crate) fn may_be(host: Host, writes: Writes, replicas: Option<Rc<Replicas>>, in_parts: bool) -> Self {
        Self { host, writes, replicas, in_parts, pending: true }
    }

    /// The statement has come to its end.
    ///
    /// # Errors
    /// Where the key-value store has not taken note of it in time: others on this Machine may not see it for a while.
    pub(crate) async fn done(mut self) -> Result<(), pg::Error> {
        self.pending = false;
        let noted = self.writes.written(self.host).await;
        if let (Host::Async, Some(replicas)) = (self.host, &self.replicas) {
            replicas.mint(self.host).await;
        }
        noted.map_err(|NoStore| {
            pg::Error::Other(
                "postgres-adapter: the statement was run, but the key-value store has not taken note of it: other requests \
                 on this Machine may read what was there before; look at what is there before you repeat it"
                    .to_owned(),
            )
        })?;
        self.writes.known(self.host).await;
        Ok(())
    }

    /// It has failed.
    ///
    /// # Errors
    /// As [`Written::done`], where a part of it may be there.
    pub(crate) async fn failed(mut self, error: &pg::Error) -> Result<(), pg::Error> {
        match Outcome::after(&of(error)) {
            Outcome::Unknown => {
                self.pending = false;
                self.writes.may_be_written(self.host).await;
                self.writes.known(self.host).await;
            }
            Outcome::RolledBack { .. } | Outcome::ReadOnly if self.in_parts => return self.done().await,
            Outcome::RolledBack { .. } | Outcome::NotSent | Outcome::ReadOnly => self.pending = false,
        }
        Ok(())
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
