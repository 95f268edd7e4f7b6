//! `/metrics` says what `docs/metrics.md` says that it does, no more and no less, and the dashboard asks it for nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use hookbox::telemetry::metric_table::METRICS;
use hookbox_tests::{
    bad_modules,
    eventually::eventually,
    receiver::Receiver,
    samples::{ACCOUNT, bad, channel_created},
    test_host::{TestHost, a_hook},
};
use serde_json::Value;

/// A series: its labels, in the order in which they came.
type Labels = Vec<(String, String)>;

/// What `/metrics` says, by the names of metrics.
#[derive(Debug, Default)]
struct Scraped {
    kinds: BTreeMap<String, String>,
    help: BTreeMap<String, String>,
    series: BTreeMap<String, Vec<Labels>>,
}

impl Scraped {
    fn read(text: &str) -> Scraped {
        let mut scraped = Scraped::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                scraped.kinds.insert(name.to_owned(), kind.to_owned());
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                scraped.help.insert(name.to_owned(), help.to_owned());
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
                let labels = labels.map(|label| {
                    let (name, value) = label.split_once('=').unwrap_or_else(|| panic!("{line}"));
                    (name.to_owned(), value.trim_matches('"').to_owned())
                });
                scraped.series.entry(name.to_owned()).or_default().push(labels.collect());
            }
        }
        scraped
    }

    /// All series of a metric, a histogram's without `le`.
    fn of(&self, metric: &str) -> Vec<Labels> {
        let named = |name: &str| self.series.get(name).cloned().unwrap_or_default();
        [named(metric), named(&format!("{metric}_count"))].concat()
    }
}

/// A host to which something of everything has happened.
async fn a_busy_host(receiver: &Receiver) -> TestHost {
    let host = TestHost::builder()
        .module("trap", bad_modules::bytes(bad_modules::TRAP))
        .setting("telemetry.sample_ms", 100)
        .setting("firing.claim_poll_ms", 50)
        .hook(a_hook("channel_create").to(receiver))
        .start()
        .await;
    host.publish(channel_created(ACCOUNT)).await;
    host.publish(bad(ACCOUNT)).await;
    receiver.expect_requests(2).await;
    host.expect_no_waiting().await;
    host
}

/// What the host says once each metric has a series.
async fn scraped(host: &TestHost) -> Scraped {
    eventually("all metrics to be there", async || {
        let scraped = Scraped::read(&host.get("/metrics").await.1);
        let missing: Vec<_> =
            METRICS.iter().map(|metric| metric.name).filter(|name| scraped.of(name).is_empty()).collect();
        if missing.is_empty() { Ok(scraped) } else { Err(missing) }
    })
    .await
}

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[tokio::test]
async fn what_is_documented_is_there_and_what_is_there_is_documented() {
    let receiver = Receiver::start().await.answering([503, 200]);
    let host = a_busy_host(&receiver).await;
    let scraped = scraped(&host).await;

    let documented: BTreeMap<_, _> = file("docs/metrics.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `hookbox_"))
        .map(|row| {
            let [name, kind, labels, help] =
                row.trim_end_matches(" |").splitn(4, " | ").map(str::trim).collect::<Vec<_>>()[..]
            else {
                panic!("no row of four: {row}");
            };
            let labels: Vec<_> = labels.split(',').map(|label| label.trim().trim_matches('`').to_owned()).collect();
            let labels: Vec<_> = labels.into_iter().filter(|label| !label.is_empty()).collect();
            (format!("hookbox_{}", name.trim_matches('`')), (kind.to_owned(), labels, help.to_owned()))
        })
        .collect();
    let listed: BTreeMap<_, _> = METRICS
        .iter()
        .map(|metric| {
            let labels = metric.labels.iter().map(|label| (*label).to_owned()).collect();
            (metric.name.to_owned(), (metric.kind.as_str().to_owned(), labels, metric.help.to_owned()))
        })
        .collect();
    assert_eq!(documented, listed, "docs/metrics.md beside telemetry/metric_table.rs");

    assert_eq!(scraped.kinds.keys().collect::<Vec<_>>(), listed.keys().collect::<Vec<_>>());
    for (name, (kind, labels, help)) in &listed {
        assert_eq!(&scraped.kinds[name], kind, "{name}");
        assert_eq!(&scraped.help[name], help, "{name}");
        let expected: BTreeSet<_> = labels.iter().collect();
        for series in scraped.of(name) {
            let found: BTreeSet<_> = series.iter().map(|(label, _)| label).collect();
            assert_eq!(found, expected, "{name}");
        }
    }
    host.finish().await;
}

#[tokio::test]
async fn no_label_names_an_account_or_a_hook() {
    let receiver = Receiver::start().await.answering([503, 200]);
    let host = a_busy_host(&receiver).await;
    for (name, series) in scraped(&host).await.series {
        for (label, value) in series.into_iter().flatten() {
            let is_id = value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(!is_id && !value.contains(ACCOUNT) && !value.contains('/'), "{name} {label}={value}");
        }
    }
    host.finish().await;
}

/// A query's names of metrics, with what it says of their labels: those that are matched, with the value, and those that are
/// grouped by.
#[derive(Debug, Default)]
struct Query {
    metrics: Vec<(String, Vec<(String, String)>)>,
    grouped: Vec<String>,
}

impl Query {
    fn read(text: &str) -> Query {
        let mut query = Query::default();
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for (at, _) in text.match_indices("hookbox_") {
            let rest = &text[at..];
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let matched = rest[end..].strip_prefix('{').map(|matchers| matchers.split_once('}').unwrap().0);
            let matchers = matched.unwrap_or_default().split(',').filter(|matcher| !matcher.trim().is_empty());
            let matchers = matchers.map(|matcher| {
                let (label, value) = matcher.split_once('=').unwrap_or_else(|| panic!("no = in {text}"));
                (
                    label.trim_end_matches('!').trim().to_owned(),
                    value.trim_start_matches('~').trim_matches('"').to_owned(),
                )
            });
            query.metrics.push((rest[..end].to_owned(), matchers.collect()));
        }
        for (at, found) in text.match_indices("by (") {
            let labels = text[at + found.len()..].split_once(')').unwrap_or_else(|| panic!("no ) in {text}")).0;
            query.grouped.extend(labels.split(',').map(|label| label.trim().to_owned()));
        }
        query
    }
}

/// A query as Grafana's file has it.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row");
    let of_panel = |panel: &Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().unwrap_or_else(|| panic!("{title} has no queries")).clone();
        assert!(!targets.is_empty(), "{title} has no queries");
        targets.into_iter().map(move |target| (title.clone(), target["expr"].as_str().unwrap().to_owned()))
    };
    panels.flat_map(of_panel).collect()
}

#[tokio::test]
async fn the_dashboard_asks_for_what_is_there() {
    let receiver = Receiver::start().await.answering([503, 200]);
    let host = a_busy_host(&receiver).await;
    let scraped = scraped(&host).await;
    let dashboard: Value = serde_json::from_str(&file("deploy/grafana-dashboard.json")).unwrap();
    let queries = queries(&dashboard);
    assert!(queries.len() >= 20, "{}", queries.len());
    let mut asked = BTreeSet::new();
    for (title, text) in &queries {
        let query = Query::read(text);
        assert!(!query.metrics.is_empty(), "{title}: {text}");
        for (brackets, name) in [(['(', ')'], "()"), (['{', '}'], "{}"), (['[', ']'], "[]")] {
            let [open, close] = brackets.map(|bracket| text.matches(bracket).count());
            assert_eq!(open, close, "{title}: {name} in {text}");
        }
        for (name, matchers) in &query.metrics {
            let series = scraped.series.get(name).unwrap_or_else(|| panic!("{title}: /metrics has no {name}: {text}"));
            for (label, value) in matchers {
                let values: BTreeSet<_> =
                    series.iter().flatten().filter(|(name, _)| name == label).map(|(_, value)| value).collect();
                assert!(!values.is_empty(), "{title}: {name} has no label {label}");
                // What is matched by a pattern or is variable may be anything.
                let is_plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                let may_be_absent = ["result", "fault", "settlement", "kind"].contains(&label.as_str());
                assert!(
                    !is_plain || may_be_absent || values.contains(value),
                    "{title}: no {name} with {label}={value}"
                );
            }
            let metric = METRICS.iter().find(|metric| name.starts_with(metric.name)).unwrap();
            asked.insert(metric.name);
            let counts = name.ends_with("_total")
                || name.ends_with("_bucket")
                || name.ends_with("_sum")
                || name.ends_with("_count");
            let is_rated = text.contains("rate(") || text.contains("increase(");
            assert_eq!(counts, is_rated, "{title}: what counts up is shown as a rate, and nothing else: {text}");
        }
        for label in &query.grouped {
            let is_there = |name: &String| scraped.series[name].iter().flatten().any(|(found, _)| found == label);
            assert!(query.metrics.iter().all(|(name, _)| is_there(name)), "{title}: no label {label}: {text}");
        }
    }
    let unasked: Vec<_> = METRICS.iter().map(|metric| metric.name).filter(|name| !asked.contains(name)).collect();
    assert!(unasked.len() <= 12, "no panel shows {unasked:?}");
    host.finish().await;
}
