#!/usr/bin/env python3
"""A project folder -> whether each row is in its table once, and each rejected row in its own.

    judge.py PROJECT WORKLOAD

`quick` takes a project that was just killed: log lint, and I1 to I5 of every query. `judge` takes one that has come to
rest: it replays each table, computes from the input files and the recorded batches what must be in it, and compares
multisets. It shows that no row was lost, doubled or changed; it does not know how the program works.
"""

import os
import sys
from collections import Counter
from dataclasses import dataclass, field

import checkpoint
import delta_log
import oracle
import workloads


@dataclass
class Judgement:
    """Numbers of rows, and in words what is wrong."""

    rows_in: int = 0
    rows_out: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    problems: list = field(default_factory=list)

    def compare(self, name, must, have):
        """Two multisets. A row that is there too often is doubled if it must be there at all, else wrong."""
        missing, extra = must - have, have - must
        doubled = sum(count for row, count in extra.items() if row in must)
        self.lost += missing.total()
        self.doubled += doubled
        self.wrong += extra.total() - doubled
        for what, rows in (("is missing", missing), ("is too much", extra)):
            for row, count in list(rows.items())[:3]:
                self.problems.append(f"{name}: {count} x {row} {what}")


def streams(project, workload, tables, query, record):
    """The recorded batches of a query with their rows."""
    for number, mark, takes in record.batches():
        sources = []
        for name, take in zip(query.sources, takes):
            if not take:
                sources.append([])
            elif "files" in take:
                sources.append([
                    row for file in take["files"]
                    for row in oracle.file_rows(project, file["path"], file["size"], query.reads)
                ])
            else:
                sources.append(oracle.table_rows(tables[name], take))
        yield oracle.Batch(number, mark, sources)


def check_taken(project, workload, tables, query, record):
    """That what the batches took is all that there is, each once."""
    wrong = []
    for at, name in enumerate(query.sources):
        takes = [takes[at] for _, _, takes in record.batches() if takes[at]]
        if name in workload.folders:
            taken = Counter(file["path"] for take in takes for file in take["files"])
            folder = os.path.join(project, "input", name)
            there = Counter(f"input/{name}/{file}" for file in os.listdir(folder) if not file.startswith("."))
            wrong += [f"{query.name}: {path} is in {taken[path]} batches" for path in taken | there if taken[path] != 1]
            for file in (file for take in takes for file in take["files"]):
                if os.path.getsize(os.path.join(project, file["path"])) != file["size"]:
                    wrong.append(f"{query.name}: {file['path']} was taken with {file['size']} bytes")
            continue
        taken = Counter(add["path"] for take in takes for add in oracle.table_files(tables[name], take))
        everything = {"from": {"version": 0, "index": 0}, "to": {"version": len(tables[name].commits), "index": 0}}
        if takes and takes[0]["from"].get("snapshot"):
            everything["from"] = takes[0]["from"] | {"index": 0}
        there = Counter(add["path"] for add in oracle.table_files(tables[name], everything))
        wrong += [f"{query.name}: {path} of {name} is in {taken[path]} batches" for path in taken | there if taken[path] != there[path]]
    return wrong


def rejected(table):
    """The rows of a table of rejected rows, in the words of `Verdict.rejected`."""
    found = Counter()
    for row in table.rows() if table else []:
        pairs = tuple(sorted(zip(row["windows.start"] or [], row["windows.end"] or [])))
        found[row["batch"], row["reason"], row["file"], row["line"], row["late_by_ms"], pairs, row["first_batch"]] += 1
    return found


def check_movers(project, table):
    """The row that has moved the watermark must be one whose time, less the delay, is the watermark."""
    for row in table.rows() if table else []:
        name = row["watermark_file"]
        if row["reason"] != "late" or not name or not name.startswith("input/"):
            continue
        size = os.path.getsize(os.path.join(project, name))
        lines = {line.line: line.event_time for line in oracle.file_rows(project, name, size, ("event_time",))}
        time = lines.get(row["watermark_line"])
        if time != row["watermark_event_time"] or not 0 <= time - workloads.DELAY - row["watermark"] < 1000:
            yield f"{table.name}: the watermark {row['watermark']} is not that of {name}:{row['watermark_line']}"


def foreign(table, app):
    """The files that others have added."""
    others = [commit for commit in table.commits if not any(name == app for name, _ in commit.transactions)]
    return [add for commit in others for add in commit.added if add["dataChange"]]


def tuples(rows, columns):
    return Counter(tuple(row[column] for column in columns) for row in rows)


def judge(project, workload, reports=()):
    """The verdict on a project at rest. `reports`: what the runs have said about batches, as `--progress json` does."""
    found, tables = Judgement(), delta_log.tables(project)
    for table in tables.values():
        table.check_checkpoint()
    for query in workload.queries:
        record, table = checkpoint.Checkpoint(project, query.name), tables.get(query.name)
        if table is None or not record.offsets:
            found.problems.append(f"{query.name}: there is no table, or no batch was recorded")
            continue
        try:
            batches = list(streams(project, workload, tables, query, record))
            found.problems += checkpoint.invariants(record, table)
            found.problems += check_taken(project, workload, tables, query, record)
        except (ValueError, KeyError, IndexError, OSError) as error:
            found.problems.append(f"{query.name}: the record of the batches is not readable: {error!r}")
            continue
        verdict = query.verdict(batches)
        found.problems += [f"{query.name}: {wrong}" for wrong in verdict.wrong]
        must = verdict.rows + tuples((row for add in foreign(table, record.id) for row in table.rows_of(add)), query.result)
        rows = table.rows()
        found.rows_in += sum(count["read"] for count in verdict.sums.values())
        found.rows_out += len(rows)
        found.compare(query.name, must, tuples(rows, query.result))
        refused = tables.get(query.name + "__rejected")
        from_files = set(query.sources) <= set(workload.folders)
        must, have = verdict.rejected, rejected(refused)
        if not from_files:
            must, have = without_places(must), without_places(have)
        found.compare(query.name + "__rejected", must, have)
        found.problems += check_movers(project, refused)
        found.problems += check_reports(query, verdict, reports)
    for table in tables.values():
        found.problems += table.problems
    return found


def without_places(rows):
    """A row that came out of a table has no line that the user wrote."""
    result = Counter()
    for (batch, reason, _, _, *rest), count in rows.items():
        result[batch, reason, *rest] += count
    return result


def check_reports(query, verdict, reports):
    """What each run has said became of the rows of its batches."""
    for report in reports:
        if report["name"] != query.name:
            continue
        count = verdict.sums[report["batchId"]]
        for key in ("read", "contributed", "filtered", "late", "duplicate", "corrupt", "cast_failed"):
            if report["rows"][key] != count[key]:
                yield f"{query.name}: batch {report['batchId']} reported {report['rows'][key]} rows as {key}, it is {count[key]}"


def quick(project, workload, promised=None):
    """What is wrong with a project at any moment; `promised`: query -> the newest batch that a run has reported."""
    tables, wrong = delta_log.tables(project), []
    for table in tables.values():
        table.check_files()
        wrong += table.problems
    for query in workload.queries:
        record = checkpoint.Checkpoint(project, query.name)
        if record.id or record.torn:
            wrong += checkpoint.invariants(record, tables.get(query.name), (promised or {}).get(query.name, -1))
    return wrong


if __name__ == "__main__":
    result = judge(os.path.abspath(sys.argv[1]), workloads.WORKLOADS[sys.argv[2]])
    print(*result.problems, sep="\n")
    print(f"rows in {result.rows_in}, out {result.rows_out}; lost {result.lost}, doubled {result.doubled}, wrong {result.wrong}")
    sys.exit(bool(result.problems))
