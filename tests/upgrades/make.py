"""Makes the fixtures of a format: a project with four queries in the middle of their lives, as one archive.

    python3 tests/upgrades/make.py BINARY tests/upgrades/NAME.tar.gz

BINARY is the strandline whose checkpoints are to be opened by all that come after it; NAME is its
version and the day. Run it before a change of what lies on the disk, and keep the archive for ever:
tests/upgrades.rs opens each one and goes on. The input is the same each time, so that the rows to
come of it are known there:

- long:  one file a batch, 230 batches: a history, removed offsets, a Delta checkpoint
- counts, pairs, firsts: a window, a join of two streams, duplicates; 6 batches, state in each
- cut:   died in batch 3 before its output was in the table (after step 7)
- held:  died in batch 3 after its output was in the table (after step 8)
"""

import gzip
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

WHEN = 1_767_225_600  # 2026-01-01 00:00:00 UTC: files bear whole seconds, which every archive keeps.

PIPELINES = {
    "long.sql": """
CREATE TABLE ticks (id BIGINT, ts TIMESTAMP) USING json OPTIONS (path 'input/ticks', maxFilesPerTrigger '1');
CREATE STREAMING TABLE long AS SELECT id, ts FROM STREAM ticks;
""",
    "state.sql": """
CREATE TABLE events (id BIGINT, name STRING, ts TIMESTAMP)
USING json OPTIONS (path 'input/events', maxFilesPerTrigger '1');
CREATE TABLE clicks (id BIGINT, ts TIMESTAMP) USING json OPTIONS (path 'input/clicks', maxFilesPerTrigger '1');
CREATE STREAMING TABLE counts AS
SELECT window(ts, '5 minutes') AS w, name, count(*) AS n
FROM STREAM events WATERMARK ts DELAY OF INTERVAL 10 MINUTES
GROUP BY window(ts, '5 minutes'), name;
CREATE STREAMING TABLE pairs AS
SELECT e.id, e.name FROM STREAM events WATERMARK ts DELAY OF INTERVAL 10 MINUTES AS e
JOIN STREAM clicks WATERMARK ts DELAY OF INTERVAL 10 MINUTES AS c
ON e.id = c.id AND c.ts >= e.ts - INTERVAL 1 HOUR AND c.ts <= e.ts + INTERVAL 1 HOUR;
CREATE STREAMING TABLE firsts AS
SELECT DISTINCT ON (name) name FROM STREAM events;
""",
    "cut.sql": """
CREATE TABLE events (id BIGINT, name STRING, ts TIMESTAMP)
USING json OPTIONS (path 'input/events', maxFilesPerTrigger '1');
CREATE STREAMING TABLE cut TBLPROPERTIES (outputMode 'update') AS
SELECT name, count(*) AS n FROM STREAM events GROUP BY name;
""",
    "held.sql": """
CREATE TABLE events (id BIGINT, name STRING, ts TIMESTAMP)
USING json OPTIONS (path 'input/events', maxFilesPerTrigger '1');
CREATE STREAMING TABLE held TBLPROPERTIES (outputMode 'update') AS
SELECT name, count(*) AS n FROM STREAM events GROUP BY name;
""",
}


def drop(project, name, number, rows):
    path = project / "input" / name / f"{number:04}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    os.utime(path, (WHEN + number, WHEN + number))


def minute(number):
    return f"2026-01-01T{number // 60:02}:{number % 60:02}:00Z"


def events(number):
    """File `number` of events: three rows, two minutes apart."""
    return [
        {"id": number * 3 + row, "name": "abcd"[(number + row) % 4], "ts": minute(number * 6 + row * 2)}
        for row in range(3)
    ]


def clicks(number):
    """File `number` of clicks: one for each event of the file before, a minute later."""
    return [{"id": event["id"], "ts": minute(number * 6 + 1)} for event in events(number - 1)]


def run(binary, project, pipeline, *words):
    command = [binary, "run", pipeline, "--available-now", *words]
    return subprocess.run(command, cwd=project, capture_output=True, text=True).returncode


def main(binary, archive):
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        for number in range(230):
            drop(project, "ticks", number, [{"id": number, "ts": minute(number)}])
        for number in range(6):
            drop(project, "events", number, events(number))
            drop(project, "clicks", number, clicks(number + 1))
        for name, text in PIPELINES.items():
            (project / name).write_text(text.lstrip())
        assert run(binary, project, "long.sql") == 0
        assert run(binary, project, "state.sql") == 0
        assert run(binary, project, "cut.sql", "--crash-at", "7@3") == -6
        assert run(binary, project, "held.sql", "--crash-at", "8@3") == -6
        with gzip.GzipFile(archive, "wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
            for path in sorted(project.rglob("*")):
                tar.add(path, path.relative_to(project), recursive=False)


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]), sys.argv[2])
