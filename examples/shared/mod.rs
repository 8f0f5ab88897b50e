//! What the four examples have in common: some input, and a look at the result.

use std::path::Path;
use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use strandline::generate::{GenerateOptions, Generator, Preset};
use strandline::prelude::*;
use strandline::time::SystemClock;

/// The columns of the events.
pub const EVENTS: &str =
    "event_id STRING, timestamp TIMESTAMP, user_id BIGINT, event_type STRING, value DOUBLE";

/// Twenty files of 100 events of the last minute each in `input/events`, one event in ten late;
/// and a table of 1,000 users in `input/users`.
pub fn make_input(project: &Path) -> Result<()> {
    let mut events = GenerateOptions::new(Preset::Events, project.join("input/events"));
    events.batches = Some(20);
    events.late = Some(0.1);
    let users = GenerateOptions::new(Preset::Users, project.join("input/users"));
    for options in [events, users] {
        let mut generator = Generator::new(options, Arc::new(SystemClock))?;
        while generator.next_batch()?.is_some() {}
    }
    Ok(())
}

/// Prints what the last batch did, and the answer to a question about the table.
pub fn show(ctx: &StreamContext, query: &StreamingQuery, question: &str) -> Result<()> {
    match query.last_progress() {
        Some(progress) => println!(
            "batch {}: {} rows in, {} rows out, watermark {}",
            progress.batch_id,
            progress.num_input_rows,
            progress.sink.num_output_rows,
            progress.watermark.as_deref().unwrap_or("none"),
        ),
        None => println!("nothing new"),
    }
    println!("{question}\n{}", pretty_format_batches(&ctx.sql(question)?)?);
    Ok(())
}
