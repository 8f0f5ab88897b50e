"""Death at every point of every workload: once, again on each restart, and while recovering from it.

The points are the program's own word for each call that touches the disk (`offsets.link`, `state.sync` …); a run with
`STRANDLINE_FAULT=count` says which a workload passes and how often. Points that only a long life passes (old decisions are
archived, a Delta checkpoint is written) are met from a project that has many batches behind it. Three ways:

- `first`: die there, early and in the midst; go on.
- `repeated`: die there on each of three restarts; go on.
- `recovery`: die there, then at other points where something becomes permanent, one restart each; go on.

After each death the quick checks, at rest the judge. Each death is counted by its point, and only if it really came to it:
`run.py` fails if a point that is known was never hit.
"""

import atexit
import functools
import os
import random
import re

import inputs
import judge
import workloads
from figures import Figures
from program import Project

PASSED = re.compile(r"fault: passed (\S+) (\d+)")
STEPS = ["ask", "decide", "read", "event-time", "quality", "operate", "seal", "write", "commit", "report"]
PERMANENT = ("write", "sync", "link", "rename", "sync-folder", "append")
SMALL, LONG = 14, 215
"""Files of a project; with one a batch the longer one comes to clean up behind itself."""


@functools.cache
def base(program, name, age):
    """A project to copy: `new` has files and was never run; `old` has 198 batches or more behind it, and files left."""
    work = workloads.WORKLOADS[name]
    project = Project(program, work, files_per_batch=1)
    atexit.register(project.remove)
    if age == "new":
        project.drop_all("fail-points", SMALL)
        return project
    project.drop_all("fail-points", 98)
    life = project.run()
    if life.code != 0:
        raise RuntimeError(f"{name} does not even run: {life.err[-500:]}")
    # What is left to do is what the archive and the Delta checkpoint come in, whatever the number of batches without data.
    files = 98
    while max(project.promised.values()) < 194 and files < LONG:
        # A file makes one batch, and perhaps a second one without data.
        more = max(1, (194 - max(project.promised.values())) // 2)
        grow(project, files, files + more)
        files += more
        project.run()
    grow(project, files, files + 8)
    return project


def grow(project, start, end):
    """Drops the files from one number to before another."""
    for at, (folder, name, content) in enumerate(inputs.files("fail-points", end, project.workload.folders)):
        if at // len(project.workload.folders) >= start:
            inputs.drop(project.folder, folder, name, content)


@functools.cache
def known(program, name, age):
    """point -> how often a whole run from the base passes it."""
    project = base(program, name, age).copy()
    try:
        return {point: int(times) for point, times in PASSED.findall(project.run(env={"STRANDLINE_FAULT": "count"}).err)}
    finally:
        project.remove()


def cases(program, seed, short):
    """Every point × workload × way; in the short form each point with one workload, and old projects for one only."""
    found, names = [], list(workloads.WORKLOADS)
    for name in names:
        found += [(point, name, "new") for point in known(program, name, "new")]
    for name in names[:1] if short else names:
        new = known(program, name, "new")
        found += [(point, name, "old") for point in known(program, name, "old") if point not in new]
    found += [(f"step {step}", name, "new") for step in STEPS for name in names]
    if short:
        draw, by_point = random.Random(seed), {}
        for case in found:
            by_point.setdefault(case[0], []).append(case)
        found = [draw.choice(cases) for cases in by_point.values()]
    ways = ("first", "repeated", "recovery")
    return [
        (point, name, age, way, str(seed), "2" if short else "12")
        for point, name, age in found for way in ways
        if not (short and way != "first" and point.startswith("step "))
    ]


class Case:
    """One project, some deaths."""

    def __init__(self, program, name, age, *words):
        self.figures = Figures("fail_points", *words)
        self.project = base(program, name, age).copy()
        self.known = known(program, name, age)

    def die(self, point, time=1):
        """Runs until the point; gives whether it was met."""
        at = point.removeprefix("step ") if point.startswith("step ") else f"{point}#{time}"
        life = self.project.run("--available-now", "--crash-at", at)
        self.figures.recovered(life)
        wrong = judge.quick(self.project.folder, self.project.workload, self.project.promised)
        self.figures.problems += [f"after {at}: {problem}" for problem in wrong]
        if life.code == -6 and "crash:" in life.err:
            self.figures.add("deaths at points")
            self.figures.points[point] += 1
            return True
        if life.code != 0 or life.panicked():
            self.figures.wrong(f"to die at {at} ended with {life.code}: {life.err[-500:]}")
        return False

    def to_rest(self):
        life = self.project.run()
        self.figures.recovered(life)
        if life.code != 0:
            self.figures.wrong(f"the last run ended with {life.code}: {life.err[-800:]}")
        project = self.project
        self.figures.judged(judge.judge(project.folder, project.workload, project.reports))
        return self.figures.close(project)


def run(program, point, name, age, way, seed, others):
    """One case."""
    case = Case(program, name, age, point, name, age, way, seed, others)
    draw = random.Random(f"{seed}/{point}/{name}/{way}")
    case.figures.points[point] += 0
    times = case.known.get(point, 2)
    if way == "first":
        case.die(point)
        case.die(point, draw.randint(1, max(1, times // 2)))
    elif way == "repeated":
        for _ in range(3):
            case.die(point)
    elif case.die(point, draw.randint(1, max(1, times // 3))):
        permanent = sorted(p for p in case.known if p.split(".")[1] in PERMANENT)
        for other in draw.sample(permanent, min(int(others), len(permanent))):
            if case.die(other):
                case.figures.add("deaths while recovering")
    return case.to_rest()
