-- Each showing of an ad with the clicks on it, or with NULL when it can get none any more.

CREATE TABLE impressions (
  impression_id STRING, user_id STRING, ad_id STRING, impression_time TIMESTAMP
) USING json OPTIONS (path 'input/impressions', maxFilesPerTrigger '2');

CREATE TABLE clicks (
  click_id STRING, impression_id STRING, user_id STRING, click_time TIMESTAMP
) USING json OPTIONS (path 'input/clicks', maxFilesPerTrigger '2');

-- A click counts when it comes within ten minutes. Together with the two watermarks this bound says
-- how long a row has to be kept.
CREATE STREAMING TABLE impressions_with_clicks
AS SELECT i.impression_id, i.ad_id, i.impression_time, c.click_id, c.click_time
   FROM STREAM impressions WATERMARK impression_time DELAY OF INTERVAL 10 MINUTES AS i
   LEFT JOIN STREAM clicks WATERMARK click_time DELAY OF INTERVAL 10 MINUTES AS c
     ON c.impression_id = i.impression_id
    AND c.click_time BETWEEN i.impression_time AND i.impression_time + INTERVAL 10 MINUTES;
