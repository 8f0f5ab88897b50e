-- Each event with the name, country and segment of its user.

CREATE TABLE events (
  event_id STRING, user_id STRING, event_type STRING, value DOUBLE,
  event_time TIMESTAMP, processing_time TIMESTAMP
) USING json OPTIONS (path 'input/events');

-- The file users.json, wherever it lies below input/. While there is none the table is empty, and
-- the left join keeps each event without a name.
CREATE TABLE users (user_id BIGINT, name STRING, country STRING, segment STRING)
USING json OPTIONS (path 'input', pathGlobFilter 'users.json', recursiveFileLookup 'true');

-- The events call a user USER042, the table of users calls the same one 42.
CREATE STREAMING TABLE events_with_users
AS SELECT e.event_id, e.event_time, e.event_type, e.value, e.user_id, u.name, u.country, u.segment
   FROM STREAM events AS e
   LEFT JOIN users AS u ON CAST(substr(e.user_id, 5) AS BIGINT) = u.user_id;
