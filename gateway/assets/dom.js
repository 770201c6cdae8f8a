// What all modules need of the page: elements, and numbers, times and bytes as text. Text from
// outside becomes text nodes only, never markup.

/** An element with attributes, listeners ("onclick") and children: nodes or text. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) {
      continue;
    }
    if (name.startsWith("on")) {
      node.addEventListener(name.slice(2), value);
    } else {
      node.setAttribute(name, value === true ? "" : value);
    }
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Touches the page only when the text is another one. */
export function setText(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

export function setState(node, state, text) {
  if (node.dataset.state !== state) {
    node.dataset.state = state;
  }
  setText(node, text);
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** "1,234", "12.5"; a dash for what is not known. */
export function count(number) {
  return number === null || number === undefined ? "–" : whole.format(number);
}

export function perSecond(number) {
  return number === null || number === undefined
    ? "–"
    : (number < 100 ? tenths : whole).format(number);
}

export function milliseconds(ms) {
  if (ms === null || ms === undefined) {
    return "–";
  }
  if (ms < 1000) {
    return `${(ms < 10 ? tenths : whole).format(ms)} ms`;
  }
  return `${tenths.format(ms / 1000)} s`;
}

/** 12 of "events:12". */
export const seqOf = (position) => Number(position.slice(position.lastIndexOf(":") + 1));

/** "07" */
export const two = (number) => String(number).padStart(2, "0");

/** "14:03:22.123", of the reader's clock. */
export function clock(time) {
  return (
    `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}` +
    `.${String(time.getMilliseconds()).padStart(3, "0")}`
  );
}

/** "2026-11-22 14:03:22.123" */
export function dateAndClock(time) {
  return (
    `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ` + clock(time)
  );
}

/** A field's value in a cell; what has parts, as JSON. */
export function valueText(value) {
  if (value === undefined || value === null) {
    return "";
  }
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** As hexdump -C shows them, at most `most` bytes. */
export function hexDump(bytes, most = 8192) {
  const lines = [];
  for (let at = 0; at < Math.min(bytes.length, most); at += 16) {
    const row = Array.from(bytes.subarray(at, Math.min(at + 16, most)));
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0"));
    const halves = `${hex.slice(0, 8).join(" ").padEnd(24)} ${hex.slice(8).join(" ").padEnd(24)}`;
    const text = row
      .map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "."))
      .join("");
    lines.push(`${at.toString(16).padStart(8, "0")}  ${halves} |${text}|`);
  }
  if (bytes.length > most) {
    lines.push(`… ${count(bytes.length - most)} bytes more`);
  }
  return lines.join("\n");
}
