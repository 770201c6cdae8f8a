// Runs the script of examples/browser/index.html without a browser, with as much of one as it uses:
//     node browser_page.mjs INDEX.html GATEWAY STORAGE-FILE OUT-FILE
// Every row that it shows becomes a line of JSON in OUT-FILE, localStorage is STORAGE-FILE.

import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import vm from "node:vm";

const [page, gateway, storage, out] = process.argv.slice(2);

class Element {
  children = [];
  textContent = "";
  append(child) {
    this.children.push(child);
  }
  prepend(row) {
    this.children.unshift(row);
    appendFileSync(out, `${JSON.stringify(row.children.map((cell) => cell.textContent))}\n`);
  }
  get lastElementChild() {
    return { remove: () => this.children.pop() };
  }
}

/** As browsers do it: reconnects by itself, with the id of the last event. */
class EventSource {
  static CLOSED = 2;
  readyState = 0;
  #listeners = {};
  constructor(url) {
    this.#run(url);
  }
  addEventListener(name, listener) {
    this.#listeners[name] = listener;
  }
  async #run(url) {
    let last = "";
    for (;;) {
      try {
        const answer = await fetch(url, { headers: last ? { "Last-Event-ID": last } : {} });
        if (answer.status !== 200) {
          throw new Error(`status ${answer.status}`);
        }
        this.onopen();
        let text = "";
        for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
          const blocks = (text + piece).split("\n\n");
          text = blocks.pop();
          for (const block of blocks) {
            const event = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
            if (event.data !== undefined) {
              last = event.id;
              const listener = this.#listeners[event.event] ?? this.onmessage;
              listener({ data: event.data, lastEventId: event.id });
            }
          }
        }
      } catch {
        this.onerror();
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

const elements = {};
const items = existsSync(storage) ? JSON.parse(readFileSync(storage, "utf8")) : {};
const script = /<script>(.*)<\/script>/s.exec(readFileSync(page, "utf8"))[1];
vm.runInNewContext(script, {
  URLSearchParams,
  EventSource,
  location: { search: `?gateway=${gateway}&feed=executions` },
  localStorage: {
    getItem: (key) => items[key] ?? null,
    setItem: (key, value) => {
      items[key] = value;
      writeFileSync(storage, JSON.stringify(items));
    },
  },
  document: {
    getElementById: (id) => (elements[id] ??= new Element()),
    createElement: () => new Element(),
  },
});
console.log("running");
