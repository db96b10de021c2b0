//! What a user does next, at random: reads, and every kind of write, alone or in a transaction, quick or slow, some of
//! which cannot succeed.

use std::sync::atomic::{AtomicI64, Ordering};

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::json;

use super::call::Effect;
use super::state::{SHARED, counter, register, shared};
use super::statements::{Returns, Step, slowly};

/// How many calls want each key.
const RIVALS: i64 = 3;

/// What all users have in common.
#[derive(Default)]
pub(super) struct Keys(AtomicI64);

/// The steps of one request: at most one that writes, first.
pub(super) fn request(random: &mut StdRng, session: u32, number: u32, seen: [i64; 2], keys: &Keys) -> Vec<Step> {
    let fact = |mark: &str| Effect::Fact { fact: format!("{session}.{number}{mark}"), key: None };
    // Of three one mostly reads: after each unknown outcome a writer reads from the primary for a while.
    let reads = session.is_multiple_of(3) && random.random_bool(0.9);
    let mut steps = match random.random_range(0..if reads { 40 } else { 100 }) {
        0..26 => vec![Step::read_numbers()],
        26..36 => vec![Step::read_facts()],
        36..40 => vec![Step::read_numbers(), Step::read_facts()],
        40..54 => vec![write(random, fact(""))],
        54..64 => vec![write(random, Effect::Add { name: counter(session) })],
        64..74 => vec![write(random, Effect::Set { name: register(session), to: i64::from(number) })],
        74..80 => {
            let name = shared(random_shared(random));
            vec![write(random, Effect::Add { name })]
        }
        80..84 => {
            let which = random_shared(random);
            let add = Effect::Add { name: shared(which) };
            let statement = add.statement_if(seen[usize::from(which != 0)]);
            vec![Step::write("write", add, &statement)]
        }
        84..89 => {
            let key = keys.0.fetch_add(1, Ordering::Relaxed) / RIVALS;
            let fact = Effect::Fact { fact: format!("{session}.{number}={key}"), key: Some(key) };
            vec![write(random, fact)]
        }
        _ => vec![transaction(random, session, fact("a"), fact("b"))],
    };
    let traps = steps.iter().any(|step| step.returns == Returns::Traps);
    if !traps && steps.iter().all(|step| !step.effects.is_empty()) && random.random_bool(0.3) {
        steps.push(Step::read_numbers());
    }
    steps
}

fn random_shared(random: &mut StdRng) -> u32 {
    random.random_range(0..SHARED)
}

fn write(random: &mut StdRng, effect: Effect) -> Step {
    let mut statement = effect.statement();
    // Slow ones are in the way of others, and are caught by whatever goes wrong.
    if random.random_bool(0.15) {
        statement = slowly(&statement, f64::from(random.random_range(5..20)) / 100.0);
    }
    let how = if random.random_bool(0.15) { "read" } else { "write" };
    Step::write(how, effect, &statement)
}

/// Two rows and numbers that others change in the opposite order: some wait for each other.
fn transaction(random: &mut StdRng, session: u32, one: Effect, other: Effect) -> Step {
    let mut numbers: Vec<_> = (0..SHARED).map(|number| Effect::Add { name: shared(number) }).collect();
    if random.random_bool(0.5) {
        numbers.reverse();
    }
    numbers.push(Effect::Add { name: counter(session) });
    let effects: Vec<_> = [one].into_iter().chain(numbers).chain([other]).collect();
    let mut statements: Vec<_> = effects.iter().map(Effect::statement).collect();
    let (mut returns, at) = (Returns::Nothing, random.random_range(1..=statements.len()));
    match random.random_range(0..100) {
        0..5 => {
            statements.insert(at, "trap".to_owned());
            returns = Returns::Traps;
        }
        5..14 => statements.insert(at, "give-up".to_owned()),
        14..20 => statements.insert(at, "SELECT 1 / 0".to_owned()),
        20..40 => statements.insert(at, "SELECT pg_sleep(0.1)::text".to_owned()),
        _ => {}
    }
    Step { step: json!({ "transaction": statements }), effects, returns }
}
