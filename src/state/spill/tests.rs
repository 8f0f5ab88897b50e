//! Rows on disk against a model that is too simple to be wrong: a `BTreeMap`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, RecordBatch, StringViewArray, StructArray,
};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema, SchemaRef};
use proptest::prelude::*;

use super::{Overflow, Spilled};
use crate::state::StateShape;

fn schema() -> SchemaRef {
    let inner = Fields::from(vec![Field::new("value", DataType::Int64, true)]);
    let item = Arc::new(Field::new("item", DataType::Int64, true));
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Utf8View, true),
        Field::new("inner", DataType::Struct(inner), true),
        Field::new("list", DataType::List(item), true),
    ]))
}

fn rows(keys: &[i64], value: i64) -> RecordBatch {
    let key = |key: &i64| (*key > 0).then(|| format!("a key of some length, {key}"));
    let values: ArrayRef = Arc::new(Int64Array::from(vec![value; keys.len()]));
    let inner = vec![(Arc::new(Field::new("value", DataType::Int64, true)), values)];
    let list = keys.iter().map(|key| (key % 3 > 0).then(|| vec![Some(*key), None]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(keys.iter().map(key).collect::<StringViewArray>()),
        Arc::new(StructArray::from(inner)),
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(list)),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// Few hashes, so that rows of different keys have the same one.
fn hash(key: i64) -> u64 {
    [0, 1, 7, u64::MAX][key as usize % 4].wrapping_add((key as u64 / 16) << 60)
}

fn values(batch: &RecordBatch) -> Vec<(Option<String>, i64)> {
    let keys = batch.column(0).as_string_view();
    let values = batch.column(1).as_struct().column(0).as_primitive::<Int64Type>();
    let keys = (0..keys.len()).map(|row| keys.is_valid(row).then(|| keys.value(row).to_string()));
    keys.zip(values.values().iter().copied()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_rows_are_found_again_and_forgotten(
        puts in prop::collection::vec(prop::collection::btree_set(0i64..64, 0..40), 1..12),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let shape = StateShape {
            name: "rows", schema: schema(), keys: 1, lookup: 1, expiry: None, grain_us: None,
        };
        let overflow = Arc::new(Overflow::new(&shape, folder.path().into()).unwrap().unwrap());
        let mut spilled = Spilled::new(overflow.clone());
        let mut model: BTreeMap<i64, i64> = BTreeMap::new();
        for (number, keys) in puts.into_iter().enumerate() {
            let keys: Vec<i64> = keys.into_iter().collect();
            let batch = rows(&keys, number as i64);
            let encoded = spilled.encode_keys(&batch.columns()[..1]).unwrap();
            let picked: Vec<(u32, u64)> =
                keys.iter().enumerate().map(|(row, key)| (row as u32, hash(*key))).collect();
            let wanted = picked.iter().map(|&(row, hash)| (hash, row)).collect();
            let found = spilled.find(&encoded, wanted).unwrap();
            let mut probes: Vec<i64> = found.iter().map(|f| keys[f.probe as usize]).collect();
            probes.sort_unstable();
            let there = keys.iter().filter(|key| model.contains_key(key));
            prop_assert_eq!(probes, there.copied().collect::<Vec<_>>());
            let decoded = spilled.decode(found.iter().map(|f| f.bytes.as_slice())).unwrap();
            for (found, (_, value)) in found.iter().zip(values(&decoded)) {
                prop_assert_eq!(value, model[&keys[found.probe as usize]]);
            }
            spilled.forget(&found.iter().map(|f| f.place).collect::<Vec<_>>()).unwrap();
            let before: Vec<_> = spilled.frozen().collect();
            let held = spilled.len();
            spilled.add(&[(batch, picked)]).unwrap();
            model.extend(keys.iter().map(|key| (*key, number as i64)));
            prop_assert_eq!(spilled.len(), model.len());
            // What was frozen is as it was.
            prop_assert_eq!(before.iter().map(|part| part.len()).sum::<usize>(), held);
            let read: usize = before.into_iter().map(|part| part.rows().unwrap().num_rows()).sum();
            prop_assert_eq!(read, held);
        }
        let mut all: Vec<(Option<String>, i64)> =
            spilled.frozen().flat_map(|part| values(&part.rows().unwrap())).collect();
        all.sort();
        let keys: Vec<i64> = model.keys().copied().collect();
        let mut expected: Vec<_> = values(&rows(&keys, 0)).into_iter().map(|(key, _)| key).zip(model.values().copied()).collect();
        expected.sort();
        prop_assert_eq!(all, expected);
        let memory: usize = spilled.leaves.values().map(super::Leaf::memory_bytes).sum();
        prop_assert_eq!(memory, spilled.memory);
        drop(spilled);
        prop_assert_eq!(overflow.disk_bytes(), 0);
    }
}
