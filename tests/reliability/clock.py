"""A clock that was wrong: batches were decided ten days in the future, and now it is right again.

Nobody can turn the machine's clock in a test, so the checkpoint is given a decision of the future, sealed as the program
seals it. The program must go on, the times of its batches must not go back, and the tables must be right. Takes a project
that died with a batch decided (`open`) or done (`done`); shows that nothing depends on the clock but `now()`.
"""

import os

import checkpoint
import judge
import workloads
from figures import Figures
from program import Project



def cases(program, seed, short):
    names = ["append"] if short else list(workloads.WORKLOADS)
    return [(name, where, str(seed), str(days)) for name in names for where in ("open", "done") for days in (10, -10)]


def run(program, name, where, seed, days):
    """One project."""
    figures = Figures("clock", name, where, seed, days)
    project = Project(program, workloads.WORKLOADS[name])
    project.drop_all(f"{seed}/clock", 10)
    project.run("--available-now", "--crash-at", "seal@2" if where == "open" else "commit@2")
    for query in project.workload.queries:
        record = checkpoint.Checkpoint(project.folder, query.name)
        if record.offsets:
            newest = max(record.offsets)
            decided = record.offsets[newest]
            decided["batchTimestampMs"] += int(days) * 86_400_000
            with open(os.path.join(record.folder, "offsets", str(newest)), "wb") as file:
                file.write(checkpoint.seal("offsets", decided))
    life = project.run()
    if life.code != 0:
        figures.wrong(f"the run ended with {life.code}: {life.err[-500:]}")
    for query in project.workload.queries:
        offsets = checkpoint.Checkpoint(project.folder, query.name).offsets
        times = [offsets[number]["batchTimestampMs"] for number in sorted(offsets)]
        # A decision that was moved into the past is behind the one before it; what counts is what comes after.
        if int(days) > 0 and times != sorted(times):
            figures.wrong(f"{query.name}: the times of the batches go back: {times}")
    figures.add("clocks")
    figures.judged(judge.judge(project.folder, project.workload, project.reports))
    return figures.close(project)
