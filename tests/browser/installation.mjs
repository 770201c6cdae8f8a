// A whole installation of the test's own: broker, database, controller, gateway. Driven through
// browser_installation, which ends with this process.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { join } from "node:path";

/** Waits for a condition by asking again and again; throws when it does not come true in time. */
export async function eventually(condition, what, ms = 30_000) {
  const deadline = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) {
      return value;
    }
    if (Date.now() > deadline) {
      throw new Error(`never came true: ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export class Installation {
  #answers = [];
  #ended = "";

  constructor() {
    this.child = spawn(join(process.env.FEEDVAULT_BIN, "browser_installation"), {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.exited = new Promise((resolve) => {
      this.child.once("exit", resolve);
      this.child.once("error", resolve); // it could not be started
    });
    this.child.stdin.on("error", () => {}); // it is gone: the answer says so
    createInterface({ input: this.child.stdout }).on("line", (line) => this.#answers.shift()?.(line));
    this.exited.then((how) => {
      this.#ended = `browser_installation ended: ${how}`;
      this.#answers.splice(0).forEach((answer) => answer(JSON.stringify({ error: this.#ended })));
    });
  }

  async do(what, parameters = {}) {
    if (this.#ended) {
      throw new Error(this.#ended);
    }
    const line = await new Promise((resolve) => {
      this.#answers.push(resolve);
      this.child.stdin.write(`${JSON.stringify({ do: what, ...parameters })}\n`);
    });
    const answer = JSON.parse(line);
    if (answer.error) {
      throw new Error(answer.error);
    }
    return answer;
  }

  async last(feed) {
    return (await this.do("last", { feed })).seq;
  }

  publish(feed, bytes) {
    return this.do("publish", { feed, data: bytes.toString("hex") });
  }

  async stop() {
    this.child.stdin.end();
    await this.exited;
  }
}

/** An execution as proto/execution.proto has it; every text shorter than 16384 bytes. */
export function execution({ symbol, price }) {
  const varint = (number) => (number < 128 ? [number] : [(number & 127) | 128, number >> 7]);
  const text = (field, value) =>
    Buffer.concat([
      Buffer.from([field * 8 + 2, ...varint(Buffer.byteLength(value))]),
      Buffer.from(value),
    ]);
  const float = (field, value) => {
    const bytes = Buffer.alloc(5);
    bytes[0] = field * 8 + 5;
    bytes.writeFloatLE(value, 1);
    return bytes;
  };
  return Buffer.concat([
    text(1, symbol),
    text(2, "NYSE"),
    float(3, price),
    float(4, 100),
    Buffer.from([5 * 8, 1]),
    text(6, "NY"),
  ]);
}
