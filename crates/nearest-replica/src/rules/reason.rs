//! Why a statement ran where it did, in one word for headers and logs.

use std::fmt;

use super::candidates::CandidateKind;
use super::failure::Failure;
use super::recovery::Recovery;
use super::region::Placement;
use super::sqlstate::SqlState;

/// Why a statement ran where it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The first candidate answered: the region's own replica.
    Local,
    /// The first candidate answered: the nearest replica, by the URL that it was given.
    Nearest,
    /// The Machine is in the primary region, or there are no regions.
    PrimaryRegion,
    /// There is no replica for this `DATABASE_URL`.
    NoReplica,
    /// A candidate before this one did not answer, or was known not to.
    ReplicaDown,
    /// A replica refused the statement, where only the primary may say no.
    ReplicaRefused,
    /// The statement was a read that writes.
    ReadThatWrites,
    /// The replicas have not replayed what the session has seen.
    BookmarkBehind,
    /// The session's bookmark says "from the primary", or nothing to this cluster.
    BookmarkPrimary,
    /// The session has read or written here before, and does not go back in time.
    SameSession,
    /// The app asked for the primary.
    Asked,
    /// It is a write.
    Write,
}

impl Reason {
    /// As it stands in headers and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Nearest => "nearest",
            Self::PrimaryRegion => "primary-region",
            Self::NoReplica => "no-replica",
            Self::ReplicaDown => "replica-down",
            Self::ReplicaRefused => "replica-refused",
            Self::ReadThatWrites => "read-that-writes",
            Self::BookmarkBehind => "bookmark-behind",
            Self::BookmarkPrimary => "bookmark-primary",
            Self::SameSession => "same-session",
            Self::Asked => "asked",
            Self::Write => "write",
        }
    }

    /// Why a read moved on after this failure of another candidate.
    pub(crate) fn after(failure: &Failure) -> Self {
        match (failure, Recovery::after(failure)) {
            (Failure::Behind, _) => Self::BookmarkBehind,
            (failure, _) if failure.sqlstate() == Some(SqlState::QUERY_CANCELED) => Self::ReplicaRefused,
            (_, Recovery::Fail) => Self::ReplicaRefused,
            (_, Recovery::Retry | Recovery::FailOver) => Self::ReplicaDown,
        }
    }

    /// Why a read ran on `kind` although nothing failed in it; whether that is the first candidate.
    pub(crate) fn of(kind: CandidateKind, is_first: bool, placement: &Placement) -> Self {
        match kind {
            _ if !is_first => Self::ReplicaDown,
            CandidateKind::Local => Self::Local,
            CandidateKind::Nearest | CandidateKind::ReplicaPort => Self::Nearest,
            CandidateKind::Configured if placement.other_region().is_some() => Self::NoReplica,
            CandidateKind::Configured => Self::PrimaryRegion,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
