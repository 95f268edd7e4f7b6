//! What Hookbox is tested with. Everything a test meets is real: a RabbitMQ of its own, sockets, components compiled
//! from source; only the far ends (receivers, broken links, bad modules) are ours to script.
//!
//! - [`broker`] boots one private RabbitMQ a test binary and hands out a vhost a test.
//! - [`database`] boots one private PostgreSQL a test binary and hands out a database a test.
//! - [`amqp`] is the platform's side of that vhost: it publishes, and hears what the host publishes.
//! - [`receiver`] is the customer's server: it records requests and answers by a script.
//! - [`collector`] takes what hosts tell of their traces.
//! - [`couchdb`] stands for KAZOO's CouchDB.
//! - [`connect_proxy`] is an egress proxy, which requests to receivers may have to go through.
//! - [`tls_receiver`] is a receiver with a certificate of the tests' own authority.
//! - [`chaos_proxy`] is a TCP link that can be cut, refused, stalled, delayed and restored.
//! - [`samples`] are messages, from the modules' `samples/` folders and by constructor.
//! - [`bad_modules`] are components that trap, spin, hog and flood, built by `build.rs`, and bytes that are none.
//! - [`bombs`] are components that no compiler of a language gives.
//! - [`eventually`](mod@eventually) waits for a condition and tells the last state seen; tests never sleep.
//! - [`test_host`] is a host of a test's own.
//! - [`rest`] calls that host's REST.
//! - [`transforms`] fills that host's table of transforms.
//! - [`store_fault`] makes a host's store fail, and mends it.
//! - [`real_program`] is the built `hookbox`, called as an operator calls it.
//! - [`upload_desk`] checks uploads as a host does.
//! - [`author`] writes modules with `hookbox module …` and the languages' tools.
//! - [`fault_run`] puts a load on hosts while something goes wrong, and counts what was lost.
//! - [`rig`] is what the programs under `bench/` share.
//!
//! The harness panics when it cannot do what a test asks of it: that is how a test fails.
#![allow(clippy::panic)]

pub mod broker;
pub mod database;
pub mod amqp;
pub mod samples;
pub mod bad_modules;
pub mod bombs;
pub mod receiver;
pub mod collector;
pub mod couchdb;
pub mod tls_receiver;
pub mod connect_proxy;
pub mod chaos_proxy;
pub mod eventually;
pub mod test_host;
pub mod rest;
pub mod transforms;
pub mod store_fault;
pub mod real_program;
pub mod operator;
pub mod upload_desk;
pub mod author;
pub mod rig;
pub mod fault_run;
#[cfg(test)]
mod tidy;
