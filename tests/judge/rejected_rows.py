#!/usr/bin/env python3
"""Whether the rejected rows of a run are those that Spark's rules reject.

A judge that shares no code with the program: for each seed it generates `day17` with late, doubled and
broken lines, runs three queries over it, computes in plain Python from the input files which rows must
have been rejected, why and from which windows, and compares that with the table of rejected rows, which
it reads by way of `_delta_log`. It also adds up the counts in the progress of each batch.

    tests/judge/rejected_rows.py target/release/strandline --seeds 1..20
    tests/judge/rejected_rows.py target/release/strandline --seeds 1..20 --crashes 6

With `--crashes` the process dies that often first, each time after a step and in a batch drawn from the seed; with
`--kills` it is killed (SIGKILL) that often, each time after up to 80 ms.

Needs pyarrow (for Parquet). Exit code 1: something differs.
"""

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import datetime, timedelta, timezone

import pyarrow.parquet

DELAY = timedelta(minutes=10)
PIPELINE = """
CREATE TABLE events (event_id STRING, event_time TIMESTAMP, user_id STRING, event_type STRING, value DOUBLE)
USING json OPTIONS (path 'input/events', maxFilesPerTrigger '1');

CREATE STREAMING TABLE tumbling AS
SELECT window(event_time, '5 minutes') AS window, event_type, count(*) AS n, avg(value) AS mean
FROM STREAM events WATERMARK event_time DELAY OF INTERVAL 10 MINUTES
GROUP BY window(event_time, '5 minutes'), event_type;

CREATE STREAMING TABLE sliding TBLPROPERTIES ('outputMode' = 'update') AS
SELECT window(event_time, '10 minutes', '5 minutes') AS window, count(*) AS n
FROM STREAM events WATERMARK event_time DELAY OF INTERVAL 10 MINUTES
WHERE event_type <> 'purchase'
GROUP BY window(event_time, '10 minutes', '5 minutes');

CREATE STREAMING TABLE once AS
SELECT DISTINCT ON (event_id, event_time) *
FROM STREAM events WATERMARK event_time DELAY OF INTERVAL 10 MINUTES;
"""
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def batches(project, query):
    """The files of each batch, as decided. A decision is a line of its own, after a seal."""
    folder = os.path.join(project, "checkpoints", query, "offsets")
    for number in sorted(map(int, os.listdir(folder))):
        with open(os.path.join(folder, str(number)), "rb") as file:
            decided = json.loads(file.read().split(b"\n", 1)[1])
        taken = decided["sources"][0] or {"files": []}
        yield number, [file["path"] for file in taken["files"]]


def rows(project, path, columns):
    """Number, values and flaw of each line of a file. Only columns that are read are looked at."""
    with open(os.path.join(project, path), "rb") as file:
        for number, line in enumerate(file.read().split(b"\n"), 1):
            if not line.strip():
                continue
            try:
                found = json.loads(line.decode("utf-8"))
                if not isinstance(found, dict):
                    raise ValueError
            except ValueError:
                yield number, None, "corrupt"
                continue
            row, flaw = {}, None
            for column in columns:
                value, fits = typed(column, found.get(column))
                row[column] = value
                flaw = flaw if fits else "cast_failed"
            yield number, row, flaw


def typed(column, value):
    if value is None:
        return None, True
    try:
        if column == "event_time":
            return datetime.strptime(value, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc), True
        if column == "value":
            return (float(value), True) if type(value) in (int, float) else (None, False)
    except (ValueError, TypeError):
        return None, False
    return (value if isinstance(value, str) else json.dumps(value)), True


def windows(time, size, slide):
    last = EPOCH + math.floor((time - EPOCH) / slide) * slide
    found = []
    while last + size > time:
        found.append((last, last + size))
        last -= slide
    return found


def expected(project, query):
    """What must have been rejected: (batch, reason, file, line, windows, how late, first batch)."""
    columns = {
        "tumbling": ["event_time", "event_type", "value"],
        "sliding": ["event_time", "event_type"],
        "once": ["event_id", "event_time", "user_id", "event_type", "value"],
    }[query]
    minutes = lambda n: timedelta(minutes=n)
    size, slide = (minutes(10), minutes(5)) if query == "sliding" else (minutes(5), minutes(5))
    watermark = late_by = EPOCH
    seen, rejected, sums = {}, [], []
    for batch, files in batches(project, query):
        newest, count = None, Counter()
        for path in files:
            for line, row, flaw in rows(project, path, columns):
                count["read"] += 1
                if flaw == "corrupt":
                    rejected.append((batch, "corrupt", path, line, (), None, None))
                    count["corrupt"] += 1
                    continue
                time = row["event_time"]
                filtered = query == "sliding" and not (
                    row["event_type"] is not None and row["event_type"] != "purchase"
                )
                # The filter stands below the clause: what it removes does not move the watermark.
                if time is not None and not filtered:
                    newest = max(newest or time, time)
                reason, own, first = None, (), None
                if filtered:
                    reason = "filtered"
                elif query == "once":
                    key = (row["event_id"], time)
                    if time is not None and time <= late_by:
                        reason = "late"
                    elif key in seen:
                        reason, first = "duplicate", seen[key]
                    else:
                        seen[key] = batch
                elif time is None:
                    reason = "filtered"
                else:
                    own = tuple(sorted(windows(time, size, slide)))
                    if all(end <= late_by for _, end in own):
                        reason = "late"
                if reason == "filtered" and flaw:
                    reason = flaw
                count[reason or "contributed"] += 1
                if reason in ("late", "duplicate", "cast_failed"):
                    late = (late_by - time) // timedelta(milliseconds=1) if reason == "late" else None
                    own = own if reason == "late" else ()
                    rejected.append((batch, reason, path, line, own, late, first))
        sums.append(count)
        late_by = watermark
        if newest is not None:
            floor = newest.replace(microsecond=newest.microsecond // 1000 * 1000)
            watermark = max(watermark, floor - DELAY)
        # Keys that the watermark lets go are forgotten at the end of the batch that ran with it.
        for key in [key for key in seen if key[1] is not None and key[1] <= late_by]:
            del seen[key]
    return rejected, sums


def found(project, query):
    table = os.path.join(project, "data", query + "__rejected")
    files = []
    log = os.path.join(table, "_delta_log")
    for name in sorted(os.listdir(log)) if os.path.isdir(log) else []:
        if name.endswith(".json"):
            with open(os.path.join(log, name)) as file:
                actions = [json.loads(line) for line in file]
            files += [action["add"]["path"] for action in actions if "add" in action]
    rejected, movers = [], []
    for name in files:
        for row in pyarrow.parquet.read_table(os.path.join(table, name)).to_pylist():
            own = tuple(sorted((w["start"], w["end"]) for w in row["windows"] or []))
            rejected.append((row["batch"], row["reason"], row["file"], row["line"], own,
                             row["late_by_ms"], row["first_batch"]))
            movers.append(row)
    return rejected, movers


def check_mover(project, row):
    """The row that moved the watermark must be one whose time, less the delay, is the watermark."""
    if row["reason"] != "late":
        return None
    for line, values, _ in rows(project, row["watermark_file"], ["event_time"]):
        if line == row["watermark_line"]:
            time = values and values["event_time"]
            if time == row["watermark_event_time"] and abs(time - DELAY - row["watermark"]) < timedelta(milliseconds=1):
                return None
    return f"the watermark {row['watermark']} is not that of {row['watermark_file']}:{row['watermark_line']}"


def run_killed(program, project, after):
    process = subprocess.Popen([program, "run", "pipeline.sql", "--available-now"], cwd=project,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def judge(program, seed, crashes, kills):
    with tempfile.TemporaryDirectory() as project:
        run = lambda *args: subprocess.run([program, *args], cwd=project, check=True, capture_output=True, text=True).stdout
        run("generate", "day17", "--out", "input", "--seed", str(seed), "--every", "0s", "--late", "0.2",
            "--late-by", "5m..40m", "--duplicates", "0.1", "--corrupt", "0.05", "--start", "2026-01-01T12:00:00")
        with open(os.path.join(project, "pipeline.sql"), "w") as file:
            file.write(PIPELINE)
        draw = random.Random(seed)
        for _ in range(crashes):
            at = f"{draw.randint(1, 10)}@{draw.randint(0, 9)}"
            subprocess.run([program, "run", "pipeline.sql", "--available-now", "--crash-at", at], cwd=project, capture_output=True)
        for _ in range(kills):
            run_killed(program, project, draw.uniform(0, 0.08))
        progress = [json.loads(line) for line in run("run", "pipeline.sql", "--available-now", "--progress", "json").splitlines()]
        wrong, total = [], Counter()
        for query in ("tumbling", "sliding", "once"):
            must, sums = expected(project, query)
            have, details = found(project, query)
            total.update(reason for _, reason, *_ in have)
            for missing in (Counter(must) - Counter(have)).elements():
                wrong.append(f"seed {seed}, {query}: missing {missing}")
            for extra in (Counter(have) - Counter(must)).elements():
                wrong.append(f"seed {seed}, {query}: not expected {extra}")
            wrong += [f"seed {seed}, {query}: {why}" for why in (check_mover(project, row) for row in details) if why]
            for batch in (report for report in progress if report["name"] == query):
                rows, count = batch["rows"], sums[batch["batchId"]]
                for key in ("read", "contributed", "filtered", "late", "duplicate", "corrupt", "cast_failed"):
                    if rows[key] != count[key]:
                        wrong.append(f"seed {seed}, {query}, batch {batch['batchId']}: {key} {rows[key]}, expected {count[key]}")
        return wrong, total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("--seeds", default="1..10")
    parser.add_argument("--crashes", type=int, default=0)
    parser.add_argument("--kills", type=int, default=0)
    options = parser.parse_args()
    first, last = map(int, options.seeds.split(".."))
    total, failures = Counter(), 0
    for seed in range(first, last + 1):
        wrong, counted = judge(options.program, seed, options.crashes, options.kills)
        total += counted
        failures += len(wrong)
        for line in wrong[:10]:
            print(line)
    kinds = ", ".join(f"{count} {reason}" for reason, count in sorted(total.items()))
    print(f"{last - first + 1} seeds, rejected rows: {kinds}; {failures} differences")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
