//! One integration binary, one file a behaviour.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test that cannot go on fails")]

mod delivers;
mod modules;
mod settles;
mod discards;
mod webhook_id;
mod kill;
mod outages;
mod supervision;
mod whose_events;
mod follows_changes;
mod two_hosts;
mod bulk_requests;
mod kazoo_beside;
mod bad_modules;
mod refused_modules;
mod hostile_receivers;
mod retries;
mod disables;
mod warns;
mod egress;
mod accounts_rest;
mod keys_rest;
mod login;
mod configs_rest;
mod rest_envelope;
mod settings;
mod commands;
mod operator_commands;
mod operator_commands_on_failures;

mod operator_hooks;
mod life_of_a_webhook;
mod attempts_rest;
mod failures_rest;
mod resending;
mod secrets_rest;
mod resend_jobs;
mod dead_letters_rest;
