//! Every acknowledged write is there once, nothing is there that was said not to be, and an unknown one is there once or
//! not at all, as a whole.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::call::{Call, Effect, Outcome};
use crate::history::state::State;
use crate::history::violation::{Rule, Violation};

/// Rows, which are counted.
pub(super) fn facts(calls: &[Call], end: &State) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut asked_for = BTreeSet::new();
    for call in calls {
        let mut broken = |rule, what| violations.push(Violation::new(rule, what, [call]));
        let (mut there, mut missing) = (None, None);
        for (fact, _) in call.facts() {
            asked_for.insert(fact);
            let times = end.facts.get(fact).copied().unwrap_or(0);
            match (times, &call.outcome) {
                (0, Outcome::Acknowledged(_)) => broken(Rule::Lost, format!("there is no row {fact}")),
                (1.., Outcome::Nothing(_)) => broken(Rule::There, format!("there is a row {fact}")),
                (0, Outcome::Unknown(_)) => missing = Some(fact),
                (1.., Outcome::Unknown(_)) => there = Some(fact),
                (0, Outcome::Nothing(_)) | (1.., Outcome::Acknowledged(_)) => {}
            }
            if times > 1 {
                broken(Rule::Twice, format!("the row {fact} is there {times} times"));
            }
        }
        if let (Some(there), Some(missing)) = (there, missing) {
            broken(Rule::Torn, format!("{there} is there and {missing} is not"));
        }
    }
    let strangers = end.facts.keys().filter(|fact| !asked_for.contains(fact.as_str()));
    violations.extend(strangers.map(|fact| Violation::new(Rule::Stranger, format!("there is a row {fact}"), [])));
    violations
}

/// Numbers that only ever become one more: of an increment nothing remains but its share in the sum.
pub(super) fn increments(calls: &[Call], end: &State) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut by_name: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    for call in calls {
        call.added().for_each(|name| by_name.entry(name).or_default().push(call));
    }
    for (name, calls) in by_name {
        let found = end.numbers.get(name).copied().unwrap_or(0);
        let (mut acknowledged, mut unknown) = (0, 0);
        let mut returned = BTreeMap::new();
        for call in &calls {
            match &call.outcome {
                Outcome::Acknowledged(view) => {
                    acknowledged += 1;
                    let Some(number) = view.numbers.get(name) else { continue };
                    if let Some(other) = returned.insert(*number, *call) {
                        let what = format!("two increments of {name} returned {number}");
                        violations.push(Violation::new(Rule::Lost, what, [other, *call]));
                    }
                }
                Outcome::Unknown(_) => unknown += 1,
                Outcome::Nothing(_) => {}
            }
        }
        let what = format!("{name} is {found} after {acknowledged} increments and {unknown} whose outcome is unknown");
        if found < acknowledged {
            violations.push(Violation::new(Rule::Lost, what, []));
        } else if found > acknowledged + unknown {
            let suspects = calls.into_iter().filter(|call| call.attempts > 1 || call.view().is_none());
            violations.push(Violation::new(Rule::Twice, what, suspects));
        }
    }
    violations
}

/// Numbers of one session each, which keep the highest value.
pub(super) fn registers(calls: &[Call], end: &State) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut by_name: BTreeMap<&str, BTreeMap<i64, &Call>> = BTreeMap::new();
    for call in calls {
        for effect in &call.effects {
            if let Effect::Set { name, to } = effect {
                by_name.entry(name).or_default().insert(*to, call);
            }
        }
    }
    for (name, values) in by_name {
        let found = end.numbers.get(name).copied().unwrap_or(0);
        let what = format!("{name} is {found}");
        let last = values.iter().rfind(|(_, call)| call.view().is_some());
        if let Some((_, call)) = last.filter(|(to, _)| **to > found) {
            violations.push(Violation::new(Rule::Lost, what.clone(), [*call]));
        }
        match values.get(&found) {
            Some(call) if matches!(call.outcome, Outcome::Nothing(_)) => {
                violations.push(Violation::new(Rule::There, what, [*call]));
            }
            None if found != 0 => violations.push(Violation::new(Rule::Stranger, what, [])),
            Some(_) | None => {}
        }
    }
    violations
}

/// Of all who wanted a key, one may have been told that it is theirs.
pub(super) fn keys(calls: &[Call]) -> Vec<Violation> {
    let mut owners = BTreeMap::new();
    let mut violations = Vec::new();
    for call in calls.iter().filter(|call| call.view().is_some()) {
        for key in call.facts().filter_map(|(_, key)| key) {
            if let Some(other) = owners.insert(key, call) {
                violations.push(Violation::new(Rule::TwoOwners, format!("of the key {key}"), [other, call]));
            }
        }
    }
    violations
}
