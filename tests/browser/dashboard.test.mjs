// The dashboard as a person meets it: Chromium, and a gateway with all that is behind it. One
// installation for all; the tests follow each other.
//
// FEEDVAULT_SCREENSHOTS=FOLDER writes the pictures of the documentation there.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { Dashboard, launchBrowser } from "./page.mjs";
import { Installation, eventually, execution } from "./installation.mjs";

const PAGE_BYTES_MAX = 200_000;
const TOKEN = "0123456789abcdef0123";
const pictures = process.env.FEEDVAULT_SCREENSHOTS;

let installation;
let browser;
let port;
let dashboard;

before(async () => {
  installation = new Installation();
  [browser] = await Promise.all([
    launchBrowser(),
    installation.do("controller").then(async () => {
      await installation.do("demo", { rate: 50 });
      ({ port } = await installation.do("gateway"));
      await eventually(async () => (await installation.last("executions")) > 20, "demo messages");
    }),
  ]);
});

after(async () => {
  await browser?.close();
  await installation?.stop();
});

test("opens fast, from one host, with live messages in it", async () => {
  dashboard = await Dashboard.open(browser, port);
  const { page } = dashboard;
  for (const feed of ["events", "executions"]) {
    const began = (await eventually(async () => {
      const live = await dashboard.live(feed);
      return live.received > 0 && live;
    }, `${feed} is live`)).position;
    await dashboard.reaches(feed, began + 20);
    assert.equal((await dashboard.live(feed)).missing, 0);
    const row = page.locator(`.panel[data-feed="${feed}"] tbody tr`).first();
    assert.match(await row.textContent(), /\d\d:\d\d:\d\d\.\d{3}/);
  }
  await page.locator("#connection[data-state=live]").waitFor();
  await page.locator("#health[data-state=good]").waitFor();
  const ms = await page.evaluate(() => performance.getEntriesByName("feedvault-interactive")[0].startTime);
  console.log(`interactive after ${Math.round(ms)} ms, ${dashboard.bytes} bytes`);
  assert.ok(dashboard.bytes > 50_000 && dashboard.bytes < PAGE_BYTES_MAX, `${dashboard.bytes} bytes`);
});

test("counts, and says how fast", async () => {
  const card = dashboard.page.locator(`.card[data-feed="events"]`);
  await eventually(async () => Number(await card.locator(".rate").textContent()) > 10, "a rate");
  const read = () =>
    card.locator("dl > div").evaluateAll((nodes) =>
      Object.fromEntries(nodes.map((node) => [node.children[0].textContent, node.children[1].textContent])),
    );
  const counters = await eventually(async () => {
    const all = await read();
    return (
      /^[\d.,]+ m?s$/.test(all["Latency, p99"]) &&
      ["Captured", "Catalogued", "Published"].every((name) => Number(all[name].replace(",", "")) > 20) &&
      (await card.locator(".badge").textContent()) === "flowing" &&
      all
    );
  }, "a latency, counters, and what they mean");
  assert.equal(counters.Quarantined, "0");
  assert.equal(counters.Duplicates, "0");
});

test("plots rate, lag and latency", async () => {
  const plots = dashboard.page.locator("#plots figure");
  assert.equal(await plots.count(), 3);
  for (let i = 0; i < 3; ++i) {
    await eventually(
      async () => Number(await plots.nth(i).getAttribute("data-points")) >= 3,
      "some points are plotted",
    );
    await eventually(() => plots.nth(i).locator("canvas").evaluate(hasInk), "the line is drawn");
  }
});

/** More than the axes' grey: the colours of lines are saturated. */
function hasInk(canvas) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < data.length; i += 4) {
    const [r, g, b, alpha] = data.subarray(i, i + 4);
    if (alpha > 200 && Math.max(r, g, b) - Math.min(r, g, b) > 80) {
      return true;
    }
  }
  return false;
}

test("a gateway that is killed is told of, and nothing is missing when it is back", async () => {
  const start = await dashboard.live("executions");
  dashboard.mayBeAway = true;
  await installation.do("kill gateway");
  await dashboard.page.locator("#connection[data-state=away]").waitFor();
  assert.match(await dashboard.text("#connection"), /^Disconnected: .*Trying again/);
  const during = await installation.last("executions");
  await eventually(async () => (await installation.last("executions")) > during + 20, "more messages");
  await installation.do("start gateway");
  await dashboard.page.locator("#connection[data-state=live]").waitFor();
  await dashboard.reaches("executions", await installation.last("executions"));
  const end = await dashboard.live("executions");
  assert.equal(end.missing, 0);
  assert.equal(end.received - start.received, end.position - start.position, "each came once");
  await dashboard.page.locator("#health[data-state=good]").waitFor();
  dashboard.mayBeAway = false;
});

test("searches by time and field, with a table, a price plot and every byte", async () => {
  const { page } = dashboard;
  await installation.publish("executions", execution({ symbol: "<b>&'\"", price: 7 }));
  for (const price of [41, 42, 43]) {
    await installation.publish("executions", execution({ symbol: "FIND", price }));
  }
  await dashboard.reaches("executions", await installation.last("executions"));
  await page.locator("#search-feed").selectOption("executions");
  await page.getByLabel("Field", { exact: true }).selectOption("symbol");
  await page.getByLabel("Value", { exact: true }).fill("FIND");
  await page.getByRole("button", { name: "Last 5 minutes" }).click();
  await page.locator("#search-status").getByText("3 messages in").waitFor();
  const rows = page.locator("#result-table tbody tr");
  assert.equal(await rows.count(), 3);
  assert.match(await rows.nth(1).textContent(), /FIND.*NYSE.*42/);
  const figure = page.locator("#price figure");
  assert.equal(await figure.getAttribute("data-points"), "3");
  await eventually(() => figure.locator("canvas").evaluate(hasInk), "prices are drawn");
  assert.match(await dashboard.text("#curl"), /^curl .*symbol=FIND/);

  await page.getByLabel("Value", { exact: true }).fill("<b>&'\"");
  await page.getByRole("button", { name: "Search", exact: true }).click();
  await page.locator("#search-status").getByText("1 message in").waitFor();
  assert.equal(await rows.locator("b").count(), 0, "text stays text");
  await rows.first().getByRole("button").press("Enter");
  await page.locator("#details pre").getByText("|..<b>&'\"").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("#details").waitFor({ state: "hidden" });
});

test("turns pages, and says what is wrong with a search", async () => {
  const { page } = dashboard;
  await page.getByLabel("Value", { exact: true }).fill("");
  await page.locator("#search-limit").selectOption("100");
  await page.getByRole("button", { name: "All", exact: true }).click();
  await page.locator("#page").getByText("1 to 25 of 100 so far").waitFor();
  for (const shown of ["26 to 50 of 100 so far", "51 to 75 of", "76 to 100 of", "101 to 125 of"]) {
    await page.locator("#next").click();
    await page.locator("#page").getByText(shown).waitFor();
  }
  assert.equal(await page.locator("#result-table tbody tr").count(), 25);

  await page.getByLabel("Field", { exact: true }).selectOption("price");
  await page.getByLabel("Value", { exact: true }).fill("cheap");
  const refused = page.waitForResponse((response) => response.status() === 400);
  await page.getByRole("button", { name: "Search", exact: true }).click();
  await refused;
  await page.locator("#search-status").getByText("cheap").waitFor();
  const told = (text) => /status of 400/.test(text);
  await eventually(() => dashboard.complaints.some(told), "Chromium itself says so too");
  dashboard.complaints = dashboard.complaints.filter((text) => !told(text));
});

test("shows what is quarantined, why and which bytes, and requeues it", async () => {
  const { page } = dashboard;
  await installation.do("controller", { environment: { FEEDVAULT_INGEST_MESSAGE_BYTES_MAX: "400" } });
  const bytes = execution({ symbol: "X".repeat(500), price: 5 });
  await installation.publish("executions", bytes);
  const row = page.locator("#quarantine-table tbody tr");
  await row.first().waitFor();
  assert.equal(await row.count(), 1);
  assert.match(await row.locator(".wide").textContent(), /400/);
  await row.getByRole("button", { name: `Show the ${bytes.length} bytes` }).click();
  await page.locator("#details pre").getByText("00000000  0a f4 03 58 58").waitFor();
  await page.locator("#details-close").click();
  if (pictures) {
    await picture("quarantine", page.locator("#quarantine"));
  }

  await installation.do("controller");
  await row.getByRole("button", { name: "Requeue" }).click();
  await page.locator(`#quarantine-table tr[data-state=requeued]`).waitFor();
  const [, seq] = /catalogued as executions:(\d+)/.exec(await row.textContent());
  await dashboard.reaches("executions", Number(seq));
});

test("is accessible, light and dark, and fits a phone", async () => {
  const { page } = dashboard;
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    assert.deepEqual(await dashboard.offences(), [], colorScheme);
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 360, height: 740 });
  const [content, width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= width, `${content} pixels of content on a screen of ${width}`);
  await page.setViewportSize({ width: 1280, height: 900 });
});

test("a keyboard finds its way", async () => {
  const { page } = dashboard;
  await page.reload();
  await page.locator("#connection[data-state=live]").waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the feeds");
  const pause = page.getByRole("button", { name: "Pause" });
  await pause.press("Space");
  assert.equal(await pause.getAttribute("aria-pressed"), "true");
  const first = page.locator(`.panel[data-feed="events"] tbody tr`).first();
  const shown = await first.textContent();
  await dashboard.reaches("events", (await dashboard.live("events")).position + 10);
  assert.equal(await first.textContent(), shown, "it stands still");
  await pause.press("Space");
  await eventually(async () => (await first.textContent()) !== shown, "it goes on");
});

test("a thousand messages a second leave the page alive", async () => {
  const { page } = dashboard;
  const rows = page.locator(".panel tr");
  const before = await rows.count();
  await installation.do("demo", { rate: 500 });
  const from = (await dashboard.live("executions")).position;
  await dashboard.reaches("executions", from + 1000);
  const slowest = await page.evaluate(async () => {
    let longest = 0;
    for (let i = 0, last = performance.now(); i < 60; ++i) {
      const now = await new Promise(requestAnimationFrame);
      longest = Math.max(longest, now - last);
      last = now;
    }
    return longest;
  });
  console.log(`longest frame at 1,000 messages/s: ${Math.round(slowest)} ms`);
  assert.equal((await dashboard.live("executions")).missing, 0);
  assert.equal(await rows.count(), before, "no row was added");
  await installation.do("demo", { rate: 50 });
});

test("asks for a token where one is needed", async () => {
  const guarded = await installation.do("gateway", {
    environment: { FEEDVAULT_HTTP_TOKENS: `*:${TOKEN},write:${TOKEN}` },
  });
  const page = await Dashboard.open(browser, guarded.port);
  await page.page.getByLabel("Token", { exact: true }).fill("wrong-wrong-wrong-wrong");
  await page.page.keyboard.press("Enter");
  await page.page.locator("#token-reason").getByText("not known here").waitFor();
  await page.page.getByLabel("Token", { exact: true }).fill(TOKEN);
  await page.page.keyboard.press("Enter");
  await eventually(
    async () => (await page.page.locator(".panel").count()) === 2 && (await page.live("events")).received > 0,
    "messages come",
  );
  const refusals = page.complaints.filter((text) => /status of 401/.test(text));
  page.complaints = page.complaints.filter((text) => !refusals.includes(text));
  await page.close();
});

test("pictures for the documentation", { skip: !pictures }, async () => {
  await installation.do("demo", { rate: 120 });
  for (const colorScheme of ["light", "dark"]) {
    const page = await Dashboard.open(browser, port, { colorScheme, viewport: { width: 1280, height: 960 } });
    await page.page.locator("#plots canvas").last().waitFor();
    await page.reaches("executions", (await page.live("executions")).position + 30);
    await page.page.mouse.move(5, 5);
    await picture(`dashboard-${colorScheme}`, page.page);
    if (colorScheme === "light") {
      await page.page.getByRole("button", { name: "Last 5 minutes" }).click();
      await page.page.locator("#price canvas").waitFor();
      await page.page.mouse.move(5, 5);
      await picture("search", page.page.locator("#search"));
      await page.page.setViewportSize({ width: 390, height: 844 });
      await page.page.evaluate(() => scrollTo(0, 0));
      await picture("phone", page.page);
    }
    await page.close();
  }
});

function picture(name, of) {
  return of.screenshot({ path: join(pictures, `${name}.png`) });
}

test("nothing was complained of, no other host was asked", async () => {
  await dashboard.close();
});
