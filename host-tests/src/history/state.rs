//! What is in the database: the tables that the users write, and what they hold at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};

use super::book::{OWN, SIGNED};
use crate::postgres::Server;
use crate::wait::eventually;

/// How many users there are.
pub(super) const SESSIONS: u32 = 9;
/// How many numbers all sessions share.
pub(super) const SHARED: u32 = 2;

/// All numbers, as `name=number` with spaces in between.
pub(super) const NUMBERS: &str = "SELECT coalesce(string_agg(name || '=' || n, ' '), '') FROM numbers";
/// All rows, with spaces in between.
pub(super) const FACTS: &str = "SELECT coalesce(string_agg(fact, ' '), '') \
                                FROM (SELECT fact FROM list UNION ALL SELECT fact FROM keys) AS facts";

/// Everything that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Numbers by their names.
    pub numbers: BTreeMap<String, i64>,
    /// Rows, and how often each is there.
    pub facts: BTreeMap<String, usize>,
}

impl State {
    /// Reads it when nobody is connected any more, so that nothing can come later.
    ///
    /// # Errors
    /// When somebody stays connected.
    pub async fn at_the_end(server: &Server) -> Result<Self> {
        Self::read(server, FACTS, NUMBERS).await
    }

    /// The same of a guestbook's table.
    ///
    /// # Errors
    /// When somebody stays connected.
    pub async fn of_the_book(server: &Server) -> Result<Self> {
        Self::read(server, SIGNED, OWN).await
    }

    async fn read(server: &Server, all_facts: &str, all_numbers: &str) -> Result<Self> {
        let others = "SELECT count(*)::text FROM pg_stat_activity \
                      WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        let alone = eventually(Duration::from_secs(30), "all connections to end", async || {
            (server.ask(others).await.ok()? == "0").then_some(())
        });
        alone.await?;
        let mut facts = BTreeMap::new();
        for fact in server.ask(all_facts).await?.split_whitespace() {
            *facts.entry(fact.to_owned()).or_insert(0) += 1;
        }
        let numbers = numbers(&server.ask(all_numbers).await?).context("reading the numbers")?;
        Ok(Self { numbers, facts })
    }
}

/// Makes the tables of a history. Nothing in `list` keeps a row from being there twice.
///
/// # Errors
/// When the server refuses it.
pub async fn make_tables(server: &Server) -> Result<()> {
    let names = (0..SESSIONS).flat_map(|session| [register(session), counter(session)]);
    let rows: Vec<_> = names.chain((0..SHARED).map(shared)).map(|name| format!("('{name}', 0)")).collect();
    let tables = format!(
        "CREATE TABLE numbers (name text PRIMARY KEY, n bigint NOT NULL);
         CREATE TABLE list (fact text NOT NULL);
         CREATE TABLE keys (key bigint PRIMARY KEY, fact text NOT NULL);
         INSERT INTO numbers VALUES {}",
        rows.join(", ")
    );
    server.ask(&tables).await?;
    Ok(())
}

/// The number that a session sets.
pub(super) fn register(session: u32) -> String {
    format!("register-{session}")
}

/// The number that a session increments.
pub(super) fn counter(session: u32) -> String {
    format!("counter-{session}")
}

/// A number that all increment.
pub(super) fn shared(number: u32) -> String {
    format!("shared-{number}")
}

/// What [`NUMBERS`] returns.
pub(super) fn numbers(text: &str) -> Option<BTreeMap<String, i64>> {
    let pair = |text: &str| {
        let (name, number) = text.split_once('=')?;
        Some((name.to_owned(), number.parse().ok()?))
    };
    text.split_whitespace().map(pair).collect()
}
