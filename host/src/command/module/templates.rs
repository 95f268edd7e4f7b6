//! What `hookbox module new` writes: templates, the kits and the contract, all embedded in the program.

use include_dir::{Dir, include_dir};

use super::{
    folder::{Language, World},
    standalone::standalone,
};

static CONTRACT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../wit/v1");
static RUST: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../sdk/rust");
static JS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../sdk/js");
static PYTHON: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../sdk/python");
/// Where the versions are that the SDK inherits.
const WORKSPACE: &str = include_str!("../../../../Cargo.toml");

/// The templates are working modules of this name; it becomes the new one's.
const NAME: &str = "my_event";
/// As [`NAME`], for people.
const TITLE: &str = "My event";

/// One file: its path in the new folder, and what is in it.
pub(super) type File = (String, Vec<u8>);

/// All files of a new folder.
pub(super) fn files(name: &str, language: Language, world: World) -> Result<Vec<File>, String> {
    let kit = match language {
        Language::Rust => &RUST,
        Language::Js => &JS,
        Language::Python => &PYTHON,
    };
    let template = kit.get_dir(format!("template/{}", world.word())).ok_or("the program has no such template")?;
    let mut files: Vec<File> = below(template, "").map(|(path, content)| (path, renamed(content, name))).collect();
    files.extend(below(&CONTRACT, "wit/v1/"));
    match language {
        Language::Rust => {
            let sdk = below(kit, "vendor/hookbox-sdk/");
            files.extend(sdk.filter(|(path, _)| path.starts_with("vendor/hookbox-sdk/src/")));
            let manifest = kit.get_file("Cargo.toml").and_then(|file| file.contents_utf8()).unwrap_or_default();
            files.push(("vendor/hookbox-sdk/Cargo.toml".into(), standalone(manifest, WORKSPACE)?.into_bytes()));
        }
        Language::Js => {
            let sdk = below(kit, "hookbox/");
            files.extend(sdk.filter(|(path, _)| matches!(path.as_str(), "hookbox/index.js" | "hookbox/index.d.ts")));
        }
        Language::Python => files.extend(below(kit, "").filter(|(path, _)| path.starts_with("hookbox/"))),
    }
    files.retain(|(path, _)| !path.contains("__pycache__"));
    Ok(files)
}

/// Every file below the folder, `prefix` and its path from there.
fn below<'a>(folder: &'a Dir<'_>, prefix: &'a str) -> impl Iterator<Item = File> + 'a {
    let mut waiting = vec![folder];
    let mut files = Vec::new();
    while let Some(next) = waiting.pop() {
        waiting.extend(next.dirs());
        files.extend(next.files());
    }
    files.into_iter().map(move |file| {
        let path = file.path().strip_prefix(folder.path()).unwrap_or(file.path());
        (format!("{prefix}{}", path.display()), file.contents().to_vec())
    })
}

fn renamed(content: Vec<u8>, name: &str) -> Vec<u8> {
    match String::from_utf8(content) {
        Ok(text) => text.replace(NAME, name).replace(TITLE, &title(name)).into_bytes(),
        Err(binary) => binary.into_bytes(),
    }
}

/// `missed_call` → `Missed call`.
fn title(name: &str) -> String {
    let words = name.replace('_', " ");
    let mut letters = words.trim().chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_and_world_has_a_whole_folder_with_no_word_of_the_template_left() {
        for language in [Language::Rust, Language::Js, Language::Python] {
            for world in [World::Module, World::Transform] {
                let files = files("door_bell", language, world).unwrap_or_else(|error| panic!("{error}"));
                let has = |wanted: &str| files.iter().any(|(path, _)| path == wanted);
                for wanted in ["hookbox-module.toml", "README.md", ".gitignore", "wit/v1/types.wit"] {
                    assert!(has(wanted), "{language:?} {world:?} lacks {wanted}");
                }
                assert!(files.iter().any(|(path, _)| path.starts_with("samples/")));
                for (path, content) in &files {
                    let text = String::from_utf8_lossy(content);
                    assert!(!text.contains(NAME) && !text.contains(TITLE), "{language:?} {world:?} {path}");
                }
            }
        }
    }

    #[test]
    fn titles_are_for_people() {
        assert_eq!((title("missed_call"), title("_"), title("9")), ("Missed call".into(), "_".into(), "9".into()));
    }
}
