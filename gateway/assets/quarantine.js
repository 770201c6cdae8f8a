// What could not be catalogued: the list, its bytes, and the request to try again.

import { ask, askJson } from "./api.js";
import { byId, count, dateAndClock, el, setText } from "./dom.js";
import { showQuarantined } from "./details.js";

const MOST = 100;
let known = ""; // what the list on the page stands for
let waiting = false; // the controller is to try one: the list will change
let requests = 0; // to requeue; a list that was asked for before the last one knows nothing of it
let failed = false; // the status says why there is no list

/** Loads the list again when `counter` (quarantined messages of all feeds) says that it is another. */
export async function refreshQuarantine(counter) {
  const sign = String(counter);
  if (sign === known && !waiting) {
    return;
  }
  const requestsBefore = requests;
  try {
    const { quarantine } = await askJson(`quarantine?limit=${MOST}`);
    if (requests !== requestsBefore) {
      return;
    }
    known = sign;
    draw(quarantine);
    if (failed) {
      failed = false;
      setText(byId("quarantine-status"), "");
    }
  } catch (problem) {
    // Without a token for everything there is no list; the rest of the page works.
    known = problem.status === 403 ? sign : known;
    failed = true;
    setText(byId("quarantine-status"), problem.status ? problem.message : "");
  }
}

export function forgetQuarantine() {
  known = "";
}

function draw(list) {
  waiting = list.some((message) => message.state === "requested");
  const open = list.filter((message) => message.state !== "requeued").length;
  const badge = byId("quarantine-count");
  badge.hidden = open === 0;
  setText(badge, open === 0 ? "" : ` ${count(open)}`);
  byId("quarantine-list").hidden = list.length === 0;
  byId("quarantine-empty").hidden = list.length > 0;
  const focused = document.activeElement?.id;
  byId("quarantine-table").replaceChildren(
    el("caption", {}, list.length < MOST ? "All quarantined messages" : `The newest ${MOST}`),
    el(
      "thead",
      {},
      el("tr", {}, ...["Id", "Feed", "Captured", "Bytes", "Reason", "State", "Try again"].map((name) =>
        el("th", { scope: "col" }, name))),
    ),
    el("tbody", {}, ...list.map(row)),
  );
  if (focused) {
    byId(focused)?.focus(); // the same button of the new table
  }
}

const STATES = {
  quarantined: () => "quarantined",
  requested: () => "waiting for the controller",
  requeued: (message) => `catalogued as ${message.feed}:${message.seq}`,
  failed: () => "tried again, refused again",
};

function row(message) {
  const tryable = message.state === "quarantined" || message.state === "failed";
  return el(
    "tr",
    { "data-state": message.state, "data-id": message.id },
    el("td", {}, String(message.id)),
    el("td", {}, message.feed),
    el("td", { class: "time" }, dateAndClock(new Date(message.timestamp))),
    el(
      "td",
      { class: "number" },
      el(
        "button",
        {
          type: "button",
          class: "link",
          id: `bytes-${message.id}`,
          "aria-label": `Show the ${message.size} bytes of message ${message.id}`,
          onclick: () => showQuarantined(message.id),
        },
        count(message.size),
      ),
    ),
    el("td", { class: "wide" }, message.error),
    el("td", {}, (STATES[message.state] ?? String)(message)),
    el(
      "td",
      {},
      tryable
        ? el(
            "button",
            {
              type: "button",
              id: `requeue-${message.id}`,
              "aria-label": `Requeue message ${message.id}`,
              onclick: (event) => requeue(message.id, event.currentTarget),
            },
            "Requeue",
          )
        : null,
    ),
  );
}

async function requeue(id, button) {
  button.disabled = true;
  try {
    await ask(`quarantine/${id}/requeue`, { method: "POST" });
    setText(byId("quarantine-status"), `Message ${id} is requeued; the controller tries it next.`);
    failed = false;
    requests += 1;
    waiting = true;
  } catch (problem) {
    setText(byId("quarantine-status"), problem.status ? problem.message : "The gateway does not answer.");
    button.disabled = false;
  }
}
