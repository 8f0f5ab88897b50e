"""Files that are not what was written: a byte that has changed, a commit that is empty, input with other rows.

Power cuts leave such files, and bad disks, and people. Takes a project that died, damages one file of it, and starts the
program: it must say which file, with the exit code of its kind, or come to rest with the right tables; and with the file put
back it must come to rest with them. It must never go on from half a file, and never let a batch that is run again
give other rows than the table holds.
"""

import glob
import os
import random

import judge
import oracle
import workloads
from figures import Figures
from program import Project

SEALED = ("metadata.json", "offsets/*", "commits/*", "state/*/*/*.change")
WAYS = ("flipped", "cut", "emptied")
SAYS = {"sealed": (11,), "log": (13,), "input": (14,)}
"""The exit codes with which each kind may be refused."""


def cases(program, seed, short):
    names = ["append"] if short else list(workloads.WORKLOADS)
    found = [("sealed", name, way, str(seed)) for name in names for way in WAYS]
    found += [("log", name, way, str(seed)) for name in names for way in ("cut", "emptied")]
    return found + [("input", name, "other-rows", str(seed)) for name in names]


def damaged(content, way, draw):
    if way == "emptied":
        return b""
    if way == "cut":
        return content[: draw.randrange(1, len(content))]
    at = draw.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]


def other_rows(content):
    """The same bytes but for digits of values, so that no length changes."""
    changed = content.replace(b'"value": 1', b'"value": 2').replace(b'"kind": "click"', b'"kind": "clock"')
    return changed if changed != content else None


class Damage:
    """One project, and files of it that are damaged one after the other."""

    def __init__(self, program, kind, name, way, seed):
        self.kind, self.way, self.draw = kind, way, random.Random(f"{seed}/{kind}/{name}/{way}")
        self.figures = Figures("damage", kind, name, way, seed)
        self.project = Project(program, workloads.WORKLOADS[name])
        self.project.drop_all(f"{seed}/damage", 12)
        # Into the midst: a table has the newest batch, and nothing says that it is done.
        self.project.run("--available-now", "--crash-at", "write@3")

    def files(self):
        folder = self.project.folder
        if self.kind == "sealed":
            found = [path for part in SEALED for path in newest(glob.glob(f"{folder}/checkpoints/*/{part}"))]
        elif self.kind == "log":
            found = newest(glob.glob(f"{folder}/data/*/_delta_log/*.json"))
        else:
            found = sorted(glob.glob(f"{folder}/input/*/*.json"))[:8]
        return found

    def run(self):
        for path in self.files():
            with open(path, "rb") as file:
                good = file.read()
            bad = other_rows(good) if self.kind == "input" else damaged(good, self.way, self.draw) if good else None
            if bad is not None:
                self.one(path, bad)
            if self.figures.problems:
                break
        return self.figures.close(self.project)

    def one(self, path, bad):
        """Damages a copy of the project."""
        other = self.project.copy()
        inside = os.path.relpath(path, self.project.folder)
        replace(os.path.join(other.folder, inside), bad)
        life = other.run()
        self.figures.add("damaged files")
        said = "".join(life.err.replace("│", " ").split())
        if life.panicked() or life.hung:
            self.figures.wrong(f"{inside}: it {'hung' if life.hung else 'panicked'}: {life.err[-500:]}")
        elif life.code == 0 and self.kind != "input":
            self.figures.add("went on")
            found = judge.judge(other.folder, other.workload, other.reports)
            # A decision of long ago may stay as it is: nothing is built on it any more.
            found.problems = [f"{inside}: {problem}" for problem in found.problems if not problem.startswith("not whole:")]
            self.figures.judged(found)
        elif life.code in SAYS[self.kind]:
            self.figures.add("refused")
            if self.kind != "input" and os.path.basename(inside) not in said:
                self.figures.wrong(f"{inside}: the file is not named: {life.err[-500:]}")
        elif life.code != 0:
            self.figures.wrong(f"{inside}: exit code {life.code}: {life.err[-500:]}")
        elif self.is_in_the_newest(inside) and self.is_seen(path, bad):
            self.figures.wrong(f"{inside}: other rows than the table holds were taken for the same")
        if self.figures.problems:
            self.figures.kept.append((other.folder, self.figures.case))
        else:
            other.remove()

    def is_in_the_newest(self, inside):
        """Whether a batch that is run again reads the file, and its values are in the result at once."""
        folder = self.project.folder
        decided = newest(glob.glob(f"{folder}/checkpoints/*/offsets/*"))
        with open(decided[-1], "rb") as file:
            return inside.encode() in file.read() and self.project.workload.name == "pass"

    def is_seen(self, path, bad):
        """Whether the result has other rows with the file as it is now: the query may let none of them through."""
        query, results = self.project.workload.queries[0], []
        other = path + ".bad"
        with open(other, "wb") as file:
            file.write(bad)
        for name in (path, other):
            rows = list(oracle.file_rows(self.project.folder, os.path.relpath(name, self.project.folder), len(bad), query.reads))
            results.append(query.verdict([oracle.Batch(0, None, [rows])]).rows)
        os.unlink(other)
        return results[0] != results[1]


def newest(paths):
    """The file with the greatest number of each folder."""
    number = lambda path: int("".join(c for c in os.path.basename(path) if c.isdigit()) or 0)
    folders = {os.path.dirname(path) for path in paths}
    return [max((p for p in paths if os.path.dirname(p) == folder), key=number) for folder in sorted(folders)]


def replace(path, content):
    """Another content with the same time. Input files are links to those of the other project: a new file takes their place,
    which is what an editor does."""
    about = os.stat(path)
    with open(path + ".new", "wb") as file:
        file.write(content)
    os.rename(path + ".new", path)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def run(program, kind, name, way, seed):
    """One case."""
    return Damage(program, kind, name, way, seed).run()
