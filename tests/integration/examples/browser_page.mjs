// Runs the script of examples/browser/index.html without a browser, with as much of one as it uses:
//     node browser_page.mjs INDEX.html GATEWAY STORAGE-FILE OUT-FILE
// Every row that it shows becomes a line of JSON in OUT-FILE, localStorage is STORAGE-FILE, and what it
// says of its state is printed.

import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
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

/** `<p id="state">` */
class State {
  set textContent(text) {
    console.log(text);
  }
}

/** An error of the page's own ends everything: it is not one of the network's. */
function tell(listener, event) {
  try {
    listener(event);
  } catch (problem) {
    console.error(problem);
    process.exit(1);
  }
}

/**
 * As the HTML standard has it: comes back by itself, with the last id, when there is no connection or
 * it ends, and never after another answer than 200. An id counts without data, too.
 */
class EventSource {
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSED = 2;
  readyState = EventSource.CONNECTING;
  #url;
  #last = "";
  #retryMs = 50;
  #listeners = {};
  constructor(url) {
    this.#url = url;
    this.#run();
  }
  addEventListener(name, listener) {
    this.#listeners[name] = listener;
  }
  async #run() {
    while (this.readyState !== EventSource.CLOSED) {
      await this.#connect().catch(() => {}); // refused, or cut
      if (this.readyState !== EventSource.CLOSED) {
        this.readyState = EventSource.CONNECTING;
      }
      tell(this.onerror);
      await new Promise((resolve) => setTimeout(resolve, this.#retryMs));
    }
  }
  async #connect() {
    const answer = await fetch(this.#url, { headers: this.#last ? { "Last-Event-ID": this.#last } : {} });
    if (answer.status !== 200 || answer.headers.get("Content-Type") !== "text/event-stream") {
      this.readyState = EventSource.CLOSED;
      return;
    }
    this.readyState = EventSource.OPEN;
    tell(this.onopen);
    let text = "";
    for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
      const blocks = (text + piece).split("\n\n");
      text = blocks.pop();
      blocks.forEach((block) => this.#take(block));
    }
  }
  #take(block) {
    const event = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
    this.#last = event.id ?? this.#last;
    this.#retryMs = Number(event.retry ?? this.#retryMs);
    if (event.data !== undefined) {
      tell(this.#listeners[event.event] ?? this.onmessage, { data: event.data, lastEventId: this.#last });
    }
  }
}

const elements = { state: new State() };
const items = existsSync(storage) ? JSON.parse(readFileSync(storage, "utf8")) : {};
const script = /<script>(.*)<\/script>/s.exec(readFileSync(page, "utf8"))[1];
vm.runInNewContext(script, {
  URLSearchParams,
  AbortSignal,
  EventSource,
  fetch,
  setTimeout,
  location: { search: `?gateway=${gateway}&feed=executions` },
  localStorage: {
    getItem: (key) => items[key] ?? null,
    setItem: (key, value) => {
      items[key] = value;
      writeFileSync(`${storage}.new`, JSON.stringify(items)); // whole, also for who kills us here
      renameSync(`${storage}.new`, storage);
    },
  },
  document: {
    getElementById: (id) => (elements[id] ??= new Element()),
    createElement: () => new Element(),
  },
});
