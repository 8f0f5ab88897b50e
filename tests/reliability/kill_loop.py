"""`kill -9` at random moments, again and again, while rows come in; then: is every row in the table once?

One `session` takes a workload and a seed: a writer drops files while the program runs, or before it starts; the program
is killed after a random time, often while it recovers (nested, up to five times in a row). Every 10th end is a SIGTERM
(which must be clean), every 20th a SIGSTOP with a second instance beside it (which must be refused with exit code 12
within a second and told who holds the checkpoint). Every 4th time, while it runs, somebody else commits into the table it
writes, and that commit must stay. In between another process appends to the table or compacts it where the Python
package `deltalake` is there. After each end the quick checks; at rest the whole judge.
"""

import json
import os
import random
import signal
import threading
import time

import delta_log
import inputs
import judge
import workloads
from figures import Figures
from program import Project

try:
    import deltalake
except ImportError:
    deltalake = None


class Writer(threading.Thread):
    """Drops the files of a seed, one after the other, over about `seconds`."""

    def __init__(self, project, seed, count, seconds):
        super().__init__(daemon=True)
        self.project, self.seconds, self.draw = project, seconds, random.Random(f"{seed}/writer")
        self.files = list(inputs.files(seed, count, project.workload.folders))

    def run(self):
        for folder, name, content in self.files:
            inputs.drop(self.project.folder, folder, name, content)
            time.sleep(self.draw.uniform(0, 2 * self.seconds / len(self.files)))


class Session:
    """One workload under kills."""

    def __init__(self, program, workload, seed, kills, files=30):
        self.draw = random.Random(f"{seed}/{workload.name}")
        self.workload, self.seed, self.kills, self.files = workload, seed, kills, files
        self.figures = Figures("kill_loop", workload.name, seed, kills)
        self.project = Project(program, workload, files_per_batch=self.draw.choice([1, 2, 3]))
        self.span = 0.4
        self.foreign = {}

    def run(self):
        """All kills, then to rest, then the judge; gives the figures."""
        is_live = self.draw.random() < 0.6
        if is_live:
            writer = Writer(self.project, self.seed, self.files, self.kills * self.span / 2)
            writer.start()
        else:
            self.project.drop_all(self.seed, self.files)
        depth = 0
        for number in range(1, self.kills + 1):
            live = is_live or self.draw.random() < 0.3
            life = self.project.start(*(["--trigger", "20ms"] if live else []))
            nested = depth > 0
            after = self.draw.uniform(0, self.span * (0.3 if self.draw.random() < 0.5 else 1))
            if number % 4 == 2:
                self.foreign_commit(life)
            self.sleep_or_end(life, after)
            self.end(life, number, live)
            self.figures.recovered(life)
            if nested:
                self.figures.add("nested kills")
            depth = depth + 1 if not life.lines and depth < 5 else 0
            self.figures.problems += judge.quick(self.project.folder, self.workload, self.project.promised)
            if deltalake and number % 7 == 0:
                self.foreign_writer()
            if self.figures.problems:
                break
        if is_live:
            writer.seconds = 0
            writer.join()
        self.to_rest()
        return self.figures.close(self.project)

    def sleep_or_end(self, life, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until and not life.is_over():
            time.sleep(min(0.005, seconds))

    def end(self, life, number, live):
        if life.is_over():
            life.wait()
            if life.code != 0 or live:
                self.figures.wrong(f"it ended by itself with {life.code}: {life.err[-400:]}")
            return
        if number % 20 == 0:
            self.second_instance(life)
        if number % 10 == 0:
            started = time.monotonic()
            # A polite end is only polite once the program listens.
            time.sleep(0.3)
            life.kill(signal.SIGTERM)
            self.figures.add("SIGTERM")
            if life.code != 0 or time.monotonic() - started > 10:
                self.figures.wrong(f"SIGTERM: exit code {life.code} after {time.monotonic() - started:.1f} s: {life.err[-300:]}")
            return
        life.kill()
        self.figures.add("kills")
        if life.panicked():
            self.figures.wrong(f"it panicked: {life.err[-400:]}")

    def second_instance(self, life):
        """The first one is stopped, and holds the checkpoint all the same; afterwards it goes on."""
        until = time.monotonic() + 5
        while not life.lines and not life.is_over() and time.monotonic() < until:
            time.sleep(0.01)
        if life.is_over() or not life.lines:
            return
        life.process.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        second = self.project.run()
        took = time.monotonic() - started
        life.process.send_signal(signal.SIGCONT)
        self.figures.add("second instances")
        holder = f"process{life.process.pid}"
        said = "".join(second.err.replace("│", " ").split())
        if second.code != 12 or holder not in said or took > 1.5:
            self.figures.wrong(f"a second instance: exit code {second.code} after {took:.1f} s: {second.err[-300:]}")

    def foreign_commit(self, life):
        """Once the program runs, and knows the table, somebody puts the next commit: of nothing, but it is theirs."""
        until = time.monotonic() + 2
        while not life.lines and not life.is_over() and time.monotonic() < until:
            time.sleep(0.005)
        log = f"{self.project.folder}/data/{self.draw.choice(self.workload.queries).name}/_delta_log"
        if life.is_over() or not os.path.isdir(log):
            return
        newest = max((name for name in os.listdir(log) if len(name) == 25 and name.endswith(".json")), default=None)
        if newest is None:
            return
        entry = {"commitInfo": {"timestamp": 0, "operation": "WRITE", "engineInfo": f"another {len(self.foreign)}"}}
        mine, path = f"{log}/.foreign.tmp", f"{log}/{int(newest[:20]) + 1:020}.json"
        with open(mine, "w") as file:
            file.write(json.dumps(entry) + "\n")
        try:
            os.link(mine, path)
            self.foreign[path] = open(path).read()
            self.figures.add("foreign commits")
        except FileExistsError:
            self.figures.add("foreign commits that came too late")
        os.remove(mine)

    def foreign_writer(self):
        """Another program adds a row to a table that nobody reads as a stream, or compacts one that is appended to."""
        name = self.draw.choice([query.name for query in self.workload.queries])
        upstream = {source for query in self.workload.queries for source in query.sources}
        table = delta_log.tables(self.project.folder).get(name)
        if table is None or len(table.commits) < 2:
            return
        path = f"{self.project.folder}/data/{name}"
        try:
            if name in upstream or self.draw.random() < 0.5:
                deltalake.DeltaTable(path).optimize.compact()
                self.figures.add("foreign compactions")
            elif self.workload.name not in ("complete", "update"):
                newest = deltalake.DeltaTable(path).to_pyarrow_table()
                if newest.num_rows:
                    deltalake.write_deltalake(path, newest.slice(0, 1), mode="append")
                    self.figures.add("foreign appends")
        except Exception as error:  # the other program's own trouble
            self.figures.add(f"foreign errors ({type(error).__name__})")

    def to_rest(self):
        life = self.project.run()
        for path, text in self.foreign.items():
            if not os.path.exists(path) or open(path).read() != text:
                self.figures.wrong(f"the commit of another writer is gone: {path}")
        self.figures.recovered(life)
        if life.code != 0 or life.hung:
            self.figures.wrong(f"the last run ended with {life.code}{' (it hung)' if life.hung else ''}: {life.err[-800:]}")
        self.figures.judged(judge.judge(self.project.folder, self.workload, self.project.reports))


def cases(program, seed, short):
    """The sessions of a run: all workloads, as often as it takes."""
    each, rounds = (12, 1) if short else (40, 9)
    return [(name, f"{seed}.{i}", str(each)) for i in range(rounds) for name in workloads.WORKLOADS]


def run(program, name, seed, kills):
    """One session."""
    return Session(program, workloads.WORKLOADS[name], seed, int(kills)).run()
