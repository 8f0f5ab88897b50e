"""What a part of the harness has done and found: counts, milliseconds, problems.

A `Figures` is filled by one case and merged by `run.py`. Where there is a problem the project's folder is kept, and its path
stands beside the name of the case, by which it can be run again.
"""

from collections import Counter


class Figures:
    """Counts by name, times of recovery, and what went wrong in words."""

    def __init__(self, *case):
        """`case`: the words by which `run.py --case` repeats it."""
        self.case = "/".join(map(str, case))
        self.counts, self.recovery_ms, self.problems, self.kept = Counter(), [], [], []
        self.points = Counter()

    def add(self, name, count=1):
        self.counts[name] += count

    def wrong(self, what):
        self.problems.append(what)

    def recovered(self, life):
        if life.recovery_ms() is not None:
            self.recovery_ms.append(life.recovery_ms())

    def judged(self, judgement, with_problems=True):
        for name in ("rows_in", "rows_out", "lost", "doubled", "wrong"):
            self.add(name.replace("_", " ") if "rows" in name else f"rows {name}", getattr(judgement, name))
        self.add("tables judged")
        if with_problems:
            self.problems += judgement.problems

    def close(self, project):
        """Removes the project's folder, or keeps it and says how to repeat what happened."""
        if self.problems:
            self.kept.append((project.folder, self.case))
            self.problems = [f"{self.case}: {problem}" for problem in self.problems]
        else:
            project.remove()
        return self

    def merge(self, other):
        self.counts.update(other.counts)
        self.points.update(other.points)
        self.recovery_ms += other.recovery_ms
        self.problems += other.problems
        self.kept += other.kept
