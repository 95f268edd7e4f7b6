//! What `deploy/` says fits the program: every setting, path, port and command in its files exists. Its page is checked with
//! all others, by `docs`.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use hookbox::settings::Settings;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The settings of a container: the file that is copied into it, under what the compose file sets.
fn settings() -> Settings {
    let set = environment().into_iter().map(|name| {
        // What is left to whoever runs it.
        let value = match name.as_str() {
            "HOOKBOX_STORE__URL" => "sqlite:/var/lib/hookbox/hookbox.db",
            "HOOKBOX_STORE__KEY_FILE" => "/var/lib/hookbox/hookbox.key",
            "HOOKBOX_AMQP__URL" => "amqp://hookbox:x@rabbitmq:5672/%2f",
            "HOOKBOX_MASTER__ACCOUNT_ID" => "00000000000000000000000000000000",
            "HOOKBOX_MASTER__API_KEY" => "0123456789abcdef0123456789abcdef",
            other => panic!("{other} is set in the compose file; say here to what"),
        };
        (name, value.to_owned())
    });
    let file = root().join("deploy/hookbox.toml");
    Settings::from_parts(Some(&file), set).unwrap_or_else(|error| panic!("{error}"))
}

/// Words of a text that name environment variables of settings: `HOOKBOX_SECTION__KEY`.
fn environment() -> BTreeSet<String> {
    let texts: String =
        ["compose.yaml", "hookbox.service", "hookbox.toml"].map(|name| read(&format!("deploy/{name}"))).concat();
    let words = texts.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("HOOKBOX_") && word.contains("__")).map(str::to_owned).collect()
}

/// The value of a line `Name=value`.
fn directive<'a>(unit: &'a str, name: &str) -> &'a str {
    let line = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("the unit says nothing of {name}"))
}

#[test]
fn settings_of_the_container_are_known_and_within_bounds() {
    let settings = settings();
    assert_eq!(settings.api.listen.to_string(), "0.0.0.0:8000");
    assert_eq!(settings.telemetry.listen.map(|address| address.port()), Some(9464));
}

#[test]
fn settings_that_the_files_name_exist() {
    let example = Settings::from_parts(None, std::iter::empty()).unwrap();
    let known = serde_json::to_value(&example).unwrap();
    for file in ["deploy/hookbox.service", "deploy/compose.yaml", "deploy/hookbox.toml"] {
        let text = read(file);
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && !"._".contains(letter));
        for word in words.map(|word| word.trim_end_matches('.')) {
            let Some((section, key)) = word.split_once('.') else { continue };
            let Some(keys) = known.get(section).and_then(|section| section.as_object()) else { continue };
            let is_file = ["toml", "db", "key", "service", "rs"].contains(&key);
            assert!(is_file || keys.contains_key(key), "{file}: there is no setting {word}");
        }
    }
}

#[test]
fn service_managers_wait_longer_than_a_stop_takes() {
    let settings = settings();
    let stop = &settings.shutdown;
    let takes = Duration::from_millis(stop.unready_ms + stop.grace_ms + stop.record_ms);
    let unit = read("deploy/hookbox.service");
    let waits: u64 = directive(&unit, "TimeoutStopSec").parse().unwrap();
    assert!(Duration::from_secs(waits) > takes, "TimeoutStopSec={waits} is less than {takes:?}");
    assert_eq!(directive(&unit, "KillSignal"), "SIGTERM");
    let compose = read("deploy/compose.yaml");
    let grace = compose.lines().find_map(|line| line.trim().strip_prefix("stop_grace_period: ")).unwrap();
    let grace: u64 = grace.trim_end_matches('s').parse().unwrap();
    assert!(Duration::from_secs(grace) > takes, "stop_grace_period {grace} s is less than {takes:?}");
    // The balancer has noticed before the listener closes: `inter`, times `fall`.
    let check = compose.lines().find_map(|line| line.trim().strip_prefix("default-server check inter ")).unwrap();
    let numbers: Vec<u64> =
        check.split(|letter: char| !letter.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    assert!(stop.unready_ms > numbers[0] * 1000 * numbers[1], "{check}");
}

#[test]
fn commands_are_those_of_the_program() {
    let unit = read("deploy/hookbox.service");
    let container = read("deploy/Containerfile");
    let serve = "serve --config /etc/hookbox/hookbox.toml";
    assert_eq!(directive(&unit, "ExecStart"), format!("/usr/local/bin/hookbox {serve}"));
    let words: Vec<_> = serve.split(' ').map(|word| format!("{word:?}")).collect();
    assert!(container.contains(&format!("CMD [{}]", words.join(", "))), "{container}");
    assert!(container.contains("ENTRYPOINT [\"/usr/local/bin/hookbox\"]"));
}

#[test]
fn paths_and_ports_are_the_same_everywhere() {
    let (unit, container, compose) =
        (read("deploy/hookbox.service"), read("deploy/Containerfile"), read("deploy/compose.yaml"));
    let settings = settings();
    for (folder, named) in [("/var/lib/hookbox", "StateDirectory"), ("/var/cache/hookbox", "CacheDirectory")] {
        assert_eq!(directive(&unit, named), "hookbox");
        assert!(container.contains(folder) && compose.contains(&format!(":{folder}")), "{folder}");
    }
    assert_eq!(settings.cache_dir(), Path::new("/var/cache/hookbox"));
    assert_eq!(settings.key_file(), Path::new("/var/lib/hookbox/hookbox.key"));
    let port = settings.api.listen.port();
    assert!(container.contains(&format!("EXPOSE {port} ")), "{container}");
    for place in [format!("/dev/tcp/127.0.0.1/{port} "), format!("host-1:{port}"), format!("host-2:{port}")] {
        assert!(compose.contains(&place), "{place}");
    }
    // What is copied into the image is there.
    for line in container.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--")) {
        let from = line.split(' ').next().unwrap();
        assert!(root().join(from).exists(), "{from} is copied into the image, and is not there");
    }
    let uid = compose.lines().find_map(|line| line.trim().strip_prefix("user: ")).unwrap().trim_matches('"');
    assert!(container.contains(&format!("USER {uid}")) && container.contains("--uid 10001"), "{uid}");
    for line in compose.lines().filter(|line| line.contains("dockerfile: ")) {
        let file = line.split(": ").nth(1).unwrap();
        assert!(root().join(file).exists(), "{file}");
    }
    // Whatever the compose file wants to be told is in the example of it.
    let example = read("deploy/compose.env.example");
    for named in compose.split("${").skip(1).map(|rest| rest.split([':', '}']).next().unwrap()) {
        assert!(example.contains(&format!("{named}=")), "{named} is missing in deploy/compose.env.example");
    }
}
