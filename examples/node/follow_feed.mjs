// Writes a feed to a file, a line of JSON for each message, each exactly once.
//
//     node follow_feed.mjs http://127.0.0.1:8080/feeds/executions/live executions.ndjson
//
// The file is its own position: every line holds its message's seq, and a line that a crash cut off is
// removed before reading goes on behind the last whole one. Node 18 and later; nothing else.

import {
  appendFileSync, closeSync, existsSync, fstatSync, ftruncateSync, openSync, readSync,
} from "node:fs";
import { setTimeout as wait } from "node:timers/promises";

const [url, file] = process.argv.slice(2);
if (!url || !file) {
  console.error("usage: node follow_feed.mjs http://HOST:PORT/feeds/FEED/live FILE");
  process.exit(2);
}
const SILENCE_MS = 30_000; // the gateway sends a comment every 10 s: after so long it is gone

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

/** Server-sent events, as objects of their fields, until the connection ends. */
async function* eventsBehind(seq) {
  const feed = /\/feeds\/([^/]+)\/live/.exec(url)[1];
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const answer = await fetch(seq > 0 ? url : `${url}?from=first`, {
      headers: seq > 0 ? { "Last-Event-ID": `${feed}:${seq}` } : {},
      signal: silence.signal,
    });
    if (answer.status >= 400 && answer.status < 500) {
      console.error((await answer.json()).detail); // wrong feed, position or token
      process.exit(1);
    }
    if (!answer.ok) {
      throw new Error(`status ${answer.status}`);
    }
    let text = "";
    for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      const blocks = (text + piece).split("\n\n"); // an empty line ends an event
      text = blocks.pop();
      for (const block of blocks) {
        yield Object.fromEntries(
          block.split("\n").map((line) => [line.split(": ", 1)[0], line.slice(line.indexOf(": ") + 2)]),
        );
      }
    }
  } finally {
    clearTimeout(timer);
    silence.abort();
  }
}

for (;;) {
  try {
    for await (const event of eventsBehind(lastWritten())) {
      if (event.data === undefined) {
        continue; // a comment, or where it begins
      }
      const data = JSON.parse(event.data);
      if (event.event === "gap") {
        // Neither the stream nor the table has them. A line of its own keeps the place.
        appendFileSync(file, `${JSON.stringify({ seq: data.last, lost_from: data.first })}\n`);
      } else {
        appendFileSync(file, `${event.data}\n`); // one write: whole, or cut off and removed
      }
    }
  } catch (problem) {
    console.error(`${problem.cause?.message ?? problem.message}; trying again`);
  }
  await wait(1000);
}
