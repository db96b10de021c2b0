//! A user's bookmark, as their client keeps it: in a cookie, or in a header for clients that have none.

/// The name of the cookie and of the header.
pub(crate) const NAME: &str = "bookmark";

/// The first that is not empty, out of these headers and of the cookies in those.
pub(crate) fn find(headers: impl Iterator<Item = String>, cookies: impl Iterator<Item = String>) -> String {
    let in_cookies = cookies.filter_map(|cookies| {
        let mut ours = cookies.split(';').filter_map(|cookie| {
            let (name, value) = cookie.trim().split_once('=')?;
            (name == NAME && !value.is_empty()).then(|| value.to_owned())
        });
        ours.next()
    });
    headers.chain(in_cookies).find(|bookmark| !bookmark.is_empty()).unwrap_or_default()
}

/// The cookie, for as long as a replica may reasonably lag: a day.
pub(crate) fn cookie(bookmark: &str, is_https: bool) -> String {
    let secure = if is_https { "; Secure" } else { "" };
    format!("{NAME}={bookmark}; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax{secure}")
}
