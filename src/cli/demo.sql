-- The streaming demo: one stream of events, four queries over it.
-- The statements are Spark SQL. Event time runs faster than the clock, so that windows close while
-- you watch.

CREATE TABLE events (
  event_id STRING, `timestamp` TIMESTAMP, user_id BIGINT, event_type STRING, value DOUBLE
) USING json OPTIONS (path 'input/events');

CREATE TABLE users (user_id BIGINT, name STRING, country STRING, segment STRING)
USING json OPTIONS (path 'input/users');

-- 1. Pass-through: every event, as it is.
CREATE STREAMING TABLE raw_events
AS SELECT * FROM STREAM events;

-- 2. Tumbling windows of 5 minutes. A window takes late events until the watermark, 10 minutes
--    behind the newest event, has passed its end. Update mode: a row for each change. An event from
--    more than a day ahead, of a broken clock, is counted and does not move the watermark.
CREATE STREAMING TABLE event_aggregates
TBLPROPERTIES ('outputMode' = 'update', 'futureGuard' = '1 day')
AS SELECT window(`timestamp`, '5 minutes') AS window, event_type,
          count(*) AS event_count, avg(value) AS avg_value
   FROM STREAM events WATERMARK `timestamp` DELAY OF INTERVAL 10 MINUTES
   GROUP BY window(`timestamp`, '5 minutes'), event_type;

-- 3. Sliding windows: 5 minutes long, one beginning each minute. Append mode: a row once its
--    window has closed, and never again.
CREATE STREAMING TABLE user_activity
TBLPROPERTIES ('futureGuard' = '1 day')
AS SELECT window(`timestamp`, '5 minutes', '1 minute') AS window, user_id, count(*) AS event_count
   FROM STREAM events WATERMARK `timestamp` DELAY OF INTERVAL 10 MINUTES
   GROUP BY window(`timestamp`, '5 minutes', '1 minute'), user_id;

-- 4. A stream joined with a still table.
CREATE STREAMING TABLE enriched_events
AS SELECT e.event_id, e.`timestamp`, e.user_id, u.name, u.country, u.segment, e.event_type, e.value
   FROM STREAM events AS e LEFT JOIN users AS u ON e.user_id = u.user_id;
