//! Requests by hand: one visitor, who goes from region to region and keeps their cookies.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cookie::{Cookie, CookieJar};
use host_tests::client::Client;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::requests::{ms, reason};

/// As long as a user of the page may wait.
const PATIENCE: Duration = Duration::from_secs(20);
/// How much of an answer is shown, in characters.
const SHOWN: usize = 4_000;

/// A request, as the page sends it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HandRequest {
    pub(crate) region: String,
    method: String,
    path: String,
    #[serde(default)]
    body: String,
}

/// What came back.
#[derive(Debug, Serialize)]
pub(crate) struct Reply {
    status: u16,
    took_ms: f64,
    reason: String,
    headers: Vec<(String, String)>,
    body: String,
    cookies: usize,
}

/// The visitor.
#[derive(Default)]
pub(crate) struct Visitor {
    cookies: Mutex<CookieJar>,
}

impl Visitor {
    /// Another visitor, whom nobody knows.
    pub(crate) fn forget(&self) {
        *self.jar() = CookieJar::default();
    }

    pub(crate) async fn send(&self, edge: SocketAddr, request: &HandRequest) -> Result<Reply> {
        let method =
            Method::from_bytes(request.method.as_bytes()).context("that is no HTTP method: write GET or POST")?;
        ensure!(request.path.starts_with('/'), "a path starts with a slash");
        let cookies = self.jar().iter().map(|cookie| cookie.stripped().to_string()).collect::<Vec<_>>().join("; ");
        let mut headers = vec![("user-agent", "lab-visitor")];
        if !cookies.is_empty() {
            headers.push((COOKIE.as_str(), cookies.as_str()));
        }
        if !request.body.is_empty() {
            headers.push(("content-type", media_type(&request.body)));
        }
        let sending = async {
            let mut client = Client::connect(edge).await?;
            client.send_with(method, &request.path, &headers, request.body.clone()).await
        };
        let answer = timeout(PATIENCE, sending).await.context("there was no answer within 20 s")??;
        self.keep(&answer.headers);
        Ok(Reply {
            status: answer.status.as_u16(),
            took_ms: ms(answer.took),
            reason: reason(&answer.headers),
            headers: answer
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect(),
            body: answer.body.chars().take(SHOWN).collect(),
            cookies: self.jar().iter().count(),
        })
    }

    /// All cookies are kept for all paths: the visitor knows one app.
    fn keep(&self, headers: &HeaderMap) {
        let mut jar = self.jar();
        let cookies = headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
        for cookie in cookies.filter_map(|text| Cookie::parse(text.to_owned()).ok()) {
            if cookie.max_age().is_some_and(|age| age <= cookie::time::Duration::ZERO) {
                jar.force_remove(cookie.name());
            } else {
                jar.add_original(cookie);
            }
        }
    }

    fn jar(&self) -> MutexGuard<'_, CookieJar> {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn media_type(body: &str) -> &'static str {
    if body.trim_start().starts_with(['{', '[']) { "application/json" } else { "application/x-www-form-urlencoded" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_keeps_cookies_until_they_end() {
        let visitor = Visitor::default();
        let set = |value: &'static str| HeaderMap::from_iter([(SET_COOKIE, value.parse().unwrap())]);
        let kept = || visitor.jar().iter().map(|cookie| cookie.stripped().to_string()).collect::<Vec<_>>();
        visitor.keep(&set("bookmark=1-2; Path=/; HttpOnly"));
        visitor.keep(&set("bookmark=1-3; Max-Age=60"));
        assert_eq!(kept(), ["bookmark=1-3"]);
        visitor.keep(&set("bookmark=; Max-Age=0"));
        assert_eq!(kept(), [""; 0]);
    }

    #[test]
    fn a_body_that_looks_like_json_is_sent_as_json() {
        assert_eq!(media_type(" {\"a\": 1}"), "application/json");
        assert_eq!(media_type("name=Ann"), "application/x-www-form-urlencoded");
    }
}
