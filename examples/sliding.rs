//! `cargo run --example sliding [FOLDER]`: each user's events in windows of five minutes, one
//! starting every minute.
//!
//! Append mode: a window is written once, when the watermark has passed its end. What comes later
//! is too late for it. Run it again after some minutes: newer events close the windows of this run.

mod shared;

use std::path::PathBuf;

use strandline::prelude::*;

fn main() -> Result<()> {
    let project: PathBuf = std::env::args().nth(1).unwrap_or(".".to_owned()).into();
    shared::make_input(&project)?;

    let ctx = StreamContext::new(&project)?;
    let activity = ctx
        .read_stream()
        .schema(shared::EVENTS)
        .option("maxFilesPerTrigger", "5")
        .load("input/events")?
        .with_watermark("timestamp", "2 minutes")?
        .group_by(vec![window_sliding(col("timestamp"), "5 minutes", "1 minute"), col("user_id")])
        .agg(vec![count_all().alias("event_count")])?;

    let query = activity
        .write_stream()
        .query_name("events_by_user")
        .trigger(Trigger::AvailableNow)
        .start()?;
    query.await_termination()?;

    let question =
        "SELECT * FROM events_by_user ORDER BY event_count DESC, window, user_id LIMIT 6";
    shared::show(&ctx, &query, question)
}
