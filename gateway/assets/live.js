// The newest messages of each feed as tables that stand still enough to be read. However many come,
// a table has ROWS rows, is drawn at most every DRAW_MS, and only what is drawn is parsed.

import { byId, clock, count, el, seqOf, setState, setText, valueText } from "./dom.js";
import { Follower } from "./follow.js";
import { showMessage } from "./details.js";

const ROWS = 12;
const DRAW_MS = 150;
/** Messages before the newest that a page begins with. */
const BACK = ROWS;
/** What was missed in the background is only jumped over when it is more than this. */
const CATCH_UP_MAX = 100_000;

export class LivePanel {
  #newest = []; // {seq, text}, oldest first, ROWS at most
  #rows = [];
  #dirty = false;
  #drawnAt = 0;
  #held = false; // somebody points at a row, or stands in one
  #paused = false;
  #lost = 0;
  #last = null; // the newest position there is, as far as known

  constructor(feed, onState) {
    this.feed = feed;
    this.fields = feed.schema.fields;
    this.follower = new Follower(feed.name, {
      messages: (list) => this.#take(list),
      gap: (first, last) => this.#note(last - first + 1, `${count(first)} to ${count(last)} are lost`),
      state: () => {
        this.#changed();
        onState();
      },
    });
    this.#last = feed.last === null ? null : seqOf(feed.last);
    this.node = this.#build();
    byId("panels").append(this.node);
  }

  #build() {
    const head = el(
      "tr",
      {},
      el("th", { scope: "col" }, "Position"),
      el("th", { scope: "col" }, "Captured"),
      ...this.fields.map((field) => el("th", { scope: "col" }, field.name)),
    );
    this.#rows = Array.from({ length: ROWS }, () => this.#buildRow());
    const body = el("tbody", {}, ...this.#rows.map((row) => row.node));
    const hold = (held) => () => {
      this.#held = held;
      this.#changed();
    };
    for (const [event, held] of Object.entries({
      pointerenter: true,
      focusin: true,
      pointerleave: false,
      focusout: false,
    })) {
      body.addEventListener(event, hold(held));
    }
    this.noticeNode = el("p", { class: "gap", hidden: true });
    this.footNode = el("p", { class: "hint foot" });
    return el(
      "article",
      { class: "panel", "data-feed": this.feed.name },
      el("h3", {}, el("span", { class: `dot series-${this.feed.index}` }), this.feed.name),
      this.noticeNode,
      el(
        "div",
        { class: "scroll", role: "region", tabindex: "0", "aria-label": `Newest messages of ${this.feed.name}` },
        el("table", {}, el("caption", {}, `Newest messages of ${this.feed.name}`), el("thead", {}, head), body),
      ),
      this.footNode,
    );
  }

  #buildRow() {
    const row = { seq: 0 };
    row.button = el("button", {
      type: "button",
      class: "link",
      onclick: () => row.seq && showMessage(this.feed, row.seq),
    });
    row.time = el("td", { class: "time" });
    row.cells = this.fields.map((field) => el("td", { class: kindOf(field) }));
    row.node = el("tr", { hidden: true }, el("td", {}, row.button), row.time, ...row.cells);
    return row;
  }

  /** Follows from a little before the newest position there is, or goes on where it was. */
  start() {
    const last = this.#last;
    let from = this.follower.position;
    if (this.follower.received === 0) {
      from = last === null ? null : Math.max(0, last - BACK);
    } else if (last - from > CATCH_UP_MAX) {
      this.#note(0, `${count(last - BACK - from)} messages went by in the background`);
      from = last - BACK;
    }
    this.follower.start(from);
  }

  /** The newest position there is, at every look. One that is behind the one before belongs to a feed
   * that began anew: the positions that were next would be waited for in vain. */
  tell(last) {
    const anew = this.#last !== null && last < this.#last;
    this.#last = last;
    if (anew) {
      this.#note(0, "the feed has begun anew");
      this.follower.start(Math.max(0, last - BACK));
    }
  }

  stop() {
    this.follower.stop();
  }

  pause(paused) {
    this.#paused = paused;
    this.#changed();
  }

  #note(lost, text) {
    this.#lost += lost;
    setText(this.noticeNode, text);
    this.noticeNode.hidden = false;
  }

  #take(list) {
    this.#newest.push(...list.slice(-ROWS));
    this.#newest.splice(0, this.#newest.length - ROWS);
    this.#changed();
  }

  #changed() {
    if (!this.#dirty) {
      this.#dirty = true;
      requestAnimationFrame((now) => this.#frame(now));
    }
  }

  #frame(now) {
    if (now - this.#drawnAt < DRAW_MS) {
      requestAnimationFrame((later) => this.#frame(later));
      return;
    }
    this.#dirty = false;
    this.#drawnAt = now;
    this.#drawFoot();
    if (!this.#held && !this.#paused) {
      this.#newest.forEach((_, i) => this.#drawRow(this.#rows[i], this.#newest.at(-1 - i)));
    }
  }

  #drawRow(row, { seq, text }) {
    if (row.seq === seq) {
      return;
    }
    const message = JSON.parse(text);
    row.seq = seq;
    row.node.hidden = false;
    setText(row.button, count(seq));
    setText(row.time, clock(new Date(message.timestamp)));
    this.fields.forEach((field, i) => {
      setText(row.cells[i], valueText(message.body?.[field.json_name]));
    });
  }

  #drawFoot() {
    const { position, received, holes, state, reason } = this.follower;
    const data = this.node.dataset;
    Object.assign(data, { position, received, holes, lost: this.#lost, state });
    const held = this.#paused ? " · paused" : this.#held ? " · held while you are here" : "";
    const whole = holes + this.#lost === 0 ? "none missing" : `${count(holes + this.#lost)} missing`;
    const away = { waiting: `disconnected: ${reason}`, refused: reason, stopped: "in the background" };
    setState(
      this.footNode,
      state,
      away[state] ?? `${count(received)} received, ${whole}, at ${this.feed.name}:${position}${held}`,
    );
  }
}

const NUMBERS = /^(u?int|s?fixed|sint|float|double)/;
export const isNumber = (field) => NUMBERS.test(field.type);
export const kindOf = (field) => (isNumber(field) ? "number" : "text");
