"""The real binary in a project folder: started, watched, killed.

A `Project` is a folder with a pipeline and input; `Life` is one run of the program in it, from start to whatever end. What
a life has reported on stdout (`--progress json`) is a *promise*: `promised` holds the newest batch of each query, and
`reports` every line. Nothing here judges.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import inputs

PATIENCE = 60
"""Seconds after which a run hangs."""


class Project:
    """A folder with a workload; the promises of all lives in it."""

    def __init__(self, program, workload, folder=None, files_per_batch=2):
        self.program, self.workload = program, workload
        self.folder = folder or tempfile.mkdtemp(prefix=f"strandline-{workload.name}-")
        self.promised, self.reports = {}, []
        for name in workload.folders:
            os.makedirs(os.path.join(self.folder, "input", name), exist_ok=True)
        with open(os.path.join(self.folder, "pipeline.sql"), "w") as file:
            file.write(workload.text(files_per_batch))

    def drop_all(self, seed, count):
        for folder, name, content in inputs.files(seed, count, self.workload.folders):
            inputs.drop(self.folder, folder, name, content)

    def start(self, *args, env=None, before=(), preexec=None):
        """A run; without `args` it is one of all that is there."""
        return Life(self, args or ("--available-now",), env, before, preexec)

    def run(self, *args, env=None, before=(), preexec=None):
        """A whole run, to its own end."""
        life = self.start(*args, env=env, before=before, preexec=preexec)
        life.wait()
        return life

    def copy(self):
        """Another project that is the same, and knows the same promises. Input files stay the same files (a plan may
        remember their number on the disk)."""
        other = Project(self.program, self.workload)
        shutil.copytree(self.folder, other.folder, dirs_exist_ok=True, copy_function=copy_or_link)
        other.promised, other.reports = dict(self.promised), list(self.reports)
        return other

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def copy_or_link(source, target):
    if f"{os.sep}input{os.sep}" in source:
        os.link(source, target)
    else:
        shutil.copy2(source, target)


class Life:
    """One process. `code` is its exit code (negative: the signal), `err` what it wrote to stderr."""

    def __init__(self, project, args, env=None, before=(), preexec=None):
        self.project, self.lines, self.err, self.hung = project, [], "", False
        self.started, self.first_report = time.monotonic(), None
        command = [*before, project.program, "run", "pipeline.sql", "--progress", "json", *args]
        self.process = subprocess.Popen(
            command, cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
            env={**os.environ, "RUST_BACKTRACE": "1", **(env or {})}, preexec_fn=preexec,
        )
        self.readers = [threading.Thread(target=self.read_out), threading.Thread(target=self.read_err)]
        for reader in self.readers:
            reader.start()

    def read_out(self):
        for line in self.process.stdout:
            try:
                report = json.loads(line)
            except ValueError:
                continue  # the last line of one that was killed
            if self.first_report is None:
                self.first_report = time.monotonic()
            self.lines.append(report)
            project = self.project
            project.reports.append(report)
            name = report["name"]
            project.promised[name] = max(project.promised.get(name, -1), report["batchId"])

    def read_err(self):
        self.err = self.process.stderr.read()

    @property
    def code(self):
        return self.process.returncode

    def is_over(self):
        return self.process.poll() is not None

    def wait(self, patience=PATIENCE):
        """Waits for its end; one that hangs is killed."""
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.hung = True
            self.process.kill()
            self.process.wait()
        for reader in self.readers:
            reader.join()
        return self

    def kill(self, how=signal.SIGKILL):
        if not self.is_over():
            self.process.send_signal(how)
        return self.wait()

    def recovery_ms(self):
        """From the start to the first batch that was done; None: there was none."""
        return (self.first_report - self.started) * 1000 if self.first_report else None

    def panicked(self):
        return "panicked at" in self.err or self.code == 70
