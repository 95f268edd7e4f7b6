//! `wit/v1` is published: components out there were built with it. A change of any of its bytes, be it a comment, makes
//! this fail.

use std::fs;

use ring::digest::{SHA256, digest};

/// SHA-256 of every file of `wit/v1`.
const PUBLISHED: [(&str, &str); 4] = [
    ("imports.wit", "c04445ad51a1ca4ddcf3e76dd5abd004ae43c716aca21bd3e0fecdc47794ec89"),
    ("module.wit", "961d6495f8e0fcbfae70b67b7dd2d6bf5e7f8489df7a23b5f0565b29c9fe13e0"),
    ("transform.wit", "39fddb8f1f5fcf03e76b183602a70cae6dadc99a60f4d9d4ec5d8586937be610"),
    ("types.wit", "5ed4856b903abf2cf9365ab1029a37db6803383a3f099b80e753822b8b5d1930"),
];

#[test]
fn a_published_contract_never_changes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit/v1");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut there: Vec<_> = entries
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let digest = digest(&SHA256, &fs::read(&path).unwrap());
            let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            (name, hex)
        })
        .collect();
    there.sort();
    let published = PUBLISHED.map(|(name, hex)| (name.to_owned(), hex.to_owned()));
    assert_eq!(
        there, published,
        "wit/v1 is published and is never edited: put it back as it was, and make the change in a new folder wit/v2, \
         with a version of its own in its `package` line, beside which hosts go on taking components of wit/v1"
    );
}
