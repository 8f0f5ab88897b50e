"""A Delta table -> its commits, its live files and its rows, by replaying `_delta_log` from version 0.

Takes the folder of a table; gives a `Table`. What is wrong with the log or the files is kept as text in `problems`, and
never skipped: a gap, an empty or unparsable commit, a transaction that comes twice or out of order, a file added twice,
a second metaData, a file that is missing, of another size or with another number of rows than the log says. Where pyarrow
can be imported the newest Delta checkpoint is replayed, too, and must lead to the same table.
"""

import json
import os
import re
from collections import Counter
from urllib.parse import unquote

import parquet_reader

COMMIT = re.compile(r"(\d{20})\.json")
CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.parquet")


class Commit:
    """What one version did: files added and removed, and `transactions` of (application, version)."""

    def __init__(self, version, actions):
        self.version = version
        self.added = [action["add"] for action in actions if "add" in action]
        self.removed = [action["remove"] for action in actions if "remove" in action]
        self.transactions = [(action["txn"]["appId"], action["txn"]["version"]) for action in actions if "txn" in action]
        self.metadata = [action["metaData"] for action in actions if "metaData" in action]


class Table:
    """A table as its log tells it."""

    def __init__(self, folder):
        self.folder, self.name = folder, os.path.basename(folder)
        self.commits, self.problems = [], []
        log = os.path.join(folder, "_delta_log")
        self.log_names = sorted(os.listdir(log)) if os.path.isdir(log) else []
        for name in filter(COMMIT.fullmatch, self.log_names):
            self.read_commit(os.path.join(log, name), int(name[:20]))
        self.lint()

    def wrong(self, what):
        self.problems.append(f"table {self.name}: {what}")

    def read_commit(self, path, version):
        if version != len(self.commits):
            self.wrong(f"version {version} follows {len(self.commits) - 1}")
        with open(path, "rb") as file:
            text = file.read()
        try:
            actions = [json.loads(line) for line in text.splitlines() if line.strip()]
            if not actions:
                raise ValueError("it is empty")
            self.commits.append(Commit(version, actions))
        except (ValueError, KeyError, TypeError) as error:
            self.wrong(f"version {version} is no whole commit: {error}")
            self.commits.append(Commit(version, []))

    def lint(self):
        newest, added = {}, Counter()
        for commit in self.commits:
            for app, count in Counter(app for app, _ in commit.transactions).items():
                if count > 1:
                    self.wrong(f"version {commit.version} has {count} transactions of {app}")
            for app, number in commit.transactions:
                if number <= newest.get(app, -1):
                    self.wrong(f"version {commit.version}: transaction {number} of {app} comes after {newest[app]}")
                newest[app] = number
            added.update(add["path"] for add in commit.added)
        for path, count in added.items():
            if count > 1:
                self.wrong(f"{path} is added {count} times")
        if self.commits and sum(len(commit.metadata) for commit in self.commits) != 1:
            self.wrong("there is not exactly one metaData")

    def transaction(self, app):
        """The newest version of an application; -1: it has none."""
        return max((n for commit in self.commits for a, n in commit.transactions if a == app), default=-1)

    def transactions(self, app):
        return [n for commit in self.commits for a, n in commit.transactions if a == app]

    def live(self, version=None):
        """path -> add, at a version or now."""
        files = {}
        for commit in self.commits[:None if version is None else version + 1]:
            for remove in commit.removed:
                files.pop(remove["path"], None)
            files.update((add["path"], add) for add in commit.added)
        return files

    def rows_of(self, add):
        """The rows of one file; a file that is not as the log says is a problem and has none."""
        path = os.path.join(self.folder, unquote(add["path"]))
        try:
            size = os.path.getsize(path)
            if size != add["size"]:
                self.wrong(f"{add['path']} has {size} bytes, the log says {add['size']}")
            rows = parquet_reader.read(path)
        except (OSError, ValueError) as error:
            self.wrong(f"{add['path']} cannot be read: {error}")
            return []
        stats = json.loads(add["stats"]) if add.get("stats") else {}
        if stats.get("numRecords", len(rows)) != len(rows):
            self.wrong(f"{add['path']} has {len(rows)} rows, the log says {stats['numRecords']}")
        return rows

    def rows(self):
        return [row for add in self.live().values() for row in self.rows_of(add)]

    def check_files(self):
        """That each live file is there with the logged size; cheaper than to read it."""
        for path, add in self.live().items():
            try:
                size = os.path.getsize(os.path.join(self.folder, unquote(path)))
            except OSError:
                size = None
            if size != add["size"]:
                self.wrong(f"{path} has {size} bytes, the log says {add['size']}")

    def check_checkpoint(self):
        """That the newest Delta checkpoint, and what comes after it, leads to the same table."""
        newest = max(filter(CHECKPOINT.fullmatch, self.log_names), default=None)
        if newest is None or parquet_reader.pyarrow is None:
            return
        path, version = os.path.join(self.folder, "_delta_log", newest), int(newest[:20])
        try:
            actions = parquet_reader.pyarrow.parquet.ParquetFile(path).read().to_pylist()
        except (OSError, ValueError) as error:
            self.wrong(f"{newest} cannot be read: {error}")
            return
        files = {action["add"]["path"] for action in actions if action.get("add")}
        if files != set(self.live(version)):
            self.wrong(f"{newest} names {len(files)} files, the commits lead to {len(self.live(version))} others")
        own = {}
        for commit in self.commits[:version + 1]:
            own.update(commit.transactions)
        if {a["txn"]["appId"]: a["txn"]["version"] for a in actions if a.get("txn")} != own:
            self.wrong(f"{newest} has other transactions than the commits before it")


def tables(project):
    """name -> Table, of all tables below `data`."""
    data = os.path.join(project, "data")
    names = sorted(os.listdir(data)) if os.path.isdir(data) else []
    return {name: Table(os.path.join(data, name)) for name in names if os.path.isdir(os.path.join(data, name, "_delta_log"))}
