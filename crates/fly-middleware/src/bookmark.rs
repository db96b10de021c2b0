//! A user's bookmark, as their client keeps it: in a cookie, or in a header for clients that have none.

use nearest_replica::parts::Bookmark;

/// The name of the cookie and of the header: nobody else's.
pub(crate) const NAME: &str = "nearest-replica-bookmark";

/// The one that demands most, of these headers and of the cookies in those.
pub(crate) fn find(headers: impl Iterator<Item = String>, cookies: impl Iterator<Item = String>) -> String {
    let mut texts: Vec<_> = headers.collect();
    for cookies in cookies {
        let pairs = cookies.split(';').filter_map(|cookie| cookie.trim().split_once('='));
        texts.extend(pairs.filter(|(name, _)| *name == NAME).map(|(_, value)| value.to_owned()));
    }
    Bookmark::strictest(&texts).to_string()
}

/// The cookie, for as long as a replica may reasonably lag: a day.
pub(crate) fn cookie(bookmark: &str, is_https: bool) -> String {
    let secure = if is_https { "; Secure" } else { "" };
    format!("{NAME}={bookmark}; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax{secure}")
}
