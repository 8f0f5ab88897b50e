"""The disk says no: at the n-th call for all n, and for real.

Takes a project that has work to do, and makes one call fail, or all from then on. The run may survive or end, but must
not panic, must name a path and the cause, end with the exit code of its kind, leave nothing half under a final name, and
report nothing that is not in the table. Then the fault is gone, the program is started again, and the judge must agree. Ways:

- `call`: the program's own fault points (`STRANDLINE_FAULT`), each call of a run in turn;
- `strace`: the system call itself is refused;
- `full`: a tmpfs that is really full, and has room again; `read-only`: a folder that cannot be written to;
- `descriptors`: few open files are allowed (`ulimit -n`).
"""

import functools
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile

import judge
import workloads
from figures import Figures
from program import Project

CAUSES = {
    "EIO": "Input/output error",
    "ENOSPC": "No space left on device",
    "EACCES": "Permission denied",
    "EMFILE": "Too many open files",
    "EROFS": "Read-only file system",
}
CHUNK = 40
"""Calls in one case of the sweep."""
REFUSED = ("fsync", "linkat", "mkdir", "rename", "getdents64", "ftruncate")
INSIDE = ["unshare", "-Urm"]


@functools.cache
def calls_of(program, name):
    """How many calls a whole run makes."""
    project = fresh(program, name)
    try:
        err = project.run(env={"STRANDLINE_FAULT": "count"}).err
        return sum(int(line.rsplit(" ", 1)[1]) for line in err.splitlines() if line.startswith("fault: passed"))
    finally:
        project.remove()


def fresh(program, name, files=5, folder=None):
    project = Project(program, workloads.WORKLOADS[name], folder=folder)
    project.drop_all("io", files)
    return project


def cases(program, seed, short):
    found = []
    if short:
        for lasts in ("once", "on"):
            found.append(("call", "append", "mixed", lasts, "1", "9"))
    else:
        for name in workloads.WORKLOADS:
            kinds = ["EIO", "ENOSPC", "EACCES", "EMFILE"] if name == "append" else ["mixed"]
            for start in range(1, calls_of(program, name) + CHUNK, CHUNK):
                found += [("call", name, kind, lasts, str(start), "1") for kind in kinds for lasts in ("once", "on")]
    names = ["append"] if short else ["append", "chain", "update", "dedup"]
    if works("strace", "-o", "/dev/null", "true"):
        for name in names:
            found += [("strace", name, call, error, str(when)) for call in REFUSED for error in ("EIO", "ENOSPC")
                      for when in ((2,) if short else (1, 2, 3, 5, 8))]
    if works(*INSIDE, "true"):
        found += [("full", name, str(seed)) for name in names] + [("read-only", name, str(seed)) for name in names]
    found += [("descriptors", name, str(limit)) for name in names for limit in ((16, 20) if short else range(10, 40, 3))]
    return found


def without_breaks(text):
    """A message without the line breaks that a narrow screen gave it."""
    return "".join(text.replace("│", " ").split())


def works(*command):
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


class Trouble:
    """One project in which something fails."""

    def __init__(self, program, name, figures, folder=None):
        self.project, self.figures = fresh(program, name, folder=folder), figures

    def said(self, life, what, causes, codes=(0, 14, 15), without_path=()):
        """Whether a run that met the fault has behaved. `without_path`: conditions that concern no file."""
        self.figures.add("io error runs")
        complaint = life.err[life.err.find("error:"):] if "error:" in life.err else life.err
        words = without_breaks(complaint)
        if life.panicked() or life.hung:
            self.figures.wrong(f"{what}: it {'hung' if life.hung else 'panicked'}: {life.err[-500:]}")
        elif life.code not in codes:
            self.figures.wrong(f"{what}: exit code {life.code}: {complaint[-500:]}")
        elif life.code and not any(without_breaks(cause) in words for cause in causes):
            self.figures.wrong(f"{what}: the cause is not named: {complaint[-500:]}")
        elif life.code and not any(name in words for name in (self.project.folder, "checkpoints", "data", "input", *without_path)):
            self.figures.wrong(f"{what}: no path is named: {complaint[-500:]}")
        self.figures.add("survived" if life.code == 0 else "refused")
        wrong = judge.quick(self.project.folder, self.project.workload, self.project.promised)
        self.figures.problems += [f"{what}: {problem}" for problem in wrong]

    def and_then(self, what):
        """The fault is gone: the tables must be right."""
        life = self.project.run()
        self.figures.recovered(life)
        if life.code != 0:
            self.figures.wrong(f"{what}: without the fault the run ended with {life.code}: {life.err[-500:]}")
        found = judge.judge(self.project.folder, self.project.workload, self.project.reports)
        found.problems = [f"{what}: {problem}" for problem in found.problems]
        self.figures.judged(found)


def run(program, way, name, *words):
    """One case."""
    figures = Figures("io_errors", way, name, *words)
    return {"call": sweep, "strace": refused_call, "full": inside, "read-only": inside,
            "descriptors": few_descriptors}[way](program, way, name, words, figures)


def sweep(program, way, name, words, figures):
    """A part of the calls of a run, each in a project of its own."""
    kind, lasts, start, step = words[0], words[1], int(words[2]), int(words[3])
    errors, trouble = ["EIO", "ENOSPC", "EACCES", "EMFILE"], None
    end = start + CHUNK if step == 1 else calls_of(program, name)
    for number in range(start, end, step):
        error = kind if kind in errors else errors[number // step % 4]
        what = f"{error}@any#{number}{'+' if lasts == 'on' else ''}"
        trouble = Trouble(program, name, figures)
        life = trouble.project.run(env={"STRANDLINE_FAULT": what})
        if f"fault: {error} at" in life.err:
            trouble.said(life, what, [CAUSES[error]])
            trouble.and_then(what)
        if figures.problems:
            break
        trouble.project.remove()
    return figures.close(trouble.project)


def refused_call(program, way, name, words, figures):
    """strace refuses a system call; it counts them for each thread."""
    call, error, when = words
    what = f"{call} {error} {when}"
    trouble = Trouble(program, name, figures)
    before = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}")
    trouble.said(trouble.project.run(before=before), what, [CAUSES[error]])
    trouble.and_then(what)
    return figures.close(trouble.project)


def few_descriptors(program, way, name, words, figures):
    """So few open files that the program may not even start."""
    limit = int(words[0])
    trouble = Trouble(program, name, figures)
    life = trouble.project.run(preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
    if life.code == 127:
        figures.add("the loader had too few descriptors")
    else:
        trouble.said(life, f"ulimit -n {limit}", [CAUSES["EMFILE"]], without_path=["CANNOT_START_THREADS"])
    trouble.and_then(f"ulimit -n {limit}")
    return figures.close(trouble.project)


def inside(program, way, name, words, figures):
    """Starts this file again where it may mount."""
    command = [*INSIDE, sys.executable, os.path.abspath(__file__), program, way, name, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        figures.wrong(f"{figures.case}: {done.stderr[-500:]}")
        return figures
    figures.counts.update(found["counts"])
    figures.recovery_ms += found["recovery_ms"]
    figures.problems += found["problems"]
    figures.kept += map(tuple, found["kept"])
    return figures


def mounted(program, way, name, seed):
    """In the new namespace: a small disk that fills up, or a folder that cannot be written to."""
    figures = Figures("io_errors", way, name, seed)
    place = tempfile.mkdtemp(prefix="strandline-disk-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", place], check=True)
    draw = random.Random(seed)
    rooms = [0, 4, 8, 12, 20, 32, 48, 64, 100, 160] if way == "full" else ["checkpoints", "data"]
    for number, room in enumerate(rooms):
        what, folder = f"{way} {room}", os.path.join(place, str(number))
        trouble = Trouble(program, name, figures, folder=folder)
        if draw.random() < 0.5 or way == "read-only":
            # To rest, with the batches that bring no rows: after a start they come only with new data (Spark's rule).
            trouble.project.run()
            for file in ("late-1.json", "late-2.json"):
                for source in trouble.project.workload.folders:
                    shutil.copy(f"{folder}/input/{source}/00002.json", f"{folder}/input/{source}/{file}")
        if way == "full":
            with open(os.path.join(place, "filler"), "wb") as filler:
                free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
                filler.write(b"x" * max(0, free - room * 1024))
            trouble.said(trouble.project.run(), what, [CAUSES["ENOSPC"]])
            os.unlink(os.path.join(place, "filler"))
        else:
            target = os.path.join(folder, room)
            subprocess.run(["mount", "--bind", target, target], check=True)
            subprocess.run(["mount", "-o", "remount,ro,bind", target], check=True)
            trouble.said(trouble.project.run(), what, [CAUSES["EROFS"]])
            subprocess.run(["umount", target], check=True)
        trouble.and_then(what)
        if figures.problems:
            kept = tempfile.mkdtemp(prefix="strandline-disk-kept-")
            shutil.copytree(folder, kept, dirs_exist_ok=True)
            figures.kept.append((kept, figures.case))
            figures.problems = [f"{figures.case}: {problem}" for problem in figures.problems]
            break
        trouble.project.remove()
    print(json.dumps({"counts": figures.counts, "recovery_ms": figures.recovery_ms,
                      "problems": figures.problems, "kept": figures.kept}))


if __name__ == "__main__":
    mounted(*sys.argv[1:])
