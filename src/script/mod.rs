//! Scripts: pipelines under test.
//!
//! A script reads like a claim: what is done, `---`, what must come of it. It is *taken* as text,
//! *played* against a pipeline in a temporary project whose clock moves only when told to, and
//! *gives* the text that it would have if it were right, and the differences. It *never* touches a
//! folder of the user's: what a script needs from there is copied.
//!
//! ```text
//! # The claim, in a sentence.
//! pipeline
//!   CREATE TABLE ev (ts TIMESTAMP) USING json OPTIONS (path 'input/ev', maxFilesPerTrigger '1');
//!   CREATE STREAMING TABLE counts AS SELECT …
//! ---
//! ok
//!
//! add ev
//!   {"ts":"12:01"}
//! step
//! ---
//! batch 0: read 1, late 0, watermark - → 12:01, state 1
//!   w=[12:00, 12:05) n=1
//! ```
//!
//! Every script plays on 2026-01-01 in UTC, and that day is left out: `"12:01"` in an added line is
//! `"2026-01-01T12:01:00Z"`. The clock stands at 13:00. Rows are sorted, as a batch has no order.
//! The verbs are those of [`verb::Verb`].
//!
//! - [`parse`]: from text to blocks of verbs and what is expected of them
//! - [`verb`]: what can be done
//! - [`world`]: the temporary project in which it is done
//! - `input`: what lies in the folders of its tables; `binary`: where that is no text
//! - [`crash`]: how a process dies in it
//! - [`mod@play`]: doing it, block by block, and saying what came of it
//! - [`row`]: a row in a line
//! - [`difference`]: what was expected beside what came

mod binary;
pub mod crash;
pub mod difference;
mod input;
pub mod parse;
pub mod play;
pub mod row;
pub mod verb;
pub mod world;

pub use difference::{Difference, Pair};
pub use play::{Played, play};
pub use world::{Output, World};
