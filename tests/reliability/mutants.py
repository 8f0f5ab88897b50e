#!/usr/bin/env python3
"""Does the harness see bugs? Plants each of `mutants/*.patch` into a copy of the source, one at a time, and looks.

    mutants.py SOURCE [--only NAME]... [--target FOLDER] [--report FILE]
    mutants.py --check SOURCE          only whether every patch fits the source

A patch begins with lines that say what bug it plants and by which calls of the harness it should be found, the
likeliest first (`run.py PROGRAM …` without the program, or a script of this folder); then comes a unified diff. The copy is
built in the dev profile, and the calls are made until one fails. A patch that does not fit and a mutant that nothing has
found are errors. (That the source itself passes is for CI to see.) Takes minutes a mutant: a build, and what finds it.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
LEFT_OUT = (".git", "target", "data", "checkpoints", "input", "fuzz")
PATIENCE = 900
"""Seconds after which a call of the harness is given up. (A run of the program that hangs is seen long before.)"""


@dataclass
class Mutant:
    """One patch: its name, the bug in words, and the calls that should find it."""

    path: Path
    bug: str = ""
    calls: list = field(default_factory=list)

    @property
    def name(self):
        return self.path.stem


def read(path):
    """The head of a patch."""
    mutant = Mutant(path)
    for line in path.read_text().splitlines():
        if line.startswith("--- "):
            break
        key, _, value = line.partition(": ")
        if key == "Bug":
            mutant.bug = value
        elif key == "Found by":
            mutant.calls.append(value.split())
        elif line.startswith("  ") and not mutant.calls:
            mutant.bug += " " + line.strip()
    if not mutant.bug or not mutant.calls:
        sys.exit(f"{path} does not say what bug it is and what finds it")
    return mutant


def patch(source, mutant, *options):
    """Puts the bug in, or with `-R` takes it out again; gives what went wrong."""
    command = ["patch", "-p1", "--batch", "--no-backup-if-mismatch", "-d", str(source), "-i", str(mutant.path), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout + done.stderr if done.returncode else None


class Copy:
    """A copy of the source that mutants are planted in, with a target folder that stays warm."""

    def __init__(self, source, target):
        self.folder = Path(tempfile.mkdtemp(prefix="strandline-mutants-"))
        self.target = target
        ignore = lambda folder, names: [n for n in names if n in LEFT_OUT and Path(folder) == source]
        shutil.copytree(source, self.folder, dirs_exist_ok=True, symlinks=True, ignore=ignore)

    def build(self):
        """The program; None and the compiler's words where it does not compile."""
        command = ["cargo", "build", "--bin", "strandline"]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, env={**os.environ, "CARGO_TARGET_DIR": str(self.target)},
        )
        return (self.target / "debug/strandline", None) if done.returncode == 0 else (None, done.stderr[-2000:])

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def found(call, program):
    """Whether a call of the harness fails, and its first complaint."""
    script, words = (HERE / call[0], call[1:]) if call[0].endswith(".py") else (HERE / "run.py", call)
    command = [sys.executable, str(script), str(program), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return False, "given up"
    said = [line for line in done.stdout.splitlines() if line.startswith("wrong:")]
    if any("the harness failed" in line for line in said):
        return False, said[0]
    return done.returncode != 0, (said or done.stderr.splitlines()[-1:] or [""])[0].strip()


def hunt(copy, mutant):
    """A row of the table for one mutant."""
    row = {"mutant": mutant.name, "bug": mutant.bug, "found": False, "by": "", "seconds": 0, "said": ""}
    trouble = patch(copy.folder, mutant)
    if trouble:
        return row | {"said": f"the patch does not fit: {trouble.strip()}", "error": True}
    try:
        program, trouble = copy.build()
        if trouble:
            return row | {"said": f"it does not compile: {trouble}", "error": True}
        started = time.monotonic()
        for call in mutant.calls:
            is_found, said = found(call, program)
            if is_found:
                return row | {"found": True, "by": " ".join(call), "said": said, "seconds": round(time.monotonic() - started)}
        return row | {"seconds": round(time.monotonic() - started)}
    finally:
        patch(copy.folder, mutant, "-R")


def table(rows):
    """The rows as Markdown."""
    lines = ["| mutant | the bug | found by | after |", "|---|---|---|---|"]
    for row in rows:
        by = f"`{row['by']}`" if row["found"] else "**not found**"
        lines.append(f"| {row['mutant']} | {row['bug']} | {by} | {row['seconds']} s |")
    caught = sum(row["found"] for row in rows)
    return "\n".join([*lines, "", f"{caught} of {len(rows)} found"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=lambda text: Path(text).resolve())
    parser.add_argument("--only", action="append")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--target", type=lambda text: Path(text).resolve())
    parser.add_argument("--report")
    options = parser.parse_args()
    mutants = [read(path) for path in sorted((HERE / "mutants").glob("*.patch"))]
    mutants = [m for m in mutants if not options.only or any(name in m.name for name in options.only)]
    unfit = [(m, trouble) for m in mutants if (trouble := patch(options.source, m, "--dry-run"))]
    for mutant, trouble in unfit:
        print(f"{mutant.name} does not fit the source: {trouble.strip()}", file=sys.stderr)
    if options.check or unfit:
        sys.exit(bool(unfit))
    copy, rows = Copy(options.source, options.target or options.source / "target/mutants"), []
    try:
        for mutant in mutants:
            row = hunt(copy, mutant)
            rows.append(row)
            print(f"{row['mutant']}: {'found by ' + row['by'] if row['found'] else 'NOT FOUND'} after {row['seconds']} s: {row['said'][:300]}", file=sys.stderr)
            if options.report:
                Path(options.report).write_text(json.dumps(rows, indent=1))
    finally:
        copy.remove()
    print(table(rows))
    sys.exit(not all(row["found"] for row in rows))


if __name__ == "__main__":
    main()
