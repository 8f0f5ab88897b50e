-- The events of each user in the last five minutes, anew for every minute.

CREATE TABLE events (
  event_id STRING, user_id STRING, event_type STRING, value DOUBLE,
  event_time TIMESTAMP, processing_time TIMESTAMP
) USING json OPTIONS (path 'input/events', maxFilesPerTrigger '2');

-- Append mode (the default): a row is written once, when the watermark has passed the end of its
-- window, and never changes. Each event counts in five windows.
CREATE STREAMING TABLE user_activity_per_minute
AS SELECT window.start AS window_start, window.end AS window_end, user_id,
          count(*) AS event_count
   FROM STREAM events WATERMARK event_time DELAY OF INTERVAL 10 MINUTES
   GROUP BY window(event_time, '5 minutes', '1 minute'), user_id;
