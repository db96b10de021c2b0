//! Any text as a statement: no panic, and what may run anywhere is a read without a word that writes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nearest_replica::Runs;

/// With these, a word may be inside a string, a quoted name or a comment.
const HIDING: [char; 5] = ['\'', '"', '$', '-', '/'];

fuzz_target!(|text: &str| {
    let runs = Runs::of(text);
    let around = format!("/* ; */ -- nextval(\n{text}\n-- ;");
    assert_eq!(Runs::of(&around) == Runs::Anywhere, runs == Runs::Anywhere);
    if runs != Runs::Anywhere {
        return;
    }
    assert!(!text.contains('\0'));
    if !text.contains(HIDING) {
        let text = text.to_ascii_lowercase();
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        let first = words.next().expect("it has a word");
        assert!(["select", "values", "table", "with"].contains(&first), "{text}");
        for word in words {
            assert!(!["insert", "update", "delete", "merge", "into"].contains(&word), "{text}");
        }
    }
});
