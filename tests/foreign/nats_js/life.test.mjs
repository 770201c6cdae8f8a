// Connections: what they are told, and how they end and come back.

import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, Inbox, Server, statusOf } from "./server.mjs";

test("a client comes back after the server was killed, with its subscriptions", async (t) => {
  const server = await Server.start(t);
  const client = await server.connect({ maxReconnectAttempts: -1 });
  const inbox = new Inbox(client, "after.*");
  const group = new Inbox(client, "group", { queue: "g" });
  await client.flush();
  const status = statusOf(client);
  for (let round = 1; round <= 3; ++round) {
    await server.killHard();
    await eventually(() => status.seen.filter((s) => s.type === "disconnect").length === round);
    await server.restart();
    await eventually(() => status.seen.filter((s) => s.type === "reconnect").length === round);
    client.publish("after.x", `${round}`);
    client.publish("group", `${round}`);
    await Promise.all([inbox.holds(round), group.holds(round)]);
  }
  assert.deepEqual(inbox.texts(), ["1", "2", "3"]);
  assert.deepEqual(group.texts(), ["1", "2", "3"]);
});

test("draining delivers what is on its way", async (t) => {
  const server = await Server.start(t);
  const publisher = await server.connect();
  const client = await server.connect();
  const inbox = new Inbox(client, "a");
  await client.flush();
  for (let i = 0; i < 1000; ++i) {
    publisher.publish("a", `${i}`);
  }
  await publisher.flush();
  await client.drain();
  assert.equal(inbox.messages.length, 1000);
  assert.ok(client.isClosed());
  await assert.rejects(publisher.request("a", "?", { timeout: 60_000 }));
});

test("a drained subscription leaves the connection alone", async (t) => {
  const server = await Server.start(t);
  const client = await server.connect();
  const inbox = new Inbox(client, "a");
  client.publish("a", "1");
  await inbox.subscription.drain();
  client.publish("a", "2");
  await client.flush();
  assert.deepEqual(inbox.texts(), ["1"]);
});

test("clients hear of lame duck mode", async (t) => {
  const server = await Server.start(
    t,
    'lame_duck_duration: "30s"\nlame_duck_grace_period: "1s"\n',
  );
  const client = await server.connect();
  const status = statusOf(client);
  server.signal("SIGUSR2");
  await status.has("ldm");
});

test("a client gives up when the server stays away", async (t) => {
  const server = await Server.start(t);
  const client = await server.connect({ maxReconnectAttempts: 2 });
  server.signal("SIGTERM");
  await server.exited;
  await client.closed();
});

test("the server introduces itself", async (t) => {
  const server = await Server.start(t, "server_name: example\nmax_payload: 1000\n");
  const client = await server.connect({ name: "me" });
  const { info } = client;
  assert.equal(info.server_name, "example");
  assert.match(info.server_id, /^N[A-Z0-9]{55}$/);
  assert.match(info.version, /^\d+\.\d+\.\d+/);
  assert.equal(info.proto, 1);
  assert.equal(info.headers, true);
  assert.equal(info.max_payload, 1000);
  assert.equal(info.client_ip, "127.0.0.1");
  assert.ok(info.client_id > 0);
  assert.ok((await client.rtt()) >= 0);
});
