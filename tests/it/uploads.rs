//! What tenants upload is checked before it may be used: what is sound is described, in words and figures; what is not
//! is refused at the step that found it.

use std::time::Instant;

use hookbox::module::{
    ModuleError, Step,
    check::{Checked, Kind},
};
use hookbox_tests::{
    bad_modules::{self, ECHO, TRAP},
    samples::{ACCOUNT, bad},
    upload_desk::UploadDesk,
};

#[tokio::test]
async fn a_sound_module_is_described() {
    let desk = UploadDesk::with(&[]);

    let checked = desk.check(bad_modules::bytes(ECHO), &[bad(ACCOUNT), bad(ACCOUNT)]).await.unwrap();

    let Checked { kind, metadata, bindings, report } = checked;
    assert_eq!((kind, report.kind), (Kind::Module, Kind::Module));
    assert_eq!(metadata.unwrap().id.to_string(), "echo");
    assert_eq!(bindings[0].exchange, "bad");
    let steps: Vec<_> = report.steps.iter().map(|passed| passed.step).collect();
    assert!(
        steps.is_sorted() && steps.first() == Some(&Step::Size) && steps.last() == Some(&Step::Messages),
        "{steps:?}"
    );
    let trials = report.trials.clone().unwrap();
    assert_eq!((trials.messages, trials.events, trials.failed), (2, 2, 0));
    assert_eq!(trials.payloads[0]["Account-ID"], ACCOUNT);
    assert!(trials.fuel.min > 0 && trials.fuel.min <= trials.fuel.max, "{:?}", trials.fuel);
    let shown = serde_json::to_value(&report).unwrap();
    let means = |name: &str| {
        let imports = shown["imports"].as_array().unwrap();
        let import = imports.iter().find(|import| import["name"].as_str().unwrap().starts_with(name));
        import.unwrap_or_else(|| panic!("{name}: {imports:?}"))["means"].as_str().unwrap().to_owned()
    };
    assert_eq!(means("wasi:filesystem/"), "present, empty: no file and no folder");
    assert_eq!(shown["kind"], "module");
}

#[tokio::test]
async fn a_module_that_fails_on_messages_is_told_so_and_taken() {
    let desk = UploadDesk::with(&[]);

    let report = desk.check(bad_modules::bytes(TRAP), &[bad(ACCOUNT)]).await.unwrap().report;

    let trials = report.trials.unwrap();
    assert_eq!((trials.failed, trials.faults[0].kind), (1, "trap"));
    assert!(trials.faults[0].reason.contains("this module always traps"), "{:?}", trials.faults);
    assert_eq!(report.warnings, ["it failed on 1 of 1 messages"]);
}

/// Components that other toolchains made, e.g. for JavaScript and Python, are not built here: their folder is named by the
/// environment. Prints how long each takes from upload to report.
#[tokio::test]
#[ignore = "needs components in the folder that HOOKBOX_COMPONENTS names"]
async fn components_of_a_folder_are_timed() {
    let folder = std::env::var("HOOKBOX_COMPONENTS").unwrap();
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "wasm")) {
        let desk = UploadDesk::with(&[]);
        let began = Instant::now();
        let messages: Vec<_> = std::iter::repeat_with(|| bad(ACCOUNT)).take(20).collect();
        let result = desk.check(std::fs::read(path).unwrap(), &messages).await;
        let took = began.elapsed();
        match result {
            Ok(checked) => {
                println!("{} {took:?}\n{}", path.display(), serde_json::to_string_pretty(&checked.report).unwrap())
            }
            Err(ModuleError::Refused { step, error }) => {
                println!("{} {took:?} refused at {step}: {error}", path.display())
            }
            Err(error) => println!("{} {took:?} {error}", path.display()),
        }
    }
}
