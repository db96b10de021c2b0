//! The page, which says where it was read, and where the guest has written.

use maud::{DOCTYPE, Markup, html};
use nearest_replica::{Answer, Database};

use crate::entries::Entry;
use crate::reply::Reply;

/// Where a guest goes after they have written: to the page, which is told who has written.
pub(crate) fn after_write(database: &Database) -> String {
    format!("/?written-by={}", region_of(database))
}

fn region_of(database: &Database) -> &str {
    database.config().placement.region().map_or("unknown", |region| region.as_str())
}

/// The entries, each with a form to edit it, and a form for another one.
pub(crate) fn html(listed: &Answer<Vec<Entry>>, database: &Database, query: &str) -> Reply {
    let region = region_of(database);
    // Anybody can write such a link: it must at least look like a region.
    let written_by = form_urlencoded::parse(query.as_bytes()).find(|(name, value)| {
        name == "written-by" && value.len() <= 16 && value.bytes().all(|b| b.is_ascii_alphanumeric())
    });
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Guestbook" }
            }
            body {
                h1 { "Guestbook" }
                p {
                    "This page is from a Machine in " strong { (region) } ", read from the database "
                    strong { (listed.kind) } " (" (listed.reason) ")."
                    @if let Some((_, writer)) = written_by {
                        " What you wrote went to the primary, from a Machine in " strong { (writer) } "."
                    }
                }
                form method="post" action="/entries" { (fields("", "", "Sign")) }
                ul {
                    @for entry in &listed.value {
                        li {
                            strong { (entry.name) } ": " (entry.message) " "
                            small {
                                (entry.signed) @if let Some(edited) = &entry.edited { ", edited " (edited) }
                            }
                            details {
                                summary { "Edit" }
                                form method="post" action={ "/entries/" (entry.id) } {
                                    (fields(&entry.name, &entry.message, "Save"))
                                }
                            }
                        }
                    }
                }
            }
        }
    };
    Reply::new(200, "text/html; charset=utf-8", page.into_string())
}

fn fields(name: &str, message: &str, action: &str) -> Markup {
    html! {
        p { label { "Name " input name="name" required maxlength="80" value=(name); } }
        p { label { "Message " textarea name="message" required maxlength="1000" { (message) } } }
        p { button { (action) } }
    }
}
