//! For a component that stands in front of an app and runs none of its statements: whether what a session has seen is where
//! its request is, and what to do about a write that somebody else has run.

use super::Session;
use super::state::{Requirement, Seen, until};
use crate::instance::written::UNTIL_FINAL;
use crate::problem::Problem;
use crate::read::Scope;
use crate::rules::bookmark::Bookmark;
use crate::spin::postgres::Connection;

/// What became of a write that was run by other means than [`Session::write`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is there, or it never will be.
    Final,
    /// It may still become visible.
    Uncertain,
}

impl Session {
    /// Whether the database that reads are from here has what the session has seen: outside the primary region the nearest
    /// replica that is not known to be dead, for which it waits for `bookmark_wait_ms` at most. Where it has not, the request belongs in the primary region.
    ///
    /// # Errors
    /// [`Problem::Behind`] in the primary region, where the database is behind: a replica since a failover, or the old
    /// primary come back. One that does not answer is no error: the app that asks it next says so.
    pub async fn has_arrived(&self) -> Result<bool, Problem> {
        let elsewhere = self.database().config().placement.other_region().is_some();
        let (bookmark, reader) = (self.state.borrow().bookmark, self.database().reader());
        let has_replicas = reader.targets.len() > 1;
        let position = match bookmark {
            Bookmark::Nothing => return Ok(true),
            Bookmark::Primary | Bookmark::Until(_) if elsewhere && has_replicas => return Ok(false),
            // Every read is from the primary, and a new bookmark may be due.
            Bookmark::Primary | Bookmark::Until(_) => {
                self.state.borrow_mut().seen = Seen::Primary(None);
                return Ok(true);
            }
            Bookmark::At(_) if elsewhere && !has_replicas => return Ok(true),
            Bookmark::At(position) => position,
        };
        let requirement = Requirement::new(Some(position), false);
        let run = async |kind, connection: &Connection| {
            self.require(&requirement, kind, connection).await.map(|()| connection.clone())
        };
        let scope = if elsewhere { Scope::Replica } else { Scope::Any };
        match reader.answer(self.end, scope, run).await {
            Ok(answer) => {
                self.remember(answer.kind, answer.value);
                Ok(true)
            }
            Err(no_answer) if elsewhere => {
                self.database().log_detour(&no_answer);
                Ok(false)
            }
            Err(no_answer) => {
                let problem = self.database().problem(no_answer, self.began);
                if matches!(problem, Problem::Behind(_)) { Err(problem) } else { Ok(true) }
            }
        }
    }

    /// Takes note of a write that was run on the primary by other means, so that [`Session::bookmark`] covers it.
    pub fn note_write(&self, written: Written) {
        let mut state = self.state.borrow_mut();
        state.wrote = true;
        state.seen = Seen::Primary(None);
        if written == Written::Uncertain {
            state.bookmark = until(UNTIL_FINAL);
        }
    }
}
