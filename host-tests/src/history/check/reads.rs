//! No session reads anything older than what it has written or read before, and nobody sees what is not there.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::history::call::{Call, Effect, Outcome, View};
use crate::history::violation::{Rule, Violation};

/// What a session has seen, and by which call.
#[derive(Default)]
struct Seen<'a> {
    /// At least this much.
    numbers: BTreeMap<&'a str, (i64, &'a Call)>,
    facts: BTreeMap<&'a str, &'a Call>,
}

/// Rows that somebody saw of a write that was said to have changed nothing.
pub(super) fn refused(calls: &[Call]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let nothing: HashMap<&str, &Call> = calls
        .iter()
        .filter(|call| matches!(call.outcome, Outcome::Nothing(_)))
        .flat_map(|call| call.facts().map(move |(fact, _)| (fact, call)))
        .collect();
    for call in calls {
        let rows = call.view().into_iter().flat_map(View::rows).collect::<HashSet<_>>();
        for (fact, refused) in rows.iter().filter_map(|fact| Some((*fact, *nothing.get(fact)?))) {
            violations.push(Violation::new(Rule::There, format!("{fact} was read"), [refused, call]));
        }
    }
    violations
}

/// No session reads anything older than what it has written or read before.
pub(super) fn check(calls: &[Call]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut sessions: BTreeMap<u32, Seen<'_>> = BTreeMap::new();
    for call in calls {
        let Outcome::Acknowledged(view) = &call.outcome else { continue };
        let seen = sessions.entry(call.session).or_default();
        // What a write returns is after itself.
        seen.write(call);
        violations.extend(view.numbers.iter().filter_map(|(name, number)| seen.number(name, *number, call)));
        let Some(facts) = &view.facts else { continue };
        let facts: HashSet<&str> = facts.split_whitespace().collect();
        violations.extend(seen.facts(&facts, call));
    }
    violations
}

impl<'a> Seen<'a> {
    fn write(&mut self, call: &'a Call) {
        for effect in &call.effects {
            match effect {
                Effect::Set { name, to } => self.raise(name, *to, call),
                Effect::Add { name } => {
                    let before = self.numbers.get(name.as_str()).map_or(0, |(number, _)| *number);
                    self.raise(name, before + 1, call);
                }
                Effect::Fact { fact, .. } => {
                    self.facts.insert(fact, call);
                }
            }
        }
    }

    fn raise(&mut self, name: &'a str, number: i64, call: &'a Call) {
        let seen = self.numbers.entry(name).or_insert((number, call));
        if number > seen.0 {
            *seen = (number, call);
        }
    }

    /// All numbers only grow.
    fn number(&mut self, name: &'a str, number: i64, call: &'a Call) -> Option<Violation> {
        let before = self.numbers.get(name).copied();
        self.raise(name, number, call);
        let (least, since) = before.filter(|(least, _)| number < *least)?;
        Some(Violation::new(Rule::Stale, format!("{name} was {least}, then {number}"), [since, call]))
    }

    /// No row is ever deleted.
    fn facts(&mut self, facts: &HashSet<&'a str>, call: &'a Call) -> Option<Violation> {
        let mut missing = self.facts.iter().filter(|(fact, _)| !facts.contains(**fact));
        let first = missing.next().map(|(fact, since)| (*fact, *since));
        let others = missing.count();
        for fact in facts {
            self.facts.entry(fact).or_insert(call);
        }
        let (fact, since) = first?;
        let what = format!("{fact} was there, then it and {others} others were not");
        Some(Violation::new(Rule::Stale, what, [since, call]))
    }
}
