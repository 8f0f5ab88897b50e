//! Preset `day17`: the workshop's three streams, ten batches each, a second apart.
//!
//! ```json
//! {"event_id":"EVT00000000","user_id":"USER042","event_type":"page_view","value":17.35,"event_time":"2026-01-01 11:58:03","processing_time":"2026-01-01 12:00:00"}
//! {"impression_id":"IMP00000000","user_id":"USER007","ad_id":"AD013","impression_time":"2026-01-01 11:57:12"}
//! {"click_id":"CLK00000000","impression_id":"IMP00000031","user_id":"USER007","click_time":"2026-01-01 11:58:40"}
//! ```
//!
//! One event in ten is late by 5 to 30 minutes, the others by less than 5. A click refers to an
//! impression of its own batch or of one of the two before it, and follows it within 5 minutes
//! (within 10 where `late` makes impressions late), so that a join over 10 minutes finds it. Two
//! kinds of click have no partner there, each row by its own draw: one in ten names an impression
//! that never was, one in twenty lies up to a minute before its impression.

use crate::generate::draw::{Draws, Purpose};
use crate::generate::lines::Lines;
use crate::generate::stream::{Batch, REFERENCE_REACH, Stream};
use crate::time::Millis;

/// The streams of the preset.
pub(crate) const STREAMS: &[Stream] = &[
    Stream {
        name: "events",
        folder: "events",
        tag: 2,
        rows: 100,
        late: 0.1,
        wrong_type: ("value", "\"many\""),
        write: write_events,
    },
    Stream {
        name: "impressions",
        folder: "impressions",
        tag: 3,
        rows: 50,
        late: 0.0,
        wrong_type: ("impression_time", "[]"),
        write: write_impressions,
    },
    Stream {
        name: "clicks",
        folder: "clicks",
        tag: 4,
        rows: 10,
        late: 0.0,
        wrong_type: ("click_time", "[]"),
        write: write_clicks,
    },
];

const TYPES: [&str; 5] = ["page_view", "click", "purchase", "add_to_cart", "search"];

/// Times are written in seconds, so they are drawn in seconds too.
const SECOND: Millis = 1_000;

/// A row that is not late is younger than this many seconds.
const FRESH: u64 = 300;

/// A click follows its impression within this many milliseconds.
const CLICK_WITHIN: Millis = 600_000;

fn user(draws: &mut Draws) -> u64 {
    1 + draws.below(100)
}

/// Writes the key of a row: `EVT00070042` is row 42 of batch 7.
fn key(out: &mut Lines, field: &str, prefix: &str, batch: u64, row: u64) {
    out.text(br#"""#);
    out.text(field);
    out.text(br#"":""#);
    out.text(prefix);
    out.padded(batch, 4);
    out.padded(row, 4);
    out.text(br#"","#);
}

fn user_field(out: &mut Lines, user: u64) {
    out.text(br#""user_id":"USER"#);
    out.padded(user, 3);
}

fn write_events(batch: &Batch<'_>, out: &mut Lines) {
    let mut draws = batch.draws(Purpose::Values);
    let mut times = batch.event_times(SECOND);
    for row in 0..batch.rows() {
        out.text(b"{");
        key(out, "event_id", "EVT", batch.number, row as u64);
        user_field(out, user(&mut draws));
        out.text(br#"","event_type":""#);
        out.text(draws.one_of(&TYPES));
        out.text(br#"","value":"#);
        out.hundredths(100 + draws.below(9_901));
        out.text(br#","event_time":""#);
        out.seconds(times.next(&mut draws, FRESH), b' ');
        out.text(br#"","processing_time":""#);
        out.seconds(batch.now, b' ');
        out.end(br#""}"#);
    }
}

/// What a click has to know about an impression.
#[derive(Clone, Copy)]
struct Impression {
    user: u64,
    ad: u64,
    time: Millis,
}

/// The impressions of a batch, which may be another one than that which is being made.
fn impressions(batch: &Batch<'_>) -> impl Iterator<Item = Impression> {
    let mut draws = batch.draws(Purpose::Values);
    let mut times = batch.event_times(SECOND);
    (0..batch.rows()).map(move |_| Impression {
        user: user(&mut draws),
        ad: 1 + draws.below(20),
        time: times.next(&mut draws, FRESH),
    })
}

fn write_impressions(batch: &Batch<'_>, out: &mut Lines) {
    for (row, impression) in impressions(batch).enumerate() {
        out.text(b"{");
        key(out, "impression_id", "IMP", batch.number, row as u64);
        user_field(out, impression.user);
        out.text(br#"","ad_id":"AD"#);
        out.padded(impression.ad, 3);
        out.text(br#"","impression_time":""#);
        out.seconds(impression.time, b' ');
        out.end(br#""}"#);
    }
}

fn write_clicks(batch: &Batch<'_>, out: &mut Lines) {
    let mut draws = batch.draws(Purpose::Values);
    let mut times = batch.event_times(SECOND);
    let shown: Vec<(u64, Vec<Impression>)> = (0..=REFERENCE_REACH.min(batch.number))
        .filter_map(|back| batch.of(&STREAMS[1], batch.number - back))
        .map(|earlier| (earlier.number, impressions(&earlier).collect()))
        .collect();
    for row in 0..batch.rows() {
        let Some((number, impressions)) = shown.get(draws.below(shown.len() as u64) as usize)
        else {
            return; // the batch knows its own present, so there is always one
        };
        let index = draws.below(impressions.len() as u64);
        let (target, user, time) = match draws.below(20) {
            0 | 1 => {
                let never_shown = index + impressions.len() as u64;
                let time = times.now - draws.below(FRESH) as Millis * SECOND;
                (never_shown, user(&mut draws), time)
            }
            kind => {
                let shown = impressions[index as usize];
                (index, shown.user, click_time(&mut draws, shown.time, times.now, kind == 2))
            }
        };
        out.text(b"{");
        key(out, "click_id", "CLK", batch.number, row as u64);
        key(out, "impression_id", "IMP", *number, target);
        user_field(out, user);
        out.text(br#"","click_time":""#);
        out.seconds(times.late().unwrap_or(time), b' ');
        out.end(br#""}"#);
    }
}

/// After the impression and not after the present; or up to a minute before the impression.
fn click_time(draws: &mut Draws, shown: Millis, now: Millis, before: bool) -> Millis {
    if before {
        return shown - (1 + draws.below(60)) as Millis * SECOND;
    }
    let seconds = (now - shown).clamp(0, CLICK_WITHIN) / SECOND;
    shown + draws.below(seconds as u64 + 1) as Millis * SECOND
}
