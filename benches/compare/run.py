#!/usr/bin/env python3
"""strandline beside DuckDB (and Spark) on the same files, on the same machine, in the same run.

    run.py PROGRAM                      everything but Spark, two Markdown tables on standard output
    run.py PROGRAM --only bulk,small    some of it
    run.py PROGRAM --spark              Spark too: needs pyspark and Java
    run.py PROGRAM --scale 0.1          a tenth of the rows, for a first look

PROGRAM is a release build. Needs the Python packages duckdb and pyarrow; nothing is kept from one run to the next but the
input. Runs of different programs take turns, and the median is shown. The first table is that of the README, the second that
of docs/performance.md.
"""

import argparse
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor

import gen
import works
from measure import Project, median, percentile, run

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS = []
IN_SHORT = []


def row(number, work, measured, beside=""):
    ROWS.append((number, work, measured, beside))
    print(f"{number}: {work}: {measured} {beside}", file=sys.stderr)


def ask(sql):
    """The first row of an answer of DuckDB, which works in a process of its own: a child's peak memory, as the system
    tells it, is at least what its parent held when it was started."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(works.ask, sql).result()


def answer_differs(project, work, folder):
    """How many rows of the table and of DuckDB's answer have no partner in the other."""
    source = works.read_json(folder)
    closed = f" WHERE {work.closed.format(source)}" if work.closed else ""
    floats = work.duck.replace("avg(value)", "round(avg(value), 6)")
    ours = f"SELECT {work.shown} FROM read_parquet('{project.path('data/result')}/*.parquet')"
    theirs = f"SELECT * FROM ({floats.format(source)}){closed}"
    return ask(f"SELECT count(*) FROM (({ours} EXCEPT ALL {theirs}) UNION ALL ({theirs} EXCEPT ALL {ours}))")[0]


def side_by_side(a, work, folder):
    """All files in one batch, and DuckDB in turn: the median seconds of both, and what the table says of them."""
    ours, theirs, alone, memory, differs = [], [], [], [], None
    for _ in range(a.runs):
        with Project(a.program, work.pipeline(folder)) as project:
            done = project.run()
            ours.append(done.seconds)
            memory.append(done.megabytes)
            if differs is None:
                differs = answer_differs(project, work, folder)
        with tempfile.TemporaryDirectory() as out:
            done = run([sys.executable, f"{HERE}/duck.py", work.name, folder, f"{out}/out.parquet"])
            theirs.append(done.seconds)
            alone.append(float(done.out[0]))
    ours, theirs = median(ours), median(theirs)
    measured = f"{ours:.2f} s, {median(memory):.0f} MB" + (f", **{differs} rows differ**" if differs else "")
    return ours, theirs, measured, f"DuckDB {theirs:.2f} s (query {median(alone):.2f}): {ours / theirs:.2f} ×"


def bulk(a):
    """Works 1-5 and 12: all files in one batch."""
    folder = a.input("big", round(100 * a.scale) or 1, 20000)
    for number, work in enumerate(works.WORKS, 1):
        ours, theirs, measured, beside = side_by_side(a, work, folder)
        if a.spark:
            with tempfile.TemporaryDirectory() as out:
                seconds, _ = spark(work.name, folder, out)
                beside += f"; Spark's query alone {seconds:.1f} s: {seconds / ours:.0f} × as long"
        row(number, work.title, measured, beside)
        IN_SHORT.append((work.title, f"{ours:.2f} s", f"{theirs:.2f} s", f"{seconds:.1f} s" if a.spark else ""))


def users(a):
    """Works 2 and 5, whose cost follows the number of users, with few and with many."""
    for keys, files in ((20, 20), (100, 100), (10_000, 100), (100_000, 100), (1_000_000, 100)):
        files = round(files * a.scale) or 1
        folder = a.input("big", files, 20000, keys)
        for number in (2, 5):
            work = works.WORKS[number - 1]
            _, _, measured, beside = side_by_side(a, work, folder)
            row(number, f"{work.title}, {keys:,} users, {files * 20000:,} rows", measured, beside)


def spark(name, folder, out, *more):
    """The seconds of a query of Spark without the start of its session, and the number of its batches."""
    seconds, batches = run([sys.executable, f"{HERE}/spark.py", name, folder, f"{out}/out", *more]).out[-1].split()[:2]
    return float(seconds), int(batches)


def per_batch(done, first, last):
    """Milliseconds a batch, from the times at which the reports of two of them came."""
    return 1000 * (done.at[last - 1] - done.at[first - 1]) / (last - first)


def small(a):
    """Works 6 and 7: one small file a batch, and whether it stays as fast."""
    count = max(400, round(2000 * a.scale))
    folder = a.input("small", count, 100)
    tumbling, beside, by_spark = works.WORKS[0], "", ""
    if a.spark:
        with tempfile.TemporaryDirectory() as out:
            seconds, batches = spark("tumbling", a.input("few", 20, 100), out, "1")
        by_spark = f"{1000 * seconds / batches:.0f} ms"
        beside = f"Spark, 20 such files: {by_spark} a batch"
    for mode in ("append", "update"):
        pipeline = tumbling.pipeline(folder, ", maxFilesPerTrigger '1'", f"'outputMode' = '{mode}'")
        totals, growth = [], []
        for _ in range(a.runs):
            with Project(a.program, pipeline) as project:
                done = project.run()
                totals.append(1000 * done.seconds / count)
                growth.append(per_batch(done, count - 100, count) / per_batch(done, 100, 200))
        row(6, f"{count} files of 100 rows, one a batch, {mode}", f"{median(totals):.2f} ms a batch", beside)
        row(7, f"the same, last 100 batches against 100-200, {mode}", f"{median(growth):.2f} ×")
        IN_SHORT.append((f"a batch of one file of 100 rows, {mode}", f"{median(totals):.1f} ms", "", by_spark))


def long(a):
    """Work 7 at 20,000 batches, and work 10: the start over a long history."""
    count = max(1000, round(20000 * a.scale))
    folder = a.input("long", count, 100)
    with Project(a.program, works.WORKS[0].pipeline(folder, ", maxFilesPerTrigger '1'")) as project:
        done = project.run()
        row(7, f"batches {count - 100}-{count} against 100-200, append", f"{per_batch(done, count - 100, count) / per_batch(done, 100, 200):.2f} ×")
    half = a.input("half", count // 2, 100)
    with Project(a.program, HELD.pipeline(half, ", maxFilesPerTrigger '1'")) as project:
        project.run()
        rests = [project.run().seconds for _ in range(a.runs)]
        row(10, f"start over {count // 2} batches and {count // 2 * 98 // 1000} thousand groups, nothing new", f"{median(rests):.2f} s")


def recovery(a):
    """The start over a gigabyte of state and a long history."""
    count, parts = max(1000, round(10000 * a.scale)), max(1, round(32 * a.scale))
    small = a.input("half", count, 100)
    with Project(a.program, HELD.pipeline("input", ", maxFilesPerTrigger '1'")) as project:
        for part in range(parts):
            keyed(project.path(f"input/a{part:03}.json"), 500_000, part * 500_000)
        for file in os.listdir(small):
            shutil.copy2(os.path.join(small, file), project.path("input", file))
        project.run()
        state = sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(project.path("checkpoints")) for name in names)
        rests = [project.run() for _ in range(a.runs)]
    seconds, memory = median([rest.seconds for rest in rests]), median([rest.megabytes for rest in rests])
    row("", f"start over {count + parts} batches and {(parts * 500_000 + count * 98) / 1e6:.0f} million groups, nothing new",
        f"{seconds:.1f} s, {memory:.0f} MB in memory, {state / 1e6:.0f} MB on disk")


def live(a):
    """Work 8: from the rename of a file to the commit in the table, as another process sees it."""
    rows = a.input("one", 1, 100)
    text = open(f"{rows}/batch_000000.json").read()
    with Project(a.program, works.WORKS[2].pipeline("input")) as project:
        os.mkdir(project.path("input"))
        quiet = subprocess.DEVNULL
        process = subprocess.Popen([project.program, "run", "pipeline.sql"], cwd=project.folder, stdout=quiet, stderr=quiet)
        took = []
        for number in range(120):
            with open(project.path(f"input/.{number}"), "w") as out:
                out.write(text)
            commit = project.path(f"data/result/_delta_log/{number + 1:020}.json")
            started = time.perf_counter()
            os.rename(project.path(f"input/.{number}"), project.path(f"input/{number}.json"))
            while not os.path.exists(commit):
                if time.perf_counter() - started > 10:
                    raise SystemExit("no commit within 10 s")
            took.append(1000 * (time.perf_counter() - started))
            time.sleep(0.1)
        process.terminate()
        process.wait()
    took = took[20:]
    row(8, "file renamed in → commit visible, a file every 100 ms", f"p50 {percentile(took, 0.5):.1f} ms, p99 {percentile(took, 0.99):.1f} ms")


def start(a):
    """Work 9: a whole process over one small file."""
    folder = a.input("one", 1, 100)
    took = []
    for _ in range(3 * a.runs):
        with Project(a.program, works.WORKS[0].pipeline(folder)) as project:
            took.append(1000 * project.run().seconds)
    row(9, "start to end over one file of 100 rows", f"{median(took):.0f} ms")


def keyed(path, rows, first=0, step=1):
    """A file of rows with keys of their own, all in one window."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".tmp", "w") as out:
        for start in range(0, rows, 100_000):
            out.writelines(
                '{"event_id":"e%d","timestamp":"2026-01-01T00:00:00.000","user_id":%d,"event_type":"click","value":1.0}\n'
                % (key, key) for key in range(first + start * step, first + min(rows, start + 100_000) * step, step)
            )
    os.rename(path + ".tmp", path)


# A window that never closes keeps each of the rows: a million groups at 10,000 batches.
HELD = works.Work("held", "", "SELECT window(`timestamp`, '1000 days') AS w, event_id, count(*) AS c FROM "
                  f"{works.EVENTS} GROUP BY window(`timestamp`, '1000 days'), event_id", "", "")

GROUPS = works.Work("groups", "", "SELECT window(`timestamp`, '5 minutes') AS w, user_id, count(*) AS c FROM "
                    f"{works.EVENTS} GROUP BY window(`timestamp`, '5 minutes'), user_id", "", "")


def state(a):
    """Works 11 and 13: many live groups, batches that touch a thousand of them."""
    took, checkpoint = {}, {}
    for groups in (5_000, max(50_000, round(5_000_000 * a.scale))):
        with Project(a.program, GROUPS.pipeline("input", ", maxFilesPerTrigger '1'")) as project:
            parts = max(1, groups // 500_000)
            for part in range(parts):
                keyed(project.path(f"input/a{part:03}.json"), groups // parts, part * (groups // parts))
            for batch in range(60):
                keyed(project.path(f"input/b{batch:03}.json"), 1000, batch, max(1, groups // 1000 - 1))
            done = project.run()
            took[groups] = per_batch(done, parts + 10, parts + 60)
            changes = [os.path.join(at, name) for at, _, names in os.walk(project.path("checkpoints")) for name in names if name.endswith(".change")]
            sizes = sorted(os.path.getsize(path) for path in changes)
            checkpoint[groups] = sizes[len(sizes) // 2] if sizes else 0
            memory = done.megabytes
    few, many = took.values()
    row(11, f"a batch of 1,000 of {groups:,} groups against 1,000 of 5,000", f"{many / few:.2f} × ({many:.2f} ms, {few:.2f} ms); change {checkpoint[groups]} bytes against {checkpoint[5_000]}")
    row(13, f"peak memory at {groups:,} live groups", f"{memory:.0f} MB: {memory * 1024 * 1024 / groups:.0f} bytes a group")


def spill(a):
    """Work 16: more state than memory."""
    groups = max(200_000, round(20_000_000 * a.scale))
    pipeline = GROUPS.pipeline("input", ", maxFilesPerTrigger '1'", "'state.memory' = '256MB'")
    with Project(a.program, pipeline) as project:
        parts = max(2, groups // 500_000)
        for part in range(parts):
            keyed(project.path(f"input/a{part:03}.json"), groups // parts, part * (groups // parts))
        # Each tenth key once more, in another file: its group has 2.
        keyed(project.path("input/b.json"), groups // 10, 0, 10)
        done = project.run("--close-at-end")
        counted = ask(f"SELECT count(*), count(DISTINCT user_id), sum(c) FROM read_parquet('{project.path('data/result')}/*.parquet')")
    right = counted == (groups // parts * parts, groups // parts * parts, groups // parts * parts + groups // 10)
    row(16, f"{groups:,} groups with state.memory = 256MB", f"{done.seconds:.0f} s, peak {done.megabytes:.0f} MB, {'right' if right else f'**wrong: {counted}**'}")


def generate(a):
    """Work 14: the generator on one core."""
    with tempfile.TemporaryDirectory() as out:
        files = max(50, round(1000 * a.scale))
        done = run([a.program, "generate", "events", "--out", out, "--batches", str(files), "--rows", "1000", "--every", "0s", "--seed", "1", "-q"], cores="0")
    row(14, f"generate: {files * 1000:,} rows on one core", f"{files * 1000 / done.seconds / 1e6:.1f} million rows/s")


def many(a):
    """Work 15: many small files at start."""
    count = max(1000, round(10000 * a.scale))
    folder = a.input("many", count, 10)
    took = []
    for _ in range(a.runs):
        with Project(a.program, works.WORKS[0].pipeline(folder)) as project:
            took.append(project.run().seconds)
    row(15, f"{count} files of 10 rows in one batch, whole process", f"{median(took):.2f} s")


PARTS = {part.__name__: part for part in (bulk, users, small, long, recovery, live, start, state, spill, generate, many)}


def show(head, lines):
    """A Markdown table."""
    print("| " + " | ".join(head) + " |")
    print("|---" * len(head) + "|")
    for line in lines:
        print("| " + " | ".join(str(cell) for cell in line) + " |")
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--spark", action="store_true")
    parser.add_argument("--input", dest="inputs", default=os.path.join(tempfile.gettempdir(), "strandline-compare"))
    a = parser.parse_args()
    a.program = os.path.abspath(a.program)

    def made(name, files, rows, keys=a.keys):
        folder = os.path.join(a.inputs, f"{name}-{files}-{rows}-{keys}-{a.seed}")
        if not os.path.exists(folder):
            gen.write(folder + ".tmp", files, rows, keys, a.seed)
            os.rename(folder + ".tmp", folder)
        return folder

    a.input = made
    for part in a.only.split(","):
        PARTS[part](a)
    if IN_SHORT:
        show(("work", "strandline, whole process", "DuckDB, one batch query", "Spark 4.2, the query alone"), IN_SHORT)
    show(("#", "work", "strandline", "beside"), sorted(ROWS, key=lambda line: line[0] or 99))


if __name__ == "__main__":
    main()
