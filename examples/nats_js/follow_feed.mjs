// Writes a feed to a file with nats.js and a durable consumer, each message exactly once.
//
//     npm install @nats-io/transport-node @nats-io/jetstream
//     node follow_feed.mjs nats://127.0.0.1:4222 executions executions.ndjson
//
// A durable consumer gives each message at least once: what was not acknowledged in time, or whose
// acknowledgement was lost, comes again. Positions make it exactly once: m.seq is 1, 2, 3 ... without
// gaps, the file's last line has the last one that was dealt with, and what is not above it is known.

import {
  appendFileSync, closeSync, existsSync, fstatSync, ftruncateSync, openSync, readSync,
} from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, nanos } from "@nats-io/transport-node";

const [servers, feed, file] = process.argv.slice(2);
if (!file) {
  console.error("usage: node follow_feed.mjs nats://HOST:PORT FEED FILE");
  process.exit(2);
}
const DURABLE = "follow_feed";
const PATIENCE = 60; // times 100 ms: longer than ack_wait, after which what is missing comes again

/** The last message that the file holds whole; 0 when there is none. */
function lastWritten() {
  if (!existsSync(file)) {
    return 0;
  }
  const handle = openSync(file, "r+");
  try {
    const { size } = fstatSync(handle);
    // From the end, because the file may be of any size: as much as holds a whole line.
    for (let length = 65_536; ; length *= 2) {
      const from = Math.max(0, size - length);
      const bytes = Buffer.alloc(size - from);
      readSync(handle, bytes, 0, bytes.length, from);
      const end = bytes.lastIndexOf("\n");
      const begin = bytes.subarray(0, Math.max(0, end)).lastIndexOf("\n") + 1;
      if (from === 0 || begin > 0) {
        ftruncateSync(handle, from + end + 1); // a line that a crash cut off
        return end < 0 ? 0 : JSON.parse(bytes.toString("utf8", begin, end)).seq;
      }
    }
  } finally {
    closeSync(handle);
  }
}

/** Reads until something is wrong: then the caller begins again, with a new look at everything. */
async function follow(connection) {
  const stream = `FEED_${feed}`;
  const manager = await jetstreamManager(connection);
  let last = lastWritten();
  const { state } = await manager.streams.info(stream);
  if (state.first_seq > last + 1) {
    // Older than what the stream keeps. The table has it: GET /feeds/FEED/messages?from=...&to=...
    console.error(`${last + 1} to ${state.first_seq - 1} are in the table only, and are left out`);
    last = state.first_seq - 1;
  }
  // Made once; later it is there, at the place that the broker keeps for us.
  let known = await manager.consumers.info(stream, DURABLE).catch(() => null);
  if (known && known.ack_floor.stream_seq > last) {
    await manager.consumers.delete(stream, DURABLE); // the file is older: it was lost, or put back
    known = null;
  }
  if (!known) {
    await manager.consumers.add(stream, {
      durable_name: DURABLE,
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: last + 1,
      ack_wait: nanos(5_000), // longer than the slowest message takes here
      max_ack_pending: 100, // so many may be under way
    });
  }
  const consumer = await jetstream(connection).consumers.get(stream, DURABLE);
  // Without the last option it would wait for ever for a consumer that somebody has deleted.
  const messages = await consumer.consume({ max_messages: 100, abort_on_missing_resource: true });
  for await (const message of messages) {
    if (message.seq > last + 1) {
      if (message.info.deliveryCount > PATIENCE) {
        await manager.consumers.delete(stream, DURABLE); // the next one starts at last + 1
        throw new Error(`${last + 1} does not come`); // the stream may have forgotten it
      }
      message.nak(100); // something before it comes again first, and then this
      continue;
    }
    if (message.seq === last + 1) {
      const line = {
        seq: message.seq,
        id: message.headers.get("Feed-Id"),
        timestamp: message.headers.get("Feed-Timestamp"),
        data: Buffer.from(message.data).toString("base64"), // protobuf, as the producer sent it
      };
      appendFileSync(file, `${JSON.stringify(line)}\n`);
      last = message.seq;
    }
    message.ack(); // after the effect; a repeat is known by its seq
  }
}

for (;;) {
  const connection = await connect({ servers, maxReconnectAttempts: -1, waitOnFirstConnect: true });
  try {
    await follow(connection);
  } catch (problem) {
    console.error(`${problem.message}; trying again`);
  }
  await connection.close();
  await wait(1000);
}
