//! SQL: text → plan.
//!
//! Takes the text of a pipeline file in Spark's SQL; gives its statements ([`parse`]), and for
//! each streaming table a logical plan of DataFusion over slots ([`Catalog::plan`]). It never
//! reads a file or a table: whoever knows the schemas tells them with [`Catalog::add_table`].
//!
//! The life of a query, file by file:
//!
//! 1. `tokens` and `dialect` cut the text up, `complexity` refuses too much of it; `statements` recognises what is created.
//! 2. `names` settles upper and lower case; `relations` takes STREAM and WATERMARK out.
//! 3. The parser crate makes a tree; `names`, `column_names` and `functions` put Spark's names into
//!    it, `generators` takes out what makes rows, `lateral_alias` what an alias further on stands
//!    for, `stars` what `*` stands for among arguments.
//! 4. DataFusion's planner resolves it against the `catalog`; `watermark` and `window` are the
//!    parts of a plan that only a stream has.
//! 5. `unions`, `grouping_sets`, `deduplicate`, `windows` and `meaning` make explicit where Spark
//!    means something else than DataFusion, or has what DataFusion lacks.
//! 6. `optimizer` runs those of DataFusion's rules that are right for a stream.
//! 7. `check` refuses what a stream cannot do in an output mode, with the way out.
//!
//! What an expression means is in `literals` (what a number or a text is), `coercion` (which type two
//! values have together), `planner` and `arithmetic` (sums that are checked), `casts`, `aggregates` and
//! `functions`. What a join of two streams goes by is in `stream_join`, and in `time_bounds` how far
//! apart in time its rows can be; `join_filters` brings conditions to where they are looked for.
//!
//! `frame` is the other way in: a plan that was built by calls, without text.
//! `errors` translates what parser and planner say; `text` finds the place in the user's text.

mod aggregates;
mod arithmetic;
mod casts;
mod catalog;
mod check;
mod coercion;
mod column_names;
mod complexity;
mod deduplicate;
mod dialect;
mod errors;
pub mod frame;
mod functions;
mod generators;
mod grouping_sets;
mod interval;
mod join_filters;
mod lateral_alias;
mod literals;
mod meaning;
mod moved_times;
mod names;
mod optimizer;
mod options;
mod plan;
mod planner;
mod question;
mod relations;
mod stars;
mod statements;
mod stream_join;
mod subqueries;
mod text;
mod time_bounds;
mod tokens;
mod types;
mod unions;
mod version;
mod watermark;
mod window;
mod windows;

pub use catalog::Catalog;
pub use check::{Checks, Mode, check};
pub use deduplicate::DeduplicateNode;
pub use errors::nearest;
pub use functions::{BatchTime, SESSION_WINDOW, WINDOW, WINDOW_TIME};
pub use interval::Interval;
pub use optimizer::{session, session_zone};
pub use options::Options;
pub use plan::{QueryPlan, TableRead, is_streaming};
pub use question::{Question, ddl, questions};
pub use statements::{
    Pipeline, Setting, Statement, StreamingTableDefinition, TIME_ZONE, TableDefinition,
    TableFormat, ViewDefinition, parse, parse_columns,
};
pub use stream_join::{Expiry, JoinKey, Reach, StreamJoin, TimeBand};
pub use types::{spark_name, timestamp, timestamp_ntz};
pub use watermark::{
    EVENT_TIME_DELAY, WatermarkDefinition, WatermarkNode, event_time_delay, is_session,
};

#[cfg(test)]
mod tests;
