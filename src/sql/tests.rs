//! SQL text in, plan or error text out.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::collect;

use super::*;
use crate::calendar::Zone;
use crate::error::{Error, Result};

const EVENTS: &str = "id BIGINT, ts TIMESTAMP, Kind STRING, value DOUBLE, s STRUCT<x: INT>";

/// The pipeline with a streaming table `out`; `events` and `users` are there.
fn plan_in(before: &str, query: &str) -> Result<QueryPlan> {
    let text = format!("{before}CREATE STREAMING TABLE out AS {query}");
    let pipeline = parse("p.sql", &text)?;
    let mut catalog = Catalog::new(&pipeline, Zone::default());
    catalog.add_table("events", parse_columns(EVENTS)?);
    catalog.add_table("users", parse_columns("id BIGINT, name STRING, KIND STRING")?);
    let left = "lk STRING, lt TIMESTAMP, lt2 TIMESTAMP, ln INT, ld DOUBLE";
    catalog.add_table("l", parse_columns(left)?);
    catalog.add_table("r", parse_columns("rk STRING, rt TIMESTAMP, rt2 TIMESTAMP, rn INT")?);
    let definition = pipeline.statements.iter().find_map(|s| match s {
        Statement::StreamingTable(table) => Some(table.clone()),
        _ => None,
    });
    catalog.plan(&definition.ok_or_else(|| Error::internal("no streaming table"))?)
}

fn plan(query: &str) -> String {
    plan_in("", query).map_or_else(|e| e.to_string(), |p| p.plan.display_indent().to_string())
}

fn columns(query: &str) -> Vec<String> {
    let plan = plan_in("", query).unwrap().plan;
    plan.schema().fields().iter().map(|f| f.name().clone()).collect()
}

fn refused(query: &str, mode: Mode) -> String {
    match plan_in("", query).and_then(|p| p.check(mode, Checks::default())) {
        Ok(()) => "accepted".to_owned(),
        Err(e) => e.condition().to_owned(),
    }
}

fn assert_plan(query: &str, expected: &str) {
    assert_eq!(plan(query), expected.trim(), "{query}");
}

#[test]
fn statements_are_recognised_with_their_parts() {
    let pipeline = parse(
        "p.sql",
        "SET spark.sql.session.timeZone = UTC; CREATE DATABASE IF NOT EXISTS shop; USE shop;
         CREATE TABLE `Events` (id STRING NOT NULL COMMENT 'key', m MAP<STRING, ARRAY<INT>>)
           USING json OPTIONS (path 'in/events', maxFilesPerTrigger = 1);
         -- a stream; with a semicolon in a comment
         CREATE OR REFRESH STREAMING TABLE shop.out COMMENT 'all; of it'
           TBLPROPERTIES ('outputMode' = 'append') AS SELECT * FROM STREAM Events",
    )
    .unwrap();
    let [Statement::Set(set), Statement::Database, Statement::Database, table, out] =
        pipeline.statements.as_slice()
    else {
        panic!("{:?}", pipeline.statements);
    };
    assert_eq!((set.key.as_str(), set.value.as_str()), ("spark.sql.session.timeZone", "UTC"));
    let Statement::Table(table) = table else { panic!() };
    assert_eq!((table.name.as_str(), table.location.as_str()), ("Events", "in/events"));
    assert_eq!(table.options.get("MAXFILESPERTRIGGER"), Some("1"));
    let columns = table.columns.clone().unwrap();
    assert!(!columns.field(0).is_nullable());
    assert_eq!(spark_name(columns.field(1).data_type()), "map<string,array<int>>");
    let Statement::StreamingTable(out) = out else { panic!() };
    assert_eq!((out.name.as_str(), out.comment.as_deref()), ("out", Some("all; of it")));
    assert_eq!(out.query_text, "SELECT * FROM STREAM Events");
}

#[test]
fn a_filter_moves_below_the_watermark_unless_it_reads_the_event_time() {
    assert_plan(
        "SELECT id FROM STREAM events WATERMARK ts DELAY OF INTERVAL 10 MINUTES AS e
         WHERE e.value > 1.5 AND ts > TIMESTAMP '2026-01-01 00:00:00'",
        r#"
Projection: e.id AS id
  SubqueryAlias: e
    Projection: events.id
      Filter: events.ts > TimestampMicrosecond(1767225600000000, Some("UTC"))
        Projection: events.id, events.ts
          Watermark: events.ts delay=600000000 us
            Filter: events.value > Float64(1.5)
              TableScan: events projection=[id, ts, value]"#,
    );
}

#[test]
fn the_grouping_keeps_the_window_call_and_the_filter_on_it_stays_above() {
    assert_plan(
        "SELECT window.start AS s, kind, count(*) FROM STREAM events
           WATERMARK ts DELAY OF INTERVAL 10 MINUTES
         GROUP BY window(ts, '10 minutes', '5 minutes'), kind
         HAVING window.start > TIMESTAMP '2026-01-01 00:00:00' AND kind <> 'x'",
        r#"
Projection: get_field(window(events.ts,Utf8("10 minutes"),Utf8("5 minutes")), Utf8("start")) AS s, events.Kind AS kind, count(Int64(1)) AS count(1)
  Filter: get_field(window(events.ts,Utf8("10 minutes"),Utf8("5 minutes")), Utf8("start")) > TimestampMicrosecond(1767225600000000, Some("UTC"))
    Aggregate: groupBy=[[window(events.ts, Utf8("10 minutes"), Utf8("5 minutes")), events.Kind]], aggr=[[count(Int64(1))]]
      Filter: events.ts IS NOT NULL
        Watermark: events.ts delay=600000000 us
          Filter: events.Kind != Utf8("x")
            TableScan: events projection=[ts, Kind]"#,
    );
}

#[test]
fn event_time_flows_through_windows_aliases_and_subqueries_only() {
    let marks = |query: &str| -> Vec<Option<i64>> {
        let plan = plan_in("", query).unwrap().plan;
        plan.schema().fields().iter().map(|f| event_time_delay(f)).collect()
    };
    let delay = Some(60_000_000);
    assert_eq!(
        marks(
            "SELECT w AS v, w.end AS e, window_time(w) AS t, n FROM (
               SELECT window(ts, '5 minutes') AS w, max(ts) AS m, count(*) AS n
               FROM STREAM events WATERMARK ts DELAY OF INTERVAL '1' MINUTE
               GROUP BY window(ts, '5 minutes'))"
        ),
        [delay, None, delay, None]
    );
    assert_eq!(
        marks(
            "SELECT ts AS a, date_trunc('HOUR', ts) AS b, ts + INTERVAL 1 HOUR AS c,
                    CAST(ts AS DATE) AS d, window(ts, '10 minutes', '5 minutes') AS w
             FROM STREAM events WATERMARK ts DELAY OF INTERVAL '1 minute'"
        ),
        [delay, None, None, None, delay]
    );
}

#[test]
fn a_watermark_can_stand_behind_an_expression_a_subquery_and_a_view() {
    let watermarks = |before: &str, query: &str| plan_in(before, query).unwrap().watermarks;
    let made = watermarks(
        "",
        "SELECT t FROM STREAM events WATERMARK to_timestamp(kind) AS t DELAY OF INTERVAL 0 SECONDS",
    );
    assert_eq!((made[0].column.as_str(), made[0].delay_us), ("t", 0));
    let below = "(SELECT ts, id FROM STREAM events)";
    let made =
        watermarks("", &format!("SELECT id FROM {below} WATERMARK ts DELAY OF INTERVAL 1 MONTH x"));
    assert_eq!(made[0].delay_us, 31 * 86_400_000_000);
    let view = "CREATE TEMP VIEW v AS SELECT ts, id FROM STREAM events;";
    for from in ["v", "STREAM v", "STREAM(v)"] {
        let query = format!("SELECT id FROM {from} WATERMARK ts DELAY OF INTERVAL 1 HOUR");
        assert_eq!(watermarks(view, &query).len(), 1);
    }
    let still = "SELECT e.id FROM STREAM events e
                 JOIN (SELECT ts FROM events) WATERMARK ts DELAY OF INTERVAL 1 HOUR u ON e.ts = u.ts";
    assert_eq!(watermarks("", still), []);
}

#[test]
fn reads_are_named_and_a_common_table_expression_reads_once() {
    let query = "WITH e AS (SELECT * FROM STREAM events WITH (maxFilesPerTrigger = 2))
                 SELECT e.id FROM e JOIN users u ON e.id = u.id
                 UNION ALL SELECT id FROM e";
    let reads = plan_in("", query).unwrap().reads;
    let names: Vec<&str> = reads.iter().map(|r| r.slot.name()).collect();
    assert_eq!(names, ["stream events#0", "table users#1"]);
    assert_eq!(reads[0].options.get("maxfilespertrigger"), Some("2"));
    assert!(reads[0].streaming && !reads[1].streaming);
}

#[test]
fn output_columns_are_called_as_written_and_as_spark_calls_them() {
    assert_eq!(
        columns("SELECT ID, e.KIND, value AS Total FROM STREAM Events e"),
        ["ID", "KIND", "Total"]
    );
    assert_eq!(columns("SELECT * FROM STREAM events"), ["id", "ts", "Kind", "value", "s"]);
    assert_eq!(
        columns("SELECT window(ts, '1 day'), count(*), AVG(e.value), e.s.x FROM STREAM events e GROUP BY 1, e.s.x")
            .join(" "),
        "window count(1) avg(value) x"
    );
}

#[test]
fn names_are_found_in_any_case_also_inside_views_and_joins() {
    let view = "CREATE VIEW V AS SELECT ID AS Key, TS FROM STREAM EVENTS;";
    let plan = plan_in(view, "SELECT KEY, u.Kind FROM v JOIN USERS U ON V.key = u.ID").unwrap();
    let names: Vec<&String> = plan.plan.schema().fields().iter().map(|f| f.name()).collect();
    assert_eq!(names, ["KEY", "Kind"]);
}

#[test]
fn errors_name_the_place_and_the_way_out() {
    let error = |query: &str| plan_in("", query).map(|_| ()).unwrap_err();
    let full = |query: &str| format!("{:?}", error(query));
    assert_eq!(
        full("SELECT valeu FROM STREAM events"),
        "[UNRESOLVED_COLUMN.WITH_SUGGESTION] there is no column 'valeu' (p.sql:1:38) help: did you \
         mean 'value'? There is id, ts, Kind, value, s"
    );
    assert_eq!(
        full("SELECT id FROM STREAM event"),
        "[TABLE_OR_VIEW_NOT_FOUND] there is no table or view 'event' (p.sql:1:53) help: did you \
         mean 'events'?"
    );
    assert_eq!(
        full("SELECT uppr(kind) FROM STREAM events"),
        "[UNRESOLVED_ROUTINE] there is no function 'uppr' (p.sql:1:38) help: did you mean 'upper'?"
    );
    assert_eq!(
        full("SELECT id FROM STREAM events WHERE GROUP BY id"),
        "[PARSE_SYNTAX_ERROR] expected an expression, found 'GROUP' (p.sql:1:66) help: a column or \
         a value is missing before this; a name that is a keyword stands in `backquotes`"
    );
    assert_eq!(
        full("SELECT id FROM events"),
        "[INVALID_FLOW_QUERY_TYPE.BATCH_RELATION_FOR_STREAMING_TABLE] the streaming table 'out' \
         reads no stream (p.sql:1:1) help: write FROM STREAM events"
    );
    let conditions = [
        ("SELECT kind, count(*) FROM STREAM events", "MISSING_AGGREGATION"),
        ("SELECT id + s FROM STREAM events", "DATATYPE_MISMATCH"),
        ("SELECT id FROM STREAM events WHERE value", "DATATYPE_MISMATCH"),
        ("SELECT id, ID FROM STREAM events", "COLUMN_ALREADY_EXISTS"),
        ("SELECT id FROM STREAM events e JOIN users u ON e.id = u.id", "AMBIGUOUS_REFERENCE"),
        ("SELECT id FROM STREAM events WATERMARK ts", "PARSE_SYNTAX_ERROR"),
        ("SELECT id FROM STREAM events WATERMARK ts DELAY OF 5 MINUTES", "PARSE_SYNTAX_ERROR"),
        (
            "SELECT id FROM STREAM events WATERMARK upper(kind) DELAY OF INTERVAL 1 DAY",
            "REQUIRES_EXPLICIT_NAME_IN_WATERMARK_CLAUSE",
        ),
        (
            "SELECT id FROM STREAM events WATERMARK kind DELAY OF INTERVAL 1 DAY",
            "EVENT_TIME_IS_NOT_ON_TIMESTAMP_TYPE",
        ),
        ("SELECT window(ts, '5 moons') FROM STREAM events", "CANNOT_PARSE_INTERVAL"),
        ("SELECT window(ts, kind) FROM STREAM events", "WINDOW_DURATION"),
        ("SELECT sum(ts) FROM STREAM events", "DATATYPE_MISMATCH"),
        ("SELECT s.y FROM STREAM events", "FIELD_NOT_FOUND"),
        (
            "SELECT date_format(ts, 'B') FROM STREAM events",
            "INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER",
        ),
    ];
    for (query, condition) in conditions {
        assert_eq!(error(query).condition(), condition, "{query}: {:?}", error(query));
    }
}

#[test]
fn statements_that_are_wrong_are_refused_at_their_place() {
    let cases = [
        (
            "CREATE TABLE t (a STRNG) USING json OPTIONS (path 'x')",
            "[UNSUPPORTED_DATATYPE] column 'a': 'strng' is not a type (p.sql:1:19)",
        ),
        (
            "CREATE TABLE t USING jason LOCATION 'x'",
            "[DATA_SOURCE_NOT_FOUND] there is no data source 'jason' (p.sql:1:22)",
        ),
        (
            "CREATE TABLE t USING json",
            "[MISSING_PATH] the table 't' does not say where its files are (p.sql:1:1)",
        ),
        (
            "SELECT 1",
            "[PARSE_SYNTAX_ERROR] a query without a name cannot run as a stream (p.sql:1:1)",
        ),
        (
            "CREATE STREAMING TABLE t\nSELECT 1",
            "[PARSE_SYNTAX_ERROR] expected AS, found 'SELECT' (p.sql:2:1)",
        ),
        (
            "CREATE STREAMING TABLE t\nAS SELECT 'open",
            "[PARSE_SYNTAX_ERROR] cannot read this: unterminated string literal (p.sql:2:11)",
        ),
        (
            "CREATE VIEW v AS SELECT 1; CREATE VIEW V AS SELECT 2",
            "[TABLE_OR_VIEW_ALREADY_EXISTS] 'V' is created twice (p.sql:1:28)",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(parse("p.sql", text).unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn output_modes_are_checked_as_spark_does() {
    const MODE: &str = "STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION";
    const OPERATION: &str = "_LEGACY_ERROR_TEMP_3102";
    let windowed = "SELECT window(ts, '5 minutes') AS w, count(*) AS n FROM STREAM events
                    WATERMARK ts DELAY OF INTERVAL 1 MINUTE GROUP BY window(ts, '5 minutes')";
    let chain =
        format!("SELECT window(w, '1 hour') AS h, sum(n) AS n FROM ({windowed}) GROUP BY 1");
    let by_kind = "SELECT kind, count(*) AS n FROM STREAM events GROUP BY kind";
    let cases = [
        (windowed, Mode::Append, "accepted"),
        (windowed, Mode::Update, "accepted"),
        (windowed, Mode::Complete, "accepted"),
        (&chain, Mode::Append, "accepted"),
        (&chain, Mode::Update, OPERATION),
        (by_kind, Mode::Append, MODE),
        (by_kind, Mode::Update, "accepted"),
        ("SELECT id FROM STREAM events", Mode::Complete, MODE),
        ("SELECT id FROM STREAM events", Mode::Update, "accepted"),
        ("SELECT id FROM STREAM events ORDER BY id", Mode::Append, OPERATION),
        (
            "SELECT kind, count(*) AS n FROM STREAM events GROUP BY kind ORDER BY n",
            Mode::Complete,
            "accepted",
        ),
        ("SELECT count(DISTINCT id) AS n FROM STREAM events", Mode::Complete, OPERATION),
        (
            "SELECT e.id FROM STREAM events e LEFT JOIN users u ON e.id = u.id",
            Mode::Append,
            "accepted",
        ),
        (
            "SELECT e.id FROM STREAM events e RIGHT JOIN users u ON e.id = u.id",
            Mode::Append,
            OPERATION,
        ),
        (
            "SELECT sum(id) OVER () AS s FROM STREAM events",
            Mode::Append,
            "NON_TIME_WINDOW_NOT_SUPPORTED_IN_STREAMING",
        ),
    ];
    for (query, mode, expected) in cases {
        assert_eq!(refused(query, mode), expected, "{mode}: {query}");
    }
}

#[tokio::test]
async fn a_projection_computes_what_spark_computes() {
    let planned = plan_in(
        "",
        "SELECT id / 2 AS half, CAST(ts AS BIGINT) AS seconds, CAST(ts AS STRING) AS text,
                date_format(current_timestamp(), 'yyyy') AS year,
                date_format(window(ts, '10 minutes', '5 minutes').start, 'HH:mm') AS start
         FROM STREAM events WHERE value > 1",
    )
    .unwrap();
    planned.batch_time.set(1_767_225_600_000);
    let slot = &planned.reads[0].slot;
    let schema = slot.schema();
    let count = 3;
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .map(|field| -> ArrayRef {
            match field.name().as_str() {
                "id" => Arc::new(Int64Array::from(vec![7, 8, 9])),
                "ts" => Arc::new(
                    TimestampMicrosecondArray::from(vec![Some(1_500_000), None, Some(0)])
                        .with_timezone("UTC"),
                ),
                "value" => Arc::new(Float64Array::from(vec![2.0, 2.0, 0.0])),
                _ => arrow::array::new_null_array(field.data_type(), count),
            }
        })
        .collect();
    slot.fill(vec![RecordBatch::try_new(schema.clone(), columns).unwrap()]);
    let context = session(&Zone::default());
    let state = context.state();
    let plan = state.query_planner().create_physical_plan(&planned.plan, &state).await.unwrap();
    let rows = collect(plan, context.task_ctx()).await.unwrap();
    let expected = "\
+------+---------+-----------------------+------+-------+
| half | seconds | text                  | year | start |
+------+---------+-----------------------+------+-------+
| 3.5  | 1       | 1970-01-01 00:00:01.5 | 2026 | 23:55 |
| 3.5  | 1       | 1970-01-01 00:00:01.5 | 2026 | 00:00 |
+------+---------+-----------------------+------+-------+";
    assert_eq!(pretty_format_batches(&rows).unwrap().to_string(), expected);
}

/// What [`StreamJoin`] says of a join of two streams with this condition, for each side: the
/// milliseconds that a row may be later than a watermark of 10,000,000 seconds when it goes.
fn lets_go(condition: &str) -> [Option<i64>; 2] {
    const WATERMARK: i64 = 10_000_000_000;
    let plan = |kind: &str| {
        let query = format!(
            "SELECT * FROM STREAM l WATERMARK lt DELAY OF INTERVAL 0 SECONDS {kind} JOIN \
             STREAM r WATERMARK rt DELAY OF INTERVAL 0 SECONDS ON lk = rk AND {condition}"
        );
        plan_in("", &query)
    };
    // A full join keeps the whole condition, and is refused where it sets no bound at all.
    let plan = plan("FULL").or_else(|_| plan("INNER"));
    let plan = plan.unwrap_or_else(|e| panic!("{condition}: {e}")).plan;
    let mut found = None;
    plan.apply(|node| {
        if let LogicalPlan::Join(join) = node {
            found = Some(StreamJoin::of(join).expiry.map(|expiry| match expiry? {
                Expiry::Time(_, Reach { behind_ms, at_most_ms }) => {
                    behind_ms.into_iter().chain(at_most_ms.map(|at| at - WATERMARK)).min()
                }
                Expiry::Key(_) => Some(0),
            }));
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    found.unwrap()
}

/// Asked of Spark 4.2 for each of these conditions.
#[test]
fn what_a_join_keeps_is_let_go_by_the_bounds_in_its_condition() {
    let cases: [(&str, [Option<i64>; 2]); 45] = [
        ("lt > rt + INTERVAL 10 SECONDS", [Some(10_000), None]),
        ("lt >= rt + INTERVAL 10 SECONDS", [Some(9_999), None]),
        ("lt < rt + INTERVAL 10 SECONDS", [None, Some(-10_000)]),
        ("lt <= rt + INTERVAL 10 SECONDS", [None, Some(-10_001)]),
        ("rt < lt", [Some(0), None]),
        ("rt <= lt", [Some(-1), None]),
        ("lt = rt", [Some(0), Some(0)]),
        ("lt != rt", [None, None]),
        ("NOT (lt < rt)", [Some(-1), None]),
        (
            "lt BETWEEN rt - INTERVAL 10 SECONDS AND rt + INTERVAL 5 SECONDS",
            [Some(-10_001), Some(-5_001)],
        ),
        ("rt BETWEEN lt AND lt + INTERVAL 5 MINUTES", [Some(-300_001), Some(-1)]),
        ("lt - rt > INTERVAL 10 SECONDS", [None, None]),
        ("lt - INTERVAL 10 SECONDS > rt", [Some(10_000), None]),
        ("lt - INTERVAL 10 SECONDS >= rt - INTERVAL 3 SECONDS", [Some(6_999), None]),
        ("lt + INTERVAL 1 DAY > rt", [Some(-86_400_000), None]),
        ("lt > rt - INTERVAL 1 MONTH", [None, None]),
        ("CAST(lt AS BIGINT) > CAST(rt AS BIGINT) + 10", [Some(10_000), None]),
        ("CAST(lt AS BIGINT) >= CAST(rt AS BIGINT) + 10", [Some(9_999), None]),
        ("CAST(lt AS DOUBLE) >= CAST(rt AS DOUBLE) + 10.5", [Some(10_499), None]),
        ("CAST(lt AS BIGINT) - CAST(rt AS BIGINT) > 10", [Some(10_000), None]),
        ("-CAST(lt AS BIGINT) < -CAST(rt AS BIGINT) - 10", [Some(10_000), None]),
        ("0 < CAST(lt AS BIGINT) - CAST(rt AS BIGINT) - 10", [Some(10_000), None]),
        ("CAST(lt AS BIGINT) * 2 > CAST(rt AS BIGINT)", [None, None]),
        ("CAST(lt AS DATE) > CAST(rt AS DATE)", [None, None]),
        ("CAST(lt AS STRING) > CAST(rt AS STRING)", [None, None]),
        ("date_trunc('hour', lt) > rt", [None, None]),
        ("lt > date_trunc('hour', rt)", [None, None]),
        ("lt > rt2", [None, None]),
        ("lt2 > rt", [Some(0), None]),
        ("lt > rt AND lt > rt + INTERVAL 10 SECONDS", [Some(0), None]),
        ("(lt > rt OR lt > rt + INTERVAL 10 SECONDS)", [None, None]),
        ("lt > rt + INTERVAL 10 SECONDS + INTERVAL 5 SECONDS", [Some(15_000), None]),
        ("lt > rt + INTERVAL 10 SECONDS AND lt2 > rt2", [Some(10_000), None]),
        ("lt > rt + INTERVAL 500 MICROSECONDS", [Some(0), None]),
        ("lt >= rt - INTERVAL 500 MICROSECONDS", [Some(-2), None]),
        ("lt > rt - INTERVAL 1500 MICROSECONDS", [Some(-2), None]),
        // Spark takes a number for a time in seconds.
        ("lt > rt AND ln > 5", [Some(5_000 - 10_000_000_000), None]),
        ("lt > rt AND ln >= 5", [Some(4_999 - 10_000_000_000), None]),
        ("lt > rt AND 5 < ln", [Some(5_000 - 10_000_000_000), None]),
        ("lt > rt AND ln < 5", [Some(0), None]),
        ("lt > rt AND ld > 1500.5", [Some(1_500_500 - 10_000_000_000), None]),
        ("lt > rt AND ln + 1000 > 5000", [Some(4_000_000 - 10_000_000_000), None]),
        ("lt > rt AND rn > 5000", [Some(0), Some(5_000_000 - 10_000_000_000)]),
        ("lt > rt AND ln > rn + 5000", [Some(0), None]),
        ("lt > rt AND ln * 2 > 5000", [Some(0), None]),
    ];
    for (condition, expected) in cases {
        assert_eq!(lets_go(condition), expected, "{condition}");
    }
}
