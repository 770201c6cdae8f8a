-- The fields of both feeds as typed columns, for people. They read Messages.body, so they are NULL
-- where the catalogue was kept with json = false. JSON has no number for NaN and infinities:
-- protobuf writes them as strings, the views show NULL.

CREATE OR REPLACE SQL SECURITY INVOKER VIEW Events AS
SELECT seq, id, timestamp,
       JSON_UNQUOTE(JSON_EXTRACT(body, '$.sport'))      AS sport,
       JSON_UNQUOTE(JSON_EXTRACT(body, '$.matchTitle')) AS match_title,
       JSON_UNQUOTE(JSON_EXTRACT(body, '$.dataEvent'))  AS data_event
  FROM Messages
 WHERE feed = 1;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW Executions AS
SELECT seq, id, timestamp,
       JSON_UNQUOTE(JSON_EXTRACT(body, '$.symbol')) AS symbol,
       JSON_UNQUOTE(JSON_EXTRACT(body, '$.market')) AS market,
       CASE WHEN JSON_UNQUOTE(JSON_EXTRACT(body, '$.price')) IN ('NaN', 'Infinity', '-Infinity')
            THEN NULL
            ELSE CAST(JSON_UNQUOTE(JSON_EXTRACT(body, '$.price')) AS DOUBLE) END AS price,
       CASE WHEN JSON_UNQUOTE(JSON_EXTRACT(body, '$.quantity')) IN ('NaN', 'Infinity', '-Infinity')
            THEN NULL
            ELSE CAST(JSON_UNQUOTE(JSON_EXTRACT(body, '$.quantity')) AS DOUBLE) END AS quantity,
       CAST(JSON_UNQUOTE(JSON_EXTRACT(body, '$.executionEpoch')) AS SIGNED) AS execution_epoch,
       JSON_UNQUOTE(JSON_EXTRACT(body, '$.stateSymbol')) AS state_symbol
  FROM Messages
 WHERE feed = 2;
