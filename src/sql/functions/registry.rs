//! Which functions there are, by Spark's names.
//!
//! A name that Spark does not know is refused where it stands, even if DataFusion has it: a query
//! that runs here runs on Spark.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::ScalarUDF;

use super::scalar::Function;
use super::{
    dates, encoding, format, hash, intervals, like, misc, number_text, numbers, random, regex,
    rounding, text, times,
};
use crate::error::Error;

const TABLES: [&[Function]; 15] = [
    text::FUNCTIONS,
    format::FUNCTIONS,
    encoding::FUNCTIONS,
    regex::FUNCTIONS,
    numbers::FUNCTIONS,
    numbers::BITS,
    rounding::FUNCTIONS,
    dates::FUNCTIONS,
    times::FUNCTIONS,
    hash::FUNCTIONS,
    misc::FUNCTIONS,
    like::FUNCTIONS,
    random::FUNCTIONS,
    intervals::FUNCTIONS,
    number_text::FUNCTIONS,
];

/// Every name that a function has in Spark.
static SPARK: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("spark_names.txt").split_whitespace().collect());

/// Whether Spark has a function of this name, in lower case.
pub(in crate::sql) fn is_spark(name: &str) -> bool {
    SPARK.contains(name)
}

/// The functions of the tables, for a session.
pub(super) fn table_functions() -> impl Iterator<Item = Arc<ScalarUDF>> {
    TABLES.into_iter().flatten().flat_map(Function::registered)
}

/// A function of the tables by one of its names.
pub(in crate::sql) fn table_function(name: &str) -> Option<Arc<ScalarUDF>> {
    table_functions().find(|function| function.name() == name)
}

/// How many arguments a function takes, where that can be said without their types.
pub(super) fn arity(name: &str) -> Option<RangeInclusive<usize>> {
    let special = match name {
        "coalesce" => Some(1..=usize::MAX),
        "greatest" | "least" => Some(2..=usize::MAX),
        "nvl" | "ifnull" | "nullif" | "equal_null" => Some(2..=2),
        "if" | "nvl2" => Some(3..=3),
        "isnull" | "isnotnull" | "nullifzero" | "zeroifnull" => Some(1..=1),
        // Without an argument it is respelt.
        "unix_timestamp" => Some(0..=2),
        _ => None,
    };
    special.or_else(|| {
        let mut all = TABLES.into_iter().flatten();
        Some(all.find(|function| function.names().any(|n| n == name))?.arity())
    })
}

/// A call with too few or too many arguments.
pub(super) fn wrong_count(name: &str, takes: &RangeInclusive<usize>, given: usize) -> Error {
    let arguments =
        |count| if count == 1 { "1 argument".into() } else { format!("{count} arguments") };
    let wanted = match (*takes.start(), *takes.end()) {
        (least, usize::MAX) => format!("at least {}", arguments(least)),
        (least, most) if least == most => arguments(most),
        (least, most) => format!("{least} to {}", arguments(most)),
    };
    Error::sql("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", format!("{name}() takes {wanted}, not {given}"))
        .hint("give it as many as Spark's documentation says")
}

/// What is wrong with a call that a query writes, before anything is resolved: a name that Spark
/// does not have, or a number of arguments that the function does not take.
pub(in crate::sql) fn wrong_call(name: &str, given: usize, known: &[String]) -> Option<Error> {
    let name = name.to_lowercase();
    if !is_spark(&name) {
        return Some(crate::sql::errors::unresolved_routine(&name, known));
    }
    if let Some(error) = never_here(&name) {
        return Some(error);
    }
    let takes = arity(&name)?;
    (!takes.contains(&given)).then(|| wrong_count(&name, &takes, given))
}

/// A function that is refused whatever its arguments are: in Spark too.
fn never_here(name: &str) -> Option<Error> {
    Some(match name {
        "current_time" | "make_time" | "to_time" | "try_to_time" | "time_diff" | "time_trunc"
        | "time_from_seconds" | "time_from_millis" | "time_from_micros" | "time_to_seconds"
        | "time_to_millis" | "time_to_micros" => {
            Error::sql("UNSUPPORTED_TIME_TYPE", format!("{name}() is about the type TIME")).hint(
                "Spark 4.2 has it behind a setting; keep a time of day as STRING or in seconds",
            )
        }
        "monotonically_increasing_id" => {
            Error::sql("UNSUPPORTED_FEATURE", format!("{name}() has no meaning on a stream"))
                .hint("uuid() gives each row a name of its own")
        }
        _ => return None,
    })
}
