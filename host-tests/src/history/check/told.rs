//! Nobody reads anything older than what was told before the read began: to anybody on one Machine, or to the same guest.

use std::collections::BTreeMap;

use crate::history::book::LISTED;
use crate::history::call::{Call, Effect, View};
use crate::history::violation::{Rule, Violation};

/// What guests have been told of their writes so far.
#[derive(Default)]
struct Told<'a> {
    /// The highest value of each number.
    numbers: BTreeMap<&'a str, (i64, &'a Call)>,
    /// Entries by their ids.
    entries: BTreeMap<i64, (&'a str, &'a Call)>,
}

pub(super) fn check(calls: &[Call]) -> Vec<Violation> {
    let (mut reads, mut writes): (Vec<_>, Vec<_>) =
        calls.iter().filter_map(|call| Some((call, call.view()?))).partition(|(call, _)| call.effects.is_empty());
    reads.sort_by_key(|(call, _)| call.began);
    writes.sort_by_key(|(call, _)| call.ended);
    let mut writes = writes.into_iter().peekable();
    let mut told = Told::default();
    let mut violations = Vec::new();
    for (read, view) in reads {
        while let Some((write, view)) = writes.next_if(|(write, _)| write.ended < read.began) {
            told.add(write, view);
        }
        violations.extend(told.older(read, view));
    }
    violations
}

impl<'a> Told<'a> {
    fn add(&mut self, write: &'a Call, view: &'a View) {
        for effect in &write.effects {
            match effect {
                Effect::Set { name, to } => {
                    let told = self.numbers.entry(name).or_insert((*to, write));
                    if *to > told.0 {
                        *told = (*to, write);
                    }
                }
                Effect::Fact { .. } => {
                    let entries = view.listed.iter().flatten();
                    self.entries.extend(entries.map(|(id, fact)| (*id, (fact.as_str(), write))));
                }
                // Nobody's own: what others add comes in between.
                Effect::Add { .. } => {}
            }
        }
    }

    /// The first thing that a read should have seen.
    fn older(&self, read: &Call, view: &View) -> Option<Violation> {
        let number = self.numbers.iter().find_map(|(name, (least, write))| {
            let number = view.numbers.get(*name).copied().unwrap_or(0);
            (number < *least).then(|| (format!("{name} was {least}, then {number}"), *write))
        });
        let missing = || {
            let listed = view.listed.as_ref()?;
            // Below the last one of a full list there are others.
            let lowest = if listed.len() < LISTED { i64::MIN } else { *listed.keys().next()? };
            let mut missing =
                self.entries.range(lowest..).filter(|(id, (fact, _))| listed.get(id).is_none_or(|found| found != fact));
            let (id, (fact, write)) = missing.next()?;
            let others = missing.count();
            Some((format!("{fact} was there as {id}, then it and {others} others were not"), *write))
        };
        let (what, write) = number.or_else(missing)?;
        Some(Violation::new(Rule::Stale, what, [write, read]))
    }
}
