// The same connection over TLS and WebSocket, as Node and as browsers speak it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { wsconnect } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import { WebSocket } from "ws";
import { Inbox, Server, statusOf } from "./server.mjs";

/** A self-signed certificate for loopback, and its key: files that go with the test. */
function certificate(t) {
  const folder = mkdtempSync(join(tmpdir(), "feedvault-certificate-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const files = { cert: join(folder, "cert.pem"), key: join(folder, "key.pem") };
  execFileSync(
    "openssl",
    [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
      ...["-days", "2", "-subj", "/CN=localhost", "-addext"],
      ...["subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", files.key, "-out", files.cert],
    ],
    { stdio: "ignore" },
  );
  return files;
}

// What a browser has, and Node from 22 on. `options` are what a browser would know by itself.
function useWebSocket(options = {}) {
  globalThis.WebSocket = class extends WebSocket {
    constructor(url) {
      super(url, options);
    }
  };
}

/** Messages both ways, small ones and a megabyte. */
async function talks(client) {
  const inbox = new Inbox(client, "a.*");
  const large = new Uint8Array(client.info.max_payload).map((_, at) => (at * 31) % 251);
  for (let i = 0; i < 1000; ++i) {
    client.publish("a.b", `${i}`);
  }
  client.publish("a.large", large);
  await inbox.holds(1001);
  assert.deepEqual(
    inbox.texts().slice(0, 1000),
    Array.from({ length: 1000 }, (_, i) => `${i}`),
  );
  assert.ok(Buffer.from(inbox.messages[1000].data).equals(Buffer.from(large)));
  client.subscribe("echo", { callback: (_, message) => message.respond(message.data) });
  assert.equal((await client.request("echo", "me", { timeout: 30_000 })).string(), "me");
  inbox.subscription.unsubscribe();
}

const url = (server, scheme) => `${scheme}://127.0.0.1:${server.websocketPort}`;

test("a client upgrades to TLS and trusts only whom it should", async (t) => {
  const { cert, key } = certificate(t);
  const server = await Server.start(t, `tls { cert_file: "${cert}", key_file: "${key}" }`);
  const client = await server.connect({ tls: { caFile: cert } });
  assert.equal(client.info.tls_required, true);
  await talks(client);
  const servers = `127.0.0.1:${server.port}`;
  await assert.rejects(connect({ servers, reconnect: false, timeout: 2000 }));
});

test("a server that wants certificates of clients refuses those without", async (t) => {
  const { cert, key } = certificate(t);
  const server = await Server.start(
    t,
    `tls { cert_file: "${cert}", key_file: "${key}", ca_file: "${cert}", verify: true }`,
  );
  await talks(await server.connect({ tls: { caFile: cert, certFile: cert, keyFile: key } }));
  const servers = `127.0.0.1:${server.port}`;
  await assert.rejects(
    connect({ servers, reconnect: false, timeout: 2000, tls: { caFile: cert } }),
  );
});

test("WebSocket carries the same", async (t) => {
  const server = await Server.start(t, "websocket { listen: \"127.0.0.1:-1\", no_tls: true }");
  useWebSocket({ perMessageDeflate: false });
  const client = await server.adopt(wsconnect({ servers: url(server, "ws") }));
  await talks(client);
  const other = await server.connect(); // and both are clients of one server
  const inbox = new Inbox(other, "across");
  await other.flush();
  client.publish("across", "x");
  await inbox.holds(1);
});

test("WebSocket with compression and TLS carries the same", async (t) => {
  const { cert, key } = certificate(t);
  const server = await Server.start(
    t,
    `websocket { listen: "127.0.0.1:-1", compression: true
       tls { cert_file: "${cert}", key_file: "${key}" } }`,
  );
  useWebSocket({ perMessageDeflate: true, ca: readFileSync(cert) });
  await talks(await server.adopt(wsconnect({ servers: url(server, "wss") })));
});

test("a WebSocket client comes back after the server was killed", async (t) => {
  const server = await Server.start(t, "websocket { listen: \"127.0.0.1:-1\", no_tls: true }");
  useWebSocket();
  const client = await server.adopt(
    wsconnect({ servers: url(server, "ws"), maxReconnectAttempts: -1, reconnectTimeWait: 20 }),
  );
  const inbox = new Inbox(client, "a");
  await client.flush();
  const status = statusOf(client);
  await server.killHard();
  await status.has("disconnect");
  await server.restart(`websocket { listen: "127.0.0.1:${server.websocketPort}", no_tls: true }`);
  await status.has("reconnect");
  client.publish("a", "back");
  await inbox.holds(1);
});

test("WebSocket clients that are not let in are told why", async (t) => {
  const server = await Server.start(
    t,
    "websocket { listen: \"127.0.0.1:-1\", no_tls: true }\nauthorization { token: t0ken }",
  );
  useWebSocket();
  const servers = url(server, "ws");
  await talks(await server.adopt(wsconnect({ servers, token: "t0ken" })));
  await assert.rejects(wsconnect({ servers, token: "wrong", reconnect: false }), /Authorization/i);
});
