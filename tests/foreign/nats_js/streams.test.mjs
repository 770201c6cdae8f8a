// Streams, consumers, key-value buckets and object stores, as their users know them.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AckPolicy,
  DeliverPolicy,
  jetstream,
  JetStreamApiError,
  jetstreamManager,
  RetentionPolicy,
} from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";
import { eventually, Server } from "./server.mjs";

/** A server, a client, and a stream S of `s.*` with so many messages: "0", "1" ... on s.0 to s.2. */
async function begin(t, messages = 0, config = {}) {
  const server = await Server.withStreams(t);
  const client = await server.connect();
  const manager = await jetstreamManager(client);
  await manager.streams.add({ name: "S", subjects: ["s.*"], ...config });
  const js = jetstream(client);
  await publish(js, 0, messages);
  return { server, client, manager, js };
}

async function publish(js, from, to) {
  for (let begin = from; begin < to; begin += 500) {
    const count = Math.min(500, to - begin);
    await Promise.all(
      Array.from({ length: count }, (_, i) =>
        js.publish(`s.${(begin + i) % 3}`, `${begin + i}`, { timeout: 30_000 }),
      ),
    );
  }
}

const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => `${from + i}`);

/** The next so many messages of a subscription, acknowledged where that is wanted. */
async function take(messages, count, acknowledge = false) {
  const texts = [];
  for await (const message of messages) {
    texts.push(message.string());
    if (acknowledge) {
      message.ack();
    }
    if (texts.length === count) {
      break;
    }
  }
  return texts;
}

test("a stream keeps what is published to it, once for each id", async (t) => {
  const { js, manager } = await begin(t);
  const first = await js.publish("s.1", "a", { msgID: "one" });
  assert.deepEqual([first.stream, first.seq, first.duplicate], ["S", 1, false]);
  const again = await js.publish("s.1", "a", { msgID: "one" });
  assert.deepEqual([again.seq, again.duplicate], [1, true]);
  await js.publish("s.2", "b", { expect: { lastSequence: 1, streamName: "S" } });
  await assert.rejects(
    js.publish("s.2", "c", { expect: { lastSequence: 1 } }),
    (error) => error instanceof JetStreamApiError && error.code === 10071,
  );
  const message = await manager.streams.getMessage("S", { last_by_subj: "s.2" });
  assert.deepEqual([message.seq, message.string()], [2, "b"]);
  await manager.streams.deleteMessage("S", 1);
  assert.equal(await manager.streams.getMessage("S", { seq: 1 }), null);
  const { state } = await manager.streams.info("S", { subjects_filter: ">" });
  assert.deepEqual([state.messages, state.first_seq, state.last_seq], [1, 2, 2]);
  assert.deepEqual(state.subjects, { "s.2": 1 });
  assert.equal((await manager.streams.purge("S")).purged, 1);
  assert.ok(await manager.streams.delete("S"));
});

test("a pull consumer hands out, takes back, and delivers again", async (t) => {
  const { js, manager } = await begin(t, 900);
  await manager.consumers.add("S", {
    durable_name: "C",
    ack_policy: AckPolicy.Explicit,
    ack_wait: 60e9,
  });
  const consumer = await js.consumers.get("S", "C");
  const first = await consumer.next({ expires: 5000 });
  assert.equal(first.string(), "0");
  assert.ok(await first.ackAck({ timeout: 30_000 }));
  const fetched = await take(await consumer.fetch({ max_messages: 499, expires: 5000 }), 499, true);
  assert.deepEqual(fetched, numbers(1, 500));
  const consumed = await consumer.consume({ max_messages: 100 });
  assert.deepEqual(await take(consumed, 400, true), numbers(500, 900));
  await consumed.close();
  await eventually(async () => (await consumer.info()).num_ack_pending === 0);
  assert.equal(await consumer.next({ expires: 1000 }), null);
});

test("what is refused comes again, and so does what nobody answers in time", async (t) => {
  const { js, manager } = await begin(t, 2);
  await manager.consumers.add("S", {
    durable_name: "C",
    ack_policy: AckPolicy.Explicit,
    ack_wait: 500e6,
    max_ack_pending: 1,
  });
  const consumer = await js.consumers.get("S", "C");
  const next = async () => {
    const message = await consumer.next({ expires: 5000 });
    return [message, message.string(), message.info.deliveryCount];
  };
  const [refused, ...first] = await next();
  assert.deepEqual(first, ["0", 1]);
  refused.nak();
  const [, ...second] = await next();
  assert.deepEqual(second, ["0", 2]);
  const [late, ...third] = await next();
  assert.deepEqual(third, ["0", 3]);
  late.term();
  const [, ...other] = await next();
  assert.deepEqual(other, ["1", 1]);
});

test("filters choose; a workqueue forgets what is done", async (t) => {
  const { js, manager } = await begin(t, 30, { retention: RetentionPolicy.Workqueue });
  await manager.consumers.add("S", {
    durable_name: "ONE",
    ack_policy: AckPolicy.Explicit,
    filter_subject: "s.1",
  });
  const consumer = await js.consumers.get("S", "ONE");
  const got = await take(await consumer.fetch({ max_messages: 10, expires: 5000 }), 10, true);
  assert.deepEqual(got, numbers(0, 30).filter((each) => each % 3 === 1));
  await eventually(async () => (await manager.streams.info("S")).state.messages === 20);
});

test("a push consumer of a group is shared", async (t) => {
  const { client, js, manager, server } = await begin(t, 200);
  const other = await server.connect();
  const got = [];
  for (const each of [client, other]) {
    each.subscribe("out", {
      queue: "crew",
      callback: (error, message) => {
        got.push(message.string());
        message.respond("+ACK");
      },
    });
    await each.flush();
  }
  await manager.consumers.add("S", {
    durable_name: "P",
    ack_policy: AckPolicy.Explicit,
    deliver_subject: "out",
    deliver_group: "crew",
  });
  await publish(js, 200, 300);
  await eventually(() => got.length >= 300);
  assert.deepEqual(got.sort((a, b) => a - b), numbers(0, 300));
  await eventually(async () => (await manager.consumers.info("S", "P")).num_ack_pending === 0);
});

test("an ordered consumer goes on where it was when its consumer is gone", async (t) => {
  const { js, manager } = await begin(t, 400);
  const consumer = await js.consumers.get("S", { deliver_policy: DeliverPolicy.All });
  const messages = await consumer.consume({ max_messages: 50, expires: 2000, idle_heartbeat: 500 });
  const texts = [];
  for await (const message of messages) {
    texts.push(message.string());
    if (texts.length === 120) {
      const [name] = (await manager.consumers.list("S").next()).map((each) => each.name);
      await manager.consumers.delete("S", name);
      await publish(js, 400, 500);
    }
    if (texts.length === 500) {
      break;
    }
  }
  assert.deepEqual(texts, numbers(0, 500));
});

test("an ordered consumer goes on when the server was killed", async (t) => {
  const { server, js } = await begin(t, 300);
  const consumer = await js.consumers.get("S", { filter_subjects: "s.1" });
  const messages = await consumer.consume({ max_messages: 40, expires: 2000, idle_heartbeat: 500 });
  const texts = [];
  for await (const message of messages) {
    texts.push(message.string());
    if (texts.length === 60) {
      await server.killHard();
      await server.restart();
    }
    if (texts.length === 100) {
      break;
    }
  }
  assert.deepEqual(texts, numbers(0, 300).filter((each) => each % 3 === 1));
});

test("a key-value bucket", async (t) => {
  const server = await Server.withStreams(t);
  const bucket = await new Kvm(await server.connect()).create("B", { history: 3 });
  const watched = [];
  const watch = await bucket.watch();
  (async () => {
    for await (const entry of watch) {
      watched.push(`${entry.operation} ${entry.key} ${entry.string()}`);
    }
  })();
  const revision = await bucket.create("k", "1");
  // A watcher that begins later gets only the last value of each key.
  await eventually(() => watched.length === 1);
  await assert.rejects(bucket.create("k", "again"));
  await bucket.update("k", "2", revision);
  await assert.rejects(bucket.update("k", "late", revision));
  await bucket.put("k", "3");
  await bucket.put("k", "4");
  await bucket.put("other.key", "x");
  const entry = await bucket.get("k");
  assert.deepEqual([entry.string(), entry.revision], ["4", 4]);
  const history = [];
  for await (const each of await bucket.history({ key: "k" })) {
    history.push(each.string());
  }
  assert.deepEqual(history, ["2", "3", "4"]);
  await bucket.delete("k");
  assert.equal((await bucket.get("k")).operation, "DEL");
  const keys = [];
  for await (const key of await bucket.keys()) {
    keys.push(key);
  }
  assert.deepEqual(keys, ["other.key"]);
  await bucket.purge("other.key");
  await eventually(() => watched.length === 7);
  assert.deepEqual(watched, [
    ...["PUT k 1", "PUT k 2", "PUT k 3", "PUT k 4"],
    ...["PUT other.key x", "DEL k ", "PURGE other.key "],
  ]);
  assert.equal((await bucket.status()).values, 4);
});

test("an object store", async (t) => {
  const server = await Server.withStreams(t);
  const store = await new Objm(await server.connect()).create("O");
  const data = Uint8Array.from({ length: 1_000_000 }, (_, i) => (i * 7919) % 251);
  const info = await store.putBlob({ name: "large", options: { max_chunk_size: 65536 } }, data);
  assert.deepEqual([info.size, info.chunks], [1_000_000, 16]);
  const got = async (name) => Uint8Array.from(await store.getBlob(name));
  assert.deepEqual(await got("large"), data);
  await store.putBlob({ name: "large" }, Uint8Array.of(1, 2, 3));
  assert.deepEqual(await got("large"), Uint8Array.of(1, 2, 3));
  await store.putBlob({ name: "small" }, Uint8Array.of(4));
  assert.deepEqual((await store.list()).map((each) => each.name).sort(), ["large", "small"]);
  await store.delete("small");
  assert.equal(await store.getBlob("small"), null);
});
