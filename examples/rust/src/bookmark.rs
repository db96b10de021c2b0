//! The guest's bookmark: in a cookie for browsers, in a header for other clients.

use spin_sdk::http::{HeaderMap, Uri};

/// The name of the cookie and of the header.
pub(crate) const NAME: &str = "bookmark";

/// What the client has sent; the library takes anything.
pub(crate) fn bookmark_of(headers: &HeaderMap) -> &str {
    let texts = |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let in_cookies = texts("cookie").flat_map(|cookies| cookies.split(';')).filter_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        (name == NAME).then_some(value)
    });
    texts(NAME).chain(in_cookies).find(|bookmark| !bookmark.is_empty()).unwrap_or_default()
}

/// The cookie, for as long as a replica may reasonably lag: a day.
pub(crate) fn cookie(bookmark: &str, is_https: bool) -> String {
    let secure = if is_https { "; Secure" } else { "" };
    format!("{NAME}={bookmark}; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax{secure}")
}

/// Whether the client speaks HTTPS, to Fly's proxy or to Spin.
pub(crate) fn is_https(uri: &Uri, headers: &HeaderMap) -> bool {
    let forwarded = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    forwarded.or(uri.scheme_str()) == Some("https")
}
