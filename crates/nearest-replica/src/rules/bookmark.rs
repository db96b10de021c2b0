//! A bookmark: how far a session has seen the database, as text that an app hands on to its client and gets back.
//!
//! | text | the session reads |
//! |---|---|
//! | nothing | anywhere |
//! | `primary` | from the primary |
//! | `1-<system identifier>-<timeline>-<LSN>` | where that much of this cluster's log has been replayed |
//! | `1-until-<milliseconds since 1970>` | from the primary: until then because a write may still become visible, afterwards once, for a new bookmark |
//! | anything else | from the primary, which costs a detour and brings a new bookmark |
//!
//! Numbers are hexadecimal. A bookmark says nothing secret, is no proof of anything, and has at most 64 ASCII characters.

use std::fmt;

/// Of every packaged PostgreSQL.
const WAL_PAGE: u64 = 8192;
/// The header of a page, and of the first page of a segment (PostgreSQL's `xlog_internal.h`).
const PAGE_HEADERS: [u64; 2] = [24, 40];

/// A place in the write-ahead log of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Tells clusters apart.
    pub system: u64,
    /// Changes with each promotion, and makes positions of others incomparable.
    pub timeline: u32,
    /// The byte in the log.
    pub lsn: u64,
}

/// What a session has seen when it begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bookmark {
    /// Nothing.
    #[default]
    Nothing,
    /// Only the primary is sure to have it.
    Primary,
    /// What has been replayed up to there.
    At(Position),
    /// Only the primary, where it is final at this time: milliseconds since 1970.
    Until(u64),
}

impl Bookmark {
    /// Whatever a client has sent.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        if text.is_empty() {
            return Self::Nothing;
        }
        // Longer numbers than ours, signs and capitals would all be other texts for the same bookmark.
        let number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            if digits && text.len() <= 16 { u64::from_str_radix(text, 16).ok() } else { None }
        };
        let parts: Vec<_> = text.split('-').take(5).collect();
        let parsed = match parts.as_slice() {
            ["1", "until", at] => number(at).map(Self::Until),
            ["1", system, timeline, lsn] => number(system)
                .zip(number(timeline).and_then(|timeline| u32::try_from(timeline).ok()))
                .zip(number(lsn))
                .map(|((system, timeline), lsn)| Self::At(Position { system, timeline, lsn })),
            _ => None,
        };
        parsed.unwrap_or(Self::Primary)
    }

    /// The one that demands most of these, and the primary where two cannot be compared. What is no bookmark counts only
    /// where nothing else is one: a client may keep it for ever.
    #[must_use]
    pub fn strictest(texts: &[String]) -> Self {
        let (sound, nonsense): (Vec<_>, Vec<_>) = texts
            .iter()
            .map(|text| (text, Self::parse(text)))
            .partition(|(text, bookmark)| *bookmark != Self::Primary || text.trim() == "primary");
        let strictest = sound.into_iter().map(|(_, bookmark)| bookmark).fold(Self::Nothing, Self::stricter);
        if strictest == Self::Nothing && !nonsense.is_empty() { Self::Primary } else { strictest }
    }

    fn stricter(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, one) | (one, Self::Nothing) => one,
            (Self::Until(one), Self::Until(other)) => Self::Until(one.max(other)),
            (until @ Self::Until(_), Self::Primary | Self::At(_))
            | (Self::Primary | Self::At(_), until @ Self::Until(_)) => until,
            (Self::At(one), Self::At(other)) if one.is_comparable(other) => {
                Self::At(if one.lsn < other.lsn { other } else { one })
            }
            (Self::Primary | Self::At(_), Self::Primary | Self::At(_)) => Self::Primary,
        }
    }
}

impl fmt::Display for Bookmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Primary => f.write_str("primary"),
            Self::At(Position { system, timeline, lsn }) => write!(f, "1-{system:x}-{timeline:x}-{lsn:x}"),
            Self::Until(at) => write!(f, "1-until-{at:x}"),
        }
    }
}

/// Whether a server may answer a session that has seen a [`Position`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It has replayed that much.
    Fresh,
    /// A replica that has not, or a primary of an earlier timeline: the old one, come back after a failover.
    Behind,
    /// A replica for which the position means nothing: another cluster or timeline.
    ForeignReplica,
    /// A primary of another cluster or a later timeline, or one whose log is shorter: the cluster as it is now.
    ForeignPrimary,
}

impl Position {
    /// Where the log stood when a server was asked, after what the session has done.
    ///
    /// Before the first record of a page the server reports the place behind the page's header, which no replica reports
    /// until that record is there. No record ends in the header, so the page's start says the same.
    pub(crate) fn new(system: u64, timeline: u32, lsn: u64) -> Self {
        let in_page = lsn % WAL_PAGE;
        let lsn = if PAGE_HEADERS.contains(&in_page) { lsn - in_page } else { lsn };
        Self { system, timeline, lsn }
    }

    /// From system identifier, timeline and LSN as the server prints them.
    #[must_use]
    pub fn parse(system: &str, timeline: &str, lsn: &str) -> Option<Self> {
        let (high, low) = lsn.split_once('/')?;
        let (high, low) = (u32::from_str_radix(high, 16).ok()?, u32::from_str_radix(low, 16).ok()?);
        let lsn = u64::from(high) << 32 | u64::from(low);
        Some(Self::new(system.parse().ok()?, timeline.parse().ok()?, lsn))
    }

    /// Whether this server is a replica, and how far it is after everything that the session has done on it.
    ///
    /// On the primary the insert position: with `synchronous_commit = off` a commit is visible before it is flushed. The
    /// timeline out of the name of the log file: `pg_control_checkpoint()` still has the old one for seconds after a
    /// promotion. A replica is asked for the higher of two, since each lags in its own way; one that is too low makes a
    /// bookmark of another timeline, which costs a detour.
    pub const MINT: &str = "SELECT pg_is_in_recovery(), (SELECT system_identifier FROM pg_control_system())::text,
        (CASE WHEN pg_is_in_recovery()
            THEN (SELECT greatest(c.timeline_id, r.min_recovery_end_timeline)
                  FROM pg_control_checkpoint() c, pg_control_recovery() r)
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END)::text,
        (CASE WHEN pg_is_in_recovery()
            THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END)::text";

    /// Compares the server with a position by the number of rows, the cheapest thing to take out of Spin. It must be a
    /// statement of its own before the read: in one statement the read's snapshot may be older than the comparison.
    pub const CHECK: &str = "SELECT 1 FROM generate_series(1, (SELECT CASE WHEN pg_is_in_recovery() THEN CASE
            WHEN system <> $1::text THEN 2
            WHEN replayed < $2::int4 THEN 1
            WHEN replayed > $2::int4 THEN 2
            WHEN pg_last_wal_replay_lsn() >= $3::text::pg_lsn THEN 0 ELSE 1 END
        WHEN system <> $1::text THEN 3
        WHEN ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int < $2::int4 THEN 1
        WHEN ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int > $2::int4 THEN 3
        WHEN pg_current_wal_insert_lsn() >= $3::text::pg_lsn THEN 0 ELSE 3 END
        FROM (SELECT s.system_identifier::text AS system,
                  greatest(c.timeline_id, r.min_recovery_end_timeline) AS replayed
              FROM pg_control_system() s, pg_control_checkpoint() c, pg_control_recovery() r) AS control))";

    /// Whether whoever has replayed this much has replayed the other as well.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.is_comparable(other) && self.lsn >= other.lsn
    }

    /// Whether one of the two is before the other: of the same cluster, without a promotion in between.
    pub(crate) fn is_comparable(self, other: Self) -> bool {
        (self.system, self.timeline) == (other.system, other.timeline)
    }

    /// The parameters of [`Position::CHECK`].
    #[must_use]
    pub fn parameters(self) -> (String, i32, String) {
        // A timeline that is no `int4` is none of this cluster.
        let timeline = i32::try_from(self.timeline).unwrap_or(-1);
        (self.system.to_string(), timeline, format!("{:X}/{:X}", self.lsn >> 32, self.lsn & 0xFFFF_FFFF))
    }
}

impl Freshness {
    /// What the number of rows of [`Position::CHECK`] means; nothing for more than three.
    #[must_use]
    pub fn from_rows(rows: u64) -> Option<Self> {
        match rows {
            0 => Some(Self::Fresh),
            1 => Some(Self::Behind),
            2 => Some(Self::ForeignReplica),
            3 => Some(Self::ForeignPrimary),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bookmark_is_read_as_it_was_written_and_is_short() {
        let longest = Position { system: u64::MAX, timeline: u32::MAX, lsn: u64::MAX };
        for bookmark in [Bookmark::At(longest), Bookmark::Until(u64::MAX), Bookmark::Nothing, Bookmark::Primary] {
            let text = bookmark.to_string();
            assert_eq!(Bookmark::parse(&text), bookmark);
            assert!(text.len() <= 64 && text.is_ascii(), "{text}");
        }
        let position = Position::parse("7712943641909519006", "1", "0/3000AF8").unwrap();
        assert_eq!(Bookmark::At(position).to_string(), "1-6b09e1609c9fe29e-1-3000af8");
    }

    #[test]
    fn whatever_else_a_client_sends_means_the_primary() {
        let long = "1-".repeat(40);
        let texts = [
            "x",
            "1",
            "1-",
            "1---",
            "1-2-3",
            "1-2-3-4-5",
            "2-2-3-4",
            "1-+2-3-4",
            "1-2-ffffffffff-4",
            "1-2-3-4 5",
            "1-until-",
            "1-until-x",
            "1-2-3-11112222333344445",
            "1-A-3-4",
            "ä-2-3-4",
            "\u{0}",
            long.as_str(),
        ];
        for text in texts {
            assert_eq!(Bookmark::parse(text), Bookmark::Primary, "{text:?}");
        }
        assert_eq!(Bookmark::parse(" \t"), Bookmark::Nothing);
    }

    #[test]
    fn of_several_bookmarks_the_one_counts_that_demands_most() {
        for (texts, expected) in [
            (&[][..], ""),
            (&["", " "], ""),
            (&["", "1-1-1-5"], "1-1-1-5"),
            (&["1-1-1-5", "1-1-1-a", "1-1-1-7"], "1-1-1-a"),
            (&["1-1-1-5", "1-1-2-5"], "primary"),
            (&["1-1-1-5", "1-2-1-5", "1-1-1-6"], "primary"),
            (&["1-1-1-5", "primary"], "primary"),
            (&["1-until-5", "1-1-1-5", "primary", "1-until-4"], "1-until-5"),
            (&["nonsense", "1-1-1-5", "x"], "1-1-1-5"),
            (&["nonsense", ""], "primary"),
        ] {
            for turn in 0..texts.len().max(1) {
                let mut texts: Vec<_> = texts.iter().map(|&text| text.to_owned()).collect();
                texts.rotate_left(turn);
                assert_eq!(Bookmark::strictest(&texts).to_string(), expected, "{texts:?}");
            }
        }
    }

    #[test]
    fn a_position_behind_a_page_header_is_the_start_of_the_page() {
        for (lsn, kept) in
            [(0x3000028, 0x3000000), (0x3002018, 0x3002000), (0x3002020, 0x3002020), (0x3002000, 0x3002000)]
        {
            assert_eq!(Position::new(1, 1, lsn).lsn, kept, "{lsn:x}");
        }
    }

    #[test]
    fn a_position_is_given_to_the_server_as_the_server_prints_it() {
        let position = Position::parse("7", "2", "16/B374D848").unwrap();
        assert_eq!(position.parameters(), ("7".to_owned(), 2, "16/B374D848".to_owned()));
        for (system, timeline, lsn) in
            [("", "1", "0/1"), ("1", "x", "0/1"), ("1", "1", "01"), ("1", "1", "0/1FFFFFFFF")]
        {
            assert_eq!(Position::parse(system, timeline, lsn), None);
        }
    }
}
