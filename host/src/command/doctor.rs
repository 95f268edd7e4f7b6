//! `hookbox doctor`: checks what a host needs, says what is wrong and what to do.

mod audit;

use std::{path::Path, process::ExitCode, time::Duration};

use tokio::net::TcpStream;

use super::could_not_begin;
use crate::{
    broker::{Broker, address::Address, tls::TlsFiles},
    clock::Clock,
    error_chain::chain,
    firing::client::trust,
    host::{self, HostOptions},
    ingress::amqp::queues,
    kazoo::{ACCOUNTS, couchdb::CouchDb},
    settings::{AmqpSettings, FiringSettings, KazooSettings, ProxyUrl, Settings},
    store::shown_url,
};

/// Before this, a clock has not been set: signatures with such times are refused by every receiver.
const EARLIEST_MS: u64 = 1_767_225_600_000; // 2026-01-01

/// How long the broker may take to say good-bye.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// Prints a line a check; exit code 1 when one of them is bad. With `audit`, the store's list of undelivered is checked and
/// nothing else.
pub async fn run(config: Option<&Path>, audit: bool) -> ExitCode {
    if audit {
        return audit::run(config).await;
    }
    let mut settings = match Settings::load(config) {
        Ok(settings) => settings,
        Err(error) => return could_not_begin(&error),
    };
    let mut report = Report { bad: 0 };
    report.line("settings", Ok(config.map_or("the defaults".to_owned(), |path| path.display().to_string())));
    report.line("clock", clock());
    check_broker(&settings.amqp, &mut report).await;
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

/// Each broker of `amqp.url`, whether it lets us in, and whether its queues are what the settings ask for.
async fn check_broker(settings: &AmqpSettings, report: &mut Report) {
    let Some(broker) = Broker::new(settings, "hookbox@doctor") else {
        return report.line("broker", Ok("off (amqp.url is unset)".to_owned()));
    };
    if !broker.addresses().iter().any(Address::is_tls) && !settings.ca_files.is_empty() {
        let read = TlsFiles::of(settings).client_config().await;
        let unused = "amqp.ca_files can be read, and are not used: no amqp.url is amqps://".to_owned();
        report.line("broker", read.map(|_| unused).map_err(|error| error.to_string()));
    }
    for address in broker.addresses() {
        let link = match broker.connect_to(address, "doctor").await {
            Ok(link) => link,
            Err(error) => {
                report.line("broker", Err(format!("{address}: {}", chain(&error))));
                continue;
            }
        };
        report.line("broker", Ok("reached".to_owned()));
        let looked = tokio::time::timeout(broker.confirm_timeout(), queues::look(&link, settings)).await;
        let found = match looked {
            Ok(Ok(there)) if there.contains(&settings.queue) => Ok(format!("{} is there", settings.queue)),
            Ok(Ok(_)) => Ok(format!("{} is made when the host starts", settings.queue)),
            Ok(Err(error)) => Err(chain(&error)),
            Err(_) => Err(format!("{address} does not say what queues it has; check its load and its log")),
        };
        report.line("queue", found);
        // Whatever comes of it: the process ends.
        let _ = tokio::time::timeout(CLOSE_TIME, link.close()).await;
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
    match trust::read_ca_files("firing.ca_files", &firing.ca_files) {
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
    let url = shown_url(&settings.store.url);
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
