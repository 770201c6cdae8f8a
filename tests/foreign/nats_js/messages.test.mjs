// What messages carry, whom they reach, and who answers.

import assert from "node:assert/strict";
import { test } from "node:test";
import { headers, RequestError, TimeoutError } from "@nats-io/transport-node";
import { Inbox, Server, statusOf } from "./server.mjs";

test("messages arrive in order, whatever matches their subject", async (t) => {
  const server = await Server.start(t);
  const subscriber = await server.connect();
  const publisher = await server.connect();
  const star = new Inbox(subscriber, "a.*");
  const all = new Inbox(subscriber, "a.>");
  const seven = new Inbox(subscriber, "a.7");
  await subscriber.flush();
  const expected = [];
  for (let i = 0; i < 5000; ++i) {
    publisher.publish(`a.${i % 10}`, `${i}`);
    expected.push(`${i}`);
  }
  await publisher.flush();
  await Promise.all([star.holds(5000), all.holds(5000), seven.holds(500)]);
  assert.deepEqual(star.texts(), expected);
  assert.deepEqual(all.texts(), expected);
  assert.deepEqual(
    seven.texts(),
    expected.filter((text) => text.endsWith("7")),
  );
});

test("a queue group shares, and each message goes to one", async (t) => {
  const server = await Server.start(t);
  const publisher = await server.connect();
  const members = [];
  for (let i = 0; i < 4; ++i) {
    const client = await server.connect();
    members.push(new Inbox(client, "work.>", { queue: "crew" }));
    await client.flush();
  }
  const all = new Inbox(publisher, "work.*");
  for (let i = 0; i < 2000; ++i) {
    publisher.publish("work.x", `${i}`);
  }
  await all.holds(2000);
  await Promise.all(members.map((member) => member.subscription.drain()));
  const got = members.flatMap((member) => member.texts());
  assert.equal(got.length, 2000);
  assert.equal(new Set(got).size, 2000);
  for (const member of members) {
    assert.ok(member.messages.length > 250, `${member.messages.length}`); // a fair share is 500
  }
});

test("requests are answered by one of a group, or by everybody", async (t) => {
  const server = await Server.start(t);
  const requester = await server.connect();
  for (let i = 0; i < 5; ++i) {
    const client = await server.connect();
    const answer = (error, message) => message.respond(`${message.string()} ${i}`);
    client.subscribe("one", { queue: "group", callback: answer });
    client.subscribe("all", { callback: answer });
    await client.flush();
  }
  const answers = new Set();
  for (let i = 0; i < 200; ++i) {
    answers.add((await requester.request("one", "who", { timeout: 30_000 })).string());
  }
  const everybody = ["who 0", "who 1", "who 2", "who 3", "who 4"];
  assert.deepEqual([...answers].sort(), everybody);
  const many = [];
  for await (const message of await requester.requestMany("all", "who", {
    strategy: "count",
    maxMessages: 5,
    maxWait: 5000,
  })) {
    many.push(message.string());
  }
  assert.deepEqual(many.sort(), everybody);
});

test("a request that nobody hears fails at once, an unanswered one in time", async (t) => {
  const server = await Server.start(t);
  const client = await server.connect();
  await assert.rejects(
    client.request("nobody", "?", { timeout: 60_000 }),
    (error) => error instanceof RequestError && error.isNoResponders(),
  );
  client.subscribe("silent", { callback: () => {} });
  await assert.rejects(
    client.request("silent", "?", { timeout: 50 }),
    (error) => error instanceof TimeoutError || error.cause instanceof TimeoutError,
  );
});

test("headers arrive as they were set", async (t) => {
  const server = await Server.start(t);
  const client = await server.connect();
  const inbox = new Inbox(client, "h");
  const set = headers();
  set.append("Colour", "red");
  set.append("Colour", "blue");
  set.set("shape", "a b: c");
  client.publish("h", "body", { headers: set, reply: "back" });
  await inbox.holds(1);
  const [message] = inbox.messages;
  assert.equal(message.string(), "body");
  assert.equal(message.reply, "back");
  assert.deepEqual(message.headers.values("Colour"), ["red", "blue"]);
  assert.equal(message.headers.get("shape"), "a b: c");
});

test("who wants no echo has none, and a maximum ends a subscription", async (t) => {
  const server = await Server.start(t);
  const silent = await server.connect({ noEcho: true });
  const other = await server.connect();
  const own = new Inbox(silent, "a");
  const few = new Inbox(other, "a", { max: 3 });
  await Promise.all([silent.flush(), other.flush()]);
  for (let i = 0; i < 5; ++i) {
    silent.publish("a", `${i}`);
  }
  await few.holds(3);
  other.publish("a", "from another");
  await own.holds(1);
  await Promise.all([silent.flush(), other.flush()]);
  assert.deepEqual(own.texts(), ["from another"]);
  assert.deepEqual(few.texts(), ["0", "1", "2"]);
});

test("a megabyte arrives whole, and more is refused", async (t) => {
  const server = await Server.start(t);
  const client = await server.connect();
  const inbox = new Inbox(client, "big");
  const size = client.info.max_payload;
  assert.equal(size, 1 << 20);
  for (let i = 0; i < 10; ++i) {
    const body = new Uint8Array(size).map((_, at) => (at * 31 + i) % 251);
    client.publish("big", body);
    await inbox.holds(i + 1);
    assert.ok(Buffer.from(inbox.messages[i].data).equals(Buffer.from(body)));
  }
  assert.throws(() => client.publish("big", new Uint8Array(size + 1)));
  await client.flush();
});

test("a client that does not keep up with its own subscription hears of it", async (t) => {
  const server = await Server.start(t);
  const client = await server.connect();
  const status = statusOf(client);
  const subscription = client.subscribe("a", { slow: 10 }); // and nobody iterates
  for (let i = 0; i < 100; ++i) {
    client.publish("a", `${i}`);
  }
  await client.flush();
  const told = await status.has("slowConsumer");
  assert.equal(told.sub, subscription);
});
