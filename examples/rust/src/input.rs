//! What a guest sends: a form or JSON, with every kind of bad input named.

use std::fmt;

use serde::Deserialize;

use crate::entries::NewEntry;

/// What a guest has sent.
pub(crate) struct Input {
    pub(crate) entry: NewEntry,
    /// From a browser.
    pub(crate) is_form: bool,
}

/// What is wrong with it.
#[derive(Debug)]
pub(crate) enum BadInput {
    /// The body has not arrived.
    Unreadable,
    TooLong(usize),
    ContentType(String),
    Json(String),
    /// Which methods there are.
    Method(&'static str),
    /// A field, and what it must be.
    Field(&'static str, usize),
}

#[derive(Deserialize)]
struct Fields {
    name: String,
    message: String,
}

impl Input {
    pub(crate) fn parse(content_type: &str, body: &[u8], longest: usize) -> Result<Self, BadInput> {
        if body.len() > longest {
            return Err(BadInput::TooLong(longest));
        }
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let (fields, is_form) = match media_type.as_str() {
            "application/x-www-form-urlencoded" => (from_form(body), true),
            "application/json" => {
                let fields = serde_json::from_slice(body).map_err(|error| BadInput::Json(error.to_string()))?;
                (fields, false)
            }
            _ => return Err(BadInput::ContentType(media_type)),
        };
        let entry =
            NewEntry { name: text("name", &fields.name, 80)?, message: text("message", &fields.message, 1000)? };
        Ok(Self { entry, is_form })
    }
}

fn from_form(body: &[u8]) -> Fields {
    let field = |wanted: &str| {
        let found = form_urlencoded::parse(body).find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    Fields { name: field("name"), message: field("message") }
}

/// A text that the schema takes. Postgres has no place for a NUL in one.
fn text(field: &'static str, value: &str, longest: usize) -> Result<String, BadInput> {
    // A browser counts a line break as one character, and sends two.
    let value = value.trim().replace("\r\n", "\n");
    let fits = (1..=longest).contains(&value.chars().count()) && !value.contains('\0');
    if fits { Ok(value) } else { Err(BadInput::Field(field, longest)) }
}

impl BadInput {
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Method(_) => 405,
            Self::TooLong(_) => 413,
            Self::ContentType(_) => 415,
            Self::Unreadable | Self::Json(_) | Self::Field(..) => 400,
        }
    }
}

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("the body did not arrive: send it again"),
            Self::Method(allowed) => write!(f, "this path has other methods: use {allowed}"),
            Self::TooLong(longest) => write!(f, "the body is too long: send at most {longest} bytes"),
            Self::ContentType(found) => {
                write!(f, "the content type is {found:?}: send application/json or application/x-www-form-urlencoded")
            }
            Self::Json(error) => write!(f, "the body is not {{\"name\": \"...\", \"message\": \"...\"}}: {error}"),
            Self::Field(field, longest) => write!(f, "`{field}` must have 1 to {longest} characters, and no NUL"),
        }
    }
}
