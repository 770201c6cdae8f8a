// One feed's live stream. EventSource can send no token, so this reads server-sent events with
// fetch(): it keeps the position and goes on behind it, whatever was away in between.

import { ask, untilTokenChanges } from "./api.js";
import { seqOf } from "./dom.js";

// The gateway sends a comment every 10 s: whoever is silent for longer is gone.
const SILENCE_MS = 25_000;
const WAIT_MIN_MS = 250;
const WAIT_MAX_MS = 4_000;
const REFUSED_MS = 10_000;

export class Follower {
  #on;
  #running = null; // AbortController of the present run
  #cutWait = null;
  #rest = "";

  /** Of the last message; the next one to come is behind it. null: not known yet. */
  position = null;
  received = 0;
  /** Positions that were jumped over without the gateway saying so: never, or there is a bug. */
  holes = 0;
  state = "stopped";
  reason = "";

  /**
   * `on.messages(list)`: {seq, text} in order, text being JSON; `on.gap(first, last)`: what nobody
   * has any more; `on.state()`: state or reason are others now.
   */
  constructor(feed, on) {
    this.feed = feed;
    this.#on = on;
  }

  /** Behind `position`; null: what comes from now on. */
  start(position) {
    this.stop();
    this.position = position;
    this.#running = new AbortController();
    this.#run(this.#running.signal);
  }

  stop() {
    this.#running?.abort();
    this.#running = null;
    this.#tell("stopped", "");
  }

  /** Does not wait any longer before it tries again. */
  hurry() {
    this.#cutWait?.();
  }

  #tell(state, reason) {
    if (state !== this.state || reason !== this.reason) {
      this.state = state;
      this.reason = reason;
      this.#on.state();
    }
  }

  async #run(stopped) {
    let wait = WAIT_MIN_MS;
    while (!stopped.aborted) {
      try {
        await this.#read(stopped, () => (wait = WAIT_MIN_MS));
        this.#tell("waiting", "the gateway ended the stream");
      } catch (problem) {
        if (stopped.aborted) {
          return;
        }
        if (problem.status >= 400 && problem.status < 500) {
          this.#tell("refused", problem.message);
          const token = untilTokenChanges();
          await (problem.status === 401 ? token : Promise.race([token, this.#pause(REFUSED_MS, stopped)]));
          continue;
        }
        this.#tell("waiting", problem.status ? problem.message : "the gateway does not answer");
      }
      await this.#pause(wait * (0.75 + Math.random() / 2), stopped);
      wait = Math.min(wait * 2, WAIT_MAX_MS);
    }
  }

  #pause(ms, stopped) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        stopped.removeEventListener("abort", done);
        this.#cutWait = null;
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#cutWait = done;
      stopped.addEventListener("abort", done, { once: true });
    });
  }

  async #read(stopped, onLife) {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    try {
      const answer = await ask(`feeds/${encodeURIComponent(this.feed)}/live`, {
        accept: "text/event-stream",
        headers: this.position === null ? {} : { "Last-Event-ID": `${this.feed}:${this.position}` },
        signal: AbortSignal.any([stopped, silence.signal]),
        endless: true,
      });
      this.position ??= seqOf(answer.headers.get("Feedvault-Start")) - 1;
      this.#tell("live", "");
      this.#rest = "";
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done || stopped.aborted) {
          return;
        }
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        onLife();
        this.#take(value);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  // An event ends with an empty line; what is behind the last one is not whole yet.
  #take(text) {
    const all = this.#rest + text;
    const messages = [];
    let begin = 0;
    for (let end; (end = all.indexOf("\n\n", begin)) >= 0; begin = end + 2) {
      this.#takeEvent(all.slice(begin, end), messages);
    }
    this.#rest = all.slice(begin);
    if (messages.length > 0) {
      this.received += messages.length;
      this.#on.messages(messages);
    }
  }

  #takeEvent(block, messages) {
    let id = "";
    let type = "message";
    const data = [];
    for (const line of block.split("\n")) {
      const colon = line.indexOf(":");
      const name = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
      if (name === "id") {
        id = value;
      } else if (name === "event") {
        type = value;
      } else if (name === "data") {
        data.push(value);
      }
    }
    if (data.length === 0) {
      return; // a comment, or `retry`
    }
    const seq = seqOf(id);
    if (type === "gap") {
      const gap = JSON.parse(data.join("\n"));
      this.#on.gap(gap.first, gap.last);
      this.position = gap.last;
    } else if (seq > this.position) {
      this.holes += seq - this.position - 1;
      this.position = seq;
      messages.push({ seq, text: data.join("\n") });
    }
  }
}
