#!/usr/bin/env python3
"""Write conformance cases of random rows for random queries, from a seed: the same numbers give the same files.

Use
    generate_cases.py FIRST COUNT [FOLDER]   cases of the seeds FIRST .. FIRST + COUNT - 1, default folder `cases`
    spark_trace.py --missing [FOLDER]        then records what Spark does with them

A case is named `generated_<shape>_<seed>`. The shape is chosen by the seed in turn, so that any run of seeds covers all
shapes; everything else (sizes, delays, modes, aggregates, rows, restarts) is drawn. Files hold rows that wander forward
in time, some of them late, some with NULL key, value or time, and now and then a file is empty. A case that is there
already is left alone.
"""
import random
import sys
from pathlib import Path

from spark_trace import pretty

DAY = "2026-01-01"
NOON = 12 * 3600
KEYS = ["x", "y", "z"]
AGGREGATES = ["count(*) AS n", "count(v) AS c", "sum(v) AS t", "min(v) AS lo", "max(v) AS hi", "avg(v) AS m",
              "count_if(v > 5) AS big", "max(id) AS last_id", "sum(v) FILTER (WHERE k = 'x') AS tx",
              "stddev_pop(v) AS sd", "approx_count_distinct(k) AS ks", "max_by(id, ts) AS newest", "min(ts) AS first_at"]


# ---------------------------------------------------------------- rows

def clock(seconds):
    return "%sT%02d:%02d:%02dZ" % (DAY, seconds // 3600, seconds // 60 % 60, seconds % 60)


def event(rng, number, now, names, prefix):
    """One row: its time is near `now`, or late, or missing."""
    late = rng.randint(300, 1800) if rng.random() < 0.15 else 0
    time = None if rng.random() < 0.03 else clock(now + rng.randint(-150, 90) - late)
    values = [f"{prefix}{number}", time, None if rng.random() < 0.07 else rng.choice(KEYS),
              None if rng.random() < 0.1 else round(rng.uniform(-5, 20), 2)]
    return dict(zip(names, values))


def files(rng, names, prefix="e"):
    """8 to 12 files of rows with the fields `names` (id, time, key and, if there is a fourth name, value)."""
    now, number, out = NOON + rng.randint(0, 240), 0, []
    for _ in range(rng.randint(8, 12)):
        rows = []
        for _ in range(0 if rng.random() < 0.06 else rng.randint(1, 4)):
            rows.append(event(rng, number, now, names, prefix))
            number += 1
        out.append(rows)
        now += rng.choice([60, 120, 180, 240, 600])
    return out


def events(rng, prefix="e"):
    return stream(rng, "id STRING, ts TIMESTAMP, k STRING, v DOUBLE", ["id", "ts", "k", "v"], prefix)


def stream(rng, ddl, names, prefix):
    return {"ddl": ddl, "max_files_per_trigger": rng.choice([1, 1, 1, 2]), "files": files(rng, names, prefix)}


def sides(rng):
    """The two tables of a join."""
    return {"l": stream(rng, "id STRING, lt TIMESTAMP, k STRING", ["id", "lt", "k"], "l"),
            "r": stream(rng, "rid STRING, rt TIMESTAMP, k STRING", ["rid", "rt", "k"], "r")}


# ---------------------------------------------------------------- pieces of queries

def delay(rng):
    return f"DELAY OF INTERVAL {rng.choice([0, 0, 60, 120, 300, 420])} SECONDS"


def source(rng, table="ev", time="ts"):
    return f"STREAM {table} WATERMARK {time} {delay(rng)}"


def aggregates(rng, most=4):
    return ", ".join(sorted(rng.sample(AGGREGATES, rng.randint(1, most))))


def where(rng):
    """Nothing, or a filter: on the time it stays above the watermark, on other columns it goes below."""
    return rng.choice(["", "", "", " WHERE v > 0", " WHERE k <> 'z'", f" WHERE ts > TIMESTAMP'{clock(NOON + 300)}'",
                       f" WHERE v < 15 AND ts < TIMESTAMP'{clock(NOON + 1500)}'"])


def having(rng):
    return rng.choice(["", "", "", " HAVING count(*) > 1", " HAVING max(v) > 3"])


def range_condition(rng):
    """A time range between l.lt and r.rt that bounds both sides."""
    low, high = sorted(rng.sample(range(-300, 660, 60), 2))
    above, below = rng.choice([">", ">="]), rng.choice(["<", "<="])
    return f"r.rt {above} l.lt + INTERVAL {low} SECONDS AND r.rt {below} l.lt + INTERVAL {high} SECONDS"


def interval_join(rng, kind, columns):
    extra = rng.choice(["", "", "", " AND l.id <> 'l2'", " AND r.rid NOT IN ('r1', 'r3')", " AND substr(l.id, 2) <= substr(r.rid, 2)"])
    return (f"SELECT {columns} FROM {source(rng, 'l', 'lt')} AS l {kind} JOIN {source(rng, 'r', 'rt')} AS r "
            f"ON l.k = r.k AND {range_condition(rng)}{extra}")


# ---------------------------------------------------------------- shapes: each gives about, and the keys of a case

def tumbling(rng):
    window = f"window(ts, '{rng.choice([3, 5, 7, 10])} minutes')"
    key = rng.choice(["", ", k"])
    return {"about": "Tumbling aggregates", "tables": {"ev": events(rng)}, "mode": rng.choice(["append", "append", "update", "complete"]),
            "query": f"SELECT window.start AS s{key}, {aggregates(rng)} FROM {source(rng)}{where(rng)} GROUP BY {window}{key}{having(rng)}"}


def sliding(rng):
    size, slide = rng.choice([(10, 5), (10, 4), (9, 3), (7, 3), (15, 5)])
    start = rng.choice(["", ", '1 minute'", ", '-90 seconds'"])
    key = rng.choice(["", ", k"])
    return {"about": "Sliding aggregates", "tables": {"ev": events(rng)}, "mode": rng.choice(["append", "append", "update"]),
            "query": f"SELECT window.start AS s{key}, {aggregates(rng, 2)} FROM {source(rng)}{where(rng)} "
                     f"GROUP BY window(ts, '{size} minutes', '{slide} minutes'{start}){key}"}


def session(rng):
    gap = rng.choice(["'2 minutes'", "'5 minutes'", "CASE k WHEN 'x' THEN '1 minute' WHEN 'y' THEN '6 minutes' ELSE '3 minutes' END",
                      "make_interval(0, 0, 0, 0, 0, 0, v * 20)"])
    return {"about": "Sessions", "tables": {"ev": events(rng)}, "mode": rng.choice(["append", "append", "append", "complete"]),
            "query": f"SELECT session_window.start AS s, session_window.end AS e, k, {aggregates(rng, 3)} FROM {source(rng)}{where(rng)} "
                     f"GROUP BY session_window(ts, {gap}), k{having(rng)}"}


def dedup(rng):
    op = rng.choice(["dropDuplicates", "dropDuplicatesWithinWatermark"])
    columns = rng.choice([["k"], ["k", "v"], ["ts"], ["k", "ts"]])
    if op == "dropDuplicates":
        columns = rng.choice([["k", "ts"], ["ts"], ["k"]])
    tables = {"ev": events(rng)}
    tables["ev"]["max_files_per_trigger"] = 1  # Spark reads several files by their size, so "first" is up to it
    for rows in tables["ev"]["files"]:  # few different times, so that rows repeat
        for row in rows:
            if row["ts"]:
                row["ts"] = row["ts"][:-4] + "00Z"
    spec = {"source_sql": f"SELECT * FROM {source(rng)}", "op": op, "columns": columns}
    then = rng.choice([None, None, "SELECT window(ts, '5 minutes').start AS s, count(*) AS n FROM deduped GROUP BY window(ts, '5 minutes')"])
    if then:
        spec["then_sql"] = then
    return {"about": f"{op} on {', '.join(columns)}", "tables": tables, "dataframe": spec, "mode": "append"}


def inner_join(rng):
    return {"about": "Inner interval join", "tables": sides(rng), "mode": rng.choice(["append", "append", "update"]),
            "query": interval_join(rng, "INNER", "l.id, r.rid")}


def outer_join(rng):
    kind = rng.choice(["LEFT", "RIGHT", "FULL"])
    return {"about": f"{kind} OUTER interval join", "tables": sides(rng), "mode": "append",
            "query": interval_join(rng, kind, "l.id, r.rid")}


def semi_join(rng):
    return {"about": "LEFT SEMI interval join", "tables": sides(rng), "mode": "append",
            "query": interval_join(rng, "LEFT SEMI", "l.id, l.lt")}


def window_join(rng):
    kind = rng.choice(["INNER", "LEFT", "RIGHT", "FULL", "LEFT SEMI"])
    size = rng.choice(["'5 minutes'", "'10 minutes'", "'10 minutes', '5 minutes'"])
    columns = "l.id, l.w.start AS s" if kind == "LEFT SEMI" else "l.id, r.rid, l.w.start AS s, r.w.start AS s2"
    return {"about": f"{kind} join on equal windows", "tables": sides(rng), "mode": "append",
            "query": f"SELECT {columns} FROM (SELECT id, k, window(lt, {size}) AS w FROM {source(rng, 'l', 'lt')}) l {kind} JOIN "
                     f"(SELECT rid, k, window(rt, {size}) AS w FROM {source(rng, 'r', 'rt')}) r ON l.k = r.k AND l.w = r.w"}


def self_join(rng):
    return {"about": "A stream joined with itself", "tables": {"ev": events(rng)}, "mode": "append",
            "query": f"SELECT a.id AS a, b.id AS b FROM (SELECT id, ts AS lt, k FROM {source(rng)}) a {rng.choice(['INNER', 'LEFT'])} JOIN "
                     f"(SELECT id, ts AS rt, k FROM {source(rng)} WHERE v > 5) b "
                     f"ON a.k = b.k AND b.rt > a.lt AND b.rt <= a.lt + INTERVAL {rng.choice([3, 6])} MINUTES"}


def window_over_window(rng):
    key = rng.choice(["", ", k"])
    return {"about": "Windows over windows", "tables": {"ev": events(rng)}, "mode": "append",
            "query": f"SELECT window(w, '20 minutes').start AS s, sum(n) AS n, max(n) AS hi FROM (SELECT window(ts, '5 minutes') AS w{key}, "
                     f"count(*) AS n FROM {source(rng)}{where(rng)} GROUP BY window(ts, '5 minutes'){key}) GROUP BY window(w, '20 minutes')"}


def join_then_window(rng):
    kind = rng.choice(["INNER", "LEFT"])
    return {"about": f"{kind} interval join and then windows", "tables": sides(rng), "mode": "append",
            "query": f"SELECT window(lt, '10 minutes').start AS s, k, count(*) AS n, count(rid) AS m FROM "
                     f"({interval_join(rng, kind, 'l.lt, l.k, r.rid')}) GROUP BY window(lt, '10 minutes'), k"}


def windows_then_join(rng):
    kind = rng.choice(["INNER", "LEFT", "FULL"])
    return {"about": f"Two window counts and then a {kind} join on the window", "tables": sides(rng), "mode": "append",
            "query": f"SELECT a.w.start AS s, b.w.start AS s2, a.n, b.m FROM (SELECT window(lt, '5 minutes') AS w, count(*) AS n FROM "
                     f"{source(rng, 'l', 'lt')} GROUP BY window(lt, '5 minutes')) a {kind} JOIN (SELECT window(rt, '5 minutes') AS w, "
                     f"count(*) AS m FROM {source(rng, 'r', 'rt')} GROUP BY window(rt, '5 minutes')) b ON a.w = b.w"}


def session_then_window(rng):
    return {"about": "Sessions and then windows over them", "tables": {"ev": events(rng)}, "mode": "append",
            "query": f"SELECT window(sw, '15 minutes').start AS s, count(*) AS sessions, sum(n) AS n FROM (SELECT session_window(ts, '2 minutes') "
                     f"AS sw, k, count(*) AS n FROM {source(rng)} GROUP BY session_window(ts, '2 minutes'), k) GROUP BY window(sw, '15 minutes')"}


def union(rng):
    count = rng.choice([2, 3])
    names = ["a", "b", "c"][:count]
    branches = " UNION ALL ".join(f"SELECT '{n}' AS src, ts, k, v, id FROM {source(rng, n)}{where(rng)}" for n in names)
    conf = {"conf": {"spark.sql.streaming.multipleWatermarkPolicy": "max"}} if rng.random() < 0.4 else {}
    return {"about": f"A union of {count} streams and then windows", "tables": {n: events(rng, n) for n in names}, **conf,
            "mode": rng.choice(["append", "append", "update"]),
            "query": f"SELECT window(ts, '5 minutes').start AS s, src, {aggregates(rng)} FROM ({branches}) GROUP BY window(ts, '5 minutes'), src"}


def static_join(rng):
    users = {"ddl": "user STRING, name STRING", "rows": [{"user": "x", "name": "ann"}, {"user": "y", "name": "bob"},
                                                         {"user": "y", "name": "bea"}, {"user": None, "name": "nobody"}]}
    kind = rng.choice(["INNER", "LEFT", "LEFT SEMI", "LEFT ANTI"])
    name = "u.name" if kind in ("INNER", "LEFT") else "e.k"
    join = f"{source(rng)} AS e {kind} JOIN users u ON e.k = u.user"
    query = rng.choice([f"SELECT e.id, {name} FROM {join}",
                        f"SELECT window(ts, '5 minutes').start AS s, {name} AS name, {aggregates(rng)} FROM {join} GROUP BY window(ts, '5 minutes'), {name}"])
    return {"about": f"{kind} static join", "tables": {"ev": events(rng)}, "static": {"users": users}, "query": query, "mode": "append"}


def keyed(rng):
    mode = rng.choice(["update", "complete"])
    order = rng.choice(["", " ORDER BY k DESC"]) if mode == "complete" else ""
    watermark = rng.choice(["STREAM ev", source(rng)])
    return {"about": "Aggregates per key", "tables": {"ev": events(rng)}, "mode": mode, **({"ordered": True} if order else {}),
            "query": f"SELECT k, {aggregates(rng, 5)} FROM {watermark}{where(rng)} GROUP BY k{having(rng)}{order}"}


def distinct(rng):
    columns, mode = rng.choice([("k", "update"), ("window(ts, '5 minutes') AS w, k", "append"), ("window(ts, '5 minutes') AS w", "update"), ("k", "complete")])
    return {"about": f"SELECT DISTINCT in {mode} mode", "tables": {"ev": events(rng)}, "mode": mode,
            "query": f"SELECT DISTINCT {columns} FROM {source(rng)}{where(rng)}"}


SHAPES = [tumbling, outer_join, session, inner_join, dedup, sliding, window_join, union, window_over_window, semi_join, static_join,
          join_then_window, keyed, session_then_window, self_join, windows_then_join, distinct]


def case(seed):
    """(name, case) of a seed."""
    shape = SHAPES[seed % len(SHAPES)]
    rng = random.Random(seed)
    made = shape(rng)
    most = max(len(table["files"]) for table in made["tables"].values())
    if rng.random() < 0.35:
        made["about"] += " over restarts"
        made["runs"] = sorted(rng.sample(range(1, most), 2)) + [most]
    made["about"] += f" (random rows, seed {seed})"
    keys = ["about", "tables", "static", "dataframe", "query", "mode", "conf", "runs", "ordered"]
    return f"generated_{shape.__name__}_{seed}", {key: made[key] for key in keys if key in made}


def main():
    first, count = int(sys.argv[1]), int(sys.argv[2])
    folder = Path(sys.argv[3] if len(sys.argv) > 3 else Path(__file__).resolve().parent / "cases")
    for seed in range(first, first + count):
        name, made = case(seed)
        path = folder / f"{name}.json"
        if not path.exists():
            path.write_text(pretty(made) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
