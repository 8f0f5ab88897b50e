"""Measuring whole processes: seconds, peak memory, and when each line of their output came."""

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass


@dataclass
class Run:
    """A process that has ended: wall seconds, peak memory in MB, its output, and the second at which each line of it came."""

    seconds: float
    megabytes: float
    out: list
    at: list


def run(command, folder=None, cores="0,1"):
    """Runs a command on two cores to its end; an exit code other than 0 is an error with what it said."""
    if shutil.which("taskset") and cores:
        command = ["taskset", "-c", cores, *command]
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=errors)
        out, at = [], []
        for line in process.stdout:
            at.append(time.perf_counter() - started)
            out.append(line.decode())
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {errors.read().decode()[-2000:]}")
    return Run(seconds, usage.ru_maxrss / 1024, out, at)


class Project:
    """A folder with a pipeline, thrown away afterwards."""

    def __init__(self, program, pipeline):
        self.program = os.path.abspath(program)
        self.folder = tempfile.mkdtemp(prefix="strandline-compare-", dir=os.environ.get("COMPARE_DIR"))
        self.write(pipeline)

    def write(self, pipeline):
        with open(os.path.join(self.folder, "pipeline.sql"), "w") as out:
            out.write(pipeline)

    def run(self, *more):
        return run([self.program, "run", "pipeline.sql", "--available-now", *more], self.folder)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)


def median(values):
    return statistics.median(values)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
