//! The move from KAZOO: the documents of the page, imported, give what the page says is printed.

use hookbox_tests::real_program::Place;

use super::markdown::page;

#[tokio::test]
async fn the_import_prints_what_the_page_shows() {
    let page = page("docs/kazoo.md");
    let block = |language: &str, beginning: &str| {
        let mut blocks = page.blocks().into_iter();
        let found = blocks.find(|block| block.language == language && block.text.starts_with(beginning));
        found.unwrap_or_else(|| panic!("{} has no {language} that begins with {beginning}", page.name)).text
    };
    let place = Place::new();
    place.write("documents.json", block("json", "["));
    // The page's settings, but for what is on other machines.
    let settings = block("toml", "[store]");
    let here = settings.lines().filter(|line| !line.starts_with("url = ") && !line.starts_with("key_file = "));
    place.write("hookbox.toml", here.collect::<Vec<_>>().join("\n"));
    let said = place.call(&["import", "kazoo", "documents.json", "--config", "hookbox.toml"]).await;
    assert_eq!((said.stdout.as_str(), said.code), (block("text", "accounts: ").as_str(), 1), "{}", said.stderr);
}
