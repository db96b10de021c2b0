//! Region codes, the areas that stand for several of them, and lists of both in order of preference.

/// Fly's areas and the regions in them, `any` apart.
const AREAS: [(&str, &[&str]); 6] = [
    ("apac", &["bom", "hkg", "nrt", "sin", "syd"]),
    ("eu", &["ams", "arn", "cdg", "fra", "lhr", "mad", "otp", "waw"]),
    (
        "na",
        &[
            "atl", "bos", "den", "dfw", "ewr", "gdl", "iad", "lax", "mia", "ord", "phx", "qro", "sea", "sjc", "yul",
            "yyz",
        ],
    ),
    ("sa", &["bog", "eze", "gig", "gru", "scl"]),
    ("us", &["atl", "bos", "den", "dfw", "ewr", "iad", "lax", "mia", "ord", "phx", "sea", "sjc"]),
    ("usa", &["atl", "bos", "den", "dfw", "ewr", "iad", "lax", "mia", "ord", "phx", "sea", "sjc"]),
];

/// Whether this is written as a region code is.
pub(super) fn is_code(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// Regions in order of preference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Regions(Vec<String>);

impl Regions {
    /// As a client writes them: blanks are allowed, and what means nothing matches nothing.
    pub(super) fn lenient(text: &str) -> Self {
        Self(text.split(',').map(|region| region.trim().to_owned()).collect())
    }

    /// As an app writes them.
    pub(super) fn strict(text: &str) -> Option<Self> {
        let regions = Self(text.split(',').map(str::to_owned).collect());
        let known =
            |region: &String| is_code(region) || region == "any" || AREAS.iter().any(|(area, _)| area == region);
        regions.0.iter().all(known).then_some(regions)
    }

    /// The place in the list of the first that means `region`.
    pub(super) fn rank(&self, region: &str) -> Option<usize> {
        self.0.iter().position(|listed| {
            let inside = || AREAS.iter().any(|(area, regions)| area == listed && regions.contains(&region));
            listed == region || listed == "any" || inside()
        })
    }

    /// For headers that name where a request was meant to go.
    pub(super) fn as_text(&self) -> String {
        self.0.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_in_the_list_that_means_a_region_counts() {
        let regions = Regions::strict("sjc,eu,any").unwrap();
        assert_eq!(["sjc", "fra", "syd"].map(|region| regions.rank(region)), [Some(0), Some(1), Some(2)]);
        assert_eq!(Regions::strict("us").unwrap().rank("yyz"), None);
        assert_eq!(Regions::lenient("Sjc, fra").rank("fra"), Some(1));
        assert_eq!(Regions::lenient("Sjc, fra").rank("sjc"), None);
    }

    #[test]
    fn an_app_writes_codes_and_areas_without_blanks() {
        for bad in ["", "sjc,", "sjc, fra", "SJC", "sjc1", "europe"] {
            assert_eq!(Regions::strict(bad), None, "{bad}");
        }
    }
}
