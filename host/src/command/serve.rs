//! `hookbox serve`: runs the host until it is told to stop.

use std::{convert::Infallible, path::Path, process::ExitCode};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::could_not_begin;
use crate::{
    error_chain::chain,
    host::{self, HostOptions, RunningHost},
    settings::Settings,
    telemetry,
};

/// Binds, prints the addresses and `ready`, works until SIGTERM or SIGINT, drains. A second signal ends at once.
pub async fn run(config: Option<&Path>) -> ExitCode {
    let settings = match Settings::load(config) {
        Ok(settings) => settings,
        Err(error) => return could_not_begin(&error),
    };
    if let Err(reason) = telemetry::start_logs(&settings.telemetry) {
        return could_not_begin(&reason);
    }
    take_all_descriptors();
    let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => return could_not_begin(&format!("signals cannot be heard: {error}")),
    };
    let host = match host::start(settings, HostOptions::default()).await {
        Ok(host) => host,
        Err(error) => return could_not_begin(&chain(&error)),
    };
    println!("api http://{}", host.api_address);
    if let Some(key) = &host.new_master_key {
        println!("master account {}", host.master);
        println!("master key {key} (made now, shown this once; keep it)");
    }
    let ended = tokio::select! {
        never = say_when_ready(&host) => match never {},
        () = told_to_stop(&mut terminate, &mut interrupt) => None,
        reason = host.fatal() => Some(reason),
    };
    tracing::info!("stopping: what is under way ends or is stored");
    let in_time = tokio::select! {
        in_time = host.stop() => in_time,
        () = told_to_stop(&mut terminate, &mut interrupt) => return ExitCode::from(130),
    };
    if !in_time {
        tracing::warn!("shutdown.grace_ms is over; what was still open is stored and goes on after its lease");
    }
    match ended {
        Some(reason) => {
            tracing::error!(%reason, "ended, because a part could not be kept alive");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

/// Each request under way is a connection, so a descriptor; many systems give a program few unless it asks for more.
fn take_all_descriptors() {
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let all = rustix::process::Rlimit { current: allowed.maximum, maximum: allowed.maximum };
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, all) {
        tracing::warn!(%error, "the system gives no more file descriptors; firing.in_flight_max may be more than it stands");
    }
}

/// Prints `ready` once, then waits for ever.
async fn say_when_ready(host: &RunningHost) -> Infallible {
    host.ready().await;
    println!("ready");
    std::future::pending().await
}

async fn told_to_stop(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
