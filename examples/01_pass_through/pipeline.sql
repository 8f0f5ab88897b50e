-- Every event, as it is, into the Delta table data/all_events.

CREATE TABLE events (
  event_id STRING, user_id STRING, event_type STRING, value DOUBLE,
  event_time TIMESTAMP, processing_time TIMESTAMP
) USING json OPTIONS (path 'input/events');

CREATE STREAMING TABLE all_events
AS SELECT * FROM STREAM events;
