//! Which Machines a request may go to, and which it would rather go to.

use std::fmt;

use http::HeaderMap;

use super::regions::Regions;

/// The name of a Machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InstanceId(String);

impl From<&str> for InstanceId {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether something else will do as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Prefer,
    Force,
}

/// Where a request is to go. Without any wish: to the nearest Machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) instance: Option<(InstanceId, Want)>,
    pub(super) regions: Option<(Regions, Want)>,
    pub(super) except: Option<InstanceId>,
}

/// How good a Machine is for a route: less is better.
pub(super) type Preference = (bool, usize);

impl Route {
    /// What the client asks for. Assumed: to force something goes before to prefer something.
    pub(super) fn of_client(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let either = |force, prefer| {
            let forced = text(force).map(|text| (text, Want::Force));
            forced.or_else(|| text(prefer).map(|text| (text, Want::Prefer)))
        };
        let instance = either("fly-force-instance-id", "fly-prefer-instance-id");
        let regions = either("fly-force-region", "fly-prefer-region");
        Self {
            instance: instance.map(|(id, want)| (id.into(), want)),
            regions: regions.map(|(regions, want)| (Regions::lenient(regions), want)),
            except: None,
        }
    }

    /// Only to one Machine.
    pub(super) fn only(instance: InstanceId) -> Self {
        Self { instance: Some((instance, Want::Force)), ..Self::default() }
    }

    /// To one Machine where that can be, else to any.
    pub(super) fn rather(instance: InstanceId) -> Self {
        Self { instance: Some((instance, Want::Prefer)), ..Self::default() }
    }

    /// The preference for a Machine, or nothing where it is out of the question.
    pub(super) fn preference(&self, instance: &InstanceId, region: &str) -> Option<Preference> {
        if self.except.as_ref() == Some(instance) {
            return None;
        }
        let other = match &self.instance {
            Some((wanted, Want::Force)) if wanted != instance => return None,
            Some((wanted, _)) => wanted != instance,
            None => false,
        };
        let rank = match &self.regions {
            Some((regions, want)) => match (regions.rank(region), want) {
                (Some(rank), _) => rank,
                (None, Want::Prefer) => usize::MAX,
                (None, Want::Force) => return None,
            },
            None => 0,
        };
        Some((other, rank))
    }

    /// The Machine that was preferred, where the request goes to another one.
    pub(super) fn unavailable(&self, chosen: &InstanceId) -> Option<&InstanceId> {
        self.instance.as_ref().map(|(wanted, _)| wanted).filter(|wanted| *wanted != chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &'static str, value: &'static str) -> Route {
        Route::of_client(&HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]))
    }

    #[test]
    fn what_is_preferred_goes_first_and_what_is_forced_is_all_there_is() {
        let (a, b) = (InstanceId::from("aa"), InstanceId::from("bb"));
        let prefer = asked("fly-prefer-region", "fra, sjc");
        assert!(prefer.preference(&a, "fra") < prefer.preference(&a, "sjc"));
        assert!(prefer.preference(&a, "sjc") < prefer.preference(&a, "syd"));
        assert_eq!(asked("fly-force-region", "fra").preference(&a, "syd"), None);
        let prefer = asked("fly-prefer-instance-id", "aa");
        assert!(prefer.preference(&a, "syd") < prefer.preference(&b, "fra"));
        assert_eq!(prefer.unavailable(&b), Some(&a));
        assert_eq!(asked("fly-force-instance-id", "aa").preference(&b, "fra"), None);
        let route = Route { except: Some(a.clone()), ..Route::default() };
        assert_eq!((route.preference(&a, "fra"), route.preference(&b, "fra")), (None, Some((false, 0))));
    }
}
