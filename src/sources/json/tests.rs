//! What a line means, rule by rule, and as a property: any lines in any files decode to what
//! another JSON reader says.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Decimal128Type, Float64Type, Int64Type, TimeUnit};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::decoder::{KEPT_OF_TOO_LONG, LONGEST_LINE};
use super::*;
use crate::sources::SourceRead;

fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn schema(fields: Vec<Field>) -> SchemaRef {
    nullable(&Schema::new(fields))
}

fn map_of(value: DataType) -> DataType {
    let pair = vec![Field::new("key", DataType::Utf8, false), field("value", value)];
    let entries = Field::new("entries", DataType::Struct(pair.into()), false);
    DataType::Map(Arc::new(entries), false)
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn decode(schema: &SchemaRef, options: &JsonOptions, files: &[&[u8]]) -> Result<SourceRead> {
    let mut decoder = JsonDecoder::new(schema.clone(), options.clone())?;
    for (i, bytes) in files.iter().enumerate() {
        decoder.file(&format!("{i}.json").into(), bytes)?;
    }
    decoder.finish()
}

/// The rows as JSON, NULL fields left out: the form of the conformance cases.
fn rows(read: &SourceRead) -> Vec<Value> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    for batch in &read.batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
    let text = String::from_utf8(writer.into_inner()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn permissive(fields: Vec<Field>, text: &str) -> (Vec<Value>, SourceRead) {
    let read = decode(&schema(fields), &JsonOptions::default(), &[text.as_bytes()]).unwrap();
    (rows(&read), read)
}

fn with_mode(mode: Mode) -> JsonOptions {
    JsonOptions { mode, ..JsonOptions::default() }
}

fn id_and_n() -> Vec<Field> {
    vec![field("id", DataType::Utf8), field("n", DataType::Int32)]
}

#[test]
fn a_broken_line_is_a_row_of_nulls_and_a_bad_record_and_takes_no_neighbour_with_it() {
    let text =
        "{\"id\":\"a\",\"n\":1}\nthis is not json\n{\"id\":\"b\",\"n\":2}\n{\"id\":\"c\",\"n\":";
    let (found, read) = permissive(id_and_n(), text);
    assert_eq!(found, [json!({"id":"a","n":1}), json!({}), json!({"id":"b","n":2}), json!({})]);
    assert_eq!(read.bad.len(), 2);
    assert_eq!((read.bad[0].line, read.bad[0].offset), (2, 17));
    assert_eq!(read.bad[0].raw, b"this is not json");
    assert_eq!((&*read.bad[1].file, read.bad[1].line), ("0.json", 4));
    assert_eq!(read.bad[1].reason, "the line ends before its value is complete, at byte 15");
}

#[test]
fn the_corrupt_record_column_holds_broken_and_mistyped_lines() {
    let mut fields = id_and_n();
    fields.insert(1, field("_corrupt_record", DataType::Utf8));
    let text =
        "{\"id\":\"a\",\"n\":1}\noops\n{\"id\":\"b\",\"n\":\"x\"}\n[{\"id\":\"c\"},{\"n\":\"y\"}]";
    let (found, read) = permissive(fields, text);
    let array = "[{\"id\":\"c\"},{\"n\":\"y\"}]";
    assert_eq!(
        found,
        [
            json!({"id":"a","n":1}),
            json!({"_corrupt_record":"oops"}),
            json!({"id":"b","_corrupt_record":"{\"id\":\"b\",\"n\":\"x\"}"}),
            json!({"id":"c","_corrupt_record":array}),
            json!({"_corrupt_record":array}),
        ]
    );
    assert_eq!((read.bad.len(), read.mistyped.len()), (1, 3));
}

#[test]
fn dropmalformed_drops_both_kinds_and_tells() {
    let text = "{\"id\":\"a\",\"n\":1}\noops\n{\"id\":\"b\",\"n\":\"x\"}\n{\"id\":\"c\"}";
    let read = decode(&schema(id_and_n()), &with_mode(Mode::DropMalformed), &[text.as_bytes()]);
    let read = read.unwrap();
    assert_eq!(rows(&read), [json!({"id":"a","n":1}), json!({"id":"c"})]);
    assert_eq!(read.bad.len(), 2);
    assert_eq!(read.bad[1].reason, "the value of 'n' has not the type of its column");
}

#[test]
fn failfast_names_the_file_and_the_line_and_accepts_what_is_only_absent() {
    let fine = b"{\"id\":\"a\"}\n\n{\"id\":null,\"n\":null,\"x\":1}\n";
    let failfast = with_mode(Mode::FailFast);
    assert_eq!(decode(&schema(id_and_n()), &failfast, &[fine]).unwrap().rows(), 2);
    for bad in ["{\"n\":\"x\"}", "oops"] {
        let text = format!("\n{bad}\n");
        let error = decode(&schema(id_and_n()), &failfast, &[fine, text.as_bytes()]).unwrap_err();
        assert_eq!(error.condition(), "FAILED_READ_FILE.NO_HINT");
        assert!(error.message().starts_with("1.json, line 2: "), "{error}");
    }
}

#[test]
fn a_wrong_type_is_null_and_the_other_fields_stay() {
    let fields = vec![
        field("id", DataType::Utf8),
        field("n", DataType::Int32),
        field("d", DataType::Float64),
        field("b", DataType::Boolean),
        field("ts", timestamp()),
    ];
    let text = r#"{"id":"a","n":"12","d":"1.5","b":"true","ts":"2026-01-01T00:00:00Z"}
{"id":"b","n":1.5,"d":1,"b":1,"ts":"yesterday"}
{"id":"c","n":{"x":1},"d":[1],"b":null,"ts":true}
{"id":"d","n":2147483648,"d":NaN,"b":false,"ts":0}
{"id":"e","d":"NaN","ts":1.5}
"#;
    let (_, read) = permissive(fields, text);
    let batch = &read.batches[0];
    assert_eq!(batch.column(1).null_count(), 5);
    let doubles = batch.column(2).as_primitive::<Float64Type>();
    assert!(doubles.is_null(0) && doubles.value(1) == 1.0 && doubles.is_null(2));
    assert!(doubles.value(3).is_nan() && doubles.value(4).is_nan());
    assert_eq!(batch.column(3).null_count(), 4);
    assert_eq!(batch.column(4).null_count(), 3);
    assert_eq!((batch.num_rows(), read.mistyped.len()), (5, 5));
}

#[test]
fn anything_fits_a_string_as_its_text() {
    let text = r#"{"s":12}
{"s":1.50}
{"s":true}
{"s":{"a": 1, "b":[1, 2]}}
{"s": [1, "x"] }
{"s":1e3}
{"s":null}
{"s":"a\"b\\c\/d\n\t\u00e9\ud83d\ude00"}"#;
    let (found, _) = permissive(vec![field("s", DataType::Utf8)], text);
    let expected = [
        json!({"s":"12"}),
        json!({"s":"1.50"}),
        json!({"s":"true"}),
        json!({"s":"{\"a\": 1, \"b\":[1, 2]}"}),
        json!({"s":"[1, \"x\"]"}),
        json!({"s":"1e3"}),
        json!({}),
        json!({"s":"a\"b\\c/d\n\té😀"}),
    ];
    assert_eq!(found, expected);
}

#[test]
fn single_quotes_are_taken_and_other_liberties_are_not() {
    let text = "{'id':'it\\'s','n':1}\n{id:\"b\"}\n{\"n\":007}\n{\"n\":1,}\n/* x */ {}\n{\"n\":+1}\n\
                {\"n\":.5}\n{\"n\":1.}\n{\"n\":0x1}\n5\n\"text\"\nnull\n[1,2]\n{\"a\" 1}\n\
                {\"n\":INF}\n{\"id\":\"\\q\"}\n";
    let (found, read) = permissive(id_and_n(), text);
    assert_eq!(found[0], json!({"id":"it's","n":1}));
    assert!(found[1..].iter().all(|row| *row == json!({})), "{found:?}");
    assert_eq!(read.bad.len(), 15);
}

#[test]
fn names_are_matched_with_their_case_and_the_last_of_two_counts() {
    let text = "{\"id\":\"a\",\"ID\":\"b\"}\n{\"ID\":\"c\",\"\\u0069d\":\"d\"}\n{\"id\":\"e\",\"id\":\"f\"}\n";
    let (found, _) = permissive(vec![field("id", DataType::Utf8)], text);
    assert_eq!(found, [json!({"id":"a"}), json!({"id":"d"}), json!({"id":"f"})]);
}

#[test]
fn nested_types_lose_the_field_of_a_struct_but_the_whole_of_an_array_or_map() {
    let xy = vec![field("x", DataType::Int32), field("y", DataType::Utf8)];
    let n = DataType::Struct(vec![field("n", DataType::Utf8)].into());
    let fields = vec![
        field("id", DataType::Utf8),
        field("s", DataType::Struct(xy.into())),
        field("a", list_of(DataType::Int32)),
        field("l", list_of(n)),
        field("m", map_of(DataType::Float64)),
    ];
    let text = r#"{"id":"a","s":{"x":1,"y":"q","z":0},"a":[1,2],"l":[{"n":"p"},{}],"m":{"u":1,"v":2.5}}
{"id":"b","s":{},"a":[],"l":[],"m":{}}
{"id":"c","s":{"x":"bad","y":"keep"},"a":[1,"bad",3],"l":[{"n":5}],"m":{"u":"bad","v":1}}
{"id":"d","s":5,"a":{"x":1},"l":"q","m":[1]}
{"id":"f","s":{"x":1,"y":"half
{"id":"e","l":[null],"a":[null]}"#;
    let (found, read) = permissive(fields, text);
    assert_eq!(
        found,
        [
            json!({"id":"a","s":{"x":1,"y":"q"},"a":[1,2],"l":[{"n":"p"},{}],"m":{"u":1.0,"v":2.5}}),
            json!({"id":"b","s":{},"a":[],"l":[],"m":{}}),
            json!({"id":"c","s":{"y":"keep"},"l":[{"n":"5"}]}),
            json!({"id":"d"}),
            json!({}),
            json!({"id":"e","l":[null],"a":[null]}),
        ]
    );
    assert_eq!((read.bad.len(), read.mistyped.len()), (1, 2));
}

#[test]
fn decimals_dates_and_bytes() {
    let fields = vec![
        field("d", DataType::Decimal128(10, 2)),
        field("t", DataType::Date32),
        field("b", DataType::Binary),
    ];
    let text = "{\"d\":1.005,\"t\":\"2026-01-02\",\"b\":\"aGVsbG8=\"}\n{\"d\":\"7\",\"t\":20000,\"b\":\"*\"}\n";
    let (_, read) = permissive(fields, text);
    let batch = &read.batches[0];
    assert_eq!(batch.column(0).as_primitive::<Decimal128Type>().values()[..], [101, 700]);
    assert_eq!((batch.column(1).null_count(), batch.column(2).null_count()), (1, 1));
    assert_eq!(batch.column(2).as_binary::<i32>().value(0), b"hello");
}

#[test]
fn a_column_that_is_not_read_is_not_checked_but_its_syntax_is() {
    let (found, read) = permissive(
        vec![field("id", DataType::Utf8)],
        "{\"id\":\"b\",\"n\":\"x\"}\noops\n{\"id\":\"c\",\"n\":{]}\n",
    );
    assert_eq!(found, [json!({"id":"b"}), json!({}), json!({})]);
    assert_eq!((read.bad.len(), read.mistyped.len()), (2, 0));
}

#[test]
fn without_columns_lines_are_counted_and_only_another_mode_looks_at_them() {
    let text = "{\"a\":1}\noops\n\n[]\n[{},{}]\n";
    let (_, read) = permissive(vec![], text);
    assert_eq!((read.rows(), read.bad.len()), (4, 0));
    let read = decode(&schema(vec![]), &with_mode(Mode::DropMalformed), &[text.as_bytes()]);
    assert_eq!(read.unwrap().rows(), 3);
}

#[test]
fn text_behind_the_object_is_not_read_but_told() {
    let (found, read) = permissive(id_and_n(), "{\"id\":\"a\"}{\"id\":\"b\"}\n{\"id\":\"c\"} \n");
    assert_eq!(found, [json!({"id":"a"}), json!({"id":"c"})]);
    assert_eq!(read.bad.len(), 1);
}

#[test]
fn bytes_that_are_no_text_spoil_their_line_only() {
    let files: [&[u8]; 2] = [
        b"{\"id\":\"a\"}\n{\"id\":\"\xff\"}\n{\"id\":\"\0\"}\n\0\0\0\n{\"id\":\"b\"}\n",
        b"{\0\"\0i\0d\0\"\0:\0\"\0c\0\"\0}\0",
    ];
    let read = decode(&schema(id_and_n()), &JsonOptions::default(), &files).unwrap();
    let expected =
        [json!({"id":"a"}), json!({}), json!({}), json!({}), json!({"id":"b"}), json!({})];
    assert_eq!(rows(&read), expected);
    assert_eq!(read.bad.len(), 4);
    assert_eq!(read.bad[0].raw, b"{\"id\":\"\xff\"}");
    assert!(read.bad[2].reason.contains("zero-filled"), "{}", read.bad[2].reason);
    assert!(read.bad[3].reason.contains("looks like UTF-16"), "{}", read.bad[3].reason);
}

#[test]
fn a_byte_order_mark_says_what_the_bytes_are() {
    let utf16 = |text: &str| -> Vec<u8> {
        ["\u{feff}", text].concat().encode_utf16().flat_map(u16::to_le_bytes).collect()
    };
    let files = [utf16("{\"id\":\"ä\"}\r\n{\"id\":\"b\"}\r\n"), b"{\"id\":\"c\"}".to_vec()];
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    let read = decode(&schema(id_and_n()), &JsonOptions::default(), &files).unwrap();
    assert_eq!(rows(&read), [json!({"id":"ä"}), json!({"id":"b"}), json!({"id":"c"})]);
}

#[test]
fn ten_thousand_levels_are_a_bad_record_on_a_small_stack() {
    let deep = format!("{{\"x\":{}", "[".repeat(10_000));
    let stack = std::thread::Builder::new().stack_size(2 << 20);
    let read = stack.spawn(move || permissive(id_and_n(), &deep).1).unwrap().join().unwrap();
    assert!(read.bad[0].reason.contains("nested too deep"), "{}", read.bad[0].reason);
}

#[test]
fn a_line_over_16_mib_is_a_bad_record_and_the_next_one_is_read() {
    let text = format!("{{\"id\":\"{}\"}}\n{{\"id\":\"b\"}}\n", "x".repeat(LONGEST_LINE));
    let (found, read) = permissive(id_and_n(), &text);
    assert_eq!(found, [json!({}), json!({"id":"b"})]);
    assert_eq!(read.bad[0].raw.len(), KEPT_OF_TOO_LONG);
}

#[test]
fn with_multi_line_a_file_is_one_document() {
    let options = JsonOptions { line_end: LineEnd::Never, ..JsonOptions::default() };
    let files: [&[u8]; 3] = [
        b"{\n \"id\": \"a\",\n \"n\": 1\n}\n",
        b"[{\"id\":\"b\"},\n{\"id\":\"c\",\"n\":3}]\n",
        b"{\"id\":\"d\"}\n{\"id\":\"e\"}\n",
    ];
    let read = decode(&schema(id_and_n()), &options, &files).unwrap();
    let expected =
        [json!({"id":"a","n":1}), json!({"id":"b"}), json!({"id":"c","n":3}), json!({"id":"d"})];
    assert_eq!(rows(&read), expected);
}

/// A value of any kind, small. Fractions are such that serde_json reads them exactly.
fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof!["[a-z\"'\\\\/\n\u{1}é😀]{0,6}", Just("2026-01-01".to_owned())];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1_000_000..1_000_000).prop_map(|n| Value::from(f64::from(n) / 64.0)),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let name = prop_oneof![Just("k".to_owned()), "[a-zé\"]{0,3}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..4)
                .prop_map(|m| Value::from(m.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A line: an object with some of the columns, something else, or an object that is cut off.
fn any_line() -> impl Strategy<Value = String> {
    let names = ["id", "n", "d", "b", "l", "m", "other"];
    let value = (prop::sample::select(names.to_vec()), any_value());
    let object = prop::collection::vec(value, 0..7)
        .prop_map(|fields| {
            Value::from(fields.into_iter().map(|(n, v)| (n.to_owned(), v)).collect::<Map<_, _>>())
        })
        .boxed();
    prop_oneof![
        8 => object.clone().prop_map(|value| value.to_string()),
        1 => (object, any::<prop::sample::Index>()).prop_map(|(value, cut)| {
            let text: Vec<char> = value.to_string().chars().collect();
            text[..cut.index(text.len())].iter().collect()
        }),
        1 => any_value().prop_filter("objects and arrays are lines of their own", |v| {
            !v.is_object() && !v.is_array()
        }).prop_map(|value| value.to_string()),
    ]
}

/// What Spark's rules make of a value in a column of this type; `None`: it does not fit.
fn fitted(value: &Value, data_type: &DataType) -> Option<Value> {
    Some(match (data_type, value) {
        (_, Value::Null) => Value::Null,
        (DataType::Utf8, Value::String(text)) => text.as_str().into(),
        (DataType::Utf8, other) => other.to_string().into(),
        (DataType::Int64, Value::Number(n)) => n.as_i64()?.into(),
        (DataType::Float64, Value::Number(n)) => n.as_f64()?.into(),
        (DataType::Boolean, Value::Bool(b)) => (*b).into(),
        (DataType::List(item), Value::Array(items)) => {
            items.iter().map(|v| fitted(v, item.data_type())).collect::<Option<Vec<_>>>()?.into()
        }
        (DataType::Map(..), Value::Object(entries)) => {
            let pairs =
                entries.iter().map(|(k, v)| Some((k.clone(), fitted(v, &DataType::Int64)?)));
            Value::from(pairs.collect::<Option<Map<_, _>>>()?)
        }
        _ => return None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_lines_in_any_files_decode_to_what_another_reader_says(
        files in prop::collection::vec(prop::collection::vec(any_line(), 0..8), 1..4)
    ) {
        let fields = vec![
            field("id", DataType::Utf8),
            field("n", DataType::Int64),
            field("d", DataType::Float64),
            field("b", DataType::Boolean),
            field("l", list_of(DataType::Utf8)),
            field("m", map_of(DataType::Int64)),
        ];
        let schema = schema(fields);
        let mut expected = Vec::new();
        let mut bad = 0;
        for line in files.iter().flatten().filter(|line| !line.trim().is_empty()) {
            let value = serde_json::from_str::<Value>(line).ok();
            let mut row = Map::new();
            match value.as_ref().and_then(Value::as_object) {
                Some(object) => for field in schema.fields() {
                    let value = object.get(field.name());
                    let value = value.and_then(|v| fitted(v, field.data_type()));
                    row.extend(value.filter(|v| !v.is_null()).map(|v| (field.name().clone(), v)));
                },
                None => bad += 1,
            }
            expected.push(Value::from(row));
        }
        let files: Vec<String> = files.iter().map(|lines| lines.join("\n")).collect();
        let bytes: Vec<&[u8]> = files.iter().map(|text| text.as_bytes()).collect();
        let read = decode(&schema, &JsonOptions::default(), &bytes).unwrap();
        let found = rows(&read);
        prop_assert_eq!(read.bad.len(), bad);
        prop_assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert!(same(found, expected), "{} is not {}", found, expected);
        }
    }
}

/// Equal, where NULL in a map may be left out by the writer, and numbers are equal by value.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let present = |m: &Map<String, Value>| m.values().filter(|v| !v.is_null()).count();
            present(a) == present(b)
                && b.iter().all(|(k, v)| same(a.get(k).unwrap_or(&Value::Null), v))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Number(x), Value::Number(y)) => close(x.as_f64(), y.as_f64()),
        _ => a == b,
    }
}

/// Equal but for the last digit: serde_json, which reads both sides here, is not exact.
fn close(a: Option<f64>, b: Option<f64>) -> bool {
    a.zip(b).is_some_and(|(a, b)| a == b || ((a - b) / b).abs() < 1e-14)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_double_is_read_exactly(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
        let (_, read) = permissive(vec![field("d", DataType::Float64)], &format!("{{\"d\":{value:e}}}"));
        let found = read.batches[0].column(0).as_primitive::<Float64Type>().value(0);
        prop_assert_eq!(found.to_bits(), value.to_bits());
    }
}

#[test]
fn whole_numbers_are_read_exactly() {
    let (_, read) = permissive(vec![field("n", DataType::Int64)], "{\"n\":9007199254740993}\n");
    assert_eq!(read.batches[0].column(0).as_primitive::<Int64Type>().value(0), 9007199254740993);
}

#[cfg(unix)]
#[test]
fn different_names_are_shown_differently_and_in_one_line() {
    use std::os::unix::ffi::OsStrExt;
    let name =
        |bytes: &[u8]| super::shown(std::path::Path::new(std::ffi::OsStr::from_bytes(bytes)));
    assert_eq!(&*name(b"in/a b%20#1 \xc3\xa4.json"), "in/a b%20#1 \u{e4}.json");
    assert_eq!(&*name(b"a\n\x1b[31m\xff"), "a\\x0A\\x1B[31m\\xFF");
    assert_ne!(name(b"a\xff"), name(b"a\xfe"));
}
