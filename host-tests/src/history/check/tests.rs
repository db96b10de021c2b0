//! Histories made by hand: one that is as it should be, and one for each way to break a promise.

use std::time::Duration;

use super::{check, check_machine};
use crate::history::call::{Call, Effect, Outcome, View};
use crate::history::state::State;
use crate::history::violation::{Rule, Violation, report};

fn call(session: u32, effects: &[Effect], outcome: Outcome) -> Call {
    let (began, ended) = (Duration::from_millis(1), Duration::from_millis(2));
    let (region, bookmark, effects) = ("fra".to_owned(), String::new(), effects.to_vec());
    Call { session, request: 1, region, bookmark, effects, outcome, attempts: 1, began, ended }
}

fn fact(fact: &str) -> Effect {
    Effect::Fact { fact: fact.to_owned(), key: None }
}

fn key(fact: &str, key: i64) -> Effect {
    Effect::Fact { fact: fact.to_owned(), key: Some(key) }
}

fn add() -> Effect {
    Effect::Add { name: "n".to_owned() }
}

fn set(to: i64) -> Effect {
    Effect::Set { name: "r".to_owned(), to }
}

fn done() -> Outcome {
    Outcome::Acknowledged(View::default())
}

fn nothing() -> Outcome {
    Outcome::Nothing("statement-failed 23505".to_owned())
}

fn unknown() -> Outcome {
    Outcome::Unknown("outcome-unknown 57P01".to_owned())
}

fn sees(numbers: &[(&str, i64)], facts: Option<&str>) -> Outcome {
    let numbers = numbers.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
    Outcome::Acknowledged(View { numbers, facts: facts.map(str::to_owned), ..View::default() })
}

/// A call of a guest of one Machine, from one moment to another.
fn at(session: u32, from: u64, to: u64, effects: &[Effect], outcome: Outcome) -> Call {
    let (began, ended) = (Duration::from_millis(from), Duration::from_millis(to));
    Call { began, ended, ..call(session, effects, outcome) }
}

fn lists(entries: &[(i64, &str)], numbers: &[(&str, i64)]) -> Outcome {
    let listed = entries.iter().map(|(id, fact)| (*id, (*fact).to_owned())).collect();
    let Outcome::Acknowledged(view) = sees(numbers, None) else { unreachable!("it is seen") };
    Outcome::Acknowledged(View { listed: Some(listed), ..view })
}

fn end(numbers: &[(&str, i64)], facts: &[(&str, usize)]) -> State {
    State {
        numbers: numbers.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect(),
        facts: facts.iter().map(|(fact, times)| ((*fact).to_owned(), *times)).collect(),
    }
}

#[track_caller]
fn assert_finds(calls: &[Call], end: &State, rules: &[Rule]) -> Vec<Violation> {
    let found = check(calls, end);
    let broken: Vec<_> = found.iter().map(|violation| violation.rule).collect();
    assert_eq!(broken, rules, "{}", report(&found));
    found
}

#[test]
fn nothing_is_found_where_every_promise_is_kept() {
    let calls = [
        call(1, &[fact("1.1")], done()),
        call(1, &[fact("1.2")], nothing()),
        call(1, &[fact("1.3")], unknown()),
        call(1, &[fact("1.4")], unknown()),
        call(1, &[fact("1.5"), add(), fact("1.6")], done()),
        call(1, &[], sees(&[("n", 1), ("r", 0)], Some("1.1 1.4 1.5 1.6"))),
        call(1, &[add()], sees(&[("n", 2)], None)),
        call(1, &[add()], unknown()),
        call(1, &[set(1)], sees(&[("r", 1)], None)),
        call(1, &[set(2)], unknown()),
        call(1, &[], sees(&[("n", 3), ("r", 1)], None)),
        // Who has seen nothing may read anything.
        call(2, &[], sees(&[("n", 0), ("r", 0)], Some(""))),
        call(2, &[key("2.1", 7)], done()),
        call(1, &[key("1.7", 7)], nothing()),
    ];
    let facts = [("1.1", 1), ("1.4", 1), ("1.5", 1), ("1.6", 1), ("2.1", 1)];
    assert_finds(&calls, &end(&[("n", 3), ("r", 2)], &facts), &[]);
}

#[test]
fn an_acknowledged_write_that_is_lost_is_found() {
    assert_finds(&[call(1, &[fact("1.1")], done())], &end(&[], &[]), &[Rule::Lost]);
    assert_finds(&[call(1, &[add()], done()), call(2, &[add()], done())], &end(&[("n", 1)], &[]), &[Rule::Lost]);
    assert_finds(&[call(1, &[set(4)], done())], &end(&[("r", 0)], &[]), &[Rule::Lost]);
    let same = [call(1, &[add()], sees(&[("n", 1)], None)), call(2, &[add()], sees(&[("n", 1)], None))];
    let found = assert_finds(&same, &end(&[("n", 2)], &[]), &[Rule::Lost]);
    assert_eq!(found[0].calls, same);
}

#[test]
fn a_write_that_is_there_twice_is_found_whatever_was_said() {
    for outcome in [done(), unknown()] {
        assert_finds(&[call(1, &[fact("1.1")], outcome.clone())], &end(&[], &[("1.1", 2)]), &[Rule::Twice]);
        let again = Call { attempts: 2, ..call(1, &[add()], outcome) };
        let calls = [call(1, &[add()], done()), again.clone()];
        let found = assert_finds(&calls, &end(&[("n", 3)], &[]), &[Rule::Twice]);
        assert_eq!(found[0].calls, [again], "the suspects");
    }
}

#[test]
fn a_write_that_is_there_though_it_was_said_not_to_be_is_found() {
    let calls = [call(1, &[fact("1.1")], nothing())];
    assert_finds(&calls, &end(&[], &[("1.1", 1)]), &[Rule::There]);
    assert_finds(&[call(1, &[set(3)], nothing())], &end(&[("r", 3)], &[]), &[Rule::There]);
    assert_finds(&[call(1, &[add()], nothing())], &end(&[("n", 1)], &[]), &[Rule::Twice]);
    // Also where it was there for a while only.
    let seen = [calls[0].clone(), call(2, &[], sees(&[], Some("1.1")))];
    assert_finds(&seen, &end(&[], &[]), &[Rule::There]);
}

#[test]
fn a_part_of_a_transaction_is_found() {
    let calls = [call(1, &[fact("1.1"), fact("1.2")], unknown())];
    assert_finds(&calls, &end(&[], &[("1.1", 1)]), &[Rule::Torn]);
}

#[test]
fn a_key_with_two_owners_is_found() {
    let calls = [call(1, &[key("1.1", 7)], done()), call(2, &[key("2.1", 7)], done())];
    assert_finds(&calls, &end(&[], &[("1.1", 1)]), &[Rule::Lost, Rule::TwoOwners]);
}

#[test]
fn what_nobody_wrote_is_found() {
    assert_finds(&[], &end(&[], &[("1.1", 1)]), &[Rule::Stranger]);
    assert_finds(&[call(1, &[set(1)], done())], &end(&[("r", 5)], &[]), &[Rule::Stranger]);
}

#[test]
fn a_read_that_is_older_than_a_write_or_a_read_before_is_found() {
    let end = end(&[("n", 1), ("r", 4)], &[("1.1", 1)]);
    let writes = [call(1, &[set(4)], done()), call(1, &[add()], done()), call(1, &[fact("1.1")], done())];
    let sees_all = call(1, &[], sees(&[("r", 4), ("n", 1)], Some("1.1")));
    for stale in [sees(&[("r", 3)], None), sees(&[("n", 0)], None), sees(&[], Some(""))] {
        let stale = call(1, &[], stale);
        let found = assert_finds(&[&writes[..], std::slice::from_ref(&stale)].concat(), &end, &[Rule::Stale]);
        assert_eq!(found[0].calls[1], stale);
        // Others have written it, this session has seen it.
        let others = writes.clone().map(|call| Call { session: 2, ..call });
        let found = assert_finds(&[&others[..], &[sees_all.clone(), stale.clone()]].concat(), &end, &[Rule::Stale]);
        assert_eq!(found[0].calls, [sees_all.clone(), stale]);
    }
}

#[test]
fn a_read_that_is_older_than_what_somebody_was_told_on_its_machine_before_it_began_is_found() {
    let end = end(&[("r", 4)], &[("1.1", 1)]);
    let signed = at(1, 1, 3, &[fact("1.1")], lists(&[(7, "1.1")], &[]));
    let edited = at(1, 4, 6, &[set(4)], lists(&[], &[("r", 4)]));
    let writes = [signed.clone(), edited.clone()];
    let judge = |read: &Call| check_machine(&[&writes[..], std::slice::from_ref(read)].concat(), &end);
    let old = lists(&[], &[("r", 0)]);
    // What began before the answer was there may see either.
    for kept in [
        at(2, 3, 9, &[], old.clone()),
        at(2, 6, 9, &[], lists(&[(7, "1.1")], &[("r", 0)])),
        at(2, 7, 9, &[], lists(&[(7, "1.1")], &[("r", 4)])),
    ] {
        assert!(judge(&kept).is_empty(), "{kept}: {}", report(&judge(&kept)));
    }
    for (stale, since) in [
        (at(2, 7, 9, &[], lists(&[(7, "1.1")], &[("r", 0)])), &edited),
        (at(2, 4, 9, &[], old.clone()), &signed),
        (at(1, 4, 9, &[], lists(&[(7, "another")], &[])), &signed),
    ] {
        let found = judge(&stale);
        assert_eq!(found.iter().map(|found| found.rule).collect::<Vec<_>>(), [Rule::Stale], "{}", report(&found));
        assert_eq!(found[0].calls, [since.clone(), stale]);
    }
}

#[test]
fn an_entry_below_a_full_list_is_not_missed() {
    let signed = [(60, "1.1"), (5, "1.2")].map(|(id, name)| at(1, 1, 2, &[fact(name)], lists(&[(id, name)], &[])));
    let others: Vec<_> = (10..60).map(|id| (id, "other")).collect();
    let seen = |entries: &[(i64, &str)]| {
        let calls = [&signed[..], &[at(2, 3, 4, &[], lists(entries, &[]))]].concat();
        check_machine(&calls, &end(&[], &[("1.1", 1), ("1.2", 1)]))
    };
    assert!(seen(&[&others[1..], &[(60, "1.1")]].concat()).is_empty(), "50 of them, with the last one");
    assert!(seen(&others)[0].what.starts_with("1.1 was there as 60, then it and 0 others"), "without it");
    assert!(seen(&others[..1])[0].what.starts_with("1.2 was there as 5, then it and 1 others"), "of a short list");
}

#[test]
fn a_violation_says_who_when_where_and_what() {
    let found = check(&[call(1, &[fact("1.1"), set(2)], done())], &end(&[("r", 2)], &[]));
    let expected = "1 promises were broken, the first ones:\nLost: there is no row 1.1\n    session 1, request 1, in fra, \
                    1.000ms to 2.000ms, bookmark ``: add 1.1, r := 2: acknowledged";
    assert_eq!(report(&found).trim_end(), expected);
}
