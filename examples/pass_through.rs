//! `cargo run --example pass_through [FOLDER]`: every event, as it is, into a Delta table.
//!
//! Run it twice: the second run reads the files that are new since the first, and no others.

mod shared;

use std::path::PathBuf;

use strandline::prelude::*;

fn main() -> Result<()> {
    let project: PathBuf = std::env::args().nth(1).unwrap_or(".".to_owned()).into();
    shared::make_input(&project)?;

    let ctx = StreamContext::new(&project)?;
    let events = ctx
        .read_stream()
        .format("json")
        .schema(shared::EVENTS)
        .option("maxFilesPerTrigger", "5")
        .load("input/events")?;

    let query =
        events.write_stream().query_name("all_events").trigger(Trigger::AvailableNow).start()?;
    query.await_termination()?;

    let question = "SELECT event_type, count(*) AS events FROM all_events GROUP BY event_type";
    shared::show(&ctx, &query, question)
}
