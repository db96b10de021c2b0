//! Whether a request that writes is handed back to Fly's proxy, to be replayed in the primary region: one way over the
//! distance for all of its statements, instead of two and more for each (Fly's documentation, "Dynamic request routing").

use super::config::Config;

/// What Fly keeps of a request's body to replay it.
const LARGEST_BODY: u64 = 1_000_000;

/// The header of an answer that has a request replayed.
pub(crate) const REPLAY_HEADER: &str = "fly-replay";

/// What to do with a request that writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Replay {
    /// Hand it back to Fly's proxy, with this for `fly-replay`.
    Ask(String),
    /// Run it here.
    RunHere,
    /// It came back from a replay that Fly takes for failed, and that may have run it all the same: run it nowhere.
    MayHaveRun,
}

/// What to do with a request that writes. `header` looks up a header of the request, by its name in lower case; `has_body`
/// whether its method comes with a body.
///
/// It is not replayed where it was before, which could go on for ever, or came back since that failed; not where no proxy
/// of Fly's has been; not with a body that may be too long for Fly, or with a change of protocol.
pub(crate) fn replay<T: AsRef<str>>(config: &Config, has_body: bool, header: impl Fn(&str) -> Option<T>) -> Replay {
    let Some(primary) = &config.primary_region else { return Replay::RunHere };
    // Before the region: Fly may give it to another Machine than the one that has asked.
    if header("fly-replay-failed").is_some_and(|failed| may_have_run(failed.as_ref())) {
        return Replay::MayHaveRun;
    }
    let is_by_fly = header("fly-request-id").is_some();
    if config.placement.other_region().is_none() || !is_by_fly {
        return Replay::RunHere;
    }
    if ["fly-replay-src", "fly-replay-failed", "upgrade", "transfer-encoding"].iter().any(|name| header(name).is_some())
    {
        return Replay::RunHere;
    }
    match header("content-length").map(|length| length.as_ref().trim().parse::<u64>()) {
        Some(Ok(length)) if length <= LARGEST_BODY => {}
        Some(_) => return Replay::RunHere,
        // As long as it likes.
        None if has_body => return Replay::RunHere,
        None => {}
    }
    // Fly says that the time is for reaching the region. Should it be for the answer, that is there before: the app has a
    // deadline, too.
    let seconds = config.deadline.as_millis().div_ceil(1000) + 1;
    Replay::Ask(format!("region={primary};state=nearest-replica;timeout={seconds}s;fallback=prefer_self"))
}

/// Whether a Machine may have got a request whose replay has failed, by `fly-replay-failed`. It has not where there was
/// none, or where no attempt to reach one succeeded; after a `timeout`, and for reasons that are yet to come, nobody knows.
fn may_have_run(failed: &str) -> bool {
    let reason = failed.split(';').find_map(|field| field.trim().strip_prefix("reason="));
    !matches!(reason, Some("no_candidate" | "retries_exhausted"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::config::Variables;
    use crate::rules::config::tests::defaults;

    fn decide(here: &str, primary: &str, has_body: bool, headers: &[(&str, &'static str)]) -> Replay {
        let variables = Variables { primary_region: primary.into(), fly_region: here.into(), ..defaults() };
        let config = Config::new(&variables).unwrap();
        replay(&config, has_body, |name| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| *value))
    }

    const BY_FLY: (&str, &str) = ("fly-request-id", "01J-fra");

    #[test]
    fn a_write_elsewhere_is_replayed_in_the_primary_region() {
        let expected = "region=sjc;state=nearest-replica;timeout=6s;fallback=prefer_self";
        let expected = Replay::Ask(expected.to_owned());
        for length in ["0", "17", "1000000"] {
            assert_eq!(decide("fra", "sjc", true, &[BY_FLY, ("content-length", length)]), expected);
        }
        assert_eq!(decide("fra", "sjc", false, &[BY_FLY]), expected, "a DELETE without a body");
    }

    #[test]
    fn what_fly_could_not_replay_or_has_replayed_already_stays_here() {
        const SHORT: (&str, &str) = ("content-length", "17");
        let cases: &[(&str, &[(&str, &'static str)])] = &[
            ("no proxy of Fly's", &[SHORT]),
            ("replayed", &[BY_FLY, SHORT, ("fly-replay-src", "region=fra")]),
            ("back from a replay", &[BY_FLY, SHORT, ("fly-replay-failed", "reason=no_candidate;elapsed_ms=3")]),
            ("back from another", &[BY_FLY, SHORT, ("fly-replay-failed", "app=a;reason=retries_exhausted")]),
            ("too long", &[BY_FLY, ("content-length", "1000001")]),
            ("no number", &[BY_FLY, ("content-length", "-1")]),
            ("of unknown length", &[BY_FLY]),
            ("in chunks", &[BY_FLY, ("transfer-encoding", "chunked")]),
            ("a WebSocket", &[BY_FLY, SHORT, ("upgrade", "websocket")]),
        ];
        for (why, headers) in cases {
            assert_eq!(decide("fra", "sjc", true, headers), Replay::RunHere, "{why}");
        }
        for (here, primary) in [("sjc", "sjc"), ("fra", ""), ("", "sjc"), ("", "")] {
            assert_eq!(decide(here, primary, true, &[BY_FLY, SHORT]), Replay::RunHere, "{here} {primary}");
        }
    }

    #[test]
    fn what_a_replay_may_have_run_that_has_failed_runs_nowhere_else() {
        for failed in
            ["reason=timeout", "app=a;region=sjc;reason=timeout;elapsed_ms=6000", "reason=new", "", "no_candidate"]
        {
            let headers = [BY_FLY, ("content-length", "17"), ("fly-replay-failed", failed)];
            for here in ["fra", "sjc", ""] {
                assert_eq!(decide(here, "sjc", true, &headers), Replay::MayHaveRun, "{here} {failed}");
            }
            assert_eq!(decide("fra", "", true, &headers), Replay::RunHere, "nothing of ours was replayed: {failed}");
        }
    }
}
