//! Who may talk to the lab: the page itself, from this machine. A page of somebody else's that is open in the same browser
//! must not be able to kill a database, nor read what the lab shows.

use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};

/// The addresses under which the page is asked for. Others, such as a name that leads to this machine (DNS rebinding), are
/// not.
#[derive(Clone)]
pub(crate) struct Origins(Vec<String>);

impl Origins {
    pub(crate) fn of(port: u16) -> Self {
        let hosts = ["127.0.0.1", "localhost"].into_iter();
        // The port of the scheme itself is left out.
        Self(
            hosts
                .flat_map(|host| [format!("{host}:{port}")].into_iter().chain((port == 80).then(|| host.to_owned())))
                .collect(),
        )
    }

    /// Why a request is refused, if it is. Browsers send `Origin` with every POST; they ask before they send JSON to
    /// another origin, and the lab never says yes.
    pub(crate) fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_ours = |host: &str| self.0.iter().any(|own| own.eq_ignore_ascii_case(host));
        if !is_ours(text(HOST)) {
            return Err((StatusCode::FORBIDDEN, "ask for the address that the lab has printed"));
        }
        // An image of another page has no `Origin`. A link to this page is fine.
        let site = text(HeaderName::from_static("sec-fetch-site"));
        let is_link = text(HeaderName::from_static("sec-fetch-mode")) == "navigate";
        if !["", "same-origin", "none"].contains(&site) && !is_link {
            return Err((StatusCode::FORBIDDEN, "only the lab's own page may ask for that"));
        }
        let origin = headers.contains_key(ORIGIN).then(|| text(ORIGIN));
        match origin.map(|origin| origin.strip_prefix("http://").is_some_and(is_ours)) {
            Some(true) => {}
            None if method == Method::GET || method == Method::HEAD => {}
            Some(false) | None => return Err((StatusCode::FORBIDDEN, "only the lab's own page may ask for that")),
        }
        let json = text(CONTENT_TYPE).split(';').next().is_some_and(|kind| kind.trim() == "application/json");
        if method == Method::POST && !json {
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "send JSON, as `content-type: application/json` says"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, headers: &[(HeaderName, &'static str)]) -> Option<u16> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        Origins::of(3003).check(method, &headers).err().map(|(status, _)| status.as_u16())
    }

    #[test]
    fn only_the_page_itself_may_command() {
        let own = [(HOST, "127.0.0.1:3003"), (ORIGIN, "http://127.0.0.1:3003"), (CONTENT_TYPE, "application/json")];
        assert_eq!(asked(&Method::POST, &own), None);
        let by_name = [(HOST, "localhost:3003"), (ORIGIN, "http://localhost:3003"), (CONTENT_TYPE, "application/json")];
        assert_eq!(asked(&Method::POST, &by_name), None);
        for origin in ["http://example.com", "http://127.0.0.1:3000", "https://127.0.0.1:3003", "null", ""] {
            let foreign = [(HOST, "127.0.0.1:3003"), (ORIGIN, origin), (CONTENT_TYPE, "application/json")];
            assert_eq!(asked(&Method::POST, &foreign), Some(403), "{origin}");
            assert_eq!(asked(&Method::GET, &foreign), Some(403), "{origin}");
        }
        assert_eq!(asked(&Method::POST, &[own[0].clone(), own[2].clone()]), Some(403), "without an origin");
        assert_eq!(asked(&Method::POST, &own[..2]), Some(415), "a form can be sent from any page");
    }

    #[test]
    fn a_name_that_leads_here_is_not_enough_to_look() {
        assert_eq!(asked(&Method::GET, &[(HOST, "127.0.0.1:3003")]), None);
        for host in ["evil.example:3003", "127.0.0.1", "127.0.0.1:3000", ""] {
            assert_eq!(asked(&Method::GET, &[(HOST, host)]), Some(403), "{host}");
        }
        let image = [(HOST, "127.0.0.1:3003"), (HeaderName::from_static("sec-fetch-site"), "cross-site")];
        assert_eq!(asked(&Method::GET, &image), Some(403), "an image of another page");
        let link = (HeaderName::from_static("sec-fetch-mode"), "navigate");
        assert_eq!(asked(&Method::GET, &[image[0].clone(), image[1].clone(), link]), None, "a link on another page");
    }
}
