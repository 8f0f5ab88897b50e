-- Bronze, silver, gold: each streaming table is read as a stream by the next.

CREATE TABLE events (
  event_id STRING, user_id STRING, event_type STRING, value DOUBLE,
  event_time TIMESTAMP, processing_time TIMESTAMP
) USING json OPTIONS (path 'input/events', maxFilesPerTrigger '1');

-- Bronze: every event as it came, one file a batch, with the time of the batch that took it.
CREATE STREAMING TABLE bronze_events
AS SELECT *, current_timestamp() AS loaded_at FROM STREAM events;

-- Silver: the purchases, with their value in euros.
CREATE STREAMING TABLE silver_purchases
AS SELECT event_id, user_id, event_time, value AS euros
   FROM STREAM bronze_events
   WHERE event_type = 'purchase' AND value IS NOT NULL;

-- Gold: the sum in windows of ten minutes.
CREATE STREAMING TABLE gold_revenue
TBLPROPERTIES ('outputMode' = 'update')
AS SELECT window(event_time, '10 minutes') AS window, count(*) AS purchases, sum(euros) AS euros
   FROM STREAM silver_purchases WATERMARK event_time DELAY OF INTERVAL 10 MINUTES
   GROUP BY window(event_time, '10 minutes');
