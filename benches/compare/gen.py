#!/usr/bin/env python3
"""The input of the comparison: files of JSON lines with late, disordered and duplicate events; the same arguments, the same bytes.

    gen.py FOLDER FILES ROWS_PER_FILE [--keys K] [--seed S] [--span SECONDS_PER_FILE] [--duplicates SHARE]

Each file spans 60 s of event time; 8 % of the rows are late by up to 5 minutes, 2 % by 5 to 30.
"""

import argparse
import os
import random
from datetime import datetime, timedelta

TYPES = ["page_view", "click", "purchase", "add_to_cart", "search"]
START = datetime(2026, 1, 1)
MODIFIED = 1_770_000_000


def write(folder, files, rows, keys=1000, seed=7, span=60.0, duplicates=0.02):
    """Makes the files, oldest first also by their times."""
    os.makedirs(folder, exist_ok=True)
    draw = random.Random(seed)
    for file in range(files):
        start = START + timedelta(seconds=file * span)
        lines = []
        for row in range(rows):
            if lines and draw.random() < duplicates:
                lines.append(lines[-1])
                continue
            late = draw.random()
            time = start + timedelta(seconds=draw.random() * span)
            if late < 0.08:
                time -= timedelta(seconds=draw.random() * 300)
            elif late < 0.10:
                time -= timedelta(seconds=300 + draw.random() * 1500)
            lines.append(
                '{"event_id":"e%d_%d","timestamp":"%s","user_id":%d,"event_type":"%s","value":%.4f}\n'
                % (file, row, time.isoformat(timespec="milliseconds"), draw.randint(1, keys), draw.choice(TYPES), draw.uniform(10, 1000))
            )
        path = os.path.join(folder, f"batch_{file:06d}.json")
        with open(path + ".tmp", "w") as out:
            out.writelines(lines)
        os.rename(path + ".tmp", path)
        os.utime(path, (MODIFIED + file, MODIFIED + file))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("files", type=int)
    parser.add_argument("rows", type=int)
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--span", type=float, default=60.0)
    parser.add_argument("--duplicates", type=float, default=0.02)
    a = parser.parse_args()
    write(a.folder, a.files, a.rows, a.keys, a.seed, a.span, a.duplicates)
