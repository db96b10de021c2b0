//! For a component that stands in front of an app and runs none of its statements: whether what a session has seen is where
//! its request is, and what to do about a write that somebody else has run.

use std::time::Instant;

use super::Session;
use super::state::{Requirement, Seen, now, until};
use crate::instance::events::UNTIL_FINAL;
use crate::instance::timer::timeout;
use crate::position::{mint, mint_of_primary, tells_nothing};
use crate::problem::Problem;
use crate::read::Scope;
use crate::rules::bookmark::{Bookmark, Position};
use crate::rules::failure::Failure;
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
    /// replica that is not known to be dead, for which it waits for `bookmark_wait_ms` at most, and as long again as a read
    /// of it may take. Where it has not, the request belongs in the primary region.
    ///
    /// # Errors
    /// [`Problem::Behind`] in the primary region, where the database is behind: a replica since a failover, or the old
    /// primary come back. [`Problem::Misconfigured`] there, where Spin refuses to connect. A database that does not answer is
    /// no error: the app that asks it next says so.
    pub async fn has_arrived(&mut self) -> Result<bool, Problem> {
        let elsewhere = self.database().config().placement.other_region().is_some();
        let bookmark = self.state.borrow().bookmark;
        let has_replicas = self.database().reader().targets.len() > 1;
        match bookmark {
            Bookmark::Nothing => Ok(true),
            Bookmark::Primary | Bookmark::Until(_) if elsewhere && has_replicas => Ok(false),
            // Every read is from the primary, and a new bookmark may be due.
            Bookmark::Primary | Bookmark::Until(_) => {
                self.state.borrow_mut().seen = Seen::Primary(None);
                Ok(true)
            }
            Bookmark::At(_) if elsewhere && !has_replicas => Ok(true),
            Bookmark::At(position) => self.is_at(position, elsewhere).await,
        }
    }

    /// Whether it has what the primary has now, outside the primary region, where [`Session::has_arrived`] has said no: a bookmark that is ahead of
    /// that, of another cluster, or says no more than `primary`, is not worth more.
    ///
    /// # Errors
    /// Where the primary does not say how far it is in time.
    pub async fn has_what_the_primary_has(&mut self) -> Result<bool, Problem> {
        let Some(now_there) = self.ask_primary().await? else { return Ok(false) };
        let bookmark = self.state.borrow().bookmark;
        match bookmark {
            // Waited for already.
            Bookmark::At(seen) if seen.is_comparable(now_there) && seen.lsn <= now_there.lsn => return Ok(false),
            // Still of use to the user's next requests.
            Bookmark::Until(at) if at > now() => {}
            Bookmark::Nothing | Bookmark::Primary | Bookmark::Until(_) | Bookmark::At(_) => {
                let mut state = self.state.borrow_mut();
                (state.bookmark, state.foreign) = (Bookmark::At(now_there), true);
            }
        }
        self.is_at(now_there, true).await
    }

    /// How far the primary is; nothing where it does not tell.
    ///
    /// # Errors
    /// Where it does not answer in time, or is a replica.
    pub async fn ask_primary(&self) -> Result<Option<Position>, Problem> {
        let run = async |_, connection: &Connection| mint_of_primary(connection).await;
        match self.database().reader().answer(self.end, Scope::Primary, run).await {
            Ok(answer) => Ok(Some(answer.value)),
            Err(no_answer) if no_answer.tried.last().is_some_and(|last| tells_nothing(&last.failure)) => Ok(None),
            Err(no_answer) if no_answer.is_not_permitted() => Err(self.database().not_permitted(&no_answer)),
            Err(no_answer) => Err(self.database().problem(no_answer, self.began)),
        }
    }

    /// What was found to be here by [`Session::has_arrived`] or [`Session::has_what_the_primary_has`].
    #[must_use]
    pub fn arrived(&self) -> Option<Position> {
        self.state.borrow().arrived
    }

    /// How far the database is where that was found, which may be further by now; nothing where it does not say in a quarter
    /// of the deadline.
    pub async fn position_where_it_arrived(&self) -> Option<Position> {
        let Seen::Server(_, connection) = self.state.borrow().seen.clone() else { return None };
        let (_, position) = timeout(self.database().config().deadline / 4, mint(&connection)).await?.ok()?;
        Some(position)
    }

    async fn is_at(&self, position: Position, elsewhere: bool) -> Result<bool, Problem> {
        let requirement = Requirement::new(Some(position), false);
        let run = async |kind, connection: &Connection| {
            self.require(&requirement, kind, connection).await.map(|()| connection.clone())
        };
        let scope = if elsewhere { Scope::Replica } else { Scope::Any };
        let config = self.database().config();
        // The rest of its time is for the app.
        let end = self.end.min(Instant::now() + config.deadline / 4 + config.bookmark_wait);
        match self.database().reader().answer(end, scope, run).await {
            Ok(answer) => {
                self.remember(answer.kind, answer.value);
                self.state.borrow_mut().arrived = Some(position);
                Ok(true)
            }
            Err(no_answer) if no_answer.is_not_permitted() => {
                let problem = self.database().not_permitted(&no_answer);
                // Elsewhere it may be the replica alone.
                if elsewhere { Ok(false) } else { Err(problem) }
            }
            Err(no_answer) if elsewhere => {
                self.database().log_detour(&no_answer);
                Ok(false)
            }
            Err(no_answer) => {
                let is_behind = no_answer.tried.iter().any(|attempt| matches!(attempt.failure, Failure::Behind));
                if is_behind { Err(self.database().problem(no_answer, self.began)) } else { Ok(true) }
            }
        }
    }

    /// Takes note of a write that was run on the primary by other means, so that [`Session::bookmark`] covers it.
    pub fn note_write(&mut self, written: Written) {
        let mut state = self.state.borrow_mut();
        state.wrote = true;
        state.seen = Seen::Primary(None);
        if written == Written::Uncertain {
            state.bookmark = until(UNTIL_FINAL);
        }
    }
}
