//! The headers that the proxy adds to requests and responses, and those that end at it.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// They are about one connection (RFC 9110, 7.6.1).
const HOP_BY_HOP: [&str; 6] = ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];
const VIA: &str = "1.1 fly.io";

/// Takes out what ends at the proxy; says whether the request wanted to upgrade the connection.
pub(super) fn take_hop_by_hop(headers: &mut HeaderMap) -> bool {
    let upgrade = headers.contains_key(header::UPGRADE);
    let named: Vec<_> = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok()).collect();
    let named: Vec<_> = named.join(",").split(',').filter_map(|name| name.trim().parse::<HeaderName>().ok()).collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    upgrade
}

/// What Fly tells an app about a request.
///
/// A client cannot forge what the proxy sets itself. Whether Fly takes out a client's own `fly-replay-src` and
/// `fly-replay-failed` is not documented: here they get through, which an app has to live with.
pub(super) fn add_to_request(headers: &mut HeaderMap, region: &str, id: &str, client: SocketAddr, edge: SocketAddr) {
    let forwarded = format!("{}, {}", client.ip(), edge.ip());
    append_to_list(headers, "x-forwarded-for", &forwarded);
    append_to_list(headers, "via", VIA);
    set(headers, "fly-region", region);
    set(headers, "fly-client-ip", &client.ip().to_string());
    set(headers, "fly-request-id", id);
    set(headers, "fly-forwarded-port", &edge.port().to_string());
    set(headers, "x-forwarded-proto", "http");
    set(headers, "x-forwarded-ssl", "off");
    if !headers.contains_key("x-forwarded-port") {
        set(headers, "x-forwarded-port", &edge.port().to_string());
    }
}

/// What Fly tells a client. A replayed answer has been seen with `via` twice.
pub(super) fn add_to_response(headers: &mut HeaderMap, id: &str, replays: usize) {
    set(headers, "fly-request-id", id);
    set(headers, "server", "Fly/imitation");
    append_to_list(headers, "via", &vec![VIA; 1 + replays].join(", "));
}

/// Puts a value in the place of all there were.
pub(super) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    headers.insert(name, HeaderValue::from_str(value).expect("it is made of numbers, names and what was in a header"));
}

fn append_to_list(headers: &mut HeaderMap, name: &'static str, value: &str) {
    let before = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let list: Vec<_> = before.chain([value]).collect();
    set(headers, name, &list.join(", "));
}
