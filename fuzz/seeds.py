#!/usr/bin/env python3
"""Makes seeds for the fuzz targets from the project's tests: `fuzz/seeds.py FOLDER`.

Takes tests/golden and tests/conformance; gives FOLDER/<target>/<hash>, to be minimised with
`-merge=1` into fuzz/corpus (see fuzz/README.md).
"""

import hashlib
import json
import re
import struct
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"


def put(folder, target, data):
    folder = Path(folder) / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(data).hexdigest()[:16]).write_bytes(data)


def golden():
    """The pipeline and the lines of input of each golden script."""
    for path in sorted(TESTS.glob("golden/**/*.test")):
        text = path.read_text()
        for block in re.findall(r"^pipeline\n((?:  .*\n|\n)+)", text, re.M):
            yield "pipeline", re.sub(r"^  ", "", block, flags=re.M)
        for block in re.findall(r"^add \S+\n((?:  .*\n)+)", text, re.M):
            yield "lines", re.sub(r"^  ", "", block, flags=re.M)


def conformance():
    """The tables, the query and the lines of each recording."""
    for path in sorted(TESTS.glob("conformance/cases/**/*.json")):
        case = json.loads(path.read_text())
        if "query" in case:
            yield "query", case["query"]
            tables = "".join(
                f"CREATE TABLE {name} ({table['ddl']}) USING json OPTIONS (path 'input/{name}');\n"
                for name, table in case.get("tables", {}).items()
                if isinstance(table, dict) and "ddl" in table
            )
            mode = case.get("mode", "append")
            yield "pipeline", (
                f"{tables}CREATE STREAMING TABLE q TBLPROPERTIES ('outputMode' = '{mode}') AS\n{case['query']}"
            )
        for table in case.get("tables", {}).values():
            for rows in table.get("files", []) if isinstance(table, dict) else []:
                if isinstance(rows, list):
                    yield "lines", "".join(
                        (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows
                    )


ODD_LINES = [
    b'{"a":1,"b":"x","c":1.5,"d":true}\n{"a":9223372036854775807,"b":"\\u00e9\\ud83d\\ude00"}\n',
    b'\xef\xbb\xbf{"a":1}\r\n\r\n{"a":2}\r{"a":3}',
    b'{"a":1}TRAILER\n{"a":\n{"b":"\xff\xfe"}\n\0\0\0\0\n{"a":2}\n',
    b'[{"a":1},{"a":2}]\n[]\n[1]\n',
    b"{'a':1,b:2}\n/* c */ {\"a\":1} // d\n",
    b'{"a":1e400,"c":1e400,"d":"true"}\n{"a":-0,"c":-0}\n{"c":"NaN"}\n{"c":NaN}\n',
    b'{"s":{"x":1,"y":"z"},"l":[1,2,null],"a":{"b":[1]}}\n{"s":{"x":"no"},"l":[1,"x"]}\n',
    b'{"a":"2026-01-01T12:00:00.123Z","b":"2026-02-30","c":"1,000.005","d":"aGVsbG8=","e":2147483648,"f":200}\n',
    b'{"m":{"k":[{"x":1}]},"n":{"1":"one","x":"two"},"t":"2026-01-01 00:00:00","c":123456789012345678901234567890}\n',
    b'{"a":1,"a":"x","a":2}\n' + b'{"b":' + b"[" * 60 + b"]" * 60 + b"}\n",
    b"\xff\xfe{\0\"\0a\0\"\0:\x001\0}\0\n\0",
]

DAMAGE = [
    b"",
    b"\x00\x00\x00\x00\x00",
    *[bytes([which, what, 1, at, 0, 0x20]) for which in (0, 5, 10, 13) for what in range(8) for at in (0, 30)],
    *[
        bytes([which, 1, len(body)]) + struct.pack("<H", 0) + body
        for which, body in [
            (0, b'{"id":"x","formatVersion":1,"engineVersion":"0","pinned":{}}'),
            (5, b'{"batchTimestampMs":1,"sources":[null]}'),
            (11, b'{"nextBatchWatermarkMs":5,"noDataBatchDue":true}'),
            (13, b'{"firstBatch":0,"lastBatch":1,"takes":[[0,{}]],"times":[[0,null],[1,2]]}'),
        ]
    ],
]


def main(folder):
    for number, (kind, text) in enumerate([*golden(), *conformance()]):
        if kind == "query":
            put(folder, "sql_text", text.encode())
        elif kind == "pipeline":
            put(folder, "pipeline", text.encode())
        elif number % 3 == 0:
            put(folder, "json_lines", bytes([0, number % 4, number % 256, 0]) + text.encode()[:2000])
    for number, lines in enumerate(ODD_LINES):
        for how in (0, 1, 2, 3, 0x20, 0xE0, 0x1C, 0x14):
            put(folder, "json_lines", bytes([how, number % 4, 0, 0]) + lines)
        for schema in range(4):
            put(folder, "json_lines", bytes([0, schema, 13 * number % 256, 0]) + lines)
        put(folder, "json_lines", bytes([0, 0, 0, 0xFF]) + lines)
    for bytes_ in DAMAGE:
        put(folder, "frames", bytes_)
        for several in (0, 1):
            put(folder, "state_files", bytes([several]) + bytes_)


if __name__ == "__main__":
    main(sys.argv[1])
