//! Which region this Machine is in, and whether that is the primary region.
//!
//! The rule is the recipe's: a Machine reads from a replica exactly when both regions are set and they differ.

use std::fmt;

use crate::config::ConfigError;

/// A Fly.io region code such as `fra`: ASCII letters and digits, lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region(String);

impl Region {
    /// Reads a region code; surrounding blanks and letter case do not matter, and an empty value means "not set".
    ///
    /// # Errors
    /// Names `variable` when the value cannot be a region code.
    pub fn parse(variable: &'static str, value: &str) -> Result<Option<Self>, ConfigError> {
        let code = value.trim().to_ascii_lowercase();
        if code.is_empty() {
            return Ok(None);
        }
        if code.len() > 16 || !code.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(ConfigError::new(
                variable,
                format!("is {value:?}, which is not a region: write a Fly.io region code such as `fra`, or nothing"),
            ));
        }
        Ok(Some(Self(code)))
    }

    /// The code, as it stands in host names and headers.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where this Machine is, seen from the primary database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// In the primary region, or one of the regions is not known: reads go to the given URL.
    Primary(Option<Region>),
    /// In another region: reads go to a replica.
    Elsewhere(Region),
}

impl Placement {
    /// The recipe's rule.
    #[must_use]
    pub fn new(primary: Option<&Region>, here: Option<Region>) -> Self {
        match (primary, here) {
            (Some(primary), Some(here)) if *primary != here => Self::Elsewhere(here),
            (_, here) => Self::Primary(here),
        }
    }

    /// The Machine's own region, where it is known.
    #[must_use]
    pub fn region(&self) -> Option<&Region> {
        match self {
            Self::Primary(region) => region.as_ref(),
            Self::Elsewhere(region) => Some(region),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(primary: &str, here: &str) -> Placement {
        let region = |value| Region::parse("fly_region", value).unwrap();
        Placement::new(region(primary).as_ref(), region(here))
    }

    #[test]
    fn only_two_different_regions_mean_elsewhere() {
        for (primary, here, elsewhere) in [
            ("sjc", "fra", true),
            ("sjc", " FRA\n", true),
            ("sjc", "sjc", false),
            ("SJC ", "sjc", false),
            ("", "fra", false),
            ("  ", "fra", false),
            ("sjc", "", false),
            ("", "", false),
        ] {
            let got = placement(primary, here);
            assert_eq!(matches!(got, Placement::Elsewhere(_)), elsewhere, "{primary:?} {here:?}: {got:?}");
        }
        assert_eq!(placement("sjc", " FRA\n").region().unwrap().as_str(), "fra");
        assert_eq!(placement("", "").region(), None);
    }

    #[test]
    fn what_is_not_a_region_code_is_refused_by_name() {
        for value in ["fra,syd", "fr a", "fra\r\nx: y", "frä", "fra.internal", "a-very-long-region"] {
            let error = Region::parse("fly_region", value).unwrap_err().to_string();
            assert!(error.starts_with("`fly_region` is "), "{error}");
            assert!(!error.contains('\n'), "one line: {error}");
        }
    }
}
