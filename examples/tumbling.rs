//! `cargo run --example tumbling [FOLDER]`: events counted by type in windows of one minute.
//!
//! Update mode: the table has a row for each window and type from its first event on, and the row
//! changes as events come in, until the watermark has passed the end of the window.

mod shared;

use std::path::PathBuf;

use strandline::prelude::*;

fn main() -> Result<()> {
    let project: PathBuf = std::env::args().nth(1).unwrap_or(".".to_owned()).into();
    shared::make_input(&project)?;

    let ctx = StreamContext::new(&project)?;
    let counts = ctx
        .read_stream()
        .schema(shared::EVENTS)
        .option("maxFilesPerTrigger", "5")
        .load("input/events")?
        .with_watermark("timestamp", "10 minutes")?
        .group_by(vec![window(col("timestamp"), "1 minute"), col("event_type")])
        .agg(vec![count_all().alias("event_count"), avg(col("value")).alias("avg_value")])?;

    let query = counts
        .write_stream()
        .output_mode("update")
        .query_name("events_by_type")
        .trigger(Trigger::AvailableNow)
        .start()?;
    query.await_termination()?;

    let question = "SELECT * FROM events_by_type ORDER BY window DESC, event_type LIMIT 6";
    shared::show(&ctx, &query, question)
}
