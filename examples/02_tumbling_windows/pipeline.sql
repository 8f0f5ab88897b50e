-- Events counted by type, in windows of five minutes that do not overlap.

CREATE TABLE events (
  event_id STRING, user_id STRING, event_type STRING, value DOUBLE,
  event_time TIMESTAMP, processing_time TIMESTAMP
) USING json OPTIONS (path 'input/events', maxFilesPerTrigger '2');

-- Update mode: a window has its rows from its first event on, and they change as events come in.
-- The watermark stays 10 minutes behind the newest event; windows that it has passed are final.
CREATE STREAMING TABLE events_per_window
TBLPROPERTIES ('outputMode' = 'update')
AS SELECT window(event_time, '5 minutes') AS window, event_type,
          count(*) AS event_count, avg(value) AS avg_value
   FROM STREAM events WATERMARK event_time DELAY OF INTERVAL 10 MINUTES
   GROUP BY window(event_time, '5 minutes'), event_type;
