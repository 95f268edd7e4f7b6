//! What tenants upload is checked before it may be used: what is sound is described, in words and figures; what is not
//! is refused at the step that found it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use hookbox::{
    firing::given::{self, GivenFiring},
    module::{
        Step,
        check::{Checked, Kind, report::Tally},
    },
    settings::Settings,
};
use hookbox_tests::{
    bad_modules::{self, AS_TOLD, ECHO, TRAP},
    bombs,
    eventually::eventually,
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
    assert_eq!(trials.made, Tally::Module { messages: 2, events: 2, not_mine: 0, malformed: 0 });
    assert_eq!(trials.failed, 0);
    let calls: Vec<_> = trials.calls.iter().map(|call| (call.handed.as_str(), call.outcome, call.events)).collect();
    assert_eq!(calls, [("bad bad.message", "events", 1); 2]);
    assert!(trials.calls.iter().all(|call| call.fuel > 0 && call.memory_bytes > 0), "{:?}", trials.calls);
    assert_eq!(trials.payloads[0]["Account-ID"], ACCOUNT);
    assert!(trials.fuel.min > 0 && trials.fuel.min <= trials.fuel.max, "{:?}", trials.fuel);
    let shown = serde_json::to_value(&report).unwrap();
    let means = |name: &str| {
        let imports = shown["imports"].as_array().unwrap();
        let import = imports.iter().find(|import| import["name"].as_str().unwrap().starts_with(name));
        import.unwrap_or_else(|| panic!("{name}: {imports:?}"))["means"].as_str().unwrap().to_owned()
    };
    assert_eq!(means("wasi:cli/environment"), "present, empty: no variables, no arguments");
    assert_eq!(shown["kind"], "module");
}

#[tokio::test]
async fn a_module_that_fails_on_messages_is_told_so_and_taken() {
    let desk = UploadDesk::with(&[]);

    let report = desk.check(bad_modules::bytes(TRAP), &[bad(ACCOUNT)]).await.unwrap().report;

    let trials = report.trials.unwrap();
    assert_eq!((trials.failed, trials.faults[0].kind, trials.calls[0].outcome), (1, "trap", "trap"));
    assert!(trials.faults[0].reason.contains("this module always traps"), "{:?}", trials.faults);
    assert_eq!(report.warnings, ["it failed on 1 of 1 messages"]);
}

/// Dear to compile, and not seen to be before.
fn compile_bomb() -> Vec<u8> {
    bombs::blocks(40, 4000, 2400)
}

#[tokio::test]
async fn what_takes_the_compiler_too_long_is_refused() {
    let cases = [("modules.compile_cpu_s", "1 s of CPU"), ("modules.compile_wall_s", "1 s")];
    for (setting, limit) in cases {
        let desk = UploadDesk::with(&[(setting, 1)]);

        let (step, error) = desk.refusal(compile_bomb()).await;

        let words = format!("it is too costly to compile: it takes more than {limit} ({setting})");
        assert!(step == Step::Compile && error.to_string().contains(&words), "{step}: {error}");
    }
}

#[tokio::test]
async fn the_helper_can_do_little_and_ends_with_who_asked_for_it() {
    // An odd number, to know it by among those of other tests.
    let desk = Arc::new(UploadDesk::with(&[
        ("modules.compile_memory_bytes_max", 1_610_612_739),
        ("modules.compile_cpu_s", 31),
    ]));
    let check = tokio::spawn({
        let desk = Arc::clone(&desk);
        async move { desk.check(compile_bomb(), &[]).await.map(|_| ()) }
    });
    let mark = "1610612739";
    let helper = eventually("a helper that has limited itself", async || {
        let helper = helper(mark).ok_or_else(|| "none".to_owned())?;
        let status = read(&helper, "status");
        // The filter is what it takes on last.
        if status.contains("\nSeccomp:\t2\n") { Ok(helper) } else { Err(status) }
    })
    .await;

    assert!(read(&helper, "status").contains("\nNoNewPrivs:\t1\n"));
    assert_eq!(read(&helper, "environ"), "MIMALLOC_ARENA_RESERVE=0\0");
    assert_eq!(fs::read_link(helper.join("cwd")).unwrap(), Path::new("/"));
    let mut open: Vec<_> = fs::read_dir(helper.join("fd")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    open.sort();
    assert!(open.iter().all(|descriptor| ["0", "1", "2"].contains(&descriptor.to_str().unwrap())), "{open:?}");
    let limits = read(&helper, "limits");
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    };
    let figures =
        ["Max address space", "Max data size", "Max cpu time", "Max core file size", "Max file size"].map(limit);
    assert_eq!(figures, [mark, mark, "31", "0", "0"]);
    // Fields are counted from behind the name.
    let stat = read(&helper, "stat");
    assert_eq!(stat.rsplit(')').next().unwrap().split_whitespace().nth(16), Some("19"), "its nice value: {stat}");

    check.abort();

    eventually("the helper to be gone", async || helper_left(mark)).await;
}

fn helper_left(mark: &str) -> Result<(), PathBuf> {
    helper(mark).map_or(Ok(()), Err)
}

/// The folder in `/proc` of a compile helper that has this among its arguments.
fn helper(mark: &str) -> Option<PathBuf> {
    let mut processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes.find(|path| {
        let line = fs::read_to_string(path.join("cmdline")).unwrap_or_default();
        line.contains("compile-helper") && line.split('\0').any(|argument| argument == mark)
    })
}

fn read(helper: &Path, file: &str) -> String {
    fs::read_to_string(helper.join(file)).unwrap_or_else(|error| format!("{file}: {error}"))
}

#[tokio::test]
async fn every_built_in_module_passes() {
    let desk = UploadDesk::with(&[]);
    for (name, component) in hookbox::module::built_in::BUILT_IN {
        let checked = desk.check(component.to_vec(), &[]).await;
        let report = checked.unwrap_or_else(|error| panic!("{name}: {error}")).report;
        assert_eq!(report.warnings, [""; 0], "{name}");
    }
}

#[tokio::test]
async fn a_transform_is_tried_with_firings_and_told_what_they_cost() {
    let desk = UploadDesk::with(&[("modules.report_calls_max", 2)]);
    let firings = || {
        ["one", "two", "three"].map(|name| {
            let handed = GivenFiring::default().handed_in().unwrap();
            given::on_trial(name.into(), handed, &Settings::default().firing, 1024)
        })
    };

    let report = desk.check_transform(bad_modules::bytes(AS_TOLD), &[], firings()).await.unwrap().report;

    let trials = report.trials.unwrap();
    assert_eq!(trials.made, Tally::Transform { firings: 3, to_send: 3, dropped: 0 });
    let calls: Vec<_> = trials.calls.iter().map(|call| (call.handed.as_str(), call.outcome)).collect();
    assert_eq!(calls, [("one", "to_send"), ("two", "to_send")], "as many as are told one by one");
    assert!(trials.fuel.min > 0 && trials.memory_bytes.min > 0, "{trials:?}");
    assert_eq!(report.steps.last().map(|passed| passed.step), Some(Step::Messages));

    let foreign = [("uri", "https://evil.example/")];
    let report = desk.check_transform(bad_modules::bytes(AS_TOLD), &foreign, firings()).await.unwrap().report;
    let trials = report.trials.unwrap();
    assert_eq!((trials.failed, trials.faults[0].kind, trials.calls[0].outcome), (3, "output", "output"));
    assert!(trials.faults[0].reason.contains("the URI has another scheme, host"), "{:?}", trials.faults);
    assert_eq!(report.warnings, ["it failed on 3 of 3 firings"]);
}
