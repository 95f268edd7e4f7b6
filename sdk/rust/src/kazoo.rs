//! KAZOO's messages, read as KAZOO reads them.
//!
//! KAZOO's publishers are not strict about types: an id may be a number, a flag may be the text `"true"`, a length may
//! be `"61"`. Its consumers read every value through a getter that makes the best of it, and what they send on depends
//! on which getter they used. [`Fields`] has those getters; [`normalize`] writes keys the way its payloads spell them;
//! [`Definition`] says which headers a message must have before KAZOO looks at it.

mod definition;
mod fields;
mod normalize;

pub use definition::{Definition, Invalid, Kind};
pub use fields::Fields;
pub use normalize::normalize;
