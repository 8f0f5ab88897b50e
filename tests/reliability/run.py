#!/usr/bin/env python3
"""The reliability harness: everything that can go wrong, done on purpose to the real binary, and judged.

    run.py PROGRAM --short            under five minutes on two cores
    run.py PROGRAM --long             every point, every workload, 2,000 kills and more
    run.py PROGRAM --case NAME        one case again, as a failure has named it

Takes the program; gives progress on stderr, and at the end a table and, with `--report`, the same as JSON. Exit code 1:
something is wrong; then the folders of the projects are kept, and each stands beside the name of its case.
"""

import argparse
import importlib
import json
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from figures import Figures

PARTS = ["kill_loop", "fail_points", "io_errors", "power_cut", "clock", "damage"]


def run_case(program, part, words):
    try:
        return importlib.import_module(part).run(program, *words)
    except Exception as error:
        import traceback
        figures = Figures(part, *words)
        figures.wrong(f"{figures.case}: the harness failed: {error!r}\n{traceback.format_exc(limit=-4)}")
        return figures


def run_part(options, part):
    """All cases of a part, on so many processes."""
    started, total = time.monotonic(), Figures(part)
    short = options.short
    cases = importlib.import_module(part).cases(options.program, options.seed, short)
    with ProcessPoolExecutor(options.jobs) as pool:
        waiting = [pool.submit(run_case, options.program, part, words) for words in cases]
        for done, future in enumerate(as_completed(waiting), 1):
            figures = future.result()
            total.merge(figures)
            for problem in figures.problems[:5]:
                print(f"\r  {problem}", file=sys.stderr)
            spent = time.monotonic() - started
            print(f"\r{part}: {done} of {len(cases)}, {len(total.problems)} wrong, {spent:.0f} s ", end="", file=sys.stderr)
            if len(total.kept) > 40:
                pool.shutdown(cancel_futures=True)
                break
    print(file=sys.stderr)
    total.counts["cases"] = len(cases)
    total.counts["seconds"] = round(time.monotonic() - started)
    unmet = sorted(point for point, hits in total.points.items() if hits == 0)
    if unmet:
        total.wrong(f"points that no run has come to: {', '.join(unmet)}")
    return total


def bad_files(options):
    """The part about files as people drop them."""
    total = Figures("bad_files")
    found = importlib.import_module("bad_files").main(options.program, options.short)
    for name, value in found.items():
        if isinstance(value, int):
            total.add(name, value)
        elif isinstance(value, list):
            total.problems += [f"bad_files: {item}" for item in value]
    if found.get("failures") and not total.problems:
        total.wrong(f"bad_files: {found['failures']}")
    return total


def recovery(milliseconds):
    if not milliseconds:
        return {}
    ordered = sorted(milliseconds)
    pick = lambda share: round(ordered[min(len(ordered) - 1, int(share * len(ordered)))])
    return {"p50": round(statistics.median(ordered)), "p99": pick(0.99), "max": round(ordered[-1])}


def show(report):
    for part, about in report["parts"].items():
        print(f"\n{part}")
        for name, count in sorted(about["counts"].items()):
            print(f"  {name:<36}{count:>10}")
        if about["recovery_ms"]:
            print("  " + ", ".join(f"recovery {k} {v} ms" for k, v in about["recovery_ms"].items()))
    points = report["points"]
    if points:
        print(f"\npoints hit: {sum(hits > 0 for hits in points.values())} of {len(points)}")
        for point, hits in sorted(points.items()):
            print(f"  {point:<36}{hits:>10}")
    total = report["total"]
    print("\n" + ", ".join(f"{name} {count}" for name, count in total.items()))


def report_of(options, parts, seconds):
    sum_of = lambda *names: sum(about.counts[name] for about in parts.values() for name in names)
    points = Figures()
    for about in parts.values():
        points.points.update(about.points)
    return {
        "form": "short" if options.short else "long",
        "seed": options.seed,
        "total": {
            "kills": sum_of("kills", "deaths at points"),
            "nested kills": sum_of("nested kills", "deaths while recovering"),
            "power states": sum_of("power states"),
            "io error runs": sum_of("io error runs"),
            "rows in": sum_of("rows in"), "rows out": sum_of("rows out"),
            "lost": sum_of("rows lost"), "doubled": sum_of("rows doubled"), "wrong": sum_of("rows wrong"),
            "problems": sum(len(about.problems) for about in parts.values()),
            "seconds": round(seconds),
        },
        "points": dict(points.points),
        "parts": {
            part: {"counts": dict(about.counts), "recovery_ms": recovery(about.recovery_ms), "problems": about.problems}
            for part, about in parts.items()
        },
    }


def write(options, report):
    if options.report:
        with open(options.report, "w") as file:
            json.dump(report, file, indent=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--case")
    parser.add_argument("--part", action="append", help="only this part; more than once for several")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--report")
    parser.add_argument("--folder", help="where the projects are made [default: /dev/shm, where a sync costs nothing; else as Python finds it]")
    options = parser.parse_args()
    options.short = not options.long
    tempfile.tempdir = options.folder or ("/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    started, parts = time.monotonic(), {}
    if options.case:
        part, *words = options.case.split("/")
        parts[part] = run_case(options.program, part, words)
    else:
        for part in options.part or [*PARTS, "bad_files"]:
            parts[part] = bad_files(options) if part == "bad_files" else run_part(options, part)
            # What was found is kept, should the next part be interrupted.
            write(options, report_of(options, parts, time.monotonic() - started))
    report = report_of(options, parts, time.monotonic() - started)
    show(report)
    for about in parts.values():
        for problem in about.problems[:20]:
            print(f"wrong: {problem}")
        for folder, case in about.kept[:10]:
            print(f"kept {folder}; again: {sys.argv[0]} {options.program} --case '{case}'")
    write(options, report)
    sys.exit(any(about.problems for about in parts.values()))


if __name__ == "__main__":
    main()
