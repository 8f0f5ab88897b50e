"""A seed -> files of JSON lines as producers leave them, and how they get into a folder.

Takes a seed, a number of files and of streams; gives (folder, name, bytes). Among the rows: out of order, late by up to 40
minutes, doubled, times exactly on a window's border, null and missing fields, values of a wrong type, broken lines;
among the files: empty ones and ones with blank lines. All values are such that their sums are exact. `drop` writes a
file under a hidden name and renames it, so that no reader sees half of it.
"""

import json
import os
import random

START = 1767268800_000_000  # 2026-01-01 12:00 UTC, in microseconds
MINUTE = 60_000_000
KINDS = ["click", "view", "purchase", "ünï", None]


def text_of(micros):
    seconds, rest = divmod(micros, 1_000_000)
    days, second = divmod(seconds, 86400)
    day = days - 20454  # days since 1 January 2026
    return f"2026-01-{day + 1:02d} {second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.{rest:06d}"


class Producer:
    """The rows of one seed, one file after the other."""

    def __init__(self, seed, pace_minutes=3):
        self.draw = random.Random(seed)
        self.pace = pace_minutes * MINUTE
        self.recent = []
        self.number = 0

    def time(self, newest):
        draw, chance = self.draw, self.draw.random()
        if chance < 0.15:
            return newest // (5 * MINUTE) * 5 * MINUTE
        if chance < 0.27:
            return newest - draw.randrange(5 * MINUTE, 40 * MINUTE)
        return newest - draw.randrange(6 * MINUTE)

    def line(self, newest):
        draw, chance = self.draw, self.draw.random()
        if self.recent and chance < 0.12:
            return draw.choice(self.recent)
        if chance < 0.15:
            return draw.choice(['{"id": 7, "kind": "cl', "no row at all", '{"id": }', "[1, 2]", '{"id": 3, "value": 1,}'])
        row = {
            "id": draw.randrange(1, 60),
            "kind": draw.choice(KINDS),
            "value": draw.randrange(-200, 400) / 4,
            "amount": draw.randrange(-5000, 20000) / 100,
            "event_time": text_of(self.time(newest)),
        }
        if chance < 0.19:
            row[draw.choice(["value", "amount", "event_time", "id"])] = draw.choice(["never", {"a": 1}, [3]])
        elif chance < 0.23:
            row[draw.choice(list(row))] = None
        elif chance < 0.26:
            del row[draw.choice(list(row))]
        line = json.dumps(row, ensure_ascii=draw.random() < 0.5)
        self.recent = [*self.recent[-40:], line]
        return line

    def file(self):
        """The bytes of the next file."""
        newest = START + self.number * self.pace
        self.number += 1
        if self.draw.random() < 0.06:
            return b""
        lines = [self.line(newest + i * 1_000_000) for i in range(self.draw.randrange(2, 22))]
        if self.draw.random() < 0.1:
            lines.insert(1, "")
        return ("\n".join(lines) + "\n").encode()


def files(seed, count, folders=("events",)):
    """So many files for each folder, in an order in which they can be dropped."""
    producers = {folder: Producer(f"{seed}/{folder}") for folder in folders}
    for number in range(count):
        for folder in folders:
            yield folder, f"{number:05d}.json", producers[folder].file()


def drop(project, folder, name, content):
    """Puts a file in its place in one step."""
    place = os.path.join(project, "input", folder)
    hidden = os.path.join(place, f".{name}.part")
    with open(hidden, "wb") as file:
        file.write(content)
    os.rename(hidden, os.path.join(place, name))
