//! The response header `fly-replay`, and the request headers with which a replay or its fallback arrives.
//!
//! The documents give examples and no grammar. Assumed: no blanks, no empty or repeated field, quotes around lists of
//! regions and nowhere else, `s` and `ms` in durations. Whoever keeps to that cannot be refused by Fly for its form.

use std::time::Duration;

use http::{HeaderMap, header};

use super::refusal::{Code, Refusal};
use super::regions::Regions;
use super::route::{InstanceId, Route, Want};
use super::trace::Reason;

/// The app that all Machines belong to, as in `fly.toml`; a `fly-replay` to another one is refused.
pub const APP: &str = "nearest-replica";

/// Where an app wants its request to be answered instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Replay {
    regions: Option<Regions>,
    instance: Option<InstanceId>,
    prefer_instance: Option<InstanceId>,
    elsewhere: bool,
    pub(super) state: Option<String>,
    pub(super) timeout: Option<Duration>,
    pub(super) fallback: Option<Fallback>,
}

/// Who gets the request again when the replay failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fallback {
    /// The Machine that asked for the replay, or nobody.
    ForceSelf,
    /// That one, or else any of the app.
    PreferSelf,
}

impl Replay {
    /// What the headers of a response ask for.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let invalid = |why: &str| Err(Refusal::new(Code::Pa03, why));
        let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        if content_type.to_ascii_lowercase().starts_with(b"application/vnd.fly.replay+json") {
            return invalid("replays as JSON are not imitated");
        }
        let mut values = headers.get_all("fly-replay").iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return invalid("several `fly-replay`");
        }
        if headers.contains_key("fly-replay-cache") {
            return invalid("`fly-replay-cache` is not imitated");
        }
        match value.to_str() {
            Ok(text) => Self::parse(text).map(Some),
            Err(_) => invalid("`fly-replay` is not ASCII"),
        }
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        let mut replay = Self::default();
        let (mut seen, mut has_target) = (Vec::new(), false);
        for field in text.split(';') {
            let invalid = |what: &str| Refusal::new(Code::Pa03, format!("{what}: `{field}`"));
            let Some((name, value)) = field.split_once('=') else { return Err(invalid("no field")) };
            if value.is_empty() || seen.contains(&name) {
                return Err(invalid("empty or repeated"));
            }
            seen.push(name);
            match name {
                "region" => replay.regions = Some(regions(value).ok_or_else(|| invalid("no list of regions"))?),
                "instance" => replay.instance = Some(instance(value).ok_or_else(|| invalid("no instance"))?),
                "prefer_instance" => {
                    replay.prefer_instance = Some(instance(value).ok_or_else(|| invalid("no instance"))?);
                }
                "app" if value == APP => {}
                "app" => return Err(Refusal::new(Code::Pa04, format!("cannot find app `{value}`"))),
                "elsewhere" => replay.elsewhere = boolean(value).ok_or_else(|| invalid("neither true nor false"))?,
                "state" => replay.state = Some(value.to_owned()),
                "timeout" => replay.timeout = Some(duration(value).ok_or_else(|| invalid("no duration"))?),
                "fallback" => replay.fallback = Some(fallback(value).ok_or_else(|| invalid("no fallback"))?),
                _ => return Err(invalid("unknown field")),
            }
            has_target |= ["region", "instance", "prefer_instance", "app"].contains(&name) || replay.elsewhere;
        }
        if has_target { Ok(replay) } else { Err(Refusal::new(Code::Pa03, format!("no target: `{text}`"))) }
    }

    /// Where it leads to, away from the Machine that asked for it.
    pub(super) fn route(&self, from: &InstanceId) -> Route {
        let forced = self.instance.clone().map(|instance| (instance, Want::Force));
        Route {
            instance: forced.or_else(|| self.prefer_instance.clone().map(|instance| (instance, Want::Prefer))),
            regions: self.regions.clone().map(|regions| (regions, Want::Force)),
            except: self.elsewhere.then(|| from.clone()),
        }
    }

    /// The value of `fly-replay-src`.
    pub(super) fn source(&self, from: &InstanceId, region: &str, since_epoch: Duration) -> String {
        let state = self.state.as_ref().map_or_else(String::new, |state| format!(";state={state}"));
        format!("instance={from};region={region};t={}{state}", since_epoch.as_micros())
    }

    /// The value of `fly-replay-failed`. Assumed: what was not known, such as an instance where there is none in the
    /// region, is left out.
    pub(super) fn failed(&self, to: Option<&InstanceId>, from: &InstanceId, reason: Reason, after: Duration) -> String {
        let wanted = self.instance.as_ref().or(self.prefer_instance.as_ref());
        let instance = to.or(wanted).map_or_else(String::new, |to| format!("instance={to};"));
        let region = self.regions.as_ref().map_or_else(String::new, |to| format!("region={};", to.as_text()));
        let reason = reason.as_text();
        format!("{instance}app={APP};{region}replay_source={from};reason={reason};elapsed_ms={}", after.as_millis())
    }
}

/// One region, or several in quotes.
fn regions(value: &str) -> Option<Regions> {
    match value.strip_prefix('"') {
        Some(rest) => Regions::strict(rest.strip_suffix('"')?),
        None => (!value.contains(',')).then(|| Regions::strict(value))?,
    }
}

fn instance(value: &str) -> Option<InstanceId> {
    value.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| InstanceId::from(value))
}

fn boolean(value: &str) -> Option<bool> {
    value.parse().ok()
}

/// A number without its unit seems to be refused: `timeout=1500` was measured to fail after 80 ms.
fn duration(value: &str) -> Option<Duration> {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    match &value[digits.len()..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        _ => None,
    }
}

fn fallback(value: &str) -> Option<Fallback> {
    match value {
        "force_self" => Some(Fallback::ForceSelf),
        "prefer_self" => Some(Fallback::PreferSelf),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_form_is_understood() {
        let parsed = |text| Replay::parse(text).unwrap();
        let replay = parsed("region=sjc;state=write;timeout=5s;fallback=prefer_self");
        assert_eq!(replay.regions, Regions::strict("sjc"));
        assert_eq!(replay.state.as_deref(), Some("write"));
        assert_eq!((replay.timeout, replay.fallback), (Some(Duration::from_secs(5)), Some(Fallback::PreferSelf)));
        assert_eq!(parsed("region=\"sjc,any\";app=nearest-replica").regions, Regions::strict("sjc,any"));
        assert_eq!(parsed("instance=00bb33ff").instance, Some("00bb33ff".into()));
        assert_eq!(parsed("prefer_instance=00bb33ff;timeout=800ms").timeout, Some(Duration::from_millis(800)));
        assert!(parsed("elsewhere=true;state=a=b c").elsewhere);
        assert_eq!(parsed("app=nearest-replica;fallback=force_self").fallback, Some(Fallback::ForceSelf));
    }

    #[test]
    fn every_other_form_is_refused() {
        for (text, code) in [
            ("", Code::Pa03),
            ("sjc", Code::Pa03),
            ("region=", Code::Pa03),
            ("region=sjc;", Code::Pa03),
            ("region=sjc; state=x", Code::Pa03),
            ("region = sjc", Code::Pa03),
            ("Region=sjc", Code::Pa03),
            ("regoin=sjc", Code::Pa03),
            ("region=SJC", Code::Pa03),
            ("region=sjc,any", Code::Pa03),
            ("region=\"sjc,any", Code::Pa03),
            ("region=sjc;region=fra", Code::Pa03),
            ("instance=\"00bb33ff\"", Code::Pa03),
            ("instance=here", Code::Pa03),
            ("elsewhere=yes", Code::Pa03),
            ("elsewhere=false", Code::Pa03),
            ("state=write", Code::Pa03),
            ("timeout=5s", Code::Pa03),
            ("region=sjc;timeout=1500", Code::Pa03),
            ("region=sjc;timeout=5 s", Code::Pa03),
            ("region=sjc;timeout=-5s", Code::Pa03),
            ("region=sjc;timeout=1.5s", Code::Pa03),
            ("region=sjc;timeout=s", Code::Pa03),
            ("region=sjc;fallback=self", Code::Pa03),
            ("region=sjc;app=another", Code::Pa04),
        ] {
            assert_eq!(Replay::parse(text).unwrap_err().code, code, "{text}");
        }
    }

    #[test]
    fn the_headers_of_a_replay_are_those_of_the_documents() {
        let (here, there) = (InstanceId::from("11aa44ee"), InstanceId::from("00bb33ff"));
        let replay = Replay::parse("region=iad;state=write").unwrap();
        let source = replay.source(&here, "fra", Duration::from_secs(1));
        assert_eq!(source, "instance=11aa44ee;region=fra;t=1000000;state=write");
        let failed = replay.failed(Some(&there), &here, Reason::Timeout, Duration::from_secs(10));
        let expected =
            "instance=00bb33ff;app=nearest-replica;region=iad;replay_source=11aa44ee;reason=timeout;elapsed_ms=10000";
        assert_eq!(failed, expected);
    }
}
