//! Calls of the program and of make: each has to be one.

use std::fs;

use clap::{CommandFactory, Parser, error::ErrorKind};
use hookbox::command::Command;

use super::{
    markdown::{Page, pages, root},
    shell,
};

/// Programs that call the one that is named behind them.
const CALLERS: [&str; 2] = ["sudo", "systemd-run"];

/// Each call of a program in the page's blocks, without the program's name.
fn calls_of(page: &Page, program: &str) -> Vec<Vec<String>> {
    let is_it = |word: &String| word.rsplit('/').next() == Some(program);
    let arguments = |words: Vec<String>| {
        let at = if CALLERS.contains(&words[0].as_str()) { words.iter().rposition(is_it) } else { Some(0) };
        at.filter(|at| is_it(&words[*at])).map(|at| words[at + 1..].to_vec())
    };
    page.shell_blocks().into_iter().flat_map(|block| shell::calls(&block.text)).filter_map(arguments).collect()
}

#[test]
fn every_call_in_a_block_is_one_that_the_program_takes() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in pages() {
        for words in calls_of(&page, "hookbox") {
            count += 1;
            let line = words.join(" ");
            let parsed = Command::try_parse_from([&["hookbox".to_owned()], &words[..]].concat());
            match parsed.map_err(|error| (error.kind(), error)) {
                Ok(_) | Err((ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, _)) => {}
                Err((_, error)) => wrong.push(format!("{}: hookbox {line}\n{error}", page.name)),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 50, "only {count} calls were found");
}

/// What is wrong with a call as prose writes it, when anything is: its subcommands and flags have to exist, and what
/// else stands in it (`[…]`, names of values) may be anything.
fn problem(call: &str) -> Option<String> {
    let mut program = Command::command();
    program.build();
    let mut at = &program;
    let plain = |word: &str| word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-');
    let mut is_path = true;
    for word in call.split_whitespace().map(|word| word.trim_matches(['[', ']', '…', ','])) {
        if let Some(flag) = word.strip_prefix("--") {
            let flag = flag.split('=').next().unwrap_or_default();
            if !at.get_arguments().any(|argument| argument.get_long() == Some(flag)) {
                return Some(format!("there is no --{flag}"));
            }
        } else if is_path && at.has_subcommands() && !word.is_empty() && plain(word) {
            match at.find_subcommand(word) {
                Some(found) => at = found,
                None => return Some(format!("there is no {word}")),
            }
        } else {
            is_path = false;
        }
    }
    None
}

#[test]
fn every_call_in_prose_has_its_subcommands_and_flags() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in pages() {
        for word in page.words_in_code() {
            let Some(call) = word.strip_prefix("hookbox ") else { continue };
            count += 1;
            wrong.extend(problem(call).map(|problem| format!("{}: {word}: {problem}", page.name)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 30, "only {count} calls were found");
    assert!(problem("hooks made-up").is_some() && problem("serve --made-up").is_some());
}

#[test]
fn every_target_of_make_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let is_there = |target: &str| makefile.lines().any(|line| line.starts_with(&format!("{target}:")));
    let mut count = 0;
    for page in pages() {
        let in_blocks = calls_of(&page, "make").into_iter().map(|words| words.first().cloned().unwrap_or_default());
        let spoken = page.words_in_code().into_iter();
        let in_prose = spoken.filter_map(|word| word.strip_prefix("make ").map(str::to_owned));
        for target in in_blocks.chain(in_prose) {
            count += 1;
            assert!(is_there(&target), "{}: there is no `make {target}`", page.name);
        }
    }
    assert!(count > 5, "only {count} targets were found");
}
