//! Preset `events`: the stream of the streaming demo, one folder, without end.
//!
//! ```json
//! {"event_id":"0_0","timestamp":"2026-01-01T11:59:21.483","user_id":417,"event_type":"view","value":532.08}
//! ```

use crate::generate::draw::Purpose;
use crate::generate::lines::Lines;
use crate::generate::stream::{Batch, Stream};

/// The streams of the preset.
pub(crate) const STREAMS: &[Stream] = &[Stream {
    name: "events",
    folder: "",
    tag: 1,
    rows: 100,
    late: 0.0,
    wrong_type: ("value", "\"many\""),
    write,
}];

const TYPES: [&str; 3] = ["click", "view", "purchase"];

fn write(batch: &Batch<'_>, out: &mut Lines) {
    let mut draws = batch.draws(Purpose::Values);
    let mut times = batch.event_times(1);
    for row in 0..batch.rows() {
        out.text(br#"{"event_id":""#);
        out.number(batch.number);
        out.text(b"_");
        out.number(row as u64);
        out.text(br#"","timestamp":""#);
        out.iso_millis(times.next(&mut draws, 60_000));
        out.text(br#"","user_id":"#);
        out.number(1 + draws.below(1_000));
        out.text(br#","event_type":""#);
        out.text(draws.one_of(&TYPES));
        out.text(br#"","value":"#);
        out.hundredths(1_000 + draws.below(99_001));
        out.end(b"}");
    }
}
