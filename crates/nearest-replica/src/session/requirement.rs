//! What a database must be to answer a session: checked on the very connection that its statements will run on.

use std::time::{Duration, Instant};

use super::state::{Requirement, Seen, now};
use super::{Plan, Session};
use crate::instance::target::role;
use crate::instance::timer::pause;
use crate::position::{check, mint, tells_nothing};
use crate::read::Scope;
use crate::rules::bookmark::{Bookmark, Freshness, Position};
use crate::rules::candidates::CandidateKind;
use crate::rules::failure::Failure;
use crate::rules::reason::Reason;
use crate::rules::role::Role;
use crate::spin::postgres::Connection;
use crate::write::within;

/// Between two looks at a replica that has not replayed enough yet.
const POLL: Duration = Duration::from_millis(20);

impl Session {
    /// Where a connection that is yet to be opened may lead, and what the database there must be.
    pub(crate) async fn requirement(&self) -> (Scope, Option<Reason>, Requirement) {
        self.leave_server().await;
        let (reason, must_be_primary) = match self.plan() {
            Plan::Nearest => return (Scope::Any, None, Requirement::new(self.position(), false)),
            // How far that is, is not known.
            Plan::Same(..) => (Reason::SameSession, true),
            Plan::Primary(reason) => (reason, reason != Reason::SameSession),
        };
        (Scope::Primary, Some(reason), Requirement::new(None, must_be_primary))
    }

    /// Puts down how far the server is that the session has read from, so that it need not stay on that connection.
    async fn leave_server(&self) {
        let (seen, bookmark) = {
            let state = self.state.borrow();
            (state.seen.clone(), state.bookmark)
        };
        let Seen::Server(_, connection) = seen else { return };
        if matches!(bookmark, Bookmark::Until(at) if at > now()) {
            return;
        }
        let Ok((_, position)) = within(self.end, mint(&connection)).await else { return };
        let mut state = self.state.borrow_mut();
        // The user's next bookmark must not be the one that leads to the primary each time.
        state.foreign |= !matches!(bookmark, Bookmark::Nothing | Bookmark::At(_));
        state.bookmark = Bookmark::At(position);
        state.seen = Seen::Nothing;
    }

    /// Returns when the database behind a connection is what it must be, for which it may wait once.
    ///
    /// # Errors
    /// [`Failure::Behind`] when it is not.
    pub(crate) async fn require(
        &self,
        requirement: &Requirement,
        kind: CandidateKind,
        connection: &Connection,
    ) -> Result<(), Failure> {
        if let Some(position) = requirement.position {
            let wait = self.database().config().bookmark_wait;
            let until = requirement.wait_until.get().unwrap_or(Instant::now() + wait);
            requirement.wait_until.set(Some(until));
            self.wait_for(position, until, kind, connection).await?;
        }
        if requirement.must_be_primary && role(connection).await? == Role::Replica {
            return Err(Failure::Behind);
        }
        Ok(())
    }

    /// Returns when a server has seen what the session has.
    ///
    /// # Errors
    /// [`Failure::Behind`] when it has not at `end`.
    async fn wait_for(
        &self,
        position: Position,
        end: Instant,
        kind: CandidateKind,
        connection: &Connection,
    ) -> Result<(), Failure> {
        loop {
            let freshness = match check(position, connection).await {
                Ok(freshness) => freshness,
                // Of all, the primary is sure to have it.
                Err(failure) if tells_nothing(&failure) => {
                    self.database().log_no_bookmarks(&failure);
                    Freshness::ForeignPrimary
                }
                Err(failure) => return Err(failure),
            };
            if matches!(freshness, Freshness::ForeignReplica | Freshness::ForeignPrimary) {
                self.state.borrow_mut().foreign = true;
            }
            match freshness {
                Freshness::Fresh => return Ok(()),
                Freshness::ForeignPrimary if kind == CandidateKind::Configured => return Ok(()),
                Freshness::Behind if Instant::now() < end => pause(POLL).await,
                Freshness::Behind | Freshness::ForeignReplica | Freshness::ForeignPrimary => {
                    return Err(Failure::Behind);
                }
            }
        }
    }
}
