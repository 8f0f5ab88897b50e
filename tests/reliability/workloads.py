"""The queries that the harness runs, and how the expected rows of each are computed.

A `Workload` is a pipeline file, the folders of its input, and for each of its tables a `Query`: what it reads, and a
function of `oracle` that takes its recorded batches and gives the `Verdict`. Rejected rows are kept by all of them.
"""

from dataclasses import dataclass
from typing import Callable

import oracle
from oracle import MINUTE

COLUMNS = "id BIGINT, kind STRING, value DOUBLE, amount DECIMAL(10,2), event_time TIMESTAMP"
SUMS = "count(*) AS n, sum(value) AS s, sum(amount) AS a, min(id) AS lo, max(event_time) AS hi"
DELAY = 10 * MINUTE
ALL = ("id", "kind", "value", "amount", "event_time")
STREAM = "STREAM {} WATERMARK event_time DELAY OF INTERVAL 10 MINUTES"


@dataclass(frozen=True)
class Query:
    """A streaming table: the names of its sources (folders or tables), the columns that it reads of them, those of its
    result as the Parquet files name them, and its oracle."""

    name: str
    sources: tuple
    reads: tuple
    result: tuple
    verdict: Callable


@dataclass(frozen=True)
class Workload:
    name: str
    sql: str
    folders: tuple
    queries: tuple
    """The upstream of a query comes before it."""

    def text(self, files_per_batch=2):
        tables = [
            f"CREATE TABLE {folder} ({COLUMNS}) USING json\n"
            f"OPTIONS (path 'input/{folder}', maxFilesPerTrigger '{files_per_batch}');\n"
            for folder in self.folders
        ]
        return "".join(tables) + self.sql


def has_id(row):
    return row.id is not None


WINDOW = ("w.start", "w.end", "kind", "n", "s", "a", "lo", "hi")


def grouped(name, mode, size, slide, source="events"):
    """The text of a windowed aggregation, and its query."""
    span = f"window(event_time, '{size} minutes', '{slide} minutes')"
    text = (
        f"CREATE STREAMING TABLE {name} TBLPROPERTIES ('outputMode' = '{mode}', 'rejected.enabled' = 'true') AS\n"
        f"SELECT {span} AS w, kind, {SUMS}\nFROM {STREAM.format(source)}\nGROUP BY {span}, kind;\n"
    )
    judge = lambda batches: oracle.windowed(batches, mode, size * MINUTE, slide * MINUTE, DELAY)
    return text, Query(name, (source,), ALL, WINDOW, judge)


def single(name, sql, query, folders=("events",)):
    return Workload(name, sql, folders, (query,))


PASS = single(
    "pass",
    "CREATE STREAMING TABLE passed AS\nSELECT id, kind, value, amount, event_time FROM STREAM events WHERE value > 10;\n",
    Query("passed", ("events",), ALL, ALL,
          lambda batches: oracle.select(batches, lambda row: row.value is not None and row.value > 10, ALL)),
)
COMPLETE = single(
    "complete",
    "CREATE STREAMING TABLE totals TBLPROPERTIES ('outputMode' = 'complete') AS\n"
    f"SELECT kind, {SUMS} FROM STREAM events WHERE kind IS NOT NULL GROUP BY kind;\n",
    Query("totals", ("events",), ALL, ("kind", "n", "s", "a", "lo", "hi"),
          lambda batches: oracle.totals(batches, lambda row: row.kind is not None)),
)
APPEND = single("append", *grouped("closed", "append", 5, 5))
UPDATE = single("update", *grouped("touched", "update", 5, 5))
SLIDING = single("sliding", *grouped("slides", "append", 15, 5))

KEYED = ("id", "kind", "value", "event_time")
DEDUP = Workload(
    "dedup",
    "CREATE STREAMING TABLE once AS SELECT DISTINCT ON (id, event_time) id, kind, value, event_time\n"
    f"FROM {STREAM.format('events')} WHERE id IS NOT NULL;\n"
    "CREATE STREAMING TABLE within AS SELECT DISTINCT ON (id) WITHIN WATERMARK id, kind, value, event_time\n"
    f"FROM {STREAM.format('events')} WHERE id IS NOT NULL AND event_time IS NOT NULL;\n",
    ("events",),
    (
        Query("once", ("events",), KEYED, KEYED, lambda batches: oracle.distinct(
            batches, lambda row: (row.id, row.event_time), lambda row: row.event_time, DELAY, has_id, KEYED)),
        Query("within", ("events",), KEYED, KEYED, lambda batches: oracle.distinct(
            batches, lambda row: row.id, lambda row: row.event_time + DELAY, DELAY,
            lambda row: has_id(row) and row.event_time is not None, KEYED)),
    ),
)


def join(kind):
    """The text of a join of two streams, and its query."""
    side = lambda name: f"(SELECT * FROM {STREAM.format(name)} WHERE id IS NOT NULL AND event_time IS NOT NULL)"
    text = (
        f"CREATE STREAMING TABLE {kind}_pairs AS\n"
        "SELECT l.id AS l_id, l.value AS l_value, l.event_time AS l_time, r.id AS r_id, r.value AS r_value, r.event_time AS r_time\n"
        f"FROM {side('lefts')} AS l\n{kind.upper()} JOIN {side('rights')} AS r\n"
        "ON l.id = r.id AND r.event_time BETWEEN l.event_time AND l.event_time + INTERVAL 10 MINUTES;\n"
    )
    keep = lambda row: has_id(row) and row.event_time is not None
    judge = lambda batches: oracle.joined(batches, kind, 10 * MINUTE, [DELAY, DELAY], keep)
    result = ("l_id", "l_value", "l_time", "r_id", "r_value", "r_time")
    return text, Query(f"{kind}_pairs", ("lefts", "rights"), ("id", "value", "event_time"), result, judge)


LEFT, FULL = join("left"), join("full")
JOIN = Workload("join", LEFT[0] + FULL[0], ("lefts", "rights"), (LEFT[1], FULL[1]))

GOLD = grouped("gold", "append", 5, 5, "silver")
CHAIN = Workload(
    "chain",
    "CREATE STREAMING TABLE bronze AS SELECT * FROM STREAM events WHERE id IS NOT NULL;\n"
    "CREATE STREAMING TABLE silver AS SELECT DISTINCT ON (id, event_time) *\n"
    f"FROM {STREAM.format('bronze')} WHERE value > -20;\n" + GOLD[0],
    ("events",),
    (
        Query("bronze", ("events",), ALL, ALL, lambda batches: oracle.select(batches, has_id, ALL)),
        Query("silver", ("bronze",), ALL, ALL, lambda batches: oracle.distinct(
            batches, lambda row: (row.id, row.event_time), lambda row: row.event_time, DELAY,
            lambda row: row.value is not None and row.value > -20, ALL)),
        GOLD[1],
    ),
)

WORKLOADS = {work.name: work for work in (PASS, APPEND, UPDATE, SLIDING, DEDUP, JOIN, CHAIN, COMPLETE)}
