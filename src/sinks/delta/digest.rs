//! What a batch has given, in a few bytes, whatever the order of its rows.
//!
//! Takes the rows of a batch; gives a short text that stands in the batch's commit. A batch that is
//! run again after a crash, and is in the table already, is held to it: computed from the same input
//! it gives the same text, and where it does not, the state would no longer be that of the table.
//!
//! Of a small batch each row is hashed, and the hashes are added. Of a large one the columns are
//! added up, one by one, which is a pass over memory and no more: it sees a row more or less, a
//! changed number or text, but not two values of a column that changed places.

use arrow::array::{Array, ArrayData, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, SortField};
use twox_hash::XxHash64;

use crate::error::Result;

/// Up to so many rows are hashed one by one: a fraction of a millisecond.
const SMALL: usize = 4096;

/// The digest of rows of the table's schema.
pub(super) fn digest(schema: &SchemaRef, rows: &[RecordBatch]) -> Result<String> {
    let count: usize = rows.iter().map(RecordBatch::num_rows).sum();
    let fields: Vec<SortField> =
        schema.fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
    if count <= SMALL && RowConverter::supports_fields(&fields) {
        return Ok(text(count, "rows", by_row(fields, rows)?));
    }
    let mut columns = Columns::new(schema);
    rows.iter().for_each(|batch| columns.add(batch));
    Ok(columns.digest())
}

fn text(count: usize, how: &str, sum: u64) -> String {
    format!("{count} {how} {sum:016x}")
}

fn by_row(fields: Vec<SortField>, rows: &[RecordBatch]) -> Result<u64> {
    let converter = RowConverter::new(fields)?;
    let mut sum = 0_u64;
    for batch in rows {
        let encoded = converter.convert_columns(batch.columns())?;
        let hashes = encoded.iter().map(|row| XxHash64::oneshot(0, row.as_ref()));
        sum = hashes.fold(sum, u64::wrapping_add);
    }
    Ok(sum)
}

/// The digest of a large batch, which may come a part at a time.
pub(super) struct Columns {
    sums: Vec<u64>,
    count: usize,
}

impl Columns {
    /// Of no rows yet.
    pub(super) fn new(schema: &SchemaRef) -> Self {
        Self { sums: vec![0; schema.fields().len()], count: 0 }
    }

    /// Takes in rows.
    pub(super) fn add(&mut self, rows: &RecordBatch) {
        self.count += rows.num_rows();
        for (sum, column) in self.sums.iter_mut().zip(rows.columns()) {
            add(&column.to_data(), sum);
        }
    }

    /// How many rows there were.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// What was taken in.
    pub(super) fn digest(&self) -> String {
        let sums: Vec<u8> = self.sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        text(self.count, "columns", XxHash64::oneshot(0, &sums))
    }
}

/// Adds the values of a column, and how many are NULL.
fn add(column: &ArrayData, sum: &mut u64) {
    // Odd factors keep the parts of a nested column from standing in for one another.
    *sum = sum.wrapping_add((column.null_count() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    match column.data_type() {
        DataType::Boolean => {
            let values = arrow::array::BooleanArray::from(column.clone());
            *sum = sum.wrapping_add(values.true_count() as u64);
        }
        DataType::Utf8 | DataType::Binary | DataType::List(_) | DataType::Map(..) => {
            let offsets = &column.buffer::<i32>(0)[..=column.len()];
            let (first, last) = (offsets[0], offsets[column.len()]);
            let length = last.abs_diff(first);
            *sum = sum.wrapping_add(u64::from(length) << 32);
            match column.child_data() {
                [] => {
                    let bytes = column.buffers()[1].as_slice();
                    let range = first as usize..last as usize;
                    *sum = sum.wrapping_add(words(bytes.get(range).unwrap_or_default()));
                }
                [items, ..] => add(&items.slice(first as usize, length as usize), sum),
            }
        }
        DataType::Struct(_) => {
            for (place, child) in column.child_data().iter().enumerate() {
                let mut inner = 0;
                add(&child.slice(column.offset(), column.len()), &mut inner);
                *sum = sum.wrapping_add(inner.wrapping_mul(2 * place as u64 + 3));
            }
        }
        data_type => {
            let Some(width) = data_type.primitive_width() else { return };
            let bytes = &column.buffers()[0].as_slice()[column.offset() * width..];
            *sum = match column.nulls().filter(|nulls| nulls.null_count() > 0) {
                None => sum.wrapping_add(values(&bytes[..column.len() * width], width)),
                // What lies under a NULL is nothing that was computed.
                Some(nulls) => nulls.valid_indices().fold(*sum, |sum, at| {
                    sum.wrapping_add(values(&bytes[at * width..(at + 1) * width], width))
                }),
            };
        }
    }
}

/// The sum of values of so many bytes each.
fn values(bytes: &[u8], width: usize) -> u64 {
    match width {
        4 => bytes
            .as_chunks::<4>()
            .0
            .iter()
            .fold(0, |sum: u64, value| sum.wrapping_add(u64::from(u32::from_le_bytes(*value)))),
        8 => bytes
            .as_chunks::<8>()
            .0
            .iter()
            .fold(0, |sum: u64, value| sum.wrapping_add(u64::from_le_bytes(*value))),
        16 => bytes.as_chunks::<16>().0.iter().fold(0, |sum: u64, value| {
            let value = u128::from_le_bytes(*value);
            sum.wrapping_add(value as u64).wrapping_add(((value >> 64) as u64).wrapping_mul(3))
        }),
        _ => words(bytes),
    }
}

/// The sum of bytes, eight at a time: each second byte in lanes of sixteen bits, which 128 words do not
/// overflow. One by one it would be ten times as slow, and a large batch would feel it.
fn words(bytes: &[u8]) -> u64 {
    const LANES: u64 = 0x00ff_00ff_00ff_00ff;
    let mut total = 0_u64;
    for part in bytes.chunks(8 * 128) {
        let (words, rest) = part.as_chunks::<8>();
        let (mut even, mut odd) = (0_u64, 0_u64);
        for word in words {
            let word = u64::from_le_bytes(*word);
            even += word & LANES;
            odd += (word >> 8) & LANES;
        }
        let lanes = [even, odd].into_iter().flat_map(|sum| (0..4).map(move |at| sum >> (16 * at)));
        total += lanes.map(|lane| lane & 0xffff).sum::<u64>();
        total += rest.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    }
    total
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, ListArray, StringArray};
    use arrow::compute::{concat_batches, take_record_batch};
    use arrow::datatypes::Int32Type;
    use proptest::prelude::*;

    use super::*;

    fn batch(numbers: Vec<Option<i64>>, texts: Vec<Option<String>>) -> RecordBatch {
        let lists = numbers.iter().map(|n| n.map(|n| vec![Some(n as i32), None]));
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists));
        let numbers: ArrayRef = Arc::new(Int64Array::from(numbers));
        let texts: ArrayRef = Arc::new(StringArray::from(texts));
        let columns = [("n", numbers), ("t", texts), ("l", lists)];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).unwrap()
    }

    #[test]
    fn bytes_are_added_up() {
        for length in [0, 1, 7, 8, 9, 1023, 1024, 1025, 5000] {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 7 % 251) as u8 | 0x80).collect();
            assert_eq!(words(&bytes), bytes.iter().map(|b| u64::from(*b)).sum::<u64>(), "{length}");
        }
    }

    proptest! {
        /// The order of the rows and where they are cut does not matter; one changed value does.
        #[test]
        fn only_what_is_there_counts(
            rows in prop::collection::vec((any::<Option<i64>>(), any::<Option<String>>()), 1..40),
            at: prop::sample::Index,
            cut: prop::sample::Index,
        ) {
            let (numbers, texts): (Vec<_>, Vec<_>) = rows.iter().cloned().unzip();
            let whole = batch(numbers.clone(), texts.clone());
            let schema = whole.schema();
            let back = Int64Array::from_iter_values((0..rows.len() as i64).rev());
            let back = take_record_batch(&whole, &back).unwrap();
            let cut = cut.index(rows.len());
            let parts = [back.slice(0, cut), back.slice(cut, rows.len() - cut)];
            prop_assert_eq!(concat_batches(&schema, &parts).unwrap(), back);
            let mut other = numbers.clone();
            let place = at.index(rows.len());
            other[place] = Some(other[place].map_or(0, |n| n ^ 1));
            let (whole, other) = ([whole], [batch(other, texts)]);
            prop_assert_eq!(digest(&schema, &whole)?, digest(&schema, &parts)?);
            prop_assert_ne!(digest(&schema, &whole)?, digest(&schema, &other)?);
            let by_column = |rows: &[RecordBatch]| {
                let mut columns = Columns::new(&schema);
                rows.iter().for_each(|batch| columns.add(batch));
                columns.digest()
            };
            prop_assert_eq!(by_column(&whole), by_column(&parts));
            prop_assert_ne!(by_column(&whole), by_column(&other));
        }
    }
}
