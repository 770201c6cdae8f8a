// A server of a test's own: the program that FEEDVAULT_TEST_SERVER names, started with nats-server's
// flags, which is what it is or stands in for.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { connect } from "@nats-io/transport-node";

/** Waits for a condition by asking again and again; throws when it does not come true in time. */
export async function eventually(condition, what = condition.toString()) {
  const deadline = Date.now() + 30_000;
  while (!(await condition())) {
    if (Date.now() > deadline) {
      throw new Error(`never came true: ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

const portOf = (url) => Number(/:(\d+)$/.exec(url)[1]);

// Servers are not to outlive a test that dies.
const running = new Set();
process.once("exit", () => running.forEach((child) => child.kill("SIGKILL")));

export class Server {
  #program = process.env.FEEDVAULT_TEST_SERVER;
  #folder = mkdtempSync(join(tmpdir(), "feedvault-nats-js-"));
  #clients = [];
  #output = "";
  port = -1; // any free one; the same one at a restart
  websocketPort; // as configured

  /** `config` is in nats-server's grammar. Stops with the test `t`. */
  static async start(t, config = "") {
    const server = new Server();
    t.after(() => server.stop());
    await server.restart(config);
    return server;
  }

  /** One with streams, which live as long as it does. */
  static async withStreams(t) {
    const server = new Server();
    t.after(() => server.stop());
    await server.restart(`jetstream { store_dir: "${server.#folder}" }`);
    return server;
  }

  async restart(config) {
    const file = join(this.#folder, "nats.conf");
    if (config !== undefined) {
      writeFileSync(file, config);
    }
    this.child = spawn(this.#program, [
      ...["-c", file, "-a", "127.0.0.1", "-p", String(this.port)],
      ...["--ports_file_dir", this.#folder],
    ]);
    this.exited = new Promise((resolve) => this.child.once("exit", (code) => resolve(code)));
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.on("data", (text) => (this.#output += text));
    }
    running.add(this.child);
    const { child } = this;
    this.exited.then(() => running.delete(child));
    const ports = join(this.#folder, `${basename(this.#program)}_${this.child.pid}.ports`);
    // nats-server writes it piece by piece.
    const written = () => existsSync(ports) && readFileSync(ports, "utf8").endsWith("}");
    await eventually(() => written() || this.child.exitCode !== null, "the server is up");
    if (this.child.exitCode !== null) {
      throw new Error(`the server did not come up:\n${this.#output}`);
    }
    const bound = JSON.parse(readFileSync(ports, "utf8"));
    this.port = portOf(bound.nats[0]);
    this.websocketPort = bound.websocket && portOf(bound.websocket[0]);
  }

  /** A client; it is closed with the server. */
  connect(options = {}) {
    return this.adopt(
      connect({
        servers: `127.0.0.1:${this.port}`,
        maxReconnectAttempts: -1, // a server may take its time to come back
        reconnectTimeWait: 20,
        reconnectJitter: 5,
        ...options,
      }),
    );
  }

  /** Closes a client that was made in another way with the server, too. */
  async adopt(connecting) {
    const client = await connecting;
    this.#clients.push(client);
    return client;
  }

  signal(name) {
    this.child.kill(name);
  }

  async killHard() {
    this.child.kill("SIGKILL");
    await this.exited;
  }

  async stop() {
    await Promise.all(this.#clients.map((client) => client.close()));
    await this.killHard();
    rmSync(this.#folder, { recursive: true });
  }
}

/** Collects what a subscription receives. */
export class Inbox {
  messages = [];

  constructor(client, subject, options = {}) {
    this.subscription = client.subscribe(subject, {
      ...options,
      callback: (error, message) => {
        if (error === null) {
          this.messages.push(message);
        }
      },
    });
  }

  texts() {
    return this.messages.map((message) => message.string());
  }

  async holds(count) {
    await eventually(() => this.messages.length >= count, `${count} messages`);
  }
}

/** Collects what a client tells about its connection. */
export function statusOf(client) {
  const seen = [];
  (async () => {
    for await (const status of client.status()) {
      seen.push(status);
    }
  })();
  return {
    seen,
    async has(type) {
      await eventually(() => seen.some((status) => status.type === type), `status ${type}`);
      return seen.find((status) => status.type === type);
    },
  };
}
