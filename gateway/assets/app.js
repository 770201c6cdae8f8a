// The dashboard: cards and plots are asked for every second, messages come by themselves.

import { askJson, untilTokenChanges } from "./api.js";
import { setUpSearch } from "./catalogue.js";
import { byId, clock, count, el, milliseconds, perSecond, seqOf, setState, setText } from "./dom.js";
import { LivePanel } from "./live.js";
import { ActivityPlots } from "./plots.js";
import { forgetQuarantine, refreshQuarantine } from "./quarantine.js";

const EVERY_MS = 1000;
const FEEDS_LIVE_MAX = 4; // browsers open six connections to a host
const BACKGROUND_MS = 60_000;

let cards = new Map();
let panels = [];
let plots = null;
let answers = true; // the last round of questions was answered
let missing = ""; // why not

const COUNTERS = [
  ["Captured", (feed) => feed.captured],
  ["Catalogued", (feed) => (feed.last ? seqOf(feed.last) : 0)],
  ["Published", (feed) => feed.published],
  ["Duplicates", (feed) => feed.duplicates],
  ["Quarantined", (feed) => feed.quarantined],
  ["Gaps", (feed) => feed.gaps],
];

class Card {
  constructor(feed) {
    this.state = el("span", { class: "badge" });
    this.rate = el("span", { class: "rate" }, "–");
    this.values = COUNTERS.map(() => el("dd", {}, "–"));
    this.latency = el("dd", {}, "–");
    this.lag = el("dd", {}, "–");
    this.reason = el("p", { class: "reason", hidden: true });
    const fact = (name, node) => el("div", {}, el("dt", {}, name), node);
    this.node = el(
      "article",
      { class: "card", "data-feed": feed.name },
      el("h3", {}, el("span", { class: `dot series-${feed.index}` }), feed.name, this.state),
      el("p", { class: "big" }, this.rate, el("span", { class: "unit" }, " messages/s")),
      this.reason,
      el(
        "dl",
        { class: "counters" },
        ...COUNTERS.map(([name], i) => fact(name, this.values[i])),
        fact("Lag", this.lag),
        fact("Latency, p99", this.latency),
      ),
    );
    byId("cards").append(this.node);
  }

  set(feed) {
    if (feed.last === null && this.known) {
      return; // a gateway that has just started and has not looked yet
    }
    this.known = feed.last !== null;
    const silent = feed.state === "silent" && feed.last_timestamp;
    setState(
      this.state,
      feed.state,
      silent ? `silent since ${clock(new Date(feed.last_timestamp)).slice(0, 8)}` : feed.state,
    );
    setText(this.rate, perSecond(feed.rate));
    COUNTERS.forEach(([, figure], i) => {
      setText(this.values[i], count(figure(feed)));
      this.values[i].toggleAttribute("data-alarm", i >= 4 && figure(feed) > 0);
    });
    const { uncatalogued, unpublished } = feed.lag;
    const known = uncatalogued !== null && unpublished !== null;
    setText(this.lag, known ? count(uncatalogued + unpublished) : "–");
    setText(this.latency, milliseconds(feed.latency.p99_ms));
    setText(this.reason, feed.reason);
    this.reason.hidden = feed.reason === "";
  }
}

function build(feeds) {
  feeds.forEach((feed) => cards.set(feed.name, new Card(feed)));
  panels = feeds.slice(0, FEEDS_LIVE_MAX).map((feed) => new LivePanel(feed, tellConnection));
  panels.forEach((panel) => panel.start());
  setUpSearch(feeds);
  byId("pause").addEventListener("click", (event) => {
    const paused = event.currentTarget.getAttribute("aria-pressed") !== "true";
    event.currentTarget.setAttribute("aria-pressed", String(paused));
    panels.forEach((panel) => panel.pause(paused));
  });
  document.addEventListener("visibilitychange", followOrRest);
  addEventListener("online", () => panels.forEach((panel) => panel.follower.hurry()));
  performance.mark("feedvault-interactive");
  plots = new ActivityPlots(byId("plots"), feeds);
}

// A page in the background gives its connections back after a while; it goes on where it was.
let restTimer = 0;
async function followOrRest() {
  clearTimeout(restTimer);
  if (document.hidden) {
    restTimer = setTimeout(() => panels.forEach((panel) => panel.stop()), BACKGROUND_MS);
    return;
  }
  const resting = panels.filter((panel) => panel.follower.state === "stopped");
  if (resting.length > 0) {
    await look().catch(() => {}); // then they begin with what is known
    resting.forEach((panel) => panel.start());
  }
  panels.forEach((panel) => panel.follower.hurry());
}

function tellConnection() {
  const away = panels.find((panel) => ["waiting", "refused"].includes(panel.follower.state));
  const reason = away?.follower.reason || missing;
  const state = away || !answers ? "away" : panels.length === 0 ? "connecting" : "live";
  const texts = {
    live: "Live",
    connecting: "Connecting",
    away: `Disconnected: ${reason}. Trying again`,
  };
  setState(byId("connection"), state, texts[state]);
  document.title = state === "away" ? "Disconnected · Feedvault" : "Feedvault";
}

function tellHealth(ready, feeds) {
  const stuck = feeds.find((feed) => feed.state === "stuck");
  if (!ready.ready) {
    setState(byId("health"), "bad", `Not ready: ${ready.reason}`);
  } else if (stuck) {
    setState(byId("health"), "bad", `Feed ${stuck.name} is stuck`); // its card says why
  } else {
    setState(byId("health"), "good", "Healthy");
  }
}

let looking = null;
/** One round of questions; everything that does not come by itself. One at a time: older answers must
 * not come behind newer ones. */
const look = () => (looking ??= askAround().finally(() => (looking = null)));

async function askAround() {
  const [{ feeds }, ready] = await Promise.all([
    askJson("feeds"),
    askJson("readyz", { status: 503 }),
  ]);
  feeds.forEach((feed, index) => (feed.index = index));
  if (cards.size === 0 && feeds.length > 0) {
    build(feeds);
  }
  for (const feed of feeds) {
    cards.get(feed.name)?.set(feed);
    if (feed.last !== null) {
      panels.find((panel) => panel.feed.name === feed.name)?.tell(seqOf(feed.last));
    }
  }
  tellHealth(ready, feeds);
  refreshQuarantine(feeds.reduce((sum, feed) => sum + feed.quarantined, 0));
  if (!document.hidden && plots) {
    await plots.add(await askJson(`activity?since=${plots.since}`));
  }
}

async function lookForEver() {
  for (;;) {
    try {
      await look();
      answers = true;
      missing = "";
    } catch (problem) {
      answers = false;
      missing = problem.status ? problem.message : "the gateway does not answer";
      if (problem.status === 401) {
        tellConnection();
        await untilTokenChanges();
        forgetQuarantine();
        continue;
      }
      setState(byId("health"), "unknown", "Health not known");
    }
    tellConnection();
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

lookForEver();
