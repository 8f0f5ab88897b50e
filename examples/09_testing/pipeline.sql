-- Purchases in windows of five minutes; a window is written when it is closed.

CREATE TABLE events (
  event_id STRING, user_id STRING, event_type STRING, value DOUBLE,
  event_time TIMESTAMP, processing_time TIMESTAMP
) USING json OPTIONS (path 'input/events', maxFilesPerTrigger '1');

CREATE STREAMING TABLE purchases_per_window
AS SELECT window(event_time, '5 minutes') AS window, count(*) AS purchases, sum(value) AS value
   FROM STREAM events WATERMARK event_time DELAY OF INTERVAL 10 MINUTES
   WHERE event_type = 'purchase'
   GROUP BY window(event_time, '5 minutes');
