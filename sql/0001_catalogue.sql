-- The catalogue: messages, how far each feed has been read, and what could not be catalogued.
-- DDL commits by itself, so every statement can run again after a crash in the middle of this file.

-- One row a message, for ever. First write wins: rows are never changed.
CREATE TABLE IF NOT EXISTS Messages (
  feed      TINYINT UNSIGNED NOT NULL,
  seq       BIGINT UNSIGNED  NOT NULL,  -- 1, 2, 3 ... per feed, without gaps
  id        VARBINARY(255)   NOT NULL,  -- Nats-Msg-Id, or <stream>-<created>-<stream sequence>
  timestamp DATETIME(6)      NOT NULL,  -- UTC, when the ingest stream stored the message
  size      INT UNSIGNED     NOT NULL,  -- of data, bytes
  data      MEDIUMBLOB       NOT NULL,  -- as received
  body      JSON             NULL,      -- decoded; NULL with [catalogue] json = false
  PRIMARY KEY (feed, seq),
  UNIQUE KEY id (feed, id),
  KEY timestamp (feed, timestamp)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One row a feed: who may write, the ingest position (the checkpoint), the last seq, counters.
-- Every transaction that adds messages updates this row, which is its lock.
CREATE TABLE IF NOT EXISTS Feeds (
  feed              TINYINT UNSIGNED NOT NULL,
  name              VARCHAR(255)     NOT NULL,
  epoch             BIGINT UNSIGNED  NOT NULL DEFAULT 0,  -- raised by each writer that takes over
  stream_created_ns BIGINT           NOT NULL DEFAULT 0,  -- Unix; which incarnation of the stream
  stream_seq        BIGINT UNSIGNED  NOT NULL DEFAULT 0,  -- of the last message dealt with
  stream_time_ns    BIGINT           NOT NULL DEFAULT 0,  -- when the stream stored it, Unix
  stream_hash       BIGINT UNSIGNED  NOT NULL DEFAULT 0,  -- of its id and payload
  last_seq          BIGINT UNSIGNED  NOT NULL DEFAULT 0,  -- highest Messages.seq
  duplicates        BIGINT UNSIGNED  NOT NULL DEFAULT 0,  -- known id, same bytes: dropped, all time
  conflicts         BIGINT UNSIGNED  NOT NULL DEFAULT 0,  -- known id, other bytes, all time
  quarantined       BIGINT UNSIGNED  NOT NULL DEFAULT 0,  -- rows ever put into Quarantine
  PRIMARY KEY (feed),
  UNIQUE KEY name (name)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What could not be catalogued as a message, conflicts included, each once.
CREATE TABLE IF NOT EXISTS Quarantine (
  id                BIGINT UNSIGNED  NOT NULL AUTO_INCREMENT,
  feed              TINYINT UNSIGNED NOT NULL,
  stream_created_ns BIGINT           NOT NULL,
  stream_seq        BIGINT UNSIGNED  NOT NULL,
  message_id        VARBINARY(255)   NOT NULL,
  timestamp         DATETIME(6)      NOT NULL,
  size              INT UNSIGNED     NOT NULL,  -- as received; data may have been cut to fit
  data              LONGBLOB         NOT NULL,
  error             TEXT             NOT NULL,  -- the reason, in words
  state ENUM('quarantined', 'requested', 'requeued', 'failed') NOT NULL DEFAULT 'quarantined',
  seq               BIGINT UNSIGNED  NULL,      -- its Messages.seq, once requeued
  PRIMARY KEY (id),
  UNIQUE KEY origin (feed, stream_created_ns, stream_seq, timestamp),
  KEY state (feed, state, id),
  KEY seq (feed, seq)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Ranges of ingest stream sequences that were gone before they could be read.
CREATE TABLE IF NOT EXISTS Gaps (
  feed              TINYINT UNSIGNED NOT NULL,
  stream_created_ns BIGINT           NOT NULL,
  first_seq         BIGINT UNSIGNED  NOT NULL,
  last_seq          BIGINT UNSIGNED  NOT NULL,  -- 0: unknown
  reason            TEXT             NOT NULL,
  noticed           DATETIME(6)      NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (feed, stream_created_ns, first_seq, last_seq)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
