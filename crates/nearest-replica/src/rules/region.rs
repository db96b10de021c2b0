//! Which region this Machine is in, and whether that is the primary region.
//!
//! The rule is the recipe's: a Machine reads from a replica exactly when both regions are set and they differ.

use std::fmt;

use anyhow::{Result, ensure};

/// A Fly.io region code such as `fra`: ASCII letters and digits, lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region(String);

impl Region {
    /// Reads a region code; surrounding blanks and letter case do not matter, and an empty value means "not set".
    ///
    /// # Errors
    /// When the value cannot be a region code; says what to write instead.
    pub(crate) fn parse(value: &str) -> Result<Option<Self>> {
        let code = value.trim().to_ascii_lowercase();
        if code.is_empty() {
            return Ok(None);
        }
        ensure!(
            code.len() <= 16 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "is {value:?}, which is not a region: write a Fly.io region code such as `fra`, or nothing"
        );
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

/// Where this Machine is, as seen from the primary database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// In the primary region, or one of the regions is not known: reads go to the given URL.
    Primary(Option<Region>),
    /// In another region: reads go to a replica.
    OtherRegion(Region),
}

impl Placement {
    /// The recipe's rule.
    pub(crate) fn new(primary: Option<&Region>, here: Option<Region>) -> Self {
        match (primary, here) {
            (Some(primary), Some(here)) if *primary != here => Self::OtherRegion(here),
            (_, here) => Self::Primary(here),
        }
    }

    /// The Machine's region where that is not the primary region.
    #[must_use]
    pub fn other_region(&self) -> Option<&Region> {
        match self {
            Self::Primary(_) => None,
            Self::OtherRegion(region) => Some(region),
        }
    }

    /// The Machine's own region, where it is known.
    #[must_use]
    pub fn region(&self) -> Option<&Region> {
        match self {
            Self::Primary(region) => region.as_ref(),
            Self::OtherRegion(region) => Some(region),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(primary: &str, here: &str) -> Placement {
        let region = |value| Region::parse(value).unwrap();
        Placement::new(region(primary).as_ref(), region(here))
    }

    #[test]
    fn only_two_different_regions_mean_another_region() {
        for (primary, here, other) in [
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
            assert_eq!(matches!(got, Placement::OtherRegion(_)), other, "{primary:?} {here:?}: {got:?}");
        }
        assert_eq!(placement("sjc", " FRA\n").region().unwrap().as_str(), "fra");
        assert_eq!(placement("", "").region(), None);
    }

    #[test]
    fn what_is_not_a_region_code_is_refused() {
        for value in ["fra,syd", "fr a", "fra\r\nx: y", "frä", "fra.internal", "a-very-long-region"] {
            let error = Region::parse(value).unwrap_err().to_string();
            assert!(error.starts_with("is \"") && error.contains(": write "), "{error}");
            assert!(!error.contains('\n'), "one line: {error}");
        }
    }
}
