//! Effects and reads as steps for the session guest, and its results as outcomes.

use serde_json::{Value, json};

use super::call::{Effect, Outcome, View};
use super::state::{FACTS, NUMBERS, numbers};

/// A step of a script, and what its result means.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// As the session guest takes it.
    pub(super) step: Value,
    pub(super) effects: Vec<Effect>,
    pub(super) returns: Returns,
}

/// What a step returns when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returns {
    /// All numbers.
    Numbers,
    /// All rows.
    Facts,
    /// The number that its last effect is about; without a row nothing was changed.
    Number,
    /// Nothing that counts.
    Nothing,
    /// Never: the guest traps before it commits.
    Traps,
}

impl Step {
    pub(super) fn read_numbers() -> Self {
        Self { step: json!({ "read": NUMBERS }), effects: Vec::new(), returns: Returns::Numbers }
    }

    pub(super) fn read_facts() -> Self {
        Self { step: json!({ "read": FACTS }), effects: Vec::new(), returns: Returns::Facts }
    }

    /// One statement. As `read` it is for the library to find out that it writes.
    pub(super) fn write(how: &str, effect: Effect, statement: &str) -> Self {
        let returns = if matches!(effect, Effect::Fact { .. }) { Returns::Nothing } else { Returns::Number };
        Self { step: json!({ how: statement }), effects: vec![effect], returns }
    }

    /// What became of it, by the guest's result.
    pub(super) fn outcome(&self, result: &Value) -> Outcome {
        if self.returns == Returns::Traps {
            return Outcome::Nothing("trapped".to_owned());
        }
        if let Some(problem) = result["problem"].as_str() {
            let sqlstate = result["body"]["sqlstate"].as_str().unwrap_or_default();
            let why = format!("{problem} {sqlstate}").trim().to_owned();
            return if problem == "outcome-unknown" { Outcome::Unknown(why) } else { Outcome::Nothing(why) };
        }
        let text = |key: &str| result[key].as_str().unwrap_or_default().to_owned();
        let mut view = View { candidate: text("candidate"), reason: text("reason"), ..View::default() };
        let first = &result["rows"][0][0];
        match (self.returns, first.as_str(), first.as_i64()) {
            (Returns::Numbers, Some(text), _) => view.numbers = numbers(text).unwrap_or_default(),
            (Returns::Facts, Some(text), _) => view.facts = Some(text.to_owned()),
            (Returns::Number, _, Some(number)) => {
                let name = self.effects.last().and_then(Effect::name);
                view.numbers.extend(name.map(|name| (name.to_owned(), number)));
            }
            (Returns::Number, _, None) => return Outcome::Nothing("no row matched".to_owned()),
            (Returns::Nothing, ..) => {}
            (Returns::Numbers | Returns::Facts | Returns::Traps, ..) => {
                return Outcome::Unknown(format!("a result that makes no sense: {result}"));
            }
        }
        Outcome::Acknowledged(view)
    }

    /// What is known of it where nothing came back.
    pub(super) fn without_answer(&self, error: &str) -> Outcome {
        if self.returns == Returns::Traps {
            return Outcome::Nothing("trapped".to_owned());
        }
        Outcome::Unknown(format!("no answer: {error}"))
    }
}

impl Effect {
    /// The number that it is about.
    fn name(&self) -> Option<&str> {
        match self {
            Self::Set { name, .. } | Self::Add { name } => Some(name),
            Self::Fact { .. } => None,
        }
    }

    /// The statement that does it.
    pub(super) fn statement(&self) -> String {
        match self {
            Self::Set { name, to } => {
                format!("UPDATE numbers SET n = greatest(n, {to}) WHERE name = '{name}' RETURNING n")
            }
            Self::Add { name } => format!("UPDATE numbers SET n = n + 1 WHERE name = '{name}' RETURNING n"),
            Self::Fact { fact, key: None } => format!("INSERT INTO list VALUES ('{fact}') RETURNING 0::bigint AS n"),
            Self::Fact { fact, key: Some(key) } => {
                format!("INSERT INTO keys VALUES ({key}, '{fact}') RETURNING 0::bigint AS n")
            }
        }
    }

    /// The same where no other session has changed the number meanwhile.
    pub(super) fn statement_if(&self, expected: i64) -> String {
        self.statement().replace(" RETURNING", &format!(" AND n = {expected} RETURNING"))
    }
}

/// The same statement, which takes a while once its effect is there, before it commits.
pub(super) fn slowly(statement: &str, seconds: f64) -> String {
    format!("WITH w AS ({statement}) SELECT n FROM w WHERE pg_sleep({seconds})::text = ''")
}
