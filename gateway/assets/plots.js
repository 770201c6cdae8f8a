// Plots over time, drawn by uPlot, which is fetched when the first one is made. Colours come from
// the style sheet, so that they follow the reader's choice of light or dark.

import { clock, el, setText, two } from "./dom.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
let library = null;

const loadLibrary = () => (library ??= import("./uplot.js").then((module) => module.default));

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The colour of the nth feed, or group. */
const seriesColour = (index) => colour(`--series-${index % 6}`);

function timeTicks(_, ticks) {
  const fine = ticks.length > 1 && ticks[1] - ticks[0] < 60;
  return ticks.map((tick) => {
    const time = new Date(tick * 1000);
    return `${two(time.getHours())}:${two(time.getMinutes())}${fine ? `:${two(time.getSeconds())}` : ""}`;
  });
}

export class TimePlot {
  #plot = null;
  #data = [[]];
  #values = [];

  /**
   * `options.title`; `options.format(value)`; `options.height`; `options.floor`: the least upper end
   * of the scale, which then begins at zero; `options.points`: dots instead of lines; `options.sync`:
   * plots of the same name share a cursor. `series`: {label, index, dashed}.
   */
  constructor(parent, options, series) {
    this.options = options;
    this.series = series;
    this.#values = series.map(() => el("span", { class: "value" }));
    this.area = el("div", { class: "area", role: "img", "aria-label": `Plot: ${options.title}` });
    this.node = el(
      "figure",
      {},
      el("figcaption", {}, options.title),
      el(
        "ul",
        { class: "legend" },
        ...series.map((one, i) =>
          el(
            "li",
            {},
            el("span", { class: `swatch series-${one.index % 6}${one.dashed ? " dashed" : ""}` }),
            el("span", {}, `${one.label} `),
            this.#values[i],
          ),
        ),
      ),
      this.area,
    );
    parent.append(this.node);
    this.redraw = () => this.#plot && this.#make();
    dark.addEventListener("change", this.redraw);
    this.resizing = new ResizeObserver(() => {
      this.#plot?.setSize({ width: this.area.clientWidth, height: options.height });
    });
    this.resizing.observe(this.area);
  }

  remove() {
    dark.removeEventListener("change", this.redraw);
    this.resizing.disconnect();
    this.#plot?.destroy();
    this.node.remove();
  }

  /** Columns: seconds, then the values of each series; null where there is none. */
  async set(data) {
    this.#data = data;
    this.node.dataset.points = data[0].length;
    if (this.#plot) {
      this.#plot.setData(data);
    } else {
      await this.#make();
    }
    this.#tellValues(null);
  }

  #tellValues(at) {
    this.#values.forEach((node, i) => {
      const column = this.#data[i + 1] ?? [];
      const value = at === null ? column.findLast((one) => one !== null) : column[at];
      setText(node, this.options.format(value ?? null));
    });
  }

  async #make() {
    const UPlot = await loadLibrary();
    if (!this.node.isConnected) {
      return; // removed meanwhile
    }
    this.#plot?.destroy();
    const { options } = this;
    const axis = {
      stroke: colour("--quiet"),
      font: "11px system-ui, sans-serif",
      grid: { stroke: colour("--grid"), width: 1 },
      ticks: { show: false },
    };
    const zeroBased = (_, __, most) => [0, Math.max(options.floor, (most ?? 0) * 1.15)];
    this.#plot = new UPlot(
      {
        width: Math.max(this.area.clientWidth, 100),
        height: options.height,
        legend: { show: false },
        cursor: {
          y: false,
          points: { size: 6 },
          drag: { x: options.floor === undefined, y: false },
          ...(options.sync ? { sync: { key: options.sync } } : {}),
        },
        scales: options.floor === undefined ? {} : { y: { range: zeroBased } },
        axes: [
          { ...axis, size: 28, values: timeTicks, space: 70 },
          { ...axis, size: 52, values: (_, ticks) => ticks.map(options.format), space: 32 },
        ],
        series: [
          {},
          ...this.series.map((one) => ({
            label: one.label,
            stroke: seriesColour(one.index),
            width: 1.75,
            dash: one.dashed ? [4, 4] : undefined,
            spanGaps: Boolean(options.points),
            points: { show: Boolean(options.points), size: 4 },
          })),
        ],
        hooks: { setCursor: [(plot) => this.#tellValues(plot.cursor.idx ?? null)] },
      },
      this.#data,
      this.area,
    );
  }
}

/** Rate, lag and latency of all feeds over the last minutes. */
export class ActivityPlots {
  #kept = new Map(); // feed's name -> columns of samples
  #interval = 1000;
  since = 0;

  constructor(parent, feeds) {
    this.feeds = feeds;
    const perFeed = feeds.map((feed) => ({ label: feed.name, index: feed.index }));
    const make = (title, format, floor, series) =>
      new TimePlot(parent, { title, format, floor, height: 150, sync: "activity" }, series);
    const number = (value) => (value === null ? "–" : short(value));
    const ms = (value) => (value === null ? "–" : value >= 1000 ? `${short(value / 1000)} s` : `${short(value)} ms`);
    this.rate = make("Rate, messages a second", number, 5, perFeed);
    this.lag = make("Lag, messages not yet published", number, 10, perFeed);
    this.latency = make(
      "Latency, median and p99 (dashed)",
      ms,
      5,
      feeds.flatMap((feed) => [
        { label: feed.name, index: feed.index },
        { label: `${feed.name} p99`, index: feed.index, dashed: true },
      ]),
    );
  }

  /** Takes what GET /activity?since= answered. */
  async add({ interval_ms: interval, feeds }) {
    this.#interval = interval;
    for (const feed of feeds) {
      const kept = this.#kept.get(feed.name) ?? {};
      for (const [name, column] of Object.entries(feed)) {
        if (Array.isArray(column)) {
          kept[name] = (kept[name] ?? []).concat(column).slice(-KEEP);
        }
      }
      this.#kept.set(feed.name, kept);
      this.since = Math.max(this.since, feed.at.at(-1) ?? 0);
    }
    const [times, index] = this.#timeline();
    const column = (feed, figure) => {
      const kept = this.#kept.get(feed.name);
      return times.map((_, i) => {
        const at = index.get(feed.name)?.[i] ?? -1;
        return at < 0 ? null : figure(kept, at);
      });
    };
    const lag = (kept, i) =>
      kept.uncatalogued[i] === null || kept.unpublished[i] === null
        ? null
        : kept.uncatalogued[i] + kept.unpublished[i];
    const each = (figure) => this.feeds.map((feed) => column(feed, figure));
    await Promise.all([
      this.rate.set([times, ...each((kept, i) => kept.rate[i])]),
      this.lag.set([times, ...each(lag)]),
      this.latency.set([
        times,
        ...this.feeds.flatMap((feed) => [
          column(feed, (kept, i) => kept.p50_ms[i]),
          column(feed, (kept, i) => kept.p99_ms[i]),
        ]),
      ]),
    ]);
  }

  // Feeds are looked at one after the other: samples within half an interval belong together. A
  // time when nothing was looked at is a point without values, so that lines end there.
  #timeline() {
    const longest = [...this.#kept.values()].reduce((a, b) => (b.at.length > a.at.length ? b : a));
    const times = [];
    for (const at of longest.at) {
      if (times.length > 0 && at - times.at(-1) > 3 * this.#interval) {
        times.push((at + times.at(-1)) / 2);
      }
      times.push(at);
    }
    const index = new Map();
    for (const [name, { at }] of this.#kept) {
      let i = 0;
      index.set(
        name,
        times.map((time) => {
          while (i + 1 < at.length && Math.abs(at[i + 1] - time) <= Math.abs(at[i] - time)) {
            i += 1;
          }
          return at.length > 0 && Math.abs(at[i] - time) < this.#interval / 2 ? i : -1;
        }),
      );
    }
    return [times.map((time) => time / 1000), index];
  }
}

const KEEP = 300;
const short = (value) =>
  value >= 10_000
    ? `${+(value / 1000).toPrecision(3)} k`
    : String(value >= 100 ? Math.round(value) : +value.toPrecision(3));

/**
 * The price plot: one series for each of the most frequent values of the field `group`, at most six;
 * null: one for all.
 */
export async function plotMessages(parent, messages, value, group) {
  const rows = messages
    .map(({ timestamp, body }) => ({
      at: new Date(timestamp).getTime() / 1000,
      value: Number(body?.[value]),
      group: group === null ? value : String(body?.[group] ?? ""),
    }))
    .filter((row) => Number.isFinite(row.value))
    .sort((a, b) => a.at - b.at);
  const counts = new Map();
  rows.forEach((row) => counts.set(row.group, (counts.get(row.group) ?? 0) + 1));
  const groups = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 6).map(([name]) => name);
  const few = counts.size > groups.length ? `, the ${groups.length} most frequent of ${counts.size}` : "";
  const first = rows[0] ? clock(new Date(rows[0].at * 1000)).slice(0, 8) : "";
  const last = rows[0] ? clock(new Date(rows.at(-1).at * 1000)).slice(0, 8) : "";
  const plot = new TimePlot(
    parent,
    {
      title: `${value}${group === null ? "" : ` by ${group}`}, ${first} to ${last}${few}`,
      format: (number) => (number === null ? "–" : String(+number.toPrecision(6))),
      height: 260,
      points: true,
    },
    groups.map((label, index) => ({ label, index })),
  );
  await plot.set([
    rows.map((row) => row.at),
    ...groups.map((name) => rows.map((row) => (row.group === name ? row.value : null))),
  ]);
  return plot;
}
