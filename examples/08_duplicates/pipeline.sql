-- Each event once, though some were sent twice.

CREATE TABLE events (
  event_id STRING, user_id STRING, event_type STRING, value DOUBLE,
  event_time TIMESTAMP, processing_time TIMESTAMP
) USING json OPTIONS (path 'input/events', maxFilesPerTrigger '2');

-- Spark's dropDuplicatesWithinWatermark, for which it has no words in SQL. An id is remembered
-- until the watermark is as far behind its event as the delay says.
CREATE STREAMING TABLE events_once
AS SELECT DISTINCT ON (event_id) WITHIN WATERMARK *
   FROM STREAM events WATERMARK event_time DELAY OF INTERVAL 40 MINUTES;
