-- Queries worth knowing, for the catalogue (database nss_db): bash run.sh sql < examples/sql/queries.sql

-- The newest executions. A feed's rows are found by (feed, seq): cheap however large the table is.
SELECT seq, timestamp, symbol, price, quantity FROM Executions ORDER BY seq DESC LIMIT 10;

-- What is new for you: keep the highest seq you have dealt with, in the transaction of what you do.
SELECT seq, id, timestamp, body FROM Messages WHERE feed = 2 AND seq > 0 ORDER BY seq LIMIT 1000;

-- A time range; timestamps are UTC, when the broker captured the message. (feed, timestamp) is an index.
SELECT COUNT(*) AS messages, MIN(seq) AS first, MAX(seq) AS last
  FROM Messages
 WHERE feed = 2 AND timestamp >= UTC_TIMESTAMP(6) - INTERVAL 1 DAY;

-- Open, high, low, close and volume of every symbol, minute by minute.
SELECT symbol, minute,
       MAX(CASE WHEN first_of_minute = 1 THEN price END) AS open_price,
       MAX(price) AS high, MIN(price) AS low,
       MAX(CASE WHEN last_of_minute = 1 THEN price END) AS close_price,
       SUM(quantity) AS volume
  FROM (SELECT symbol, price, quantity, DATE_FORMAT(timestamp, '%Y-%m-%d %H:%i') AS minute,
               ROW_NUMBER() OVER (PARTITION BY symbol, DATE_FORMAT(timestamp, '%Y-%m-%d %H:%i')
                                  ORDER BY seq) AS first_of_minute,
               ROW_NUMBER() OVER (PARTITION BY symbol, DATE_FORMAT(timestamp, '%Y-%m-%d %H:%i')
                                  ORDER BY seq DESC) AS last_of_minute
          FROM Executions
         WHERE timestamp >= UTC_TIMESTAMP(6) - INTERVAL 1 DAY) AS trades
 GROUP BY symbol, minute
 ORDER BY symbol, minute;

-- Messages a sport, of feed events.
SELECT sport, COUNT(*) AS messages FROM Events GROUP BY sport ORDER BY messages DESC;

-- Fields of a feed of your own, without a view: the decoded message is JSON.
SELECT seq, JSON_UNQUOTE(JSON_EXTRACT(body, '$.symbol')) AS symbol
  FROM Messages
 WHERE feed = 2
 ORDER BY seq DESC LIMIT 10;

-- How far each feed is, and what was dropped or refused so far.
SELECT name, last_seq, duplicates, conflicts, quarantined FROM Feeds;

-- Proof that a feed has no holes: both numbers are the same.
SELECT feed, COUNT(*) AS messages, MAX(seq) - MIN(seq) + 1 AS positions FROM Messages GROUP BY feed;

-- What could not be catalogued, by reason; and what was gone before it could be read.
SELECT feed, state, error, COUNT(*) AS messages FROM Quarantine GROUP BY feed, state, error;
SELECT feed, first_seq, last_seq, reason, noticed FROM Gaps ORDER BY noticed;

-- Messages of the same bytes under different ids: did a producer send something twice?
SELECT a.feed, a.seq, b.seq AS again, a.id, b.id AS other_id
  FROM Messages AS a
  JOIN Messages AS b ON b.feed = a.feed AND b.seq > a.seq AND b.seq <= a.seq + 100 AND b.data = a.data
 WHERE a.feed = 2
 LIMIT 10;
