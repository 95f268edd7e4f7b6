//! `hookbox doctor`: checks what a host needs, says what is wrong and what to do.

use std::{path::Path, process::ExitCode, time::Duration};

use lapin::{Connection, ConnectionProperties};
use tokio::net::TcpStream;

use super::could_not_begin;
use crate::{
    clock::Clock,
    error_chain::chain,
    firing::client::trust,
    host::{self, HostOptions},
    kazoo::{ACCOUNTS, couchdb::CouchDb},
    settings::{FiringSettings, KazooSettings, ProxyUrl, Settings},
};

/// Before this, a clock has not been set: signatures with such times are refused by every receiver.
const EARLIEST_MS: u64 = 1_767_225_600_000; // 2026-01-01

/// Prints a line a check; exit code 1 when one of them is bad.
pub async fn run(config: Option<&Path>) -> ExitCode {
    let mut settings = match Settings::load(config) {
        Ok(settings) => settings,
        Err(error) => return could_not_begin(&error),
    };
    let mut report = Report { bad: 0 };
    report.line("settings", Ok(config.map_or("the defaults".to_owned(), |path| path.display().to_string())));
    report.line("clock", clock());
    report.line("broker", broker(settings.amqp.url.as_deref()).await);
    if settings.kazoo.couchdb_url.is_some() {
        report.line("couchdb", couchdb(&settings.kazoo).await);
    }
    report.line("certificates", certificates(&mut settings.firing));
    if let Some(proxy) = &settings.firing.proxy_url {
        report.line("proxy", reach(proxy).await);
    }
    check_host(settings, &mut report).await;
    match report.bad {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

struct Report {
    bad: usize,
}

impl Report {
    fn line(&mut self, what: &str, found: Result<String, String>) {
        match found {
            Ok(text) => println!("ok    {what}: {text}"),
            Err(text) => {
                self.bad += 1;
                println!("WRONG {what}: {text}");
            }
        }
    }
}

fn clock() -> Result<String, String> {
    match Clock::System.now_ms() {
        now if now < EARLIEST_MS => {
            Err("it is years behind; set it (NTP), or receivers refuse every signature".to_owned())
        }
        _ => Ok("set".to_owned()),
    }
}

async fn broker(url: Option<&str>) -> Result<String, String> {
    let Some(url) = url else { return Ok("off (amqp.url is unset)".to_owned()) };
    let connecting = Connection::connect(url, ConnectionProperties::default());
    match tokio::time::timeout(Duration::from_secs(10), connecting).await {
        Ok(Ok(_)) => Ok("reached".to_owned()),
        Ok(Err(error)) => Err(format!("{}; check amqp.url and that the broker runs", chain(&error))),
        Err(_) => Err("no answer within 10 s; check amqp.url and the way there".to_owned()),
    }
}

/// KAZOO's: whether it lets us in, and has accounts.
async fn couchdb(settings: &KazooSettings) -> Result<String, String> {
    match CouchDb::new(settings) {
        Ok(None) => Ok("off".to_owned()),
        Ok(Some(couchdb)) => match couchdb.documents(ACCOUNTS, None).await {
            Ok(_) => Ok("reached".to_owned()),
            Err(error) => Err(error.to_string()),
        },
        Err(error) => Err(error.to_string()),
    }
}

/// Which certificates are trusted. Files that cannot be used are named, and taken off the list for what comes after.
fn certificates(firing: &mut FiringSettings) -> Result<String, String> {
    match trust::read_ca_files(&firing.ca_files) {
        Ok(own) if own.is_empty() => Ok("the system's".to_owned()),
        Ok(own) => Ok(format!("the system's and {} of firing.ca_files", own.len())),
        Err(error) => {
            firing.ca_files.clear();
            Err(error.to_string())
        }
    }
}

async fn reach(proxy: &ProxyUrl) -> Result<String, String> {
    let connecting = TcpStream::connect((proxy.host(), proxy.port()));
    match tokio::time::timeout(Duration::from_secs(10), connecting).await {
        Ok(Ok(_)) => Ok(format!("{proxy} reached")),
        Ok(Err(error)) => Err(format!("{proxy}: {error}; check firing.proxy_url and that the proxy runs")),
        Err(_) => Err(format!("{proxy}: no answer within 10 s; check firing.proxy_url and the way there")),
    }
}

/// Starts a host that takes no messages, and looks at what it found.
async fn check_host(mut settings: Settings, report: &mut Report) {
    settings.amqp.url = None;
    settings.api.listen.set_port(0);
    settings.telemetry.listen = None;
    let url = settings.store.url.clone();
    match host::start(settings, HostOptions { at_rest: true, ..HostOptions::default() }).await {
        Err(error) => report.line("store and modules", Err(chain(&error))),
        Ok(host) => {
            report.line("store", host.store.ping().await.map(|()| url).map_err(|error| chain(&error)));
            let waiting = host.store.firing_counts(None).await;
            report.line(
                "firings",
                waiting
                    .map(|counts| format!("{} waiting, {} undelivered", counts.waiting, counts.undelivered))
                    .map_err(|error| chain(&error)),
            );
            for module in host.modules.active().iter() {
                report.line("module", Ok(format!("{} {}", module.id(), module.metadata.version)));
            }
            for (name, reason) in host.modules.refused().iter() {
                report.line("module", Err(format!("{name} is not loaded: {reason}")));
            }
            host.stop().await;
        }
    }
}
