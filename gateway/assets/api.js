// Requests to the gateway that served this page, with the token where one is needed.

import { byId, setText } from "./dom.js";

const PATIENCE_MS = 20_000;
const KEY = "feedvault-token";

/** What the gateway refused, in its own words. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

let token = "";
try {
  token = sessionStorage.getItem(KEY) ?? "";
} catch {
  // A browser that keeps nothing: the token lives as long as the page.
}
let tokenChange = null; // {promise, resolve} once somebody waits for it

export const hasToken = () => token !== "";

/** Resolves when the reader has given another token. */
export function untilTokenChanges() {
  if (tokenChange === null) {
    tokenChange = {};
    tokenChange.promise = new Promise((resolve) => (tokenChange.resolve = resolve));
  }
  return tokenChange.promise;
}

function askForToken(reason) {
  setText(byId("token-reason"), reason);
  if (!byId("token").open) {
    byId("token").showModal();
  }
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token-text").value.trim();
  try {
    sessionStorage.setItem(KEY, token);
  } catch {
    // As above.
  }
  byId("token-text").value = "";
  byId("token").close();
  tokenChange?.resolve();
  tokenChange = null;
});

/**
 * Asks, and returns the answer when it is a good one. `accept`: a media type; `status`: another
 * status that is fine; `endless`: it may take for ever. Throws a Problem for what the gateway refuses,
 * and what fetch() throws when it cannot be reached.
 */
export async function ask(path, { method, accept, headers, signal, status, endless } = {}) {
  const used = token;
  const patience = endless ? null : AbortSignal.timeout(PATIENCE_MS);
  const answer = await fetch(path, {
    method: method ?? "GET",
    headers: {
      Accept: accept ?? "application/json",
      ...(used === "" ? {} : { Authorization: `Bearer ${used}` }),
      ...headers,
    },
    signal: signal && patience ? AbortSignal.any([signal, patience]) : (signal ?? patience),
    cache: "no-store",
  });
  if (answer.ok || answer.status === status) {
    return answer;
  }
  let detail = `the gateway answered with status ${answer.status}`;
  try {
    detail = (await answer.json()).detail ?? detail;
  } catch {
    // Not ours: a proxy's page.
  }
  if (answer.status === 401 && used === token) {
    askForToken(used === "" ? "" : detail);
  }
  throw new Problem(answer.status, detail);
}

export async function askJson(path, options) {
  return (await ask(path, options)).json();
}
