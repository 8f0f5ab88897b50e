#!/usr/bin/env python3
"""One work in Spark Structured Streaming, available-now, two cores, Parquet out: `spark.py WORK INPUT OUT [FILES_PER_BATCH]`.

Prints the seconds of the query alone, without the start of the session, and the number of its batches.
"""

import sys
import time

from pyspark.sql import SparkSession
import pyspark.sql.functions as F

name, folder, out = sys.argv[1:4]
session = (
    SparkSession.builder.master("local[2]")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.shuffle.partitions", "2")
    .config("spark.driver.memory", "8g")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.log.level", "ERROR")
    .getOrCreate()
)
reader = session.readStream.format("json").schema("event_id STRING, timestamp TIMESTAMP, user_id BIGINT, event_type STRING, value DOUBLE")
if len(sys.argv) > 4:
    reader = reader.option("maxFilesPerTrigger", int(sys.argv[4]))
events = reader.load(folder)
late = events.withWatermark("timestamp", "10 minutes")


def side(kind, prefix):
    columns = [F.col(column).alias(f"{prefix}_{column}") for column in ("event_id", "user_id", "timestamp")]
    return late.filter(f"event_type = '{kind}'").select(*columns)


works = {
    "tumbling": lambda: late.groupBy(F.window("timestamp", "5 minutes"), "event_type").agg(F.count("*").alias("c"), F.avg("value").alias("a")),
    "sliding": lambda: late.groupBy(F.window("timestamp", "5 minutes", "1 minute"), "user_id").count(),
    "pass": lambda: events,
    "dedup": lambda: late.dropDuplicates(["event_id", "timestamp"]),
    "sjoin": lambda: side("page_view", "l").join(
        side("click", "r"),
        F.expr("l_user_id = r_user_id AND r_timestamp >= l_timestamp AND r_timestamp <= l_timestamp + INTERVAL 1 MINUTE"),
    ),
}
started = time.perf_counter()
query = works[name]().writeStream.format("parquet").option("path", out).option("checkpointLocation", out + ".checkpoint")
query = query.outputMode("append").trigger(availableNow=True).start()
query.awaitTermination()
print(time.perf_counter() - started, len(query.recentProgress))
