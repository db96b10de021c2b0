//! One guest of a guestbook that knows nothing of regions: lists, signs, and edits an entry of their own, over HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http::Method;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::book::{SLOW, own, own_id};
use super::call::{Call, Effect, Outcome, View};
use super::regions::Address;
use crate::client::{Answer, Client};
use crate::postgres::PRIMARY;

/// The header of the middleware.
const BOOKMARK: &str = "nearest-replica-bookmark";

/// Longer than any deadline.
const PATIENCE: Duration = Duration::from_secs(30);

/// A guest, in the middle of what they do.
pub(super) struct Guest {
    number: u32,
    random: StdRng,
    requests: u32,
    /// The last that an answer brought: none where there is no middleware.
    bookmark: String,
}

/// What a guest asks for.
enum Wish {
    List,
    Sign(String),
    Edit(i64),
}

impl Guest {
    pub(super) fn new(number: u32, random: StdRng) -> Self {
        Self { number, random, requests: 0, bookmark: String::new() }
    }

    /// One request, and what became of it.
    pub(super) async fn go_on(&mut self, addresses: &[Address], start: Instant) -> Vec<Call> {
        self.requests += 1;
        let wish = self.wish();
        let (region, address) = &addresses[self.random.random_range(0..addresses.len())];
        let name = if self.random.random_bool(0.15) { SLOW } else { "quick" };
        let bookmark = self.bookmark.clone();
        let began = start.elapsed();
        let answer = tokio::time::timeout(PATIENCE, self.send(*address, &wish, name)).await;
        let outcome = match answer.context("waiting for an answer") {
            Ok(Ok(answer)) => {
                if !answer.header(BOOKMARK).is_empty() {
                    answer.header(BOOKMARK).clone_into(&mut self.bookmark);
                }
                outcome(&answer)
            }
            Ok(Err(error)) | Err(error) => Outcome::Unknown(format!("no answer: {error:#}")),
        };
        let ended = start.elapsed();
        let effects = match wish {
            Wish::List => Vec::new(),
            Wish::Sign(fact) => vec![Effect::Fact { fact, key: None }],
            Wish::Edit(to) => own(own_id(self.number)).map(|name| Effect::Set { name, to }).into_iter().collect(),
        };
        let (session, request, region) = (self.number, self.requests, region.clone());
        vec![Call { session, request, region, bookmark, effects, outcome, attempts: 1, began, ended }]
    }

    fn wish(&mut self) -> Wish {
        // Some mostly read, so that somebody does while nobody writes.
        let writes = if self.number.is_multiple_of(3) { 0.1 } else { 0.45 };
        if !self.random.random_bool(writes) {
            Wish::List
        } else if self.random.random_bool(0.5) {
            Wish::Sign(format!("{}.{}", self.number, self.requests))
        } else {
            Wish::Edit(i64::from(self.requests))
        }
    }

    async fn send(&self, address: SocketAddr, wish: &Wish, name: &str) -> Result<Answer> {
        let mut client = Client::connect(address).await?;
        let mut headers = vec![("content-type", "application/json")];
        if !self.bookmark.is_empty() {
            headers.push((BOOKMARK, &self.bookmark));
        }
        let (path, message) = match wish {
            Wish::List => return client.send_with(Method::GET, "/entries", &headers, "").await,
            Wish::Sign(fact) => ("/entries".to_owned(), fact.clone()),
            Wish::Edit(to) => (format!("/entries/{}", own_id(self.number)), to.to_string()),
        };
        let entry = json!({ "name": name, "message": message }).to_string();
        client.send_with(Method::POST, &path, &headers, entry).await
    }
}

/// What a guest is told. The guestbook's own words do not tell a statement that was refused from one whose connection was
/// lost, so that only a connection that could not be opened is known to have changed nothing.
fn outcome(answer: &Answer) -> Outcome {
    match answer.status.as_u16() {
        200 | 201 => match view(&answer.body) {
            Ok(view) => Outcome::Acknowledged(view),
            Err(error) => Outcome::Unknown(format!("an answer that makes no sense: {error:#}")),
        },
        503 => Outcome::Nothing("503".to_owned()),
        status => Outcome::Unknown(status.to_string()),
    }
}

/// An entry, or a list of them.
fn view(body: &str) -> Result<View> {
    let body: Value = serde_json::from_str(body)?;
    let mut view = View { listed: Some(BTreeMap::new()), ..View::default() };
    let entries = body.as_array().map_or(std::slice::from_ref(&body), Vec::as_slice);
    for entry in entries {
        let id = entry["id"].as_i64().context("there is no id")?;
        let text = |field: &str| entry[field].as_str().with_context(|| format!("there is no {field}"));
        let region = text("name")?;
        view.candidate = if region == PRIMARY { "configured" } else { "local" }.to_owned();
        region.clone_into(&mut view.reason);
        let message = text("message")?.to_owned();
        if let Some(name) = own(id) {
            view.numbers.insert(name, message.parse()?);
        }
        view.listed.get_or_insert_default().insert(id, message);
    }
    Ok(view)
}
