//! The pages are true: links lead somewhere, calls parse, settings and paths exist, the snippets that check signatures do
//! so, and an import prints what is shown.

mod markdown;
mod shell;
mod links;
mod calls;
mod names;
mod verify;
mod import;
