// WebSocket: what only it has, and nats.js over it, as browsers have it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { headers, NoRespondersError, RequestError, wsconnect } from "@nats-io/nats-core";
import { WebSocket } from "ws";
import { eventually, Inbox, Server } from "./server.mjs";

const url = (server) => `ws://127.0.0.1:${server.websocketPort}`;

/** A client of the server's WebSocket listener. `socket` are options of the WebSocket itself. */
function connect(server, socket = {}) {
  return server.adopt(
    wsconnect({
      servers: url(server),
      wsFactory: (where) => ({ socket: new WebSocket(where, socket), encrypted: false }),
    }),
  );
}

const listener = (more = "") => `websocket { listen: "127.0.0.1:-1", no_tls: true ${more} }\n`;

test("requests, headers and no responders", async (t) => {
  const server = await Server.start(t, listener());
  const browser = await connect(server);
  const other = await server.connect();
  other.subscribe("double", {
    callback: (error, message) =>
      message.respond(message.string().repeat(2), { headers: message.headers }),
  });
  await other.flush();
  const sent = headers();
  sent.set("Colour", "blue");
  const answer = await browser.request("double", "ab", { headers: sent, timeout: 30_000 });
  assert.equal(answer.string(), "abab");
  assert.equal(answer.headers.get("Colour"), "blue");
  await assert.rejects(
    browser.request("nobody", "x", { timeout: 30_000 }),
    (error) => error instanceof RequestError && error.cause instanceof NoRespondersError,
  );
});

// Compressed where both want it, and the same bytes in any case.
for (const compression of [false, true]) {
  test(`a megabyte both ways, compression ${compression}`, async (t) => {
    const server = await Server.start(t, listener(`, compression: ${compression}`));
    const browser = await connect(server, { perMessageDeflate: true });
    const inbox = new Inbox(browser, "big");
    const body = (n) => Buffer.from(new Uint8Array(1 << 20).map((_, i) => (i * n) >> (i % 11)));
    for (let n = 1; n <= 5; ++n) {
      browser.publish("big", body(n));
    }
    await inbox.holds(5);
    for (const [i, message] of inbox.messages.entries()) {
      assert.ok(body(i + 1).equals(message.data), `message ${i}`);
    }
    assert.equal(inbox.messages.length, 5);
  });
}

test("draining ends the connection properly", async (t) => {
  const server = await Server.start(t, listener());
  const publisher = await server.connect();
  const client = await connect(server);
  const inbox = new Inbox(client, "a");
  await client.flush();
  for (let i = 0; i < 1000; ++i) {
    publisher.publish("a", `${i}`);
  }
  await publisher.flush();
  await client.drain();
  assert.equal(inbox.messages.length, 1000);
  assert.ok(client.isClosed());
});

test("a payload that is too large ends the connection with its reason", async (t) => {
  const server = await Server.start(t, `${listener()}max_payload: 100\n`);
  const socket = new WebSocket(url(server));
  let text = "";
  socket.on("message", (data) => (text += data));
  const closed = new Promise((resolve) =>
    socket.once("close", (code, reason) => resolve({ code, reason: `${reason}` })),
  );
  await new Promise((resolve) => socket.once("open", resolve));
  socket.send('CONNECT {"verbose":false}\r\nPUB a 101\r\n');
  assert.deepEqual(await closed, { code: 1009, reason: "Maximum Message Payload Exceeded" });
  assert.match(text, /-ERR 'Maximum Payload Violation'\r\n$/);
});

test("pages of other origins are turned away", async (t) => {
  const server = await Server.start(t, listener(', allowed_origins: ["http://good.example"]'));
  const good = await connect(server, { origin: "http://good.example" });
  await good.flush();
  const bad = new WebSocket(url(server), { origin: "http://bad.example" });
  const error = await new Promise((resolve) => bad.once("error", resolve));
  assert.match(error.message, /403/);
});

test("pings of the WebSocket itself are answered", async (t) => {
  const server = await Server.start(t, listener());
  const socket = new WebSocket(url(server));
  await new Promise((resolve) => socket.once("open", resolve));
  const pongs = [];
  socket.on("pong", (data) => pongs.push(`${data}`));
  socket.ping("one");
  await eventually(() => pongs.length === 1);
  socket.ping("two");
  await eventually(() => pongs.length === 2);
  assert.deepEqual(pongs, ["one", "two"]);
  socket.terminate();
});
