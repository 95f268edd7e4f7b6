//! A block of shell, taken apart into the calls that it makes: as much of the language as the pages use.

/// The words of each call. Redirections, comments and the texts of `<<` are left out; what stands in `$(…)` is a call of its
/// own, and `$` in the place of it.
pub(super) fn calls(block: &str) -> Vec<Vec<String>> {
    let mut reader = Reader::default();
    let mut letters = block.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('\n') | None => {}
                Some(other) => reader.put(other),
            },
            '\'' | '"' => {
                reader.put_all("");
                while let Some(inner) = letters.next().filter(|inner| *inner != letter) {
                    reader.put(inner);
                }
            }
            '$' if letters.peek() == Some(&'(') => {
                let mut depth = 0;
                let mut inner = String::new();
                for other in letters.by_ref() {
                    depth += i32::from(other == '(') - i32::from(other == ')');
                    if depth == 0 {
                        break;
                    }
                    inner.push(other);
                }
                reader.calls.extend(calls(inner.get(1..).unwrap_or_default()));
                reader.put('$');
            }
            '#' if reader.word.is_none() => while letters.next_if(|other| *other != '\n').is_some() {},
            '<' if letters.peek() == Some(&'<') => {
                letters.next();
                reader.end_word();
                reader.next = Next::EndOfText;
            }
            '<' | '>' => {
                reader.end_word();
                reader.next = Next::File;
            }
            '\n' => {
                reader.end_call();
                if let Some(end) = reader.text_until.take() {
                    let mut line = String::new();
                    for other in letters.by_ref() {
                        match other {
                            '\n' if line == end => break,
                            '\n' => line.clear(),
                            other => line.push(other),
                        }
                    }
                }
            }
            ';' | '|' | '&' | '(' | ')' => reader.end_call(),
            letter if letter.is_whitespace() => reader.end_word(),
            letter => reader.put(letter),
        }
    }
    reader.end_call();
    reader.calls
}

/// What the next word is.
#[derive(Default, PartialEq)]
enum Next {
    #[default]
    Word,
    File,
    EndOfText,
}

#[derive(Default)]
struct Reader {
    calls: Vec<Vec<String>>,
    words: Vec<String>,
    word: Option<String>,
    next: Next,
    text_until: Option<String>,
}

impl Reader {
    fn put(&mut self, letter: char) {
        self.word.get_or_insert_default().push(letter);
    }

    fn put_all(&mut self, text: &str) {
        self.word.get_or_insert_default().push_str(text);
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        match std::mem::take(&mut self.next) {
            Next::Word => self.words.push(word),
            Next::File => {}
            Next::EndOfText => self.text_until = Some(word),
        }
    }

    /// Assignments before a call are none of its words.
    fn end_call(&mut self) {
        self.end_word();
        let words = std::mem::take(&mut self.words);
        let is_assignment = |word: &String| {
            let name = word.split_once('=').map_or("", |(name, _)| name);
            !name.is_empty() && name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_')
        };
        let words: Vec<_> = words.into_iter().skip_while(is_assignment).collect();
        if !words.is_empty() {
            self.calls.push(words);
        }
    }
}

#[test]
fn calls_are_taken_apart() {
    let block = "A=1 one 'two three' \\\n  \"4\" # no\ncat > file <<'END'\nno call\nEND\nfive | six && seven \"\" < f; x $(eight 9)\n";
    let found = calls(block);
    let expected: [&[&str]; 7] =
        [&["one", "two three", "4"], &["cat"], &["five"], &["six"], &["seven", ""], &["eight", "9"], &["x", "$"]];
    assert_eq!(found, expected);
}
