//! The repository's pages, as far as the checks look into them: headings, links, words in code and blocks of code.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A page, by its path from the root of the repository.
pub(super) struct Page {
    pub(super) name: String,
    pub(super) text: String,
}

/// A block of code between fences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// What stands behind the first fence: `sh`, `json`.
    pub(super) language: String,
    pub(super) text: String,
}

pub(super) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Every page of the repository, without what is built and what begins with a dot.
pub(super) fn pages() -> Vec<Page> {
    let mut found = Vec::new();
    walk(root(), &mut found);
    found.sort();
    let page = |path: PathBuf| Page {
        name: path.strip_prefix(root()).unwrap().display().to_string(),
        text: fs::read_to_string(&path).unwrap(),
    };
    let pages: Vec<_> = found.into_iter().map(page).collect();
    assert!(pages.iter().any(|page| page.name == "docs/README.md"), "the pages were not found");
    pages
}

/// One page.
pub(super) fn page(name: &str) -> Page {
    let page = pages().into_iter().find(|page| page.name == name);
    page.unwrap_or_else(|| panic!("there is no page {name}"))
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if name.starts_with('.') || name.starts_with("target") || name == "node_modules" {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

impl Page {
    /// Its lines, and of each whether it is prose: outside of a block, and no fence.
    fn lines(&self) -> impl Iterator<Item = (bool, &str)> {
        let mut in_block = false;
        self.text.lines().map(move |line| {
            let is_fence = line.trim_start().starts_with("```");
            let is_prose = !in_block && !is_fence;
            in_block ^= is_fence;
            (is_prose, line)
        })
    }

    /// Its blocks of code, in their order.
    pub(super) fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut open: Option<(usize, Block)> = None;
        for line in self.text.lines() {
            let fence = line.trim_start().strip_prefix("```");
            open = match (open.take(), fence) {
                (None, None) => None,
                (None, Some(language)) => {
                    let indent = line.len() - line.trim_start().len();
                    Some((indent, Block { language: language.trim().to_owned(), text: String::new() }))
                }
                (Some((_, block)), Some(_)) => {
                    blocks.push(block);
                    None
                }
                (Some((indent, mut block)), None) => {
                    block.text += line.get(indent..).unwrap_or_default();
                    block.text.push('\n');
                    Some((indent, block))
                }
            };
        }
        assert!(open.is_none(), "{}: a block of code does not end", self.name);
        blocks
    }

    /// Its blocks in a shell's language.
    pub(super) fn shell_blocks(&self) -> Vec<Block> {
        self.blocks().into_iter().filter(|block| ["sh", "bash", "shell"].contains(&block.language.as_str())).collect()
    }

    /// What stands between single backticks, also over the end of a line.
    pub(super) fn words_in_code(&self) -> Vec<String> {
        let mut paragraphs = vec![String::new()];
        for (is_prose, line) in self.lines() {
            // A row of a table, or an entry of a list, is a paragraph of its own.
            if !is_prose || line.trim().is_empty() || line.trim_start().starts_with(['|', '-', '#']) {
                paragraphs.push(String::new());
            }
            if let Some(paragraph) = paragraphs.last_mut().filter(|_| is_prose) {
                *paragraph += line.trim();
                paragraph.push(' ');
            }
        }
        let words = |text: &String| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        paragraphs.iter().flat_map(words).collect()
    }

    /// The targets of its links and images.
    pub(super) fn links(&self) -> Vec<&str> {
        let mut links = Vec::new();
        for (_, line) in self.lines().filter(|(is_prose, _)| *is_prose) {
            // What is quoted is no link.
            for prose in line.split('`').step_by(2) {
                let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
                links.extend(targets.map(|(target, _)| target));
            }
            let named = line.strip_prefix('[').and_then(|line| line.split_once("]: "));
            links.extend(named.map(|(_, target)| target));
        }
        links.into_iter().map(|target| target.split_whitespace().next().unwrap_or_default()).collect()
    }

    /// What its headings can be linked to by, as GitHub makes it.
    pub(super) fn anchors(&self) -> Vec<String> {
        let mut seen = BTreeMap::new();
        let headings = self.lines().filter(|(is_prose, line)| *is_prose && line.starts_with('#'));
        let anchor = |(_, line): (bool, &str)| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
            let plain: String = kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect();
            let times = seen.entry(plain.clone()).and_modify(|times| *times += 1).or_insert(0);
            if *times == 0 { plain } else { format!("{plain}-{times}") }
        };
        headings.map(anchor).collect()
    }
}

#[test]
fn a_page_is_read_as_it_is_shown() {
    let text =
        "# One, `two`\n[a](b.md#c) and `x\ny`\n```sh\n# no heading [n](o)\n```\n- `z`\n## One, two\n[q]: ../r \"s\"\n";
    let page = Page { name: "page".to_owned(), text: text.to_owned() };
    assert_eq!(page.anchors(), ["one-two", "one-two-1"]);
    assert_eq!(page.links(), ["b.md#c", "../r"]);
    assert_eq!(page.words_in_code(), ["two", "x y", "z"]);
    let block = Block { language: "sh".to_owned(), text: "# no heading [n](o)\n".to_owned() };
    assert_eq!(page.blocks(), [block]);
}
