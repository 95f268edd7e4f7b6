//! Texts that may hold a NUL character, which PostgreSQL cannot store.
//!
//! Ids, names and reasons come from messages and from receivers, and a message that cannot be stored would come back
//! for ever. So a NUL is written as two other characters, and is a NUL again when it is read; two texts that differ,
//! differ in the store too. JSON has an escape of its own, and is written as it is.

use std::borrow::Cow;

/// Stands before what follows; no text that people write has it (a Unicode noncharacter).
const ESCAPE: char = '\u{FFFF}';

/// The text as PostgreSQL can store it.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', ESCAPE]) {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => written.extend([ESCAPE, '0']),
            ESCAPE => written.extend([ESCAPE, '1']),
            other => written.push(other),
        }
    }
    Cow::Owned(written)
}

/// … and back.
pub(super) fn read(text: String) -> String {
    if !text.contains(ESCAPE) {
        return text;
    }
    let mut read = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ESCAPE if characters.next() == Some('0') => read.push('\0'),
            other => read.push(other),
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_has_no_nul_is_left_alone() {
        assert!(matches!(text("Zürich ☎"), Cow::Borrowed("Zürich ☎")));
        assert_eq!(text("a\0"), "a\u{FFFF}0");
        assert_eq!(text("a\u{FFFF}0"), "a\u{FFFF}10");
    }

    proptest! {
        #[test]
        fn every_text_comes_back(parts in proptest::collection::vec(
            prop_oneof![Just("\0".to_owned()), Just("\u{FFFF}".to_owned()), Just("0".to_owned()), ".*"], 0..6)
        ) {
            let whole = parts.concat();
            let written = text(&whole);
            prop_assert!(!written.contains('\0'));
            prop_assert_eq!(read(written.into_owned()), whole);
        }
    }
}
