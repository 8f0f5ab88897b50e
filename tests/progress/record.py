#!/usr/bin/env python3
"""Record the whole progress reports of Apache Spark 4.2.1 for the queries in spark.json, next to this script.

Setup: as for tests/conformance/spark_trace.py. Use: record.py; it fills "batches" of each query.
The query text goes unchanged to spark.sql(), except where "drop_duplicates" names columns: there it runs
dropDuplicates over "source", since Spark has no SQL form of it.
"""
import json
import os
import shutil
import tempfile
from pathlib import Path

os.environ["TZ"] = "UTC"
from pyspark.sql import SparkSession  # noqa: E402

RECORD = Path(__file__).resolve().parent / "spark.json"
BASE_MTIME = 1_700_000_000


def main():
    record = json.loads(RECORD.read_text())
    work = Path(tempfile.mkdtemp(prefix="progress_"))
    spark = (SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.log.level", "OFF")
             .config("spark.sql.session.timeZone", "UTC").config("spark.driver.extraJavaOptions", "-Duser.timezone=UTC")
             .config("spark.sql.shuffle.partitions", "1").config("spark.sql.warehouse.dir", str(work / "warehouse"))
             .getOrCreate())
    for table, files in record["files"].items():
        folder = work / "input" / table
        folder.mkdir(parents=True)
        for number, rows in enumerate(files):
            path = folder / f"f{number}.json"
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
            os.utime(path, (BASE_MTIME + number,) * 2)
        spark.sql(f"CREATE TABLE {table} ({record['columns']}) USING json OPTIONS (path '{folder}', maxFilesPerTrigger 1)")
    for name, query in record["queries"].items():
        if "drop_duplicates" in query:
            rows = spark.sql(query["source"]).dropDuplicates(query["drop_duplicates"])
        else:
            rows = spark.sql(query["query"])
        stream = (rows.writeStream.format("memory").queryName(name).outputMode(query["mode"])
                  .option("checkpointLocation", str(work / name)).trigger(availableNow=True).start())
        stream.awaitTermination()
        text = json.dumps([json.loads(p.json) if hasattr(p, "json") else p for p in stream.recentProgress])
        query["batches"] = json.loads(text.replace(f"file:{work}/", ""))
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    spark.stop()
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
