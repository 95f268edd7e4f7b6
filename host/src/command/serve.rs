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

/// The exit code after a second signal: that of a program that SIGINT has ended.
const ENDED_BY_SIGNAL: i32 = 130;

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
    // A file that may not grow (a limit of the service) is then an error of the store, as a full disk is, and not our end.
    let _heard = signal(SignalKind::from_raw(libc::SIGXFSZ));
    let started = tokio::select! {
        started = host::start(settings, HostOptions::default()) => started,
        // Nothing was taken yet, and what the store was doing is done or undone.
        () = told_to_stop(&mut terminate, &mut interrupt) => return ExitCode::SUCCESS,
    };
    let host = match started {
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
    let drained = tokio::select! {
        drained = host.drain() => drained,
        // At once: nothing is waited for, neither tasks nor what threads are at.
        () = told_to_stop(&mut terminate, &mut interrupt) => std::process::exit(ENDED_BY_SIGNAL),
    };
    if let Err(late) = drained {
        tracing::warn!(%late, "shutdown.grace_ms is over; what was still open is stored, or comes back from the broker");
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
