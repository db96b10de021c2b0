//! What a request says that the middleware needs to know, asked for when it is needed: each question is a call of the host.

use std::cell::OnceCell;

use spin_sdk::wasip3::http::types::{Headers, Method, Request};

use crate::bookmark;

/// Method and headers.
pub(crate) struct Received {
    pub(crate) method: Method,
    headers: Headers,
    bookmark: OnceCell<String>,
}

impl Received {
    pub(crate) fn of(request: &Request) -> Self {
        Self { method: request.get_method(), headers: request.get_headers(), bookmark: OnceCell::new() }
    }

    /// The first of a header.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.all(name).next()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.has(name)
    }

    fn all(&self, name: &str) -> impl Iterator<Item = String> {
        self.headers.get(name).into_iter().filter_map(|value| String::from_utf8(value).ok())
    }

    /// The user's, out of the header or the cookie.
    pub(crate) fn bookmark(&self) -> &str {
        self.bookmark.get_or_init(|| bookmark::find(self.all(bookmark::NAME), self.all("cookie")))
    }

    /// Whether the client speaks HTTPS: with Fly's proxy, which speaks HTTP with the Machine, or with Spin.
    pub(crate) fn is_https(&self) -> bool {
        match self.header("x-forwarded-proto") {
            Some(scheme) => scheme == "https",
            None => self.header("spin-full-url").is_some_and(|url| url.starts_with("https:")),
        }
    }
}

/// The path that a request is for, without what is behind it.
pub(crate) fn path(request: &Request) -> String {
    let target = request.get_path_with_query().unwrap_or_default();
    target.split('?').next().filter(|path| !path.is_empty()).unwrap_or("/").to_owned()
}
