//! Links between pages, and to files and headings.

use std::path::Path;

use super::markdown::{Page, pages, root};

/// What is wrong with a link, when anything is.
fn problem(page: &Page, link: &str, all: &[Page]) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let from = root().join(Path::new(&page.name).parent().unwrap());
    let file = if path.is_empty() { root().join(&page.name) } else { from.join(path) };
    let Ok(file) = file.canonicalize() else { return Some("there is no such file".to_owned()) };
    if anchor.is_empty() {
        return None;
    }
    let is_it = |page: &&Page| root().join(&page.name).canonicalize().is_ok_and(|other| other == file);
    let Some(target) = all.iter().find(is_it) else { return Some("only pages have anchors".to_owned()) };
    let anchors = target.anchors();
    let is_there = anchors.iter().any(|known| known == anchor);
    (!is_there).then(|| format!("there is no such heading; there are {}", anchors.join(", ")))
}

#[test]
fn every_link_leads_somewhere() {
    let all = pages();
    let mut broken = Vec::new();
    let mut count = 0;
    for page in &all {
        for link in page.links() {
            count += 1;
            broken.extend(problem(page, link, &all).map(|problem| format!("{}: {link}: {problem}", page.name)));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(count > 20, "only {count} links were found");
}
