//! One user: a request at a time, to Machines of all regions, with the bookmark that the last answer brought. And users
//! with clients that break the rules, whom the checker must catch.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::Method;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::call::{Call, Outcome};
use super::plan::{Keys, request};
use super::regions::Address;
use super::state::shared;
use super::statements::Step;

/// Longer than any deadline.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a client goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// As it should.
    Honest,
    /// It never sends a bookmark.
    IgnoresBookmarks,
    /// It sends a write again whose outcome is unknown, until it is known.
    RetriesAfterUnknown,
    /// It asks a replica in one statement both for the value and for how far the replica is.
    ChecksInTheSameStatement,
}

/// A user, in the middle of what they do.
pub(super) struct User {
    session: u32,
    client: Client,
    random: StdRng,
    requests: u32,
    bookmark: String,
    /// The shared numbers, as it has seen them last.
    seen: [i64; 2],
}

impl User {
    pub(super) fn new(session: u32, client: Client, random: StdRng) -> Self {
        Self { session, client, random, requests: 0, bookmark: String::new(), seen: [0; 2] }
    }

    /// One request, and what became of each of its steps.
    pub(super) async fn go_on(&mut self, addresses: &[Address], keys: &Keys, start: Instant) -> Vec<Call> {
        self.requests += 1;
        let steps = request(&mut self.random, self.session, self.requests, self.seen, keys);
        let bookmark = if self.client == Client::IgnoresBookmarks { String::new() } else { self.bookmark.clone() };
        let mut attempts = 1;
        let began = start.elapsed();
        let (region, outcomes) = loop {
            let (region, address) = &addresses[self.random.random_range(0..addresses.len())];
            let outcomes = self.send(*address, &bookmark, &steps).await;
            let unknown = outcomes
                .iter()
                .zip(&steps)
                .any(|(outcome, step)| matches!(outcome, Outcome::Unknown(_)) && !step.effects.is_empty());
            if self.client != Client::RetriesAfterUnknown || !unknown || attempts == 10 {
                break (region, outcomes);
            }
            attempts += 1;
        };
        let ended = start.elapsed();
        let calls = steps.into_iter().zip(outcomes).map(|(Step { effects, .. }, outcome)| {
            let (region, bookmark) = (region.clone(), bookmark.clone());
            let (session, request) = (self.session, self.requests);
            Call { session, request, region, bookmark, effects, outcome, attempts, began, ended }
        });
        let calls: Vec<_> = calls.collect();
        for view in calls.iter().filter_map(Call::view) {
            for (number, seen) in (0..).zip(&mut self.seen) {
                *seen = view.numbers.get(&shared(number)).copied().unwrap_or(*seen);
            }
        }
        calls
    }

    async fn send(&mut self, address: SocketAddr, bookmark: &str, steps: &[Step]) -> Vec<Outcome> {
        if self.client == Client::ChecksInTheSameStatement
            && let Some(outcomes) = self.check_in_the_same_statement(address, steps).await
        {
            return outcomes;
        }
        let script: Vec<_> = steps.iter().map(|step| &step.step).collect();
        match post(address, bookmark, &json!(script)).await {
            Ok((results, bookmark)) => {
                self.bookmark = bookmark;
                steps.iter().zip(&results).map(|(step, result)| step.outcome(result)).collect()
            }
            Err(error) => steps.iter().map(|step| step.without_answer(&format!("{error:#}"))).collect(),
        }
    }

    /// Nothing where the server is not as far as the bookmark, or the steps are not all reads.
    async fn check_in_the_same_statement(&self, address: SocketAddr, steps: &[Step]) -> Option<Vec<Outcome>> {
        let lsn = u64::from_str_radix(self.bookmark.split('-').nth(3)?, 16).ok()?;
        let lsn = format!("{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF);
        let script = steps.iter().map(|step| {
            let read = step.step["read"].as_str().filter(|_| step.effects.is_empty())?;
            // The snapshot is of the beginning, the position of the end.
            Some(
                json!({ "read": format!("SELECT ({read}), pg_sleep(0.3)::text, pg_last_wal_replay_lsn() >= '{lsn}'") }),
            )
        });
        let script: Vec<_> = script.collect::<Option<_>>()?;
        let (results, _) = post(address, "", &json!(script)).await.ok()?;
        let fresh = results.iter().all(|result| result["rows"][0][2] == true);
        fresh.then(|| steps.iter().zip(&results).map(|(step, result)| step.outcome(result)).collect())
    }
}

/// Plays a script: the results of its steps, and the next bookmark.
async fn post(address: SocketAddr, bookmark: &str, steps: &Value) -> Result<(Vec<Value>, String)> {
    let script = json!({ "bookmark": bookmark, "steps": steps });
    let answer = async {
        let mut client = crate::client::Client::connect(address).await?;
        client.send_with(Method::POST, "/", &[], script.to_string()).await
    };
    let answer = tokio::time::timeout(PATIENCE, answer).await.context("waiting for an answer")??;
    let mut body: Value = serde_json::from_str(&answer.body).with_context(|| format!("status {}", answer.status))?;
    let results = body["results"].as_array_mut().map(std::mem::take).context("there are no results")?;
    ensure!(Some(results.len()) == steps.as_array().map(Vec::len), "there are {} results", results.len());
    Ok((results, body["bookmark"].as_str().context("there is no bookmark")?.to_owned()))
}
