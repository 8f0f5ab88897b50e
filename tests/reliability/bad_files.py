#!/usr/bin/env python3
"""Files as people drop them: bad ones of many kinds among good ones, and what must come of each line.

    bad_files.py PROGRAM [--short] [--seed N] [--keep]     all of it; ends with 1 if something is wrong
    bad_files.py --list                                    the kinds of files

Each kind makes files and says itself, line by line, what they hold: that is the oracle, and it shares nothing with the
program. Some projects are read with `--available-now`, others live while the files drop in; most are killed again and
again meanwhile. In the end each good row must be in the table exactly once, each bad line (or file) among the rejected
rows exactly once, and what is left out must be named on stderr; nothing hangs, nothing panics.

A table is read by replaying its log (`delta_log.py`).
"""

import argparse
import ctypes
import gzip
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter

import delta_log

PATIENCE = 90
"""Seconds after which a run hangs."""

NOBODY = 65533
"""A user without rights, for what root is never refused."""

PIPELINE = """CREATE TABLE events (id BIGINT, s STRING, n BIGINT, t TIMESTAMP)
USING json OPTIONS (path 'input/events', recursiveFileLookup 'true'{options});
CREATE STREAMING TABLE copy AS SELECT * FROM STREAM events;
"""


# What a file holds ----------------------------------------------------------------------------------------------------


class Drop:
    """What one kind drops into a project: files, and what must come of them."""

    def __init__(self, project, kind, random):
        self.project, self.kind, self.random = project, kind, random
        self.puts = 0

    def path(self, name):
        """A path in the input folder; names are bytes or text."""
        name = os.fsencode(name)
        path = os.path.join(os.fsencode(self.project.events), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def name(self, end=".json"):
        return f"{self.kind}-{self.project.number()}{end}"

    def row(self, **values):
        """One good row as a line of bytes, and expected from now on."""
        number = self.project.number()
        self.project.rows[number] += 1
        return json.dumps({"id": number, "s": f"v{number}", **values}).encode()

    def rows(self, count=None):
        return [self.row() for _ in range(count or self.random.randint(1, 4))]

    def put(self, content, name=None, bad=(), whole=None):
        """Drops a file: under a hidden name, then renamed. `bad`: the numbers of its lines that are no rows; `whole`: no
        row of it is used."""
        name = os.fsencode(name or self.name())
        path = self.path(name)
        aside = os.path.join(os.path.dirname(path), b"." + os.path.basename(path)[:200])
        with open(aside, "wb") as file:
            file.write(content)
        os.rename(aside, path)
        self.project.files += 1
        self.puts += 1
        for line in bad:
            self.project.corrupt[shown(name), line] += 1
            self.project.nulls += 1
        if whole:
            self.project.corrupt[shown(name), 0] += 1
        return path

    def mixed(self, *bad, name=None, end=b"\n"):
        """Good lines with bad ones in between, in any order."""
        lines = [(line, True) for line in bad] + [(line, False) for line in self.rows()]
        self.random.shuffle(lines)
        numbers = [number for number, (_, is_bad) in enumerate(lines, 1) if is_bad]
        return self.put(b"".join(line + end for line, _ in lines), name, bad=numbers)

    def told(self, name):
        """What is left out must be named on stderr."""
        self.project.told.add(shown(name))


def shown(name):
    """How the program shows a name: in one line, what cannot be printed as \\xNN."""
    def escaped(part):
        return "".join(f"\\x{byte:02X}" for byte in part)

    text = ""
    for character in os.fsencode(name).decode("utf-8", "surrogateescape"):
        raw = character.encode("utf-8", "surrogateescape")
        is_byte, is_control = 0xDC80 <= ord(character) <= 0xDCFF, ord(character) < 32 or 127 <= ord(character) < 160
        text += escaped(raw) if is_byte or is_control else character
    return "input/events/" + text


KINDS, LIVE = {}, {}


def kind(make):
    """A kind that lies there from the start, or drops in at any time."""
    KINDS[make.__name__] = make
    return make


def live(make):
    """A kind that needs the program to run meanwhile."""
    LIVE[make.__name__] = make
    return make


# Content --------------------------------------------------------------------------------------------------------------


@kind
def empty(drop):
    """no byte at all"""
    drop.put(b"")


@kind
def blank_lines(drop):
    """blank lines before, between and after"""
    drop.put(b"\n \t\r\n" + b"\n\n".join(drop.rows()) + b"\n\n  \n")


@kind
def byte_order_mark(drop):
    """a UTF-8 byte order mark in front"""
    drop.put(b"\xef\xbb\xbf" + b"\n".join(drop.rows()) + b"\n")


@kind
def put_together_with_marks(drop):
    """files with byte order marks put together (cat): a mark in front of a later line"""
    drop.put(drop.row() + b"\n\xef\xbb\xbf" + drop.row() + b"\n")


@kind
def only_a_mark(drop):
    """a byte order mark and nothing else"""
    drop.put(b"\xef\xbb\xbf")


@kind
def crlf(drop):
    """lines that end in CR LF"""
    drop.put(b"\r\n".join(drop.rows()) + b"\r\n")


@kind
def lone_cr(drop):
    """lines that end in CR"""
    drop.put(b"\r".join(drop.rows()) + b"\r")


@kind
def no_last_newline(drop):
    """the last line has no end"""
    drop.put(b"\n".join(drop.rows()))


@kind
def half_a_last_line(drop):
    """the writer died in the middle of the last line"""
    rows = drop.rows()
    drop.put(b"\n".join(rows) + b'\n{"id":4711,"s":"ha', bad=[len(rows) + 1])


@kind
def nul_in_a_text(drop):
    """a NUL byte in a text"""
    drop.mixed(b'{"id":1,"s":"a\0b"}')


@kind
def nul_lines(drop):
    """lines of NUL bytes"""
    drop.mixed(b"\0", b"\0\0\0\0")


@kind
def zero_filled(drop):
    """a file of zeros, as power loss leaves it"""
    drop.put(bytes(drop.random.choice([1, 512, 4096])), bad=[1])


@kind
def zero_filled_end(drop):
    """zeros from some line on"""
    rows = drop.rows()
    drop.put(b"\n".join(rows) + b"\n" + bytes(4096), bad=[len(rows) + 1])


@kind
def invalid_utf8(drop):
    """bytes that are no UTF-8: a stray one, a cut one, an overlong one"""
    drop.mixed(b'{"id":1,"s":"\xff"}', b'{"id":1,"s":"\xc3"}', b'{"id":1,"s":"\xc0\xaf"}')


@kind
def surrogate_bytes(drop):
    """half a surrogate pair as bytes"""
    drop.mixed(b'{"id":1,"s":"\xed\xa0\x80"}')


@kind
def latin1(drop):
    """text in ISO-8859-1"""
    drop.mixed('{"id":1,"s":"Gr\u00fc\u00dfe"}'.encode("latin-1"))


@kind
def utf16_with_mark(drop):
    """UTF-16 with its byte order mark, either way round"""
    text = b"\n".join(drop.rows()).decode()
    drop.put(text.encode("utf-16") if drop.random.random() < 0.5 else b"\xfe\xff" + text.encode("utf-16-be"))


@kind
def utf16_without_mark(drop):
    """UTF-16 that does not say so: each line of bytes is bad"""
    text = '{"id":1}\r\n{"id":2}'
    way = drop.random.choice(["utf-16-le", "utf-16-be"])
    lines = re.split(rb"\r\n|\r|\n", text.encode(way))
    drop.put(text.encode(way), bad=range(1, len(lines) + 1))


@kind
def broken_syntax(drop):
    """lines that are nearly JSON"""
    drop.mixed(*drop.random.sample([
        b'{"id":1', b'{"id":1,}', b"{'id:1}", b'{id:1}', b'{"id" 1}', b'{"id":1]', b'"id"', b"17", b"[1]", b"{{}}",
        b'{"id":01}', b'{"id":"\\x"}', b'{"s":"a\tb"}', b'{"id":1,,"s":"x"}', b"}", b"oops", b'{"id":tru}',
    ], 4))


@kind
def numbers_that_are_none(drop):
    """.1, 1., +1 and hexadecimal numbers"""
    drop.mixed(b'{"n":.1}', b'{"n":+1}', b'{"n":0x1F}', b'{"n":1e}', b'{"n":-}')


@kind
def numbers_too_large(drop):
    """numbers that no BIGINT holds: the value is NULL, the row stays"""
    big = [b"9223372036854775808", b"1e400", b"-99999999999999999999", b"1.5"]
    drop.put(b"".join(drop.row()[:-1] + b',"n":' + number + b"}\n" for number in big))


@kind
def values_of_another_type(drop):
    """texts, objects and lists where a number is declared: the value is NULL, the row stays"""
    drop.put(b"".join(drop.row(n=value) + b"\n" for value in ("x", {"a": 1}, [1], True, None)))


@kind
def odd_times(drop):
    """times that are none, far away or at the edge"""
    times = ["0000-00-00", "10000-01-01T00:00:00Z", "2016-12-31T23:59:60Z", "9999-12-31T23:59:59Z", "x", None, 1e300]
    drop.put(b"".join(drop.row(t=value) + b"\n" for value in times))


@kind
def text_behind(drop):
    """text behind the object: the row is read, and it is told"""
    drop.put(drop.row() + b" and more\n" + drop.row() + b'{"id":2}\n')


@kind
def deeply_nested(drop):
    """100,000 levels"""
    drop.mixed(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


@kind
def many_keys(drop):
    """20,000 keys in a line, and one key many times: the last counts"""
    keys = b",".join(b'"k%d":%d' % (at, at) for at in range(20_000))
    drop.put(drop.row()[:-1] + b"," + keys + b"}\n" + b'{"id":-1,"id":-2,' + drop.row()[1:] + b"\n")


@kind
def lists_of_rows(drop):
    """a line that is a list of objects: so many rows"""
    drop.put(b"[" + b",".join(drop.rows(3)) + b"]\n" + drop.row() + b"\n")


@kind
def lists_of_others(drop):
    """a line that is a list of something else"""
    drop.mixed(b'[{"id":1},2]')


@kind
def unknown_and_missing_fields(drop):
    """fields that the table does not have, and none of those that it has but one"""
    drop.put(drop.row(more={"a": [1, {"b": 2}]}) + b"\n" + drop.row(s=None) + b"\n")


@kind
def long_text(drop):
    """a text of 3 MiB"""
    drop.put(drop.row(s="x" * (3 << 20)) + b"\n")


@kind
def line_of_17_mib(drop):
    """a line over the limit of 16 MiB: it is bad, its neighbours are read"""
    drop.mixed(b'{"id":1,"s":"' + b"x" * (17 << 20) + b'"}')


@kind
def line_of_40_mib(drop):
    """a line that fits in no buffer"""
    drop.mixed(b'{"id":1,"s":"' + b"x" * (40 << 20) + b'"}')


# Packed ---------------------------------------------------------------------------------------------------------------


def packed(drop, count=400):
    return gzip.compress(b"\n".join(drop.rows(count)) + b"\n" if count else b"")


def unused(count=400):
    """Packed rows that must not come."""
    rows = b"".join(b'{"id":-%d,"s":"%d"}\n' % (at + 1, at * 7919 % 1000) for at in range(count))
    return bytearray(gzip.compress(rows))


@kind
def gzip_good(drop):
    """gzip, as it should be"""
    drop.put(packed(drop, 20), drop.name(".json.gz"))


@kind
def gzip_of_members(drop):
    """gzip files put together"""
    drop.put(packed(drop, 3) + packed(drop, 0) + packed(drop, 2), drop.name(".json.gz"))


@kind
def gzip_with_bad_lines(drop):
    """gzip with bad lines in it"""
    drop.put(gzip.compress(b"oops\n" + drop.row() + b'\n{"id":'), drop.name(".json.gz"), bad=[1, 3])


@kind
def gzip_truncated(drop):
    """gzip without its end: no row of it is used"""
    content = unused()
    drop.put(bytes(content[:-drop.random.randint(1, len(content) - 1)]), drop.name(".json.gz"), whole=True)


@kind
def gzip_corrupt(drop):
    """gzip with a wrong checksum"""
    content = unused()
    content[-6] ^= 0x55
    drop.put(bytes(content), drop.name(".json.gz"), whole=True)


@kind
def gzip_with_garbage(drop):
    """gzip with something else behind it"""
    drop.put(bytes(unused()) + b"garbage", drop.name(".json.gz"), whole=True)


@kind
def gzip_that_is_none(drop):
    """a text that is called .gz"""
    drop.put(b'{"id":-1}\n', drop.name(".json.gz"), whole=True)


@kind
def gzip_empty(drop):
    """an empty file that is called .gz"""
    drop.put(b"", drop.name(".json.gz"), whole=True)


@kind
def gzip_without_its_name(drop):
    """gzip that is not called so"""
    content = gzip.compress(b'{"id":-1}\n', mtime=0)
    lines = re.split(rb"\r\n|\r|\n", content)
    bad = [number for number, line in enumerate(lines, 1) if line.strip(b" \t")]
    drop.put(content, bad=bad)


# Names ----------------------------------------------------------------------------------------------------------------


def named(function, doc, name):
    def make(drop):
        folder, at = "", str(drop.project.number()).encode()
        drop.put(b"\n".join(drop.rows()) + b"\n", os.path.join(os.fsencode(folder), name.replace(b"@", at)))
    make.__name__, make.__doc__ = function, doc
    kind(make)


named("name_with_spaces", "spaces in the name, at both ends too", b" a b @ .json ")
named("name_with_percent", "% and what looks like an escape", b"100%20%@%zz.json")
named("name_with_hash", "a name that ends in #1, which object stores hide", b"a@.json#1")
named("name_with_newline", "a line feed in the name", b"a\nb@.json")
named("name_with_escape", "an escape sequence of terminals in the name", b"a\x1b[31m@.json")
named("name_not_utf8", "bytes in the name that are no UTF-8", b"\xff\xfe@\x80.json")
named("name_unicode", "letters beyond ASCII", "\u00fc\u20ac\U0001f600@.json".encode())
named("name_of_patterns", "* ? [ ] { } in the name", b"a*?[b]{c}@.json")
named("name_of_a_partition", "key=value as the name of a file", b"k=@.json")
named("name_with_quotes", "quotes and backslashes", b"it's \"@\" \\n.json")
named("name_like_an_option", "a name that begins with -", b"-rf @.json")
named("name_without_ending", "no ending at all", b"rows@")
named("name_of_another_ending", "an ending that says nothing about JSON", b"rows@.bak")


@kind
def name_of_255_bytes(drop):
    """the longest name that there can be"""
    drop.put(drop.row() + b"\n", f"{drop.project.number()}.json".rjust(255, "x"))


@kind
def hidden_names(drop):
    """names that begin with . or _ or end in .tmp: they are left alone"""
    for name in (".hidden.json", "_hidden.json", "rows.json.tmp", "rows._COPYING_"):
        at = name.find("h") + 1 if "h" in name else 1
        with open(drop.path(f"{name[:at]}{drop.project.number()}{name[at:]}"), "wb") as file:
            file.write(b'{"id":-1}\n')


# What is no file ------------------------------------------------------------------------------------------------------


@kind
def pipe(drop):
    """a FIFO, which nobody writes to"""
    name = drop.name()
    os.mkfifo(drop.path(name))
    drop.told(name)


@kind
def a_socket(drop):
    """a socket"""
    name, here = drop.name(), os.getcwd()
    listener = socket.socket(socket.AF_UNIX)
    os.chdir(drop.project.events)
    listener.bind(name)
    os.chdir(here)
    drop.told(name)


@kind
def device(drop):
    """a device (or, without the right to make one, a link to one)"""
    name = drop.name()
    try:
        os.mknod(drop.path(name), 0o020666, os.makedev(1, 5))
    except PermissionError:
        os.symlink("/dev/zero", drop.path(name))
    drop.told(name)


@kind
def folder_called_like_a_file(drop):
    """a folder x.json, with a file in it"""
    name = drop.name()
    drop.put(drop.row() + b"\n", f"{name}/inside.json")


@kind
def link_to_a_file(drop):
    """a link to a file that lies elsewhere"""
    name = drop.name()
    with open(os.path.join(drop.project.folder, name), "wb") as file:
        file.write(drop.row() + b"\n")
    os.symlink(f"../../{name}", drop.path(name))


@kind
def link_to_a_folder(drop):
    """a link to a folder, which is not followed"""
    name = drop.name()
    os.makedirs(os.path.join(drop.project.folder, "elsewhere"), exist_ok=True)
    os.symlink("../../elsewhere", drop.path(name))
    drop.told(name)


@kind
def link_in_a_loop(drop):
    """links that lead to each other, and one to the folder that it lies in"""
    one, two, up = drop.name(), drop.name(), drop.name()
    os.symlink(two, drop.path(one))
    os.symlink(one, drop.path(two))
    os.symlink(".", drop.path(up))
    for name in (one, two, up):
        drop.told(name)


@kind
def link_that_leads_nowhere(drop):
    """a link to what is not there"""
    name = drop.name()
    os.symlink("nowhere", drop.path(name))
    drop.told(name)


@kind
def second_name(drop):
    """a hard link: two names for one file, and both are read"""
    row = drop.row()
    number = drop.project.last
    path = drop.put(row + b"\n")
    os.link(path, drop.path(drop.name()))
    drop.project.rows[number] += 1


# Times ----------------------------------------------------------------------------------------------------------------


@kind
def old_time(drop):
    """a time long ago: it is read all the same"""
    os.utime(drop.put(drop.row() + b"\n"), (0, drop.random.choice([0, 86400, 10**9])))


@kind
def future_time(drop):
    """a time in the future"""
    os.utime(drop.put(drop.row() + b"\n"), (4e9, 4e9))


@kind
def equal_times(drop):
    """files of one and the same time"""
    for _ in range(3):
        os.utime(drop.put(drop.row() + b"\n"), (1.7e9, 1.7e9))


# While the program runs -----------------------------------------------------------------------------------------------


def until(what, drop, seconds=30):
    """Waits until something holds; a project in which it never does is wrong."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)
    drop.project.wrong(f"{drop.kind}: waited {seconds} s for nothing")
    return False


def read_one(drop):
    """A file that was read and committed."""
    name = drop.name()
    path = drop.put(drop.row() + b"\n", name)
    until(lambda: drop.project.is_committed(name), drop)
    return name, path


@live
def renamed_into_place(drop):
    """written under a hidden name and renamed: the best way"""
    for _ in range(4):
        drop.put(b"\n".join(drop.rows()) + b"\n")


@live
def written_byte_by_byte(drop):
    """written in place, a byte a millisecond, with pauses"""
    content = b"\n".join(drop.rows(4)) + b"\n"
    with open(drop.path(drop.name()), "wb", buffering=0) as file:
        drop.project.files += 1
        for at, byte in enumerate(content):
            file.write(bytes([byte]))
            time.sleep(drop.random.choice([0.001] * 60 + [0.7]))
    time.sleep(0.1)


@live
def written_line_by_line(drop):
    """written in place, whole lines with pauses, and never closed between them"""
    with open(drop.path(drop.name()), "wb", buffering=0) as file:
        drop.project.files += 1
        for line in drop.rows(4):
            file.write(line + b"\n")
            time.sleep(0.5)


@live
def written_in_two_halves(drop):
    """half a line, closed; the rest of it half a second later"""
    content, name = b"\n".join(drop.rows(3)) + b"\n", drop.name()
    for part in (content[: len(content) // 2], content[len(content) // 2:]):
        with open(drop.path(name), "ab") as file:
            file.write(part)
        time.sleep(0.5)
    drop.project.files += 1


@live
def created_first_and_filled_later(drop):
    """empty for a while (touch), then filled"""
    path = drop.path(drop.name())
    open(path, "wb").close()
    time.sleep(1.2)
    with open(path, "wb") as file:
        file.write(drop.row() + b"\n")
    drop.project.files += 1


@live
def gzip_written_slowly(drop):
    """gzip that is written in place, piece by piece"""
    content = packed(drop, 300)
    with open(drop.path(drop.name(".json.gz")), "wb", buffering=0) as file:
        drop.project.files += 1
        for at in range(0, len(content), 200):
            file.write(content[at:at + 200])
            time.sleep(0.1)


@live
def appended_after_it_was_read(drop):
    """lines appended later: they are not read, and that is told"""
    name, path = read_one(drop)
    with open(path, "ab") as file:
        file.write(b'{"id":-1}\n')
    drop.told(name)


@live
def truncated_after_it_was_read(drop):
    """cut to nothing later"""
    name, path = read_one(drop)
    os.truncate(path, 0)
    drop.told(name)


@live
def replaced_after_it_was_read(drop):
    """another file of the same name later"""
    name, path = read_one(drop)
    time.sleep(0.01)
    with open(path + b".tmp", "wb") as file:
        file.write(b'{"id":-1,"s":"another"}\n')
    os.rename(path + b".tmp", path)
    drop.told(name)


@live
def deleted_after_it_was_read(drop):
    """gone later: nothing happens"""
    _, path = read_one(drop)
    os.remove(path)


@live
def moved_in_the_tree(drop):
    """moved to a sub-folder after it was read: it is not read again"""
    name, path = read_one(drop)
    os.rename(path, drop.path(f"done/{name}"))
    drop.told(f"done/{name}")


@live
def new_folder_that_is_full(drop):
    """a sub-folder, and folders in it, that come with files"""
    name = f"full-{drop.project.number()}"
    aside = os.path.join(drop.project.folder, name)
    for below in ("", "a", "a/b"):
        os.makedirs(os.path.join(aside, below), exist_ok=True)
        with open(os.path.join(aside, below, "rows.json"), "wb") as file:
            file.write(b"\n".join(drop.rows()) + b"\n")
            drop.project.files += 1
    os.rename(aside, drop.path(name))


@live
def folder_filled_at_once(drop):
    """a new sub-folder, filled right after it was made"""
    for at in range(5):
        drop.put(drop.row() + b"\n", f"new-{drop.project.number()}/{at}/rows.json")


@live
def burst(drop):
    """300 files at once"""
    for _ in range(300):
        drop.put(drop.row() + b"\n")


# A project ------------------------------------------------------------------------------------------------------------


def as_user(user, program):
    """What runs an open program as another user, who may be barred from the folder that it lies in."""
    return {"user": user, "group": user, "extra_groups": [],
            "executable": f"/proc/self/fd/{program}", "pass_fds": [program]}


def can_be_another(program):
    """Whether a run as another user is possible here: we may become it, it may run this program and reach our folders."""
    def is_open(path):
        return os.stat(path).st_mode & stat.S_IXOTH

    temporary = pathlib.Path(tempfile.gettempdir()).resolve()
    return os.geteuid() == 0 and is_open(program) and all(map(is_open, [temporary, *temporary.parents]))


class Project:
    """A folder in which the program runs, with all that is expected of it."""

    def __init__(self, program, seed, options="", user=None):
        self.program, self.user, self.options = program, user, options
        self.folder = tempfile.mkdtemp(prefix="bad-files-")
        self.events = os.path.join(self.folder, "input", "events")
        os.makedirs(self.events)
        self.random = random.Random(seed)
        self.last, self.files, self.bad_files, self.nulls, self.kills = 0, 0, 0, 0, 0
        self.rows, self.corrupt, self.told, self.problems = Counter(), Counter(), set(), []
        self.err, self.runs = "", 0
        self.write_pipeline(options)
        if user is not None:
            for path in (self.folder, os.path.join(self.folder, "input"), self.events):
                os.chown(path, user, user)

    def write_pipeline(self, options):
        with open(os.path.join(self.folder, "pipeline.sql"), "w") as file:
            file.write(PIPELINE.format(options=options))

    def number(self):
        self.last += 1
        return self.last

    def wrong(self, what):
        self.problems.append(what)

    def drop(self, name):
        make, drop = KINDS.get(name) or LIVE[name], Drop(self, name, self.random)
        make(drop)
        if name not in GOOD:
            self.bad_files += max(drop.puts, 1)

    def start(self, *args):
        command = [self.program, "run", "pipeline.sql", "--progress", "json", *args]
        self.runs += 1
        self.log = open(os.path.join(self.folder, f"stderr-{self.runs}"), "wb")
        with open(self.program, "rb") as program:
            rights = {} if self.user is None else as_user(self.user, program.fileno())
            return subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                    stderr=self.log, env={**os.environ, "RUST_BACKTRACE": "1"}, **rights)

    def end(self, process, seconds=PATIENCE):
        """Waits for a run; its exit code."""
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
            self.wrong(f"a run did not end in {seconds} s")
        self.log.close()
        with open(self.log.name, errors="replace") as file:
            self.err = file.read()
        if "panicked at" in self.err or code in (70, -signal.SIGABRT, -signal.SIGSEGV):
            self.wrong(f"a run ended with {code}: {self.err[-500:]}")
        return code

    def kill(self, process):
        process.kill()
        self.kills += 1
        return self.end(process)

    def run(self, *args, expect=0):
        """A whole run."""
        code = self.end(self.start(*(args or ("--available-now",))))
        if code != expect:
            self.wrong(f"a run ended with {code} instead of {expect}: {self.err[-600:]}")
        return code

    def is_committed(self, name):
        """Whether a batch with a file of this name has been committed."""
        text = json.dumps(f"input/events/{name}").encode()
        checkpoint = os.path.join(self.folder, "checkpoints", "copy")
        for number in names_in(os.path.join(checkpoint, "commits")):
            if text in content_of(os.path.join(checkpoint, "offsets", number)):
                return True
        return text in content_of(os.path.join(checkpoint, "sources", "0", "history"))

    def said(self):
        """All that was written to stderr, in all runs, with the lines of boxes put together."""
        text = ""
        for number in range(1, self.runs + 1):
            with open(os.path.join(self.folder, f"stderr-{number}"), errors="replace") as file:
                text += file.read()
        return re.sub(r"\n\s*│ ", " ", text)

    def judge(self):
        """That the tables hold what they must, and that what was left out was named."""
        tables = delta_log.tables(self.folder)
        copy, rejected = tables.get("copy"), tables.get("copy__rejected")
        found = Counter(row["id"] for row in copy.rows()) if copy else Counter()
        nulls = found.pop(None, 0)
        for what, rows in (("is missing", self.rows - found), ("should not be there", found - self.rows)):
            for number, count in list(rows.items())[:5]:
                self.wrong(f"the row {number} {what} ({count} times)")
        if nulls != self.nulls:
            self.wrong(f"{nulls} rows of NULLs for {self.nulls} bad lines")
        lines = Counter((row["file"], row["line"]) for row in rejected.rows() if row["reason"] == "corrupt") if rejected else Counter()
        for what, places in (("is not told", self.corrupt - lines), ("is told for nothing", lines - self.corrupt)):
            for (file, line), count in list(places.items())[:5]:
                self.wrong(f"the bad line {file}:{line} {what} ({count} times)")
        for table in filter(None, (copy, rejected)):
            for problem in table.problems:
                self.wrong(problem)
        said = self.said()
        for name in sorted(self.told):
            if name not in said:
                self.wrong(f"nothing was said of {name}")
        return self.problems


def names_in(folder):
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def content_of(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, IsADirectoryError):
        return b""


GOOD = {"renamed_into_place", "burst", "gzip_good", "deleted_after_it_was_read"}
"""Kinds with which nothing is wrong: they are not counted as bad files."""

ANY = ", ignoreCorruptFiles 'true'"


# What is done to a project --------------------------------------------------------------------------------------------


def at_rest(program, seed, kills):
    """All kinds at once, three files a batch, with kills in between."""
    project = Project(program, seed, ANY + f", maxFilesPerTrigger '{1 + seed % 4}'")
    kinds = sorted(KINDS)
    project.random.shuffle(kinds)
    for name in kinds:
        project.drop(name)
        if project.random.random() < 0.3:
            project.drop("old_time")
    for _ in range(kills):
        process = project.start("--available-now")
        time.sleep(project.random.uniform(0.05, 0.8))
        project.kill(process)
    project.run()
    project.run()
    return project


def dropping_in(program, seed, kills):
    """All kinds one after the other into a running program that is killed and started again."""
    project = Project(program, seed, ANY + ", maxFilesPerTrigger '5'")
    project.drop("renamed_into_place")
    kinds = sorted(KINDS)
    project.random.shuffle(kinds)
    deaths = set(project.random.sample(range(len(kinds)), kills))
    process = project.start()
    for at, name in enumerate(kinds):
        project.drop(name)
        time.sleep(project.random.choice([0, 0.01, 0.05]))
        if at in deaths:
            project.kill(process)
            process = project.start()
    finish_live(project, process)
    return project


def finish_live(project, process, seconds=PATIENCE):
    time.sleep(0.3)
    if process.poll() is not None:
        project.wrong(f"a live run has ended with {process.poll()}")
    process.send_signal(signal.SIGINT)
    code = project.end(process, seconds)
    if code != 0:
        project.wrong(f"a live run ended with {code}: {project.err[-500:]}")
    project.run()


def while_it_runs(program, seed, names):
    """Kinds that need a running program, one after the other."""
    project = Project(program, seed, ANY)
    process = project.start()
    read_one(Drop(project, "first", project.random))
    threads = [threading.Thread(target=project.drop, args=(name,)) for name in names if "written" in name]
    for thread in threads:
        thread.start()
    for name in names:
        if "written" not in name:
            project.drop(name)
    for thread in threads:
        thread.join()
    # To see that a file was changed takes a look when nothing is new.
    time.sleep(1.5)
    finish_live(project, process)
    return project


def folder_comes_back(program, seed, _):
    """The folder is removed while the program runs, and comes back with files."""
    project = Project(program, seed)
    process = project.start()
    drop = Drop(project, "folder_comes_back", project.random)
    read_one(drop)
    for aside in ("gone-1", "gone-2"):
        os.rename(project.events, os.path.join(project.folder, aside))
        time.sleep(1.5)
        os.mkdir(project.events)
        read_one(drop)
    finish_live(project, process)
    if "cannot list the folder" not in project.said():
        project.wrong("nothing was said of the folder that is gone")
    return project


def watch_overflows(program, seed, count):
    """More events than the queue of the system holds, while the program stands still."""
    project = Project(program, seed)
    process = project.start()
    drop = Drop(project, "watch_overflows", project.random)
    read_one(drop)
    process.send_signal(signal.SIGSTOP)
    for _ in range(count):
        drop.put(drop.row() + b"\n")
    process.send_signal(signal.SIGCONT)
    last = drop.name()
    drop.put(drop.row() + b"\n", last)
    until(lambda: project.is_committed(last), drop, 120)
    finish_live(project, process)
    return project


def many_at_once(program, seed, count):
    """So many files with one row each, in one go."""
    project = Project(program, seed)
    drop = Drop(project, "many_at_once", project.random)
    for at in range(count):
        drop.put(drop.row() + b"\n", f"{at:06}.json")
    project.run()
    return project


def watch_cannot_be_made(program, seed, _):
    """The user has used up what the system allows: files are found all the same."""
    if not can_be_another(program):
        return None
    project = Project(program, seed, user=NOBODY)
    read, write = os.pipe()
    hog = os.fork()
    if hog == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        while ctypes.CDLL(None).inotify_init() >= 0:
            pass
        os.write(write, b"all")
        signal.pause()
    os.read(read, 3)
    process = project.start()
    drop = Drop(project, "watch_cannot_be_made", project.random)
    read_one(drop)
    time.sleep(0.5)
    read_one(drop)
    finish_live(project, process)
    os.kill(hog, signal.SIGKILL)
    os.waitpid(hog, 0)
    if "cannot watch" not in project.said():
        project.wrong("nothing was said of the watch that cannot be made")
    return project


def unreadable(program, seed, _):
    """A file, and then a folder, that this user may not read: the run says which, and goes on when it may."""
    if not can_be_another(program):
        return None
    project = Project(program, seed, user=NOBODY)
    drop = Drop(project, "unreadable", project.random)
    path = drop.put(drop.row() + b"\n", "secret.json")
    os.chmod(path, 0)
    project.run(expect=14)
    if "secret.json" not in project.err:
        project.wrong(f"the run does not name the file: {project.err[-400:]}")
    os.chmod(path, 0o644)
    project.run()
    below = os.path.dirname(drop.put(drop.row() + b"\n", "sub/rows.json"))
    os.chmod(below, 0)
    project.run(expect=15)
    if "events" not in project.err:
        project.wrong(f"the run does not name the folder: {project.err[-400:]}")
    os.chmod(below, 0o755)
    process = project.start()
    until(lambda: project.is_committed("sub/rows.json"), drop)
    os.chmod(below, 0)
    time.sleep(1.5)
    drop.put(drop.row() + b"\n", "another.json")
    time.sleep(1.5)
    os.chmod(below, 0o755)
    until(lambda: project.is_committed("another.json"), drop)
    finish_live(project, process)
    return project


def damaged_stops(program, seed, make):
    """A damaged file without `ignoreCorruptFiles`: the run stops and names it; with the option it goes on."""
    project = Project(program, seed)
    drop = Drop(project, make, project.random)
    drop.put(drop.row() + b"\n")
    project.drop(make)
    drop.put(drop.row() + b"\n")
    for _ in range(2):
        project.run(expect=14)
        if make not in re.sub(r"\n\s*│ ", "", project.err) or "ignoreCorruptFiles" not in re.sub(r"\s+", "", project.err):
            project.wrong(f"the run does not name the file and the way out: {project.err[-400:]}")
    project.write_pipeline(ANY)
    project.run()
    return project


def after_the_plan(program, seed, what):
    """A file is changed or removed between the decision and the reading: the run stops and names it."""
    project = Project(program, seed)
    drop = Drop(project, "after_the_plan", project.random)
    drop.put(drop.row() + b"\n")
    path = drop.path("planned.json")
    kept = os.path.join(project.folder, "kept.json").encode()
    drop.put(drop.row() + b"\n" + drop.row() + b"\n", "planned.json")
    planned = project.last
    project.end(project.start("--available-now", "--crash-at", "2"))
    project.problems.clear()  # to die at a step is an abort
    subprocess.run(["cp", "-p", path, kept], check=True)
    if what == "appended":
        with open(path, "ab") as file:
            file.write(b'{"id":-1}\n')
    elif what == "truncated":
        os.truncate(path, 5)
    elif what == "replaced":
        with open(path + b".tmp", "wb") as file:
            file.write(content_of(path).replace(b"v", b"w"))
        os.rename(path + b".tmp", path)
    else:
        os.remove(path)
    project.run(expect=14)
    if "planned.json" not in project.err:
        project.wrong(f"the run does not name the file: {project.err[-400:]}")
    if seed % 2:
        # It is put back as it was.
        subprocess.run(["cp", "-p", kept, path], check=True)
    else:
        # Its rows are given up, and what it is now comes under a new name.
        for number in (planned, planned - 1):
            project.rows[number] -= 1
        project.rows = +project.rows
        if os.path.exists(path):
            os.remove(path)
        with open(drop.path("again.json"), "wb") as file:
            file.write(drop.row() + b"\n")
        project.write_pipeline(", ignoreMissingFiles 'true'")
    project.run()
    return project


def line_of_a_gigabyte(program, seed, mib):
    """A line that is longer than the memory may be, in a plain file and in a packed one."""
    project = Project(program, seed)
    drop = Drop(project, "line_of_a_gigabyte", project.random)
    piece = b"x" * (1 << 20)
    name = drop.name()
    with open(drop.path(name), "wb") as file:
        file.write(drop.row() + b'\n{"s":"')
        for _ in range(mib):
            file.write(piece)
        file.write(b'"}\n' + drop.row() + b"\n")
    project.corrupt[shown(name), 2] += 1
    name = drop.name(".json.gz")
    with gzip.open(drop.path(name), "wb", compresslevel=1) as file:
        file.write(drop.row() + b"\n")
        for _ in range(mib // 2):
            file.write(piece)
        file.write(b"\n" + drop.row() + b"\n")
    project.corrupt[shown(name), 2] += 1
    project.nulls += 2
    project.files += 2
    process = project.start("--available-now")
    most = 0
    while process.poll() is None:
        found = re.search(rb"VmHWM:\s+(\d+)", content_of(f"/proc/{process.pid}/status"))
        most = max(most, int(found.group(1)) if found else 0)
        time.sleep(0.02)
    if project.end(process) != 0:
        project.wrong(f"a run failed: {project.err[-400:]}")
    project.memory_mib = most // 1024
    if project.memory_mib > 500:
        project.wrong(f"a line of {mib} MiB took {project.memory_mib} MiB of memory")
    return project


def gzip_bomb(program, seed, mib):
    """A small file that becomes more than a gigabyte: no row of it is used."""
    project = Project(program, seed, ANY)
    drop = Drop(project, "gzip_bomb", project.random)
    drop.put(drop.row() + b"\n")
    member = gzip.compress(bytes(1 << 20) * 16, 9)
    drop.put(member * (mib // 16), drop.name(".json.gz"), whole=True)
    project.run()
    return project


# All of it ------------------------------------------------------------------------------------------------------------


def plan(short, seed):
    """What is done, each with its words."""
    rounds = 2 if short else 6
    for at in range(rounds):
        yield at_rest, seed + at, 0 if at == 0 else 6
        yield dropping_in, seed + 100 + at, 3 if short else 8
        yield while_it_runs, seed + 200 + at, sorted(LIVE)
    for at, make in enumerate(name for name in KINDS if re.match("gzip_(trunc|corr|with_g|that|empty)", name)):
        yield damaged_stops, seed + 300 + at, make
    for at, what in enumerate(("appended", "truncated", "replaced", "removed")):
        yield after_the_plan, seed + 400 + at, what
        yield after_the_plan, seed + 401 + at, what
    yield folder_comes_back, seed, None
    yield watch_overflows, seed, 6_000
    yield watch_cannot_be_made, seed, None
    yield unreadable, seed, None
    yield line_of_a_gigabyte, seed, 200 if short else 1024
    if not short:
        yield gzip_bomb, seed, 1200
    yield many_at_once, seed, 2_000 if short else 50_000


def main(program, short, seed=1, keep=False, only=None):
    """Runs all, or `only` what has this name; figures by name, `problems` is a list of texts."""
    figures = Counter(kinds=len(KINDS) + len(LIVE) + 11)
    problems, memory = [], 0
    for run, number, words in plan(short, seed):
        if only not in (None, run.__name__):
            continue
        started = time.monotonic()
        project = run(os.path.abspath(program), number, words)
        if project is None:
            print(f"  {run.__name__}: left out, this machine does not let us be another user", file=sys.stderr)
            continue
        case = f"{run.__name__}({number}, {words if isinstance(words, (int, str)) else ''})"
        found = [f"{case}: {problem}" for problem in project.judge()]
        print(f"  {case}: {project.files} files, {len(found)} wrong, {time.monotonic() - started:.1f} s", file=sys.stderr)
        problems += found
        figures.update(files=project.files, bad_files=project.bad_files, lines=sum(project.rows.values()) + sum(project.corrupt.values()),
                       bad_lines=sum(project.corrupt.values()), kills=project.kills, projects=1)
        memory = max(memory, getattr(project, "memory_mib", 0))
        if found or keep:
            print(f"    kept: {project.folder}", file=sys.stderr)
        else:
            shutil.rmtree(project.folder, ignore_errors=True)
    return {**figures, "memory_mib": memory, "failures": len(problems), "problems": problems}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--only", help="one of the things that are done to a project, such as at_rest")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list or not options.program:
        done = [at_rest, dropping_in, folder_comes_back, watch_overflows, watch_cannot_be_made, unreadable, damaged_stops,
                after_the_plan, line_of_a_gigabyte, gzip_bomb, many_at_once]
        for make in [*KINDS.values(), *LIVE.values(), *done]:
            print(f"{make.__name__:32} {' '.join(make.__doc__.split())}")
        sys.exit(0)
    found = main(options.program, options.short, options.seed, options.keep, options.only)
    for problem in found["problems"]:
        print(problem)
    print(json.dumps({name: value for name, value in found.items() if name != "problems"}))
    sys.exit(1 if found["problems"] else 0)
