//! The regions of the lab, and how far they are from each other.

use host_tests::fly::Distances;
use host_tests::postgres::PRIMARY;

/// Regions with a replica.
pub(crate) const REPLICAS: [&str; 2] = ["fra", "syd"];

/// All regions, that of the primary first.
pub(crate) const REGIONS: [&str; 3] = [PRIMARY, REPLICAS[0], REPLICAS[1]];

/// The region with this code.
pub(crate) fn region(code: &str) -> Option<&'static str> {
    REGIONS.into_iter().find(|region| *region == code)
}

/// The nearest of the other regions.
pub(crate) fn nearest(region: &str) -> &'static str {
    let distances = Distances::estimated();
    let others = REGIONS.into_iter().filter(|other| *other != region);
    others.min_by_key(|other| distances.delay(region, other)).expect("there are others")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_region_is_never_the_region_itself() {
        assert_eq!(nearest("fra"), "sjc");
        assert_ne!(nearest("sjc"), "sjc");
        assert_eq!((region("syd"), region("ams")), (Some("syd"), None));
    }
}
