//! Duplicates by their definition: the first row of each key.

use std::collections::BTreeSet;

use super::*;

fn once(select: &str) -> String {
    format!("{TABLE} CREATE STREAMING TABLE out AS SELECT {select}")
}

/// The rows in the order of arrival, each key once.
fn first_of_each<K: Ord>(rows: &[Row], key: impl Fn(&Row) -> K) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let first = rows.iter().filter(|row| seen.insert(key(row)));
    first.map(|(minute, key, value)| json!([time(*minute), format!("k{key}"), value])).collect()
}

fn written(world: &World) -> Vec<Value> {
    let rows = objects(&world.written("out")).unwrap();
    rows.iter().map(|row| json!([iso(&row["ts"]), row["k"], row["v"]])).collect()
}

/// Without the fraction of a second.
fn iso(time: &Value) -> String {
    time.as_str().unwrap().replace(".000Z", "Z")
}

proptest! {
    #![proptest_config(few())]

    #[test]
    fn the_first_row_of_each_key_comes_out(
        rows in rows(), cuts in cuts(), fates in fates()
    ) {
        let by_key = once("DISTINCT ON (k) * FROM STREAM ev");
        let world = run(&by_key, &cut(&rows, &cuts), &fates, Output::Memory);
        prop_assert_eq!(written(&world), first_of_each(&rows, |row| row.1));
    }

    #[test]
    fn while_nothing_is_late_a_watermark_changes_nothing(
        rows in rows(), cuts in cuts(), fates in fates()
    ) {
        let marked = "FROM STREAM ev WATERMARK ts DELAY OF INTERVAL 1 HOUR";
        let by_key_and_time = once(&format!("DISTINCT ON (k, ts) * {marked}"));
        let files = cut(&rows, &cuts);
        let mut world = run(&by_key_and_time, &files, &fates, Output::Memory);
        prop_assert_eq!(written(&world), first_of_each(&rows, |row| (row.1, row.0)));

        // What the watermark has passed is not remembered.
        world.add("ev", &closing()).unwrap();
        let last = world.run(None).unwrap().pop().unwrap();
        prop_assert_eq!(last.progress.state_rows(), 1);

        let within = once(&format!("DISTINCT ON (k) WITHIN WATERMARK * {marked}"));
        let world = run(&within, &files, &fates, Output::Memory);
        prop_assert_eq!(written(&world), first_of_each(&rows, |row| row.1));
    }
}
