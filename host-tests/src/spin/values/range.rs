//! Ranges. An empty one arrives at the guest as one without bounds, which is all there is.

use postgres_range::{BoundSided, BoundType, Normalizable, Range, RangeBound};

use crate::spin::bindings::spin::postgres::postgres::RangeBoundKind;

type Bound<T> = Option<(T, RangeBoundKind)>;

pub(super) fn from_range<T: Normalizable + PartialOrd, G>(
    range: &Range<T>,
    convert: impl Fn(&T) -> G,
) -> (Bound<G>, Bound<G>) {
    (range.lower().map(|bound| from_bound(bound, &convert)), range.upper().map(|bound| from_bound(bound, &convert)))
}

fn from_bound<S: BoundSided, T, G>(bound: &RangeBound<S, T>, convert: impl Fn(&T) -> G) -> (G, RangeBoundKind) {
    let kind = match bound.type_ {
        BoundType::Inclusive => RangeBoundKind::Inclusive,
        BoundType::Exclusive => RangeBoundKind::Exclusive,
    };
    (convert(&bound.value), kind)
}

/// Fails where a bound cannot be converted.
pub(super) fn to_range<G: Clone, T: Normalizable + PartialOrd>(
    (lower, upper): &(Bound<G>, Bound<G>),
    convert: impl Fn(G) -> anyhow::Result<T>,
) -> anyhow::Result<Range<T>> {
    let lower = lower.clone().map(|(value, kind)| Ok::<_, anyhow::Error>(to_bound(convert(value)?, kind)));
    let upper = upper.clone().map(|(value, kind)| Ok::<_, anyhow::Error>(to_bound(convert(value)?, kind)));
    Ok(Range::new(lower.transpose()?, upper.transpose()?))
}

fn to_bound<S: BoundSided, T: PartialOrd>(value: T, kind: RangeBoundKind) -> RangeBound<S, T> {
    let kind = match kind {
        RangeBoundKind::Inclusive => BoundType::Inclusive,
        RangeBoundKind::Exclusive => BoundType::Exclusive,
    };
    RangeBound::new(value, kind)
}
