// One message with all there is to know of it, bytes included, in a dialog.

import { ask, askJson } from "./api.js";
import { byId, count, dateAndClock, el, hexDump, setText } from "./dom.js";

const dialog = byId("details");
byId("details-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) {
    dialog.close(); // beside it
  }
});

function show(title, ...content) {
  setText(byId("details-title"), title);
  byId("details-content").replaceChildren(...content);
  if (!dialog.open) {
    dialog.showModal();
  }
}

function facts(list) {
  return el(
    "dl",
    { class: "facts" },
    ...list.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}

const block = (title, text) => [el("h3", {}, title), el("pre", { class: "code", tabindex: "0" }, text)];

let shown = 0;

async function orProblem(title, load) {
  shown += 1;
  const mine = shown;
  show(title, el("p", { class: "hint" }, "Loading …"));
  const content = await load().catch((problem) => [el("p", { class: "notice" }, problem.message)]);
  if (mine === shown && dialog.open) {
    show(title, ...content); // else it was closed, or another one opened
  }
}

export function showMessage(feed, seq) {
  const path = `feeds/${encodeURIComponent(feed.name)}/messages/${seq}`;
  return orProblem(`${feed.name}:${seq}`, async () => {
    const [message, raw] = await Promise.all([
      askJson(path),
      ask(path, { accept: "application/octet-stream" }),
    ]);
    const bytes = new Uint8Array(await raw.arrayBuffer());
    return [
      facts([
        ["Captured", dateAndClock(new Date(message.timestamp))],
        ["Timestamp", message.timestamp],
        ["Id", message.id],
        ["Size", `${count(bytes.length)} bytes`],
      ]),
      ...block("Fields", JSON.stringify(message.body, null, 2)),
      ...block("Bytes", hexDump(bytes)),
    ];
  });
}

export function showQuarantined(id) {
  return orProblem(`Quarantined message ${id}`, async () => {
    const message = await askJson(`quarantine/${id}`);
    const bytes = Uint8Array.from(atob(message.data), (c) => c.charCodeAt(0));
    return [
      facts([
        ["Reason", message.error],
        ["State", message.state],
        ["Feed", message.feed],
        ["Captured", dateAndClock(new Date(message.timestamp))],
        ["Ingest stream's sequence", count(message.stream_seq)],
        ["Id", message.message_id],
        ["Size", `${count(message.size)} bytes`],
      ]),
      ...block("Bytes", hexDump(bytes)),
    ];
  });
}
