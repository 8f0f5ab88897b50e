//! Preset `users`: the still table that streams are joined with, one row for each `user_id` of
//! `events`, in one file.
//!
//! ```json
//! {"user_id":1,"name":"Amara Lindqvist","country":"DE","segment":"standard"}
//! ```

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

use crate::error::Result;
use crate::generate::draw::{Draws, Purpose};
use crate::generate::lines::Lines;
use crate::generate::stream::{Batch, Stream};

/// The name of the file.
pub(crate) const FILE: &str = "users.json";

/// The one "stream" of the preset: a single batch.
pub(crate) const STREAMS: &[Stream] = &[Stream {
    name: "users",
    folder: "",
    tag: 5,
    rows: 1_000,
    late: 0.0,
    wrong_type: ("user_id", "\"many\""),
    write,
}];

const FIRST_NAMES: [&str; 24] = [
    "Amara", "Ben", "Chloé", "Daniel", "Elif", "Farid", "Greta", "Hana", "Ivan", "Jonas", "Kemi",
    "Lucía", "Mateo", "Nadia", "Olga", "Priya", "Quentin", "Rosa", "Sören", "Tariq", "Uma", "Vera",
    "Wei", "Zoë",
];

const LAST_NAMES: [&str; 24] = [
    "Adeyemi",
    "Berger",
    "Costa",
    "Dubois",
    "Eriksen",
    "Fischer",
    "García",
    "Haddad",
    "Ito",
    "Jansen",
    "Kowalska",
    "Lindqvist",
    "Moreau",
    "Novák",
    "Okafor",
    "Petrov",
    "Quinn",
    "Rossi",
    "Silva",
    "Tanaka",
    "Ueda",
    "Varga",
    "Weber",
    "Yılmaz",
];

const COUNTRIES: [&str; 10] = ["BR", "DE", "ES", "FR", "GB", "IN", "JP", "NG", "PL", "US"];

/// The second word comes three times: most users are of the ordinary kind.
const SEGMENTS: [&str; 5] = ["premium", "standard", "standard", "standard", "trial"];

struct User {
    id: u64,
    first_name: &'static str,
    last_name: &'static str,
    country: &'static str,
    segment: &'static str,
}

fn users(mut draws: Draws, rows: usize) -> impl Iterator<Item = User> {
    (1..=rows as u64).map(move |id| User {
        id,
        first_name: draws.one_of(&FIRST_NAMES),
        last_name: draws.one_of(&LAST_NAMES),
        country: draws.one_of(&COUNTRIES),
        segment: draws.one_of(&SEGMENTS),
    })
}

fn write(batch: &Batch<'_>, out: &mut Lines) {
    for user in users(batch.draws(Purpose::Values), batch.rows()) {
        out.text(br#"{"user_id":"#);
        out.number(user.id);
        out.text(br#","name":""#);
        out.text(user.first_name);
        out.text(b" ");
        out.text(user.last_name);
        out.text(br#"","country":""#);
        out.text(user.country);
        out.text(br#"","segment":""#);
        out.text(user.segment);
        out.end(br#""}"#);
    }
}

/// The same users as a batch of rows, for a table that is not JSON: `user_id BIGINT`, `name`,
/// `country` and `segment STRING`. The preset has 1,000 rows.
pub fn users_batch(seed: u64, rows: usize) -> Result<RecordBatch> {
    let users: Vec<User> =
        users(Draws::new(seed, STREAMS[0].tag, 0, Purpose::Values), rows).collect();
    let ids = Int64Array::from_iter_values(users.iter().map(|u| u.id as i64));
    let names = users.iter().map(|u| format!("{} {}", u.first_name, u.last_name));
    let countries = users.iter().map(|u| u.country);
    let segments = users.iter().map(|u| u.segment);
    let columns: [(&str, ArrayRef); 4] = [
        ("user_id", Arc::new(ids)),
        ("name", Arc::new(StringArray::from_iter_values(names))),
        ("country", Arc::new(StringArray::from_iter_values(countries))),
        ("segment", Arc::new(StringArray::from_iter_values(segments))),
    ];
    let nullable = columns.map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(nullable)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{GenerateOptions, Preset};
    use crate::time::ManualClock;

    #[test]
    fn the_table_and_the_file_say_the_same() {
        let mut options = GenerateOptions::new(Preset::Users, "unused");
        options.seed = 9;
        let mut maker =
            crate::generate::Maker::new(options, Arc::new(ManualClock::default())).unwrap();
        let mut json = Vec::new();
        maker
            .make(0, |made| {
                json = made.bytes.to_vec();
                Ok(())
            })
            .unwrap();
        let table = users_batch(9, 1_000).unwrap();
        let read = arrow::json::ReaderBuilder::new(table.schema())
            .with_batch_size(1_000)
            .build(&json[..])
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        assert_eq!(read, table);
    }
}
