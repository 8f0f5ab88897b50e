"""Input files and recorded batches -> the rows that a query must have given and rejected.

Plain Python: int, Decimal, dicts, and sums of floats that are exact. Takes the `Batch`es of a query; each function of this
file is one kind of query and fills a `Verdict`: `rows` and `rejected` are multisets, `sums` says by batch what became
of the rows, `wrong` what in the record itself is not right (a watermark that is not what the rows have made it, a last
batch that is missing). It knows Spark's rules and nothing of the program.
"""

import functools
import json
import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MICRO = timedelta(microseconds=1)
MINUTE = 60_000_000
MILLI = 1000
TYPES = {"id": int, "kind": str, "value": float, "amount": Decimal, "event_time": datetime}


@dataclass(frozen=True)
class Row:
    """A line of a file, as the columns that a query reads; `flaw`: it is no row, or a value has a wrong type."""

    values: dict
    file: str
    line: int
    flaw: str = None

    def __getattr__(self, name):
        return self.values[name]


@dataclass
class Batch:
    """What was decided for a batch: the watermark in ms or None, and the rows of each source."""

    number: int
    mark_ms: int
    sources: list


@dataclass
class Verdict:
    """What must be there."""

    rows: Counter = field(default_factory=Counter)
    rejected: Counter = field(default_factory=Counter)
    sums: dict = field(default_factory=lambda: defaultdict(Counter))
    wrong: list = field(default_factory=list)

    def count(self, batch, row, reason=None, time=None, late_by=None, windows=(), first=None):
        """Notes what became of a row; one that is rejected for a reason to keep is kept."""
        if reason == "filtered" and row.flaw:
            reason = row.flaw
        self.sums[batch]["read"] += 1
        self.sums[batch][reason or "contributed"] += 1
        if reason in (None, "filtered"):
            return
        late_by = (late_by - time) // 1000 if reason == "late" else None
        windows = tuple(windows) if reason == "late" else ()
        self.rejected[batch, reason, row.file, row.line, late_by, windows, first] += 1


def typed(name, value):
    """The value of a column, and whether it had one."""
    if value is None:
        return None, True
    kind = TYPES[name]
    try:
        if kind is datetime:
            found = datetime.strptime(value, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=timezone.utc)
            return (found - EPOCH) // MICRO, True
        if kind is str:
            return (value, True) if isinstance(value, str) else (json.dumps(value), True)
        if isinstance(value, bool) or not isinstance(value, (int, Decimal)) or (kind is int and not isinstance(value, int)):
            return None, False
        return (value.quantize(Decimal("0.01")) if kind is Decimal and isinstance(value, Decimal) else kind(value)), True
    except (ValueError, TypeError):
        return None, False


def file_rows(project, path, size, columns):
    """The rows of a file, each line one."""
    whole = os.path.join(project, path)
    return parsed(whole, path, size, columns, os.stat(whole).st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def parsed(whole, path, size, columns, _modified):
    rows = []
    with open(whole, "rb") as file:
        data = file.read(size)
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line.decode("utf-8"), parse_float=Decimal)
            if not isinstance(found, dict):
                raise ValueError
        except ValueError:
            rows.append(Row(dict.fromkeys(columns), path, number, "corrupt"))
            continue
        values = {name: typed(name, found.get(name)) for name in columns}
        flaw = None if all(fits for _, fits in values.values()) else "cast_failed"
        rows.append(Row({name: value for name, (value, _) in values.items()}, path, number, flaw))
    return rows


def table_rows(table, take):
    """The rows that a stream takes from a table."""
    return [Row(values, add["path"], i) for add in table_files(table, take) for i, values in enumerate(table.rows_of(add), 1)]


def table_files(table, take):
    """The files from a place of a table up to another one."""
    at, to, index = take["from"]["version"], take["to"], take["from"]["index"]
    snapshot, files = take["from"].get("snapshot", False), []
    while at < to["version"] or (at == to["version"] and index < to["index"]):
        if snapshot:
            adds = sorted(table.live(at).values(), key=lambda add: (add["modificationTime"], add["path"]))
        else:
            adds = [add for add in table.commits[at].added if add["dataChange"]]
        files += adds[index:to["index"] if at == to["version"] else None]
        at, index, snapshot = at + 1, 0, False
    return files


class Watermark:
    """The newest event time less the delay; of several sources the least; it never falls. In microseconds.

    What each source has seen is forgotten at a restart, as in Spark, and only the query's watermark is kept. Nobody wrote
    down where the restarts were, so with several sources there may be more than one right answer: one for each batch
    before which the last restart may have been. The recorded one must be among them.
    """

    def __init__(self, verdict, delays):
        self.verdict, self.delays = verdict, delays
        self.since = [[0] * len(delays)]
        self.late = self.now = 0
        self.next = {0}

    def check(self, batch):
        """Before a batch: what it ran with."""
        recorded = batch.mark_ms * 1000 if batch.mark_ms is not None else None
        if recorded not in self.next:
            right = " or ".join(str(mark // 1000) for mark in sorted(self.next))
            self.verdict.wrong.append(f"batch {batch.number} ran with the watermark {batch.mark_ms}, it is {right}")
            recorded = max(self.next)
        self.since = [own for own in self.since if max(self.now, min(own)) == recorded]
        self.late, self.now = self.now, recorded

    def after(self, newest):
        """After a batch: the newest time of each source in it (None: there was none)."""
        self.since.append([0] * len(self.delays))
        for own in self.since:
            for i, time in enumerate(newest):
                if time is not None:
                    own[i] = max(own[i], time // 1000 * 1000 - self.delays[i])
        self.next = {max(self.now, min(own)) for own in self.since}

    def at_end(self, waiting):
        """After the last batch nothing may wait that the watermark would let out."""
        if any(until <= min(self.next) for until in waiting):
            self.verdict.wrong.append("the batch without data that lets results out is missing")


def windows(time, size, slide):
    last = time // slide * slide
    return sorted((start, start + size) for start in range(last, time - size, -slide))


class Sums:
    """count(*), sum(value), sum(amount), min(id), max(event_time)."""

    def __init__(self):
        self.result = (0, None, None, None, None)

    def add(self, row):
        with_null = lambda how, a, b: a if b is None else b if a is None else how(a, b)
        plus = lambda a, b: a + b
        n, s, a, lo, hi = self.result
        self.result = (
            n + 1, with_null(plus, s, row.value), with_null(plus, a, row.amount),
            with_null(min, lo, row.id), with_null(max, hi, row.event_time),
        )


def select(batches, keep, columns):
    """A filter and a projection."""
    verdict = Verdict()
    for batch in batches:
        for row in batch.sources[0]:
            verdict.count(batch.number, row, None if keep(row) else "filtered")
            if keep(row):
                verdict.rows[tuple(row.values[name] for name in columns)] += 1
    return verdict


def totals(batches, keep):
    """Groups by kind, complete mode: the table is the newest result."""
    verdict, groups = Verdict(), defaultdict(Sums)
    for batch in batches:
        for row in batch.sources[0]:
            verdict.count(batch.number, row, None if keep(row) else "filtered")
            if keep(row):
                groups[row.kind].add(row)
    verdict.rows.update((kind, *sums.result) for kind, sums in groups.items())
    return verdict


def later(one, other):
    """The later of two times, of which either may be None."""
    return max((time for time in (one, other) if time is not None), default=None)


def windowed(batches, mode, size, slide, delay, keep=lambda row: True):
    """Groups by window and kind."""
    verdict, groups = Verdict(), defaultdict(Sums)
    mark = Watermark(verdict, [delay])
    for batch in batches:
        mark.check(batch)
        newest = None
        for row in batch.sources[0]:
            time = row.event_time
            if time is None or not keep(row):
                verdict.count(batch.number, row, "filtered")
                continue
            newest = later(newest, time)
            own = windows(time, size, slide)
            is_late = all(end <= mark.late for _, end in own)
            verdict.count(batch.number, row, "late" if is_late else None, time, mark.late, own)
            for window in own:
                if window[1] > mark.late:
                    groups[window, row.kind].add(row)
        closed = [key for key in groups if key[0][1] <= mark.now]
        for key in closed:
            (start, end), kind = key
            verdict.rows[start, end, kind, *groups.pop(key).result] += 1
        mark.after([newest])
    if mode == "update":
        verdict.rows.update((*window, kind, *sums.result) for (window, kind), sums in groups.items())
    else:
        mark.at_end(end for (_, end), _ in groups)
    return verdict


def distinct(batches, key, until, delay, keep, columns):
    """The first row of each key; a key is forgotten when the watermark reaches `until(row)` (None: never)."""
    verdict, seen = Verdict(), {}
    mark = Watermark(verdict, [delay])
    for batch in batches:
        mark.check(batch)
        newest = None
        for row in batch.sources[0]:
            time = row.event_time
            if not keep(row):
                verdict.count(batch.number, row, "filtered")
                continue
            newest = later(newest, time)
            found = key(row)
            if time is not None and time <= mark.late:
                verdict.count(batch.number, row, "late", time, mark.late)
            elif found in seen:
                verdict.count(batch.number, row, "duplicate", first=seen[found][0])
            else:
                seen[found] = batch.number, until(row)
                verdict.count(batch.number, row)
                verdict.rows[tuple(row.values[name] for name in columns)] += 1
        for found in [k for k, (_, end) in seen.items() if end is not None and end <= mark.now]:
            del seen[found]
        mark.after([newest])
    return verdict


def joined(batches, kind, bound, delays, keep):
    """Pairs of equal id with `left.event_time <= right.event_time <= left.event_time + bound`; a row without a partner comes
    out when none can come any more."""
    verdict = Verdict()
    mark = Watermark(verdict, delays)
    kept = [defaultdict(list), defaultdict(list)]

    def out(left, right):
        values = [(row.id, row.value, row.event_time) if row else (None,) * 3 for row in (left, right)]
        verdict.rows[values[0] + values[1]] += 1

    # Where a bound may be reached itself, Spark waits a millisecond longer.
    until = [lambda row: row.event_time + bound + MILLI, lambda row: row.event_time + MILLI]
    for batch in batches:
        mark.check(batch)
        newest = [None, None]
        for side, rows in enumerate(batch.sources):
            for row in rows:
                time = row.event_time
                if not keep(row):
                    verdict.count(batch.number, row, "filtered")
                    continue
                newest[side] = later(newest[side], time)
                is_late = time <= mark.late
                verdict.count(batch.number, row, "late" if is_late else None, time, mark.late)
                if is_late:
                    continue
                entry = [row, False]
                for other in kept[1 - side][row.id]:
                    left, right = (row, other[0]) if side == 0 else (other[0], row)
                    if left.event_time <= right.event_time <= left.event_time + bound:
                        entry[1] = other[1] = True
                        out(left, right)
                kept[side][row.id].append(entry)
        for side in (0, 1):
            for entries in kept[side].values():
                for row, matched in [entry for entry in entries if until[side](entry[0]) <= mark.now]:
                    if not matched and (side == 0 or kind == "full"):
                        out(*((row, None) if side == 0 else (None, row)))
                entries[:] = [entry for entry in entries if until[side](entry[0]) > mark.now]
        mark.after(newest)
    waiting = [until[s](row) for s in (0, 1) for entries in kept[s].values() for row, matched in entries
               if not matched and (s == 0 or kind == "full")]
    mark.at_end(waiting)
    return verdict
