// Search in the catalogue: a time range and fields' values in, a table and a plot out.

import { askJson, hasToken } from "./api.js";
import { byId, count, dateAndClock, el, milliseconds, setText, valueText } from "./dom.js";
import { isNumber, kindOf } from "./live.js";
import { plotMessages } from "./plots.js";
import { showMessage } from "./details.js";

const PAGE_ROWS = 25;
const FILTERS_MAX = 5;
const RESERVED = ["from", "to", "limit"];

let feeds = [];
let found = { feed: null, messages: [], next: null, query: "" };
let page = 0;
let plot = null;
let asking = null; // AbortController of the search under way

const chosenFeed = () => feeds.find((feed) => feed.name === byId("search-feed").value);

export function setUpSearch(all) {
  feeds = all;
  byId("search-feed").replaceChildren(...feeds.map((feed) => el("option", { value: feed.name }, feed.name)));
  const priced = feeds.find((feed) => feed.schema.fields.some((field) => field.name === "price"));
  byId("search-feed").value = (priced ?? feeds[0]).name;
  setText(byId("zone"), `Times are in your time zone, ${Intl.DateTimeFormat().resolvedOptions().timeZone}.`);
  chooseFeed();
  byId("search-feed").addEventListener("change", chooseFeed);
  byId("add-filter").addEventListener("click", () => addFilter().querySelector("select").focus());
  byId("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  for (const button of document.querySelectorAll("[data-minutes]")) {
    button.addEventListener("click", () => chooseRange(Number(button.dataset.minutes)));
  }
  byId("previous").addEventListener("click", () => turnPage(page - 1));
  byId("next").addEventListener("click", () => turnPage(page + 1));
  byId("plot-value").addEventListener("change", drawPlot);
  byId("plot-group").addEventListener("change", drawPlot);
}

function chooseFeed() {
  byId("filters").replaceChildren();
  addFilter();
}

// As an <input type="datetime-local"> wants it, without a zone.
function localTime(time) {
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

function chooseRange(minutes) {
  byId("search-to").value = "";
  byId("search-from").value = minutes === 0 ? "" : localTime(new Date(Date.now() - minutes * 60_000));
  search();
}

function addFilter() {
  const fields = chosenFeed().schema.fields;
  const filter = el(
    "div",
    { class: "filter" },
    el("select", { "aria-label": "Field" }, ...fields.map((field) => el("option", { value: field.name }, field.name))),
    el("span", { "aria-hidden": "true" }, "="),
    el("input", { "aria-label": "Value", type: "text", spellcheck: "false", autocapitalize: "off" }),
    el(
      "button",
      {
        type: "button",
        "aria-label": "Remove this field",
        onclick: () => {
          filter.remove();
          byId("add-filter").disabled = false;
          byId("add-filter").focus();
        },
      },
      "×",
    ),
  );
  byId("filters").append(filter);
  byId("add-filter").disabled = byId("filters").childElementCount >= Math.min(FILTERS_MAX, fields.length);
  return filter;
}

function queryOfForm() {
  const query = new URLSearchParams();
  for (const name of ["from", "to"]) {
    const value = byId(`search-${name}`).value;
    if (value !== "") {
      query.set(name, new Date(value).toISOString());
    }
  }
  query.set("limit", byId("search-limit").value);
  for (const filter of byId("filters").children) {
    const field = filter.querySelector("select").value;
    const value = filter.querySelector("input").value.trim();
    if (value !== "") {
      query.append(RESERVED.includes(field) ? `body.${field}` : field, value);
    }
  }
  return query.toString();
}

async function search() {
  const feed = chosenFeed();
  const query = queryOfForm();
  found = { feed, messages: [], next: `feeds/${encodeURIComponent(feed.name)}/messages?${query}`, query };
  page = 0;
  if (await more()) {
    draw();
    chooseColumns();
    await drawPlot();
  }
}

// The next part of the answer; false when it did not come, and the page says why.
async function more() {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const status = byId("search-status");
  setText(status, "Searching …");
  byId("search-form").setAttribute("aria-busy", "true");
  try {
    const began = performance.now();
    const answer = await askJson(found.next, { signal });
    found.messages.push(...answer.messages);
    found.next = answer.next?.replace(/^\//, "") ?? null;
    const took = milliseconds(performance.now() - began);
    const total = found.messages.length;
    const more = found.next ? ", and there are more" : "";
    setText(status, `${count(total)} message${total === 1 ? "" : "s"} in ${took}${more}`);
    return true;
  } catch (problem) {
    if (!signal.aborted) {
      setText(status, problem.status ? problem.message : "The gateway does not answer; try again.");
    }
    return false;
  } finally {
    if (asking.signal === signal) {
      byId("search-form").removeAttribute("aria-busy"); // else a newer search is under way
    }
  }
}

async function turnPage(to) {
  if (to * PAGE_ROWS >= found.messages.length) {
    if (!found.next || !(await more())) {
      return;
    }
    drawPlot();
  }
  page = Math.max(0, to);
  draw();
}

function draw() {
  const { feed, messages, next } = found;
  const fields = feed.schema.fields;
  const from = page * PAGE_ROWS;
  const rows = messages.slice(from, from + PAGE_ROWS);
  byId("result").hidden = false;
  byId("result-table").replaceChildren(
    el("caption", {}, `Messages of ${feed.name}`),
    el(
      "thead",
      {},
      el("tr", {}, ...["Position", "Captured", ...fields.map((field) => field.name)].map((name) =>
        el("th", { scope: "col" }, name))),
    ),
    el("tbody", {}, ...rows.map((message) =>
      el(
        "tr",
        {},
        el(
          "td",
          {},
          el("button", { type: "button", class: "link", onclick: () => showMessage(feed, message.seq) },
            count(message.seq)),
        ),
        el("td", { class: "time" }, dateAndClock(new Date(message.timestamp))),
        ...fields.map((field) =>
          el("td", { class: kindOf(field) }, valueText(message.body?.[field.json_name]))),
      ))),
  );
  const total = count(messages.length) + (next ? " so far" : "");
  setText(byId("page"), rows.length === 0 ? "Nothing was found" :
    `${count(from + 1)} to ${count(from + rows.length)} of ${total}`);
  byId("previous").disabled = page === 0;
  byId("next").disabled = from + PAGE_ROWS >= messages.length && !next;
  const token = hasToken() ? ` -H "Authorization: Bearer $TOKEN"` : "";
  const url = new URL(`feeds/${encodeURIComponent(feed.name)}/messages?${found.query}`, location.href);
  setText(byId("curl"), `curl${token} -H 'Accept: application/x-ndjson' '${url}'`);
}

function chooseColumns() {
  const fields = found.feed.schema.fields;
  const numbers = fields.filter(isNumber);
  const texts = fields.filter((field) => !isNumber(field));
  const option = (field) => el("option", { value: field.json_name }, field.name);
  byId("plot-value").replaceChildren(...numbers.map(option));
  byId("plot-group").replaceChildren(...texts.map(option), el("option", { value: "" }, "nothing"));
  const named = (list, name) => list.find((field) => field.name === name) ?? list[0];
  if (numbers.length > 0) {
    byId("plot-value").value = named(numbers, "price").json_name;
    byId("plot-group").value = named(texts, "symbol")?.json_name ?? "";
  }
}

async function drawPlot() {
  plot?.remove();
  plot = null;
  const value = byId("plot-value").value;
  const drawable = value !== "" && found.messages.length > 0;
  byId("result-plot").hidden = !drawable;
  if (drawable) {
    const drawn = await plotMessages(byId("price"), found.messages, value, byId("plot-group").value || null);
    plot?.remove(); // another one was asked for meanwhile, and was there first
    plot = drawn;
  }
}
