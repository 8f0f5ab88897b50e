-- Visits: the events of a user with no pause of five minutes between them.

CREATE TABLE events (
  event_id STRING, user_id STRING, event_type STRING, value DOUBLE,
  event_time TIMESTAMP, processing_time TIMESTAMP
) USING json OPTIONS (path 'input/events', maxFilesPerTrigger '2');

CREATE STREAMING TABLE visits
AS SELECT user_id, session_window.start AS visit_start, session_window.end AS visit_end,
          count(*) AS event_count
   FROM STREAM events WATERMARK event_time DELAY OF INTERVAL 10 MINUTES
   GROUP BY session_window(event_time, '5 minutes'), user_id;
