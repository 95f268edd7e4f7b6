//! What differs between two texts, line by line, as people are used to read it.

/// Lines that only `expected` has begin with `-`, those that only `given` has with `+`. Lines that both have stand between
/// them, but for long stretches.
pub(super) fn difference(expected: &str, given: &str) -> String {
    let (expected, given): (Vec<_>, Vec<_>) = (expected.lines().collect(), given.lines().collect());
    let lines = lines(&expected, &given);
    let near = |at: usize| {
        let from = at.saturating_sub(CONTEXT);
        lines[from..lines.len().min(at + CONTEXT + 1)].iter().any(|(mark, _)| *mark != ' ')
    };
    let mut text = String::new();
    let mut left_out = false;
    for (at, (mark, line)) in lines.iter().enumerate() {
        if near(at) {
            text.push_str(&format!("{mark} {line}\n"));
            left_out = false;
        } else if !left_out {
            text.push_str("  …\n");
            left_out = true;
        }
    }
    text
}

/// Lines that are shown before and after a difference.
const CONTEXT: usize = 2;

/// Cells of the table of longest common subsequences: a few megabytes. Texts that differ over longer stretches are shown
/// one after the other.
const CELLS_MAX: usize = 1_000_000;

/// All lines of both, each with its mark.
fn lines<'a>(expected: &[&'a str], given: &[&'a str]) -> Vec<(char, &'a str)> {
    let same = |pair: &(&&str, &&str)| pair.0 == pair.1;
    let before = expected.iter().zip(given).take_while(same).count();
    let (old, new) = (&expected[before..], &given[before..]);
    let after = old.iter().rev().zip(new.iter().rev()).take_while(same).count();
    let (old, new) = (&old[..old.len() - after], &new[..new.len() - after]);
    let alike = |line: &&'a str| (' ', *line);
    let mut lines: Vec<_> = expected[..before].iter().map(alike).collect();
    if old.len().saturating_mul(new.len()) <= CELLS_MAX {
        lines.extend(shortest_way(old, new));
    } else {
        lines.extend(old.iter().map(|line| ('-', *line)));
        lines.extend(new.iter().map(|line| ('+', *line)));
    }
    lines.extend(expected[expected.len() - after..].iter().map(alike));
    lines
}

/// The shortest way from one to the other, by the table of longest common subsequences.
fn shortest_way<'a>(expected: &[&'a str], given: &[&'a str]) -> Vec<(char, &'a str)> {
    let mut longest = vec![vec![0_usize; given.len() + 1]; expected.len() + 1];
    for (i, old) in expected.iter().enumerate().rev() {
        for (j, new) in given.iter().enumerate().rev() {
            longest[i][j] = match old == new {
                true => longest[i + 1][j + 1] + 1,
                false => longest[i + 1][j].max(longest[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < expected.len() || j < given.len() {
        if i < expected.len() && j < given.len() && expected[i] == given[j] {
            lines.push((' ', expected[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == given.len() || (i < expected.len() && longest[i + 1][j] >= longest[i][j + 1]) {
            lines.push(('-', expected[i]));
            i += 1;
        } else {
            lines.push(('+', given[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn what_changed_is_shown_with_what_stands_around_it() {
        let before = "1\n2\n3\n4\n5\n6\n7";
        let after = "1\n2\n3\n4\n5\nsix\n7\n8";
        assert_eq!(difference(before, after), "  …\n  4\n  5\n- 6\n+ six\n  7\n+ 8\n");
        assert_eq!(difference("", "a"), "+ a\n");
        assert_eq!(difference("a\nb", "a\nb\nb"), "  a\n  b\n+ b\n");
    }

    #[test]
    fn long_texts_with_nothing_in_common_are_shown_one_after_the_other() {
        let (before, after) = ("a\n".repeat(2000), "b\n".repeat(2000));
        assert_eq!(difference(&before, &after), "- a\n".repeat(2000) + &"+ b\n".repeat(2000));
    }
}
