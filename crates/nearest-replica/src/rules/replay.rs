//! Whether a request that writes is handed back to Fly's proxy, to be replayed in the primary region: one way over the
//! distance for all of its statements, instead of two and more for each (Fly's documentation, "Dynamic request routing").

use super::config::Config;

/// What Fly keeps of a request's body to replay it.
const LARGEST_BODY: u64 = 1_000_000;

/// The header of an answer that has a request replayed.
pub(crate) const REPLAY_HEADER: &str = "fly-replay";

/// The value of `fly-replay`, where the request can be replayed. `header` looks up a header of the request, by its name in
/// lower case; `has_body` whether its method comes with a body.
///
/// Not where it was replayed before, which could go on for ever, or came back since that failed; not where no proxy of
/// Fly's has been; not with a body that may be too long for Fly, or with a change of protocol.
pub(crate) fn replay<T: AsRef<str>>(
    config: &Config,
    has_body: bool,
    header: impl Fn(&str) -> Option<T>,
) -> Option<String> {
    config.placement.other_region()?;
    let primary = config.primary_region.as_ref()?;
    header("fly-request-id")?;
    if ["fly-replay-src", "fly-replay-failed", "upgrade", "transfer-encoding"].iter().any(|name| header(name).is_some())
    {
        return None;
    }
    match header("content-length").map(|length| length.as_ref().trim().parse::<u64>()) {
        Some(Ok(length)) if length <= LARGEST_BODY => {}
        Some(_) => return None,
        // As long as it likes.
        None if has_body => return None,
        None => {}
    }
    // Where the region cannot be reached, this Machine gets the request again and writes over the distance. Fly says that
    // the time is for reaching the region. Should it be for the answer, that is there before: the app has a deadline, too.
    let seconds = config.deadline.as_millis().div_ceil(1000) + 1;
    Some(format!("region={primary};state=nearest-replica;timeout={seconds}s;fallback=prefer_self"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::config::Variables;
    use crate::rules::config::tests::defaults;

    fn decide(here: &str, primary: &str, has_body: bool, headers: &[(&str, &'static str)]) -> Option<String> {
        let variables = Variables { primary_region: primary.into(), fly_region: here.into(), ..defaults() };
        let config = Config::new(&variables).unwrap();
        replay(&config, has_body, |name| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| *value))
    }

    const BY_FLY: (&str, &str) = ("fly-request-id", "01J-fra");

    #[test]
    fn a_write_elsewhere_is_replayed_in_the_primary_region() {
        let expected = "region=sjc;state=nearest-replica;timeout=6s;fallback=prefer_self";
        for length in ["0", "17", "1000000"] {
            assert_eq!(decide("fra", "sjc", true, &[BY_FLY, ("content-length", length)]).as_deref(), Some(expected));
        }
        assert!(decide("fra", "sjc", false, &[BY_FLY]).is_some(), "a DELETE without a body");
    }

    #[test]
    fn what_fly_could_not_replay_or_has_replayed_already_stays_here() {
        const SHORT: (&str, &str) = ("content-length", "17");
        let cases: &[(&str, &[(&str, &'static str)])] = &[
            ("no proxy of Fly's", &[SHORT]),
            ("replayed", &[BY_FLY, SHORT, ("fly-replay-src", "region=fra")]),
            ("back from a replay", &[BY_FLY, SHORT, ("fly-replay-failed", "reason=timeout")]),
            ("too long", &[BY_FLY, ("content-length", "1000001")]),
            ("no number", &[BY_FLY, ("content-length", "-1")]),
            ("of unknown length", &[BY_FLY]),
            ("in chunks", &[BY_FLY, ("transfer-encoding", "chunked")]),
            ("a WebSocket", &[BY_FLY, SHORT, ("upgrade", "websocket")]),
        ];
        for (why, headers) in cases {
            assert_eq!(decide("fra", "sjc", true, headers), None, "{why}");
        }
        for (here, primary) in [("sjc", "sjc"), ("fra", ""), ("", "sjc"), ("", "")] {
            assert_eq!(decide(here, primary, true, &[BY_FLY, SHORT]), None, "{here} {primary}");
        }
    }
}
