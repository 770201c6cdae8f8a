// Credentials and permissions.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AuthorizationError,
  nkeyAuthenticator,
  PermissionViolationError,
} from "@nats-io/transport-node";
import { Inbox, Server, statusOf } from "./server.mjs";

// The key whose seed is the bytes 1 to 32, and the seed that starts one later.
const PUBLIC_KEY = "UB43KVROR7TFJ6KAPCYRF2FJROTZAH4FHLTJLPWX4DRZCC5NASLGJBFE";
const SEED = "SUAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IC5CQ";
const OTHER_SEED = "SUAAEAYEAUDAOCAJBIFQYDIOB4IBCEQTCQKRMFYYDENBWHA5DYPSAIOM6Y";

const key = (seed) => ({ authenticator: nkeyAuthenticator(new TextEncoder().encode(seed)) });

async function getsIn(server, options) {
  const client = await server.connect(options);
  const inbox = new Inbox(client, "inside");
  client.publish("inside", "x");
  await inbox.holds(1);
}

async function isRefused(server, options) {
  await assert.rejects(
    server.connect({ reconnect: false, ...options }),
    (error) => error instanceof AuthorizationError,
  );
}

test("users need their passwords", async (t) => {
  // The second one is bcrypt of "hashed".
  const server = await Server.start(
    t,
    `authorization { users: [
      { user: alice, password: wonder }
      { user: bob, password: "$2a$04$abcdefghijklmnopqrstuu369LYjJlegQeGD0CWsjs58fASePKjWq" }
    ] }`,
  );
  await getsIn(server, { user: "alice", pass: "wonder" });
  await getsIn(server, { user: "bob", pass: "hashed" });
  await isRefused(server, { user: "alice", pass: "wander" });
  await isRefused(server, { user: "bob", pass: "wonder" });
  await isRefused(server, { user: "carol", pass: "wonder" });
  await isRefused(server, {});
});

test("tokens are checked", async (t) => {
  const server = await Server.start(t, "authorization { token: t0ken }");
  await getsIn(server, { token: "t0ken" });
  await isRefused(server, { token: "token" });
  await isRefused(server, {});
});

test("NKeys sign the nonce", async (t) => {
  const server = await Server.start(
    t,
    `authorization { users: [ { nkey: ${PUBLIC_KEY} } ] }`,
  );
  await getsIn(server, key(SEED));
  await isRefused(server, key(OTHER_SEED));
  await isRefused(server, { user: "alice", pass: "x" });
});

test("permissions violations are told, and the connection stays", async (t) => {
  const server = await Server.start(
    t,
    `authorization { users: [ { user: alice, password: wonder, permissions: {
      publish: { allow: ["out.>", "_INBOX.>"], deny: "out.secret" }
      subscribe: { allow: ["in.>", "_INBOX.>"], deny: "in.secret" }
    } } ] }`,
  );
  const client = await server.connect({ user: "alice", pass: "wonder" });
  const status = statusOf(client);
  client.publish("out.secret", "x");
  const { error } = await status.has("error");
  assert.ok(error instanceof PermissionViolationError);
  assert.equal(error.operation, "publish");
  assert.equal(error.subject, "out.secret");

  const refused = await new Promise((resolve) => {
    client.subscribe("in.secret", { queue: "q", callback: (problem) => resolve(problem) });
  });
  assert.ok(refused instanceof PermissionViolationError);
  assert.equal(refused.operation, "subscription");
  assert.equal(refused.subject, "in.secret");
  assert.equal(refused.queue, "q");
  await client.flush();
  assert.ok(!client.isClosed());
});

test("who is refused again and again gives up", async (t) => {
  const server = await Server.start(t, "authorization { user: alice, password: wonder }");
  const client = await server.connect({
    user: "alice",
    pass: "wonder",
    maxReconnectAttempts: -1,
  });
  await server.killHard();
  await server.restart("authorization { user: alice, password: changed }");
  assert.ok((await client.closed()) instanceof AuthorizationError);
});
