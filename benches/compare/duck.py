#!/usr/bin/env python3
"""One work as one batch query in DuckDB, two threads: `duck.py WORK INPUT OUT.parquet`. Prints the query's own seconds."""

import sys
import time

import duckdb
import works

name, folder, out = sys.argv[1:4]
work = next(work for work in works.WORKS if work.name == name)
connection = duckdb.connect()
connection.execute("SET threads = 2")
started = time.perf_counter()
connection.execute(f"COPY ({work.duck.format(works.read_json(folder))}) TO '{out}' (FORMAT parquet)")
print(time.perf_counter() - started)
