//! The move from KAZOO: the documents of the page, imported, give what the page says is printed; and its way of changing over
//! loses nothing.

use hookbox::host::{self, HostOptions};
use hookbox_tests::{
    amqp::Published,
    real_program::{Place, hookbox},
    receiver::Receiver,
    samples::{ACCOUNT, channel_created},
    test_host::{TestHost, a_hook, import},
};

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

#[tokio::test]
async fn what_is_published_while_neither_works_is_fired_once_by_the_new_one() {
    let receiver = Receiver::start().await;
    let host = TestHost::builder().start().await;
    // While KAZOO's app is still at work: there is no hook here, so nothing fires twice.
    host.publish(channel_created(ACCOUNT)).await;
    host.expect_settled().await;
    let TestHost { running, amqp, vhost, settings, folder } = host;
    assert!(running.stop().await, "the host did not stop in time");

    // KAZOO's app has been stopped, and hooks are imported.
    let late = channel_created(ACCOUNT);
    let published = amqp.as_ref().unwrap().publish(&late).await;
    assert!(matches!(published, Published::Routed), "{published:?}");
    import(&settings, &[a_hook("channel_create").to(&receiver).document()]).await;

    let options = HostOptions { compile_program: Some(hookbox()), ..HostOptions::default() };
    let running = host::start(settings.clone(), options).await.unwrap();
    running.ready().await;
    receiver.expect_requests(1).await;
    let host = TestHost { running, amqp, vhost, settings, folder };
    host.expect_settled().await;
    host.finish().await;
    assert_eq!(receiver.requests().len(), 1);
}
