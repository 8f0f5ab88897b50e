//! The API from Rust, as a program uses it.

use std::fs;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use strandline::functions::{count_distinct, upper};
use strandline::prelude::*;

const EVENTS: &str = "id BIGINT, ts TIMESTAMP, userId BIGINT, kind STRING, value DOUBLE";

const FIRST: &str = r#"{"id":1,"ts":"2026-01-01T12:00:30Z","userId":1,"kind":"a","value":10}
{"id":2,"ts":"2026-01-01T12:01:30Z","userId":2,"kind":"b","value":20}
{"id":3,"ts":"2026-01-01T12:20:00Z","userId":9,"kind":"a","value":30}
"#;

const SECOND: &str = r#"{"id":4,"ts":"2026-01-01T12:02:00Z","userId":1,"kind":"a","value":99}
{"id":5,"ts":"2026-01-01T12:21:00Z","userId":1,"kind":"a","value":50}
"#;

const USERS: &str = r#"{"userId":1,"name":"Ada"}
{"userId":2,"name":"Bob"}
"#;

/// A project with one file of events and one of users.
fn project() -> (tempfile::TempDir, StreamContext) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "input/events/1.json", FIRST);
    write(folder.path(), "input/users/users.json", USERS);
    let ctx = StreamContext::new(folder.path()).unwrap();
    (folder, ctx)
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn events(ctx: &StreamContext) -> StreamFrame {
    ctx.read_stream().schema(EVENTS).load("input/events").unwrap()
}

fn users(ctx: &StreamContext) -> StreamFrame {
    ctx.read().schema("userId BIGINT, name STRING").load("input/users").unwrap()
}

/// Runs a frame over what is there, into the memory of the context.
fn rows(ctx: &StreamContext, frame: StreamFrame, mode: &str) -> String {
    let writer = frame.write_stream().query_name("rows").format("memory").output_mode(mode);
    let query = writer.trigger(Trigger::AvailableNow).start().unwrap();
    query.await_termination().unwrap();
    text(&ctx.memory("rows").unwrap())
}

fn text(rows: &[RecordBatch]) -> String {
    let table = pretty_format_batches(rows).unwrap().to_string();
    let lines = table.lines().filter(|line| line.starts_with('|'));
    let cells =
        |line: &str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(",");
    lines.map(cells).collect::<Vec<_>>().join("\n")
}

fn by_window(events: StreamFrame) -> StreamFrame {
    let marked = events.with_watermark("ts", "10 minutes").unwrap();
    let keys = vec![window(col("ts"), "5 minutes"), col("kind")];
    let values = vec![count_all().alias("events"), avg(col("value")).alias("mean")];
    marked.group_by(keys).agg(values).unwrap()
}

#[test]
fn a_stream_that_is_closed_gives_its_last_windows() {
    let (_folder, ctx) = project();
    let closed = |name: &str, closing| {
        let writer = by_window(events(&ctx)).write_stream().query_name(name).format("memory");
        let query = writer.trigger(Trigger::AvailableNow).closing(closing).start().unwrap();
        query.await_termination().unwrap();
        text(&ctx.memory(name).unwrap()).lines().skip(1).count()
    };
    assert_eq!(closed("open", Closing::Never), 2);
    assert_eq!(closed("closed", Closing::AtEnd), 3);
}

#[test]
fn calls_and_sql_compute_the_same_over_a_restart() {
    let (folder, ctx) = project();
    let sql = "CREATE TABLE events (id BIGINT, ts TIMESTAMP, userId BIGINT, kind STRING, value DOUBLE)
               USING json OPTIONS (path 'input/events');
               CREATE STREAMING TABLE by_sql TBLPROPERTIES ('outputMode' = 'update') AS
               SELECT window(ts, '5 minutes') AS window, kind, count(*) AS events, avg(value) AS mean
               FROM STREAM events WATERMARK ts DELAY OF INTERVAL 10 MINUTES
               GROUP BY window(ts, '5 minutes'), kind;";
    for file in [None, Some(SECOND)] {
        if let Some(text) = file {
            write(folder.path(), "input/events/2.json", text);
        }
        for query in ctx.start_pipeline(sql).unwrap() {
            query.process_all_available().unwrap();
        }
        let writer = by_window(events(&ctx)).write_stream().query_name("by_calls");
        let query = writer.output_mode("update").start().unwrap();
        query.process_all_available().unwrap();
        query.stop().unwrap();
    }
    let table = |name| {
        let question = format!("SELECT * FROM {name} ORDER BY window, kind");
        text(&ctx.sql(&question).unwrap())
    };
    assert_eq!(table("by_calls"), table("by_sql"));
    assert_eq!(
        table("by_calls"),
        "window,kind,events,mean\n\
         {start: 2026-01-01T12:00:00Z, end: 2026-01-01T12:05:00Z},a,1,10.0\n\
         {start: 2026-01-01T12:00:00Z, end: 2026-01-01T12:05:00Z},b,1,20.0\n\
         {start: 2026-01-01T12:20:00Z, end: 2026-01-01T12:25:00Z},a,2,40.0"
    );
}

#[test]
fn a_join_has_its_key_once_and_keeps_rows_without_a_partner() {
    let (_folder, ctx) = project();
    let joined = events(&ctx).join(users(&ctx), JoinType::Left, &["userId"], &["userId"]).unwrap();
    let chosen = vec![col("id"), col("userid"), col("users.NAME")];
    let sorted = joined.select(chosen).unwrap().filter(col("ID").gt(lit(1))).unwrap();
    assert_eq!(rows(&ctx, sorted, "append"), "id,userId,name\n2,2,Bob\n3,9,");
}

#[test]
fn a_table_that_a_query_reads_twice_gives_its_rows_twice() {
    let (_folder, ctx) = project();
    let (users, name) = (users(&ctx), |table: &str| col(format!("{table}.name")));
    let once = users.clone().select(vec![col("userId").alias("a"), col("name")]).unwrap();
    let twice = users.select(vec![col("userId").alias("b")]).unwrap();
    let frame = events(&ctx)
        .join(once.alias("one").unwrap(), JoinType::Inner, &["userId"], &["a"])
        .unwrap()
        .join(twice, JoinType::Inner, &["userId"], &["b"])
        .unwrap()
        .select(vec![col("id"), name("one"), col("b")])
        .unwrap();
    assert_eq!(rows(&ctx, frame, "append"), "id,name,b\n1,Ada,1\n2,Bob,2");

    let sql =
        "CREATE TABLE events (id BIGINT, kind STRING) USING json OPTIONS (path 'input/events');
               CREATE STREAMING TABLE both AS WITH c AS (SELECT * FROM STREAM events)
               SELECT id FROM c WHERE kind = 'a' UNION ALL SELECT id * 10 FROM c WHERE id < 3;";
    ctx.start_pipeline(sql).unwrap()[0].process_all_available().unwrap();
    let both = ctx.sql("SELECT id FROM both ORDER BY id").unwrap();
    assert_eq!(text(&both), "id\n1\n3\n10\n20");
}

#[test]
fn other_windows_are_refused_under_an_old_checkpoint() {
    let (_folder, ctx) = project();
    let start = |size: &str, slide: &str| {
        let key = window_sliding(col("ts"), size, slide);
        let counted = events(&ctx).group_by(vec![key]).agg(vec![count_all().alias("n")]);
        let writer = counted.unwrap().write_stream().query_name("q").output_mode("update");
        writer.trigger(Trigger::AvailableNow).start()
    };
    start("5 minutes", "1 minute").unwrap().await_termination().unwrap();
    let Err(error) = start("5 minutes", "5 minutes") else { panic!("it was started") };
    assert_eq!(error.condition(), "CHECKPOINT_QUERY_CHANGED");
    assert!(error.message().contains("windows was 300 s every 60 s"), "{error}");
}

#[test]
fn columns_can_be_named_in_any_case_and_fields_of_structs_too() {
    let (_folder, ctx) = project();
    let frame = by_window(events(&ctx))
        .select(vec![col("window.start"), upper(col("Kind")).alias("kind"), col("events")])
        .unwrap()
        .with_column("EVENTS", col("events") * lit(10_i64))
        .unwrap()
        .filter(col("kind").eq(lit("B")))
        .unwrap();
    assert_eq!(rows(&ctx, frame, "complete"), "start,kind,events\n2026-01-01T12:00:00Z,B,10");
}

#[test]
fn values_of_a_group_can_be_made_of_several_aggregates() {
    let (_folder, ctx) = project();
    let mean = (sum(col("value")) / count(col("value"))).alias("mean");
    let frame = events(&ctx).group_by(vec![col("kind")]).agg(vec![mean, max(col("id"))]).unwrap();
    let frame = frame.filter(col("mean").eq(lit(20.0))).unwrap();
    let all = rows(&ctx, frame, "complete");
    assert!(all.starts_with("kind,mean,max("), "{all}");
    assert!(all.contains("\na,20.0,3") && all.contains("\nb,20.0,2"), "{all}");
}

#[test]
fn overlapping_windows_count_a_row_in_each() {
    let (_folder, ctx) = project();
    let key = window_sliding(col("ts"), "2 minutes", "1 minute");
    let frame = events(&ctx).group_by(vec![key]).agg(vec![count_all().alias("n")]).unwrap();
    let all = rows(&ctx, frame, "complete");
    assert_eq!(all.lines().count(), 1 + 5, "{all}");
    assert!(all.contains("{start: 2026-01-01T12:00:00Z, end: 2026-01-01T12:02:00Z},2"), "{all}");
}

#[test]
fn the_present_is_the_batchs() {
    let (folder, ctx) = project();
    let clock = std::sync::Arc::new(strandline::time::ManualClock::at(1_767_268_800_000));
    let ctx = ctx.with_clock(clock.clone());
    let with_time = |ctx: &StreamContext| {
        let columns = vec![col("id"), current_timestamp().alias("seen")];
        events(ctx).select(columns).unwrap().filter(col("id").gt_eq(lit(3))).unwrap()
    };
    rows(&ctx, with_time(&ctx), "append");
    clock.advance(60_000);
    write(folder.path(), "input/events/2.json", SECOND);
    assert_eq!(
        rows(&ctx, with_time(&ctx), "append"),
        "id,seen\n3,2026-01-01T12:00:00Z\n4,2026-01-01T12:01:00Z\n5,2026-01-01T12:01:00Z"
    );
}

#[test]
fn a_streams_table_is_read_again_as_a_stream_and_as_a_still_table() {
    let (_folder, ctx) = project();
    let writer = events(&ctx).write_stream().query_name("bronze").trigger(Trigger::AvailableNow);
    writer.start().unwrap().await_termination().unwrap();
    assert!(!ctx.table("bronze").unwrap().is_streaming());
    let again = ctx.read_stream().table("bronze").unwrap().select(vec![col("id")]).unwrap();
    assert_eq!(rows(&ctx, again, "append"), "id\n1\n2\n3");
}

#[test]
fn what_a_stream_cannot_do_is_refused_with_a_name() {
    let (_folder, ctx) = project();
    let refused = |started: Result<StreamingQuery>| match started {
        Ok(_) => panic!("it was started"),
        Err(error) => error.condition().to_owned(),
    };
    let start = |frame: StreamFrame, mode: &str| {
        refused(frame.write_stream().query_name("q").output_mode(mode).start())
    };
    let counted = || events(&ctx).group_by(vec![]).agg(vec![count_all()]).unwrap();
    let mode = "STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION";
    assert_eq!(start(counted(), "append"), mode);
    assert_eq!(start(events(&ctx), "complete"), mode);
    assert_eq!(start(events(&ctx), "merge"), "STREAMING_OUTPUT_MODE.INVALID");
    assert_eq!(start(users(&ctx), "append"), "WRITE_STREAM_NOT_ALLOWED");
    let distinct = events(&ctx).group_by(vec![]).agg(vec![count_distinct(col("id"))]).unwrap();
    assert_eq!(start(distinct, "complete"), "_LEGACY_ERROR_TEMP_3102");
    let name = |name| refused(events(&ctx).write_stream().query_name(name).start());
    assert_eq!(name(""), "INVALID_QUERY_NAME");
    assert_eq!(name("../q"), "INVALID_QUERY_NAME");
    let writer = events(&ctx).write_stream().query_name("q");
    assert_eq!(refused(writer.option("mergeSchema", "true").start()), "INVALID_OPTION");
}

#[test]
fn a_wrong_call_is_said_at_once() {
    let (_folder, ctx) = project();
    let condition = |made: Result<StreamFrame>| match made {
        Ok(_) => panic!("it was made"),
        Err(error) => error.condition().to_owned(),
    };
    let frame = || events(&ctx);
    let unknown = "UNRESOLVED_COLUMN.WITH_SUGGESTION";
    assert_eq!(condition(frame().select(vec![col("valu")])), unknown);
    assert_eq!(condition(frame().with_watermark("when", "1 minute")), unknown);
    assert_eq!(condition(frame().with_watermark("ts", "a while")), "CANNOT_PARSE_INTERVAL");
    let kind = "EVENT_TIME_IS_NOT_ON_TIMESTAMP_TYPE";
    assert_eq!(condition(frame().with_watermark("kind", "1 minute")), kind);
    assert_eq!(condition(frame().select(vec![count_all()])), "MISSING_GROUP_BY");
    assert_eq!(
        condition(frame().join(users(&ctx), JoinType::Inner, &["userId"], &[])),
        "INVALID_JOIN_KEYS"
    );
    let joined = frame().join(users(&ctx), JoinType::Full, &["userId"], &["userId"]).unwrap();
    assert_eq!(condition(joined.select(vec![col("userId")])), "AMBIGUOUS_REFERENCE");
    assert_eq!(condition(ctx.read().format("orc").load("input/users")), "DATA_SOURCE_NOT_FOUND");
}
