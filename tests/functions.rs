//! What Spark answered to some hundred calls of functions, asked here again.
//!
//! `tests/functions/*.tsv` holds one call a line: the expression, the type and the value that
//! Spark 4.2 gave (as its cast to STRING writes it; BINARY as hexadecimal digits), or `!` and the
//! name of its error. Each is asked over one row, `i = 2, s = 'Spark SQL', d = 2.5`. A call in
//! which this engine differs stands in `set_aside.txt` with the reason, and nowhere else; with
//! `UPDATE=1` the list is written anew, and what it gives here stands where no reason was known.
//! `STRANDLINE_FUNCTIONS_DIR` names another folder of such files, for answers recorded elsewhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::SessionContext;
use strandline::calendar::Zone;
use strandline::error::Result;
use strandline::sql::{Catalog, QueryPlan, Statement, parse, parse_columns, session, spark_name};

const HEAD: &str =
    "# Calls in which this engine does not answer as Spark: the call, a tab, why or what.\n";

/// A call and what Spark said.
struct Case {
    call: String,
    answer: String,
}

fn read(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap();
    let case = |line: &str| {
        let (call, answer) = line.split_once('\t').unwrap();
        Case { call: call.to_owned(), answer: answer.to_owned() }
    };
    text.lines().filter(|line| !line.is_empty()).map(case).collect()
}

#[test]
fn functions_answer_as_spark_does() {
    let folder = match std::env::var_os("STRANDLINE_FUNCTIONS_DIR") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/functions"),
    };
    let aside = std::fs::read_to_string(folder.join("set_aside.txt")).unwrap_or_default();
    let aside: BTreeMap<&str, &str> = (aside.lines())
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('\t'))
        .collect();
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "tsv"))
        .collect();
    files.sort();
    let (mut agree, mut all, mut wrong) = (0, 0, Vec::new());
    let cases: Vec<Case> = files.iter().flat_map(|file| read(file)).collect();
    let answers = ask(cases.iter().map(|case| case.call.as_str())).unwrap();
    let mut differ = String::new();
    for (Case { call, answer }, given) in cases.iter().zip(answers) {
        let (given, usual) = match given {
            Ok(given) => (given.clone(), given.replace('\t', " ")),
            Err(e) => {
                (format!("!{}", e.condition()), format!("!{}: {}", e.condition(), e.message()))
            }
        };
        let same = given == *answer;
        all += 1;
        agree += usize::from(same);
        if !same {
            let why = aside.get(call.as_str()).map_or(usual, |why| (*why).to_owned());
            differ.push_str(&format!("{call}\t{why}\n"));
        }
        if same == aside.contains_key(call.as_str()) {
            wrong.push(format!("{call}\n    spark: {answer}\n    here:  {given}"));
        }
    }
    println!("functions: {agree} of {all} calls agree");
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(folder.join("set_aside.txt"), format!("{HEAD}{differ}")).unwrap();
    }
    assert!(wrong.is_empty(), "{} calls are not as listed:\n{}", wrong.len(), wrong.join("\n"));
}

/// Type and value of each expression over the one row.
fn ask<'a>(calls: impl Iterator<Item = &'a str>) -> Result<Vec<Result<String>>> {
    let queries = calls.enumerate().map(|(number, call)| {
        format!("CREATE STREAMING TABLE t{number} AS SELECT {call} AS x FROM STREAM one;\n")
    });
    let pipeline = parse("functions.sql", &queries.collect::<String>())?;
    let mut catalog = Catalog::new(&pipeline, Zone::default());
    catalog.add_table("one", parse_columns("i INT, s STRING, d DOUBLE")?);
    let session = session(&Zone::default());
    let answers = pipeline.statements.iter().filter_map(|statement| match statement {
        Statement::StreamingTable(table) => Some(catalog.plan(table)),
        _ => None,
    });
    Ok(answers.map(|plan| answer(&session, &plan?)).collect())
}

fn answer(session: &SessionContext, plan: &QueryPlan) -> Result<String> {
    let slot = &plan.reads[0].slot;
    let row = RecordBatch::try_new(
        slot.schema().clone(),
        vec![
            Arc::new(Int32Array::from(vec![2])),
            Arc::new(StringArray::from(vec!["Spark SQL"])),
            Arc::new(Float64Array::from(vec![2.5])),
        ],
    )?;
    slot.fill(vec![row]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let rows = runtime.block_on(async {
        let physical = session.state().create_physical_plan(&plan.plan).await?;
        datafusion::physical_plan::collect(physical, session.task_ctx()).await
    })?;
    let column = rows[0].column(0);
    let value = text(column).replace('\r', "\\r").replace('\n', "\\n");
    Ok(format!("{}\t{value}", spark_name(column.data_type())))
}

/// One value as Spark's cast to STRING writes it.
fn text(column: &dyn Array) -> String {
    if column.is_null(0) {
        return "NULL".to_owned();
    }
    let java = |n: f64, digits: String| match digits.split_once('e') {
        Some((m, e)) if n != 0.0 && !(1e-3..1e7).contains(&n.abs()) => {
            format!("{m}{}E{e}", if m.contains('.') { "" } else { ".0" })
        }
        Some(_) => format!("{n:?}"),
        None => digits.replace("inf", "Infinity"),
    };
    match column.data_type() {
        DataType::Float64 => {
            let n = column.as_primitive::<Float64Type>().value(0);
            java(n, format!("{n:e}"))
        }
        DataType::Float32 => {
            let n = column.as_primitive::<Float32Type>().value(0);
            java(n.into(), format!("{n:e}"))
        }
        DataType::Binary => {
            column.as_binary::<i32>().value(0).iter().map(|b| format!("{b:02X}")).collect()
        }
        DataType::Timestamp(..) => {
            let options = FormatOptions::new()
                .with_timestamp_tz_format(Some("%F %T%.6f"))
                .with_timestamp_format(Some("%F %T%.6f"));
            let text = ArrayFormatter::try_new(column, &options).unwrap().value(0).to_string();
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => {
            let options = FormatOptions::new().with_null("null");
            ArrayFormatter::try_new(column, &options).unwrap().value(0).to_string()
        }
    }
}
