"""Power cuts: a run is recorded call by call, cut anywhere, and what the disk may hold then is given to the program.

The real binary runs under strace; `disk_model` rebuilds what may be on the disk after each call. On each such state the
program must start, come to rest, and give the right tables; and what it had reported before the cut must be in the table
*before* it starts again (`durability = full`). Recorded are new projects (`fresh`) and such that recover from a death
(`recovering`). Two controls show that the check can fail: `lied`, where no fsync does anything, and `fast`, where the
program makes none; their losses must be found, or the program must refuse.
"""

import hashlib
import json
import os
import random
import shutil
import subprocess
import tempfile

import checkpoint
import delta_log
import disk_model
import judge
import workloads
from figures import Figures
from program import Project

WAYS = ("lost", "kept", "names", "data", "torn", "mixed", "mixed")
FAST = "TBLPROPERTIES ('durability' = 'fast'"


def cases(program, seed, short):
    if shutil.which("strace") is None:
        return []
    if short:
        return [("append", "fresh", str(seed), "14"), ("join", "recovering", str(seed), "14"),
                ("chain", "fresh", str(seed), "10"), ("pass", "lied", str(seed), "14")]
    normal = [(name, kind, str(seed), "70") for name in workloads.WORKLOADS for kind in ("fresh", "recovering")]
    return normal + [(name, kind, str(seed), "40") for name in ("pass", "update", "chain") for kind in ("lied", "fast")]


def record(project, log):
    """One run under strace."""
    traced = ("strace", "-f", "-y", "-xx", "-s", "10000000", "-e", "trace=" + disk_model.TRACED, "-o", log)
    return project.run(before=traced)


def fast(project):
    """Makes the pipeline one that syncs nothing."""
    path = os.path.join(project.folder, "pipeline.sql")
    with open(path) as file:
        text = file.read()
    text = text.replace("TBLPROPERTIES (", FAST + ", ")
    text = "".join(
        line.replace(" AS", f" {FAST}) AS", 1) if line.startswith("CREATE STREAMING TABLE") and "TBLPROPERTIES" not in line else line
        for line in text.splitlines(keepends=True)
    )
    with open(path, "w") as file:
        file.write(text)


def states(folder, before, log, honest, draw):
    """(name, state, what was written to stdout) at every call, each different state once."""
    disk, seen = disk_model.Disk(folder, before, honest), set()
    for number, event in enumerate(disk_model.calls(log)):
        if not disk.step(*event) and number:
            continue
        for how in WAYS:
            state = disk.state(how, draw)
            mark = hashlib.sha1(repr([(p, c if not isinstance(c, disk_model.Node) else 0) for p, c in state.items()]).encode())
            if mark.digest() not in seen:
                seen.add(mark.digest())
                yield f"{how}@{number}", state, disk.out


def promises(out):
    """What was reported: query -> newest batch."""
    found = {}
    for line in out.split(b"\n")[:-1]:
        report = json.loads(line)
        found[report["name"]] = max(report["batchId"], found.get(report["name"], -1))
    return found


def kept_promises(folder, promised):
    """Which reported batches are not in their tables."""
    tables = delta_log.tables(folder)
    for query, batch in promised.items():
        record_of, table = checkpoint.Checkpoint(folder, query), tables.get(query)
        there = table.transaction(record_of.id) if table and record_of.id else -1
        if there < batch:
            yield f"{query}: batch {batch} was reported, the table has {there}"


class Cut:
    """One recording and the states that come of it."""

    def __init__(self, program, name, kind, seed, most):
        self.kind, self.most = kind, int(most)
        self.figures = Figures("power_cut", name, kind, seed, most)
        self.draw = random.Random(f"{seed}/{name}/{kind}")
        self.project = Project(program, workloads.WORKLOADS[name], files_per_batch=2)
        self.project.drop_all(f"{seed}/cut", 8 if kind == "recovering" else 6)
        self.log = tempfile.mktemp(prefix="strandline-strace-")
        self.found = 0

    def run(self):
        project, figures = self.project, self.figures
        if self.kind == "fast":
            fast(project)
        if self.kind == "recovering":
            step = self.draw.choice(["seal@1", "write@1", "commit@1", "decide@1", "write@0"])
            project.run("--available-now", "--crash-at", step)
        base = project.copy()
        life = record(project, self.log)
        if life.code == 2 and self.kind == "fast":
            figures.add("durability=fast is not there")
            return figures.close(project)
        if life.code != 0:
            figures.wrong(f"the recorded run ended with {life.code}: {life.err[-500:]}")
            return figures.close(project)
        again = lambda: states(project.folder, base.folder, self.log, self.kind != "lied", random.Random(1))
        count = sum(1 for _ in again())
        figures.add("states that differ", count)
        chosen = set(self.draw.sample(range(count), min(self.most, count)))
        for at, state in enumerate(again()):
            if at in chosen:
                self.try_state(base, *state)
        if self.kind in ("lied", "fast") and not self.found:
            figures.wrong("nothing was synced, and no state showed it: this check sees nothing")
        base.remove()
        if not figures.problems:
            os.unlink(self.log)
        return figures.close(project)

    def try_state(self, base, name, state, out):
        """One state: are the promises kept, does the program start, are the tables right?"""
        project = Project(base.program, base.workload, folder=tempfile.mkdtemp(prefix="strandline-cut-"))
        shutil.rmtree(project.folder)
        disk_model.put(state, project.folder)
        project.promised = {**base.promised, **promises(out)}
        problems = list(kept_promises(project.folder, project.promised))
        life = project.run()
        if life.code == 0:
            judgement = judge.judge(project.folder, project.workload)
            problems += judgement.problems
            if self.kind in ("fresh", "recovering"):
                self.figures.judged(judgement, with_problems=False)
        else:
            problems.append(f"the program refused with {life.code}: {life.err[-600:]}")
        if life.panicked() or life.hung:
            self.figures.wrong(f"{name}: it panicked or hung: {life.err[-600:]}")
        self.figures.add("power states")
        self.figures.recovered(life)
        if self.kind in ("lied", "fast"):
            self.found += bool(problems)
            self.figures.add("losses found without fsync", bool(problems))
        elif problems:
            before = project.folder + "-before"
            disk_model.put(state, before)
            self.figures.problems += [f"{name} ({before}): {problem}" for problem in problems]
            return
        project.remove()


def run(program, name, kind, seed, most):
    """One recording."""
    if subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode != 0:
        figures = Figures("power_cut", name, kind, seed, most)
        figures.add("strace does not work here")
        return figures
    return Cut(program, name, kind, seed, most).run()
