//! The last lines that modules and transforms logged, in this node's memory, for their owners to read.
//!
//! Bounded thrice: what a call may log ([`super::guest_log`]), lines of a module in a second, and what is kept of it.

use std::collections::VecDeque;

use dashmap::DashMap;

use super::guest_log::{Level, LogLines};
use crate::{
    message::{ModuleId, UnixMs},
    settings::ModuleSettings,
};

/// Modules whose lines are kept at once; over it, those of the one that has been silent for longest go.
const BOOKS_MAX: usize = 10_000;

/// A line that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLine {
    /// Grows with each line of a module, also over a restart: microseconds since 1970, about.
    pub id: u64,
    /// When the call that logged it had ended.
    pub at_ms: UnixMs,
    /// How much it matters.
    pub level: Level,
    /// What it says.
    pub text: String,
    /// The version that said it.
    pub version: String,
}

/// The lines of all modules.
#[derive(Debug)]
pub struct LogBooks {
    books: DashMap<ModuleId, Book>,
    lines_per_s: u64,
    lines_kept: usize,
    bytes_kept: usize,
}

/// The lines of one.
#[derive(Debug, Default)]
struct Book {
    lines: VecDeque<KeptLine>,
    bytes: usize,
    last_id: u64,
    /// The second that is counted in, since 1970.
    second: u64,
    within_it: u64,
    dropped: u64,
}

impl LogBooks {
    /// Empty ones.
    pub fn new(settings: &ModuleSettings) -> Self {
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Self {
            books: DashMap::new(),
            lines_per_s: settings.log_lines_per_s,
            lines_kept: size(settings.log_lines_kept),
            bytes_kept: size(settings.log_bytes_kept),
        }
    }

    /// Keeps what a call said. Gives how many of its lines are within the second's bound: the rest goes nowhere.
    pub fn write(&self, module: &ModuleId, version: &str, said: &LogLines, now_ms: UnixMs) -> usize {
        if self.books.len() >= BOOKS_MAX && !self.books.contains_key(module) {
            self.forget_the_most_silent();
        }
        let line = |level, text| KeptLine { id: 0, at_ms: now_ms, level, text, version: version.to_owned() };
        let mut book = self.books.entry(module.clone()).or_default();
        let dropped_before = book.enter(now_ms / 1000);
        if dropped_before > 0 {
            let text = format!("{dropped_before} lines were dropped: more than modules.log_lines_per_s in a second");
            book.put(line(Level::Warn, text));
        }
        let room = usize::try_from(self.lines_per_s.saturating_sub(book.within_it)).unwrap_or(usize::MAX);
        let within = said.lines.len().min(room);
        for said in &said.lines[..within] {
            book.put(line(said.level, said.text.clone()));
        }
        book.within_it += within as u64;
        book.dropped += (said.lines.len() - within) as u64;
        if said.dropped_bytes > 0 && within == said.lines.len() {
            let text = format!("{} bytes more were dropped: over modules.log_bytes_max in a call", said.dropped_bytes);
            book.put(line(Level::Warn, text));
        }
        book.cut(self.lines_kept, self.bytes_kept);
        within
    }

    /// The lines of a module after one of them, of this level or above it, the oldest first.
    pub fn read(&self, module: &ModuleId, after: u64, least: Level) -> Vec<KeptLine> {
        let Some(book) = self.books.get(module) else { return Vec::new() };
        book.lines.iter().filter(|line| line.id > after && line.level >= least).cloned().collect()
    }

    /// Whether anything is kept of a module.
    pub fn has(&self, module: &ModuleId) -> bool {
        self.books.contains_key(module)
    }

    fn forget_the_most_silent(&self) {
        let silent = self.books.iter().min_by_key(|book| book.last_id).map(|book| book.key().clone());
        if let Some(module) = silent {
            self.books.remove(&module);
        }
    }
}

impl Book {
    /// Begins a second when it is another one; how many lines were dropped in the one before.
    fn enter(&mut self, second: u64) -> u64 {
        if self.second == second {
            return 0;
        }
        (self.second, self.within_it) = (second, 0);
        std::mem::take(&mut self.dropped)
    }

    fn put(&mut self, line: KeptLine) {
        self.last_id = (self.last_id + 1).max(line.at_ms.saturating_mul(1000));
        self.bytes += line.text.len();
        self.lines.push_back(KeptLine { id: self.last_id, ..line });
    }

    /// The oldest lines go first.
    fn cut(&mut self, lines_max: usize, bytes_max: usize) {
        while self.lines.len() > lines_max || self.bytes > bytes_max {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes -= oldest.text.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{module::guest_log::LogLine, settings::Settings};

    fn books(lines_per_s: u64, lines_kept: u64, bytes_kept: u64) -> LogBooks {
        let settings = Settings::default().modules;
        LogBooks::new(&ModuleSettings {
            log_lines_per_s: lines_per_s,
            log_lines_kept: lines_kept,
            log_bytes_kept: bytes_kept,
            ..settings
        })
    }

    fn said(lines: &[(Level, &str)]) -> LogLines {
        let lines = lines.iter().map(|(level, text)| LogLine { level: *level, text: (*text).to_owned() }).collect();
        LogLines { lines, dropped_bytes: 0 }
    }

    fn infos(texts: &[&str]) -> LogLines {
        said(&texts.iter().map(|text| (Level::Info, *text)).collect::<Vec<_>>())
    }

    fn texts(books: &LogBooks) -> Vec<String> {
        books.read(&"m".into(), 0, Level::Debug).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_are_read_by_level_and_after_one_that_is_known() {
        let (books, module) = (books(100, 100, 1000), "m".into());
        books.write(&module, "1.0.0", &said(&[(Level::Debug, "d"), (Level::Error, "e")]), 5000);
        books.write(&module, "1.1.0", &said(&[(Level::Warn, "w")]), 5000);
        assert_eq!(texts(&books), ["d", "e", "w"]);
        let warnings = books.read(&module, 0, Level::Warn);
        assert_eq!(warnings.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["e", "w"]);
        assert_eq!((warnings[1].version.as_str(), warnings[1].at_ms), ("1.1.0", 5000));
        assert_eq!(books.read(&module, warnings[0].id, Level::Debug), warnings[1..]);
        assert!(warnings[0].id >= 5_000_000, "greater than those of a process that ended before");
        assert!(books.has(&module) && !books.has(&"other".into()));
    }

    #[test]
    fn a_second_has_so_many_lines_and_what_was_dropped_is_told() {
        let books = books(2, 100, 1000);
        assert_eq!(books.write(&"m".into(), "1", &infos(&["a", "b", "c"]), 1000), 2);
        assert_eq!(books.write(&"m".into(), "1", &infos(&["d"]), 1999), 0);
        assert_eq!(books.write(&"other".into(), "1", &infos(&["x"]), 1999), 1, "each has its own");
        assert_eq!(books.write(&"m".into(), "1", &infos(&["e"]), 2000), 1);
        let told = "2 lines were dropped: more than modules.log_lines_per_s in a second";
        assert_eq!(texts(&books), ["a", "b", told, "e"]);
    }

    #[test]
    fn the_oldest_lines_go() {
        let by_lines = books(100, 2, 1000);
        by_lines.write(&"m".into(), "1", &infos(&["a", "b", "c"]), 1000);
        assert_eq!(texts(&by_lines), ["b", "c"]);
        let by_bytes = books(100, 100, 10);
        by_bytes.write(&"m".into(), "1", &infos(&["aaaa", "bbbb", "cccc"]), 1000);
        assert_eq!(texts(&by_bytes), ["bbbb", "cccc"]);
        by_bytes.write(&"m".into(), "1", &infos(&["ddddddddddd"]), 1000);
        assert_eq!(texts(&by_bytes), [""; 0], "a line over the bound is not kept");
    }

    #[test]
    fn bytes_over_a_calls_bound_are_told() {
        let books = books(100, 100, 1000);
        books.write(&"m".into(), "1", &LogLines { dropped_bytes: 7, ..infos(&["a"]) }, 1000);
        assert_eq!(texts(&books), ["a", "7 bytes more were dropped: over modules.log_bytes_max in a call"]);
    }
}
