// The dashboard in a browser, and what it may not do: complain, or ask another host.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { eventually } from "./installation.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** What Chromium itself says of requests that fail: right while the gateway is away. */
const AWAY = /Failed to load resource: (net::ERR_|the server responded with a status of 503)/;

function findBrowser() {
  for (const name of ["chromium-headless-shell", "chromium"]) {
    try {
      return execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim();
    } catch {
      // The next one.
    }
  }
  throw new Error("there is no Chromium: bash run.sh install test (as root)");
}

export function launchBrowser() {
  return chromium.launch({
    executablePath: findBrowser(),
    // Root has no sandbox, and containers have a small /dev/shm.
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
  });
}

export class Dashboard {
  complaints = [];
  hosts = new Set();
  bytes = 0; // of the page's own files
  mayBeAway = false;

  static async open(browser, port, options = {}) {
    const dashboard = new Dashboard();
    dashboard.context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    const page = (dashboard.page = await dashboard.context.newPage());
    page.setDefaultTimeout(30_000);
    page.on("console", (message) => {
      const away = dashboard.mayBeAway && AWAY.test(message.text());
      if (["error", "warning"].includes(message.type()) && !away) {
        dashboard.complaints.push(message.text());
      }
    });
    page.on("pageerror", (error) => dashboard.complaints.push(String(error)));
    page.on("request", (request) => dashboard.hosts.add(new URL(request.url()).host));
    page.on("response", async (response) => {
      if (/\/(assets\/.*)?$/.test(new URL(response.url()).pathname)) {
        dashboard.bytes += Number(response.headers()["content-length"] ?? 0);
      }
    });
    dashboard.port = port;
    await page.goto(`http://127.0.0.1:${port}/`);
    return dashboard;
  }

  /** What a feed's panel says of its stream: position, received, holes, lost, state. */
  async live(feed) {
    const data = await this.page
      .locator(`.panel[data-feed="${feed}"]`)
      .evaluate((node) => ({ ...node.dataset }));
    const number = (text) => Number(text ?? 0);
    return {
      state: data.state,
      position: number(data.position),
      received: number(data.received),
      missing: number(data.holes) + number(data.lost),
    };
  }

  /** Until the panel has come to this position. */
  reaches(feed, position) {
    return eventually(
      async () => (await this.live(feed)).position >= position,
      `${feed} is followed up to ${position}`,
    );
  }

  async text(selector) {
    return (await this.page.locator(selector).textContent()).trim();
  }

  /** Serious and critical offences, as axe-core sees them. */
  async offences() {
    await this.page.evaluate(AXE);
    const { violations } = await this.page.evaluate(() => globalThis.axe.run(document));
    return violations
      .filter(({ impact }) => ["serious", "critical"].includes(impact))
      .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 120)).join(" ")}`);
  }

  async close() {
    await this.context.close();
    assert.deepEqual(this.complaints, [], "the browser's console is empty");
    assert.deepEqual([...this.hosts], [`127.0.0.1:${this.port}`], "no other host was asked");
  }
}
