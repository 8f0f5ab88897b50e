//! `cargo run --example static_join [FOLDER]`: each event with the name and country of its user.
//!
//! A left join keeps each event, also one of a user that the table does not have.

mod shared;

use std::path::PathBuf;

use strandline::prelude::*;

fn main() -> Result<()> {
    let project: PathBuf = std::env::args().nth(1).unwrap_or(".".to_owned()).into();
    shared::make_input(&project)?;

    let ctx = StreamContext::new(&project)?;
    let users = ctx
        .read()
        .schema("user_id BIGINT, name STRING, country STRING, segment STRING")
        .load("input/users")?;
    let events = ctx.read_stream().schema(shared::EVENTS).load("input/events")?;

    let query = events
        .join(users, JoinType::Left, &["user_id"], &["user_id"])?
        .write_stream()
        .query_name("events_with_users")
        .trigger(Trigger::AvailableNow)
        .start()?;
    query.await_termination()?;

    let question = "SELECT country, count(*) AS events, sum(value) AS value \
                    FROM events_with_users GROUP BY country ORDER BY events DESC LIMIT 6";
    shared::show(&ctx, &query, question)
}
