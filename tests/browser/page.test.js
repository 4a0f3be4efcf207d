// The page of `segment-s3 serve`, as a person uses it. `make test-browser` runs it; SCREENSHOTS=FOLDER keeps pictures.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const ROOT = new URL("../../", import.meta.url).pathname;
const BINARY = process.env.SEGMENT_S3 ?? join(ROOT, "target/debug/segment-s3");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const SAMPLES = join(ROOT, "samples");
const ANY = "127.0.0.1:0";

let folder, system, browser, context, page, address;
const requested = new Set();

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "segment-s3-page-"));
  // No document of the current folder, and no setting of this machine.
  const args = ["serve", "--folder", "state", "--page", ANY, "--s3", ANY, "--receiver", ANY, "--schedule", "never"];
  system = spawn(BINARY, args, { cwd: folder, env: {}, stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await new Promise((resolve) => createInterface(system.stdout).once("line", (line) => resolve([line])));
  address = line.match(/http:\/\/\S+/)[0];
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  context.on("request", (request) => requested.add(new URL(request.url()).host));
  page = await context.newPage();
  page.on("pageerror", (error) => assert.fail(error));
});

after(async () => {
  await browser?.close();
  const ended = new Promise((resolve) => system.once("exit", resolve));
  system.kill("SIGINT");
  assert.equal(await ended, 0, "Ctrl-C ends it cleanly");
  await rm(folder, { recursive: true, force: true });
});

const open = (path) => page.goto(address + path);
const sample = (name) => join(SAMPLES, name);
const card = (name) => page.locator("article.file", { has: page.getByRole("heading", { name, exact: true }) });
const choose = (...files) => page.locator("#chosen").setInputFiles(files);
const row = (key, within = page) => within.locator("tbody tr", { has: within.getByText(key, { exact: true }) });

async function picture(name) {
  if (!process.env.SCREENSHOTS) return;
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}-${colorScheme}.png`) });
  }
  await page.emulateMedia({ colorScheme: null });
}

async function send(name, outcome) {
  await card(name).getByRole("button", { name: "Send" }).click();
  await card(name).locator(".progress p", { hasText: outcome }).waitFor();
}

test("a file that is dropped is shown before anything is sent", async () => {
  await open("/");
  // As a file of the desktop is dropped.
  const text = await readFile(sample("track_1.csv"), "utf8");
  const files = await page.evaluateHandle((text) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([text], "track_1.csv", { type: "text/csv" }));
    return transfer;
  }, text);
  await page.dispatchEvent("#zone", "drop", { dataTransfer: files });
  await card("track_1.csv").getByText("every row can be sent").waitFor();
  assert.match(await card("track_1.csv").locator("pre").first().textContent(), /"type": "track"/);

  await choose(sample("track_with_bad_rows.csv"));
  const bad = card("track_with_bad_rows.csv");
  await bad.getByText("4 of 6 rows refused").waitFor();
  assert.deepEqual(await bad.locator("mark").allTextContents(), ["\u00a0", "free", "\u00a0", "yesterday"]);
  await picture("drop");
  await page.goto(address + "/files");
  await page.getByText("No file was dropped yet.").waitFor();
});

test("a mapping is suggested, edited, downloaded and used", async () => {
  await open("/");
  await choose(sample("exports/orders_export_1.csv"));
  const orders = card("orders_export_1.csv");
  await orders.getByText("cannot be used").waitFor();
  await orders.locator("details.mapping summary").click();
  await orders.getByRole("button", { name: "Suggest one" }).click();
  await orders.getByText("mapping orders").waitFor();
  const toml = orders.locator("textarea");
  const suggested = await toml.inputValue();
  assert.match(suggested, /^\[\[mapping\]\]$/m);

  await toml.fill(suggested + "nonsense = 1\n");
  await orders.locator(".alarms").waitFor();
  assert.ok(await orders.getByRole("button", { name: "Send" }).isDisabled(), "a faulty mapping is not used");
  const edited = suggested.replace('"Order Completed"', '"Order Imported"');
  assert.notEqual(edited, suggested);
  await toml.fill(edited);
  await orders.getByText('"event": "Order Imported"').first().waitFor();
  await toml.evaluate((area) => (area.scrollTop = 0));
  await page.evaluate(() => scrollTo(0, document.querySelector(".mapping").offsetTop - 60));
  await picture("mapping");

  const [download] = await Promise.all([
    page.waitForEvent("download"),
    orders.getByRole("button", { name: "Download it" }).click(),
  ]);
  assert.equal(await readFile(await download.path(), "utf8"), edited);
  await send("orders_export_1.csv", "finished");
});

test("files that are sent are seen live, and their refused rows come back mended", async () => {
  const other = await context.newPage();
  await other.goto(address + "/live");
  await open("/");
  await choose(sample("track_1.csv"), sample("track_with_bad_rows.csv"), sample("identify_1.csv"));
  await send("track_1.csv", "finished");
  // Of requests within 100 ms the page shows one.
  await page.waitForTimeout(200);
  await send("identify_1.csv", "finished");
  await send("track_with_bad_rows.csv", "4 rejected");
  await picture("sent");
  // A page that was left open stays current.
  await other.getByText("track_with_bad_rows.csv: 6 rows, 2 sent, 4 rejected").waitFor();
  await other.close();

  await open("/files");
  const bad = row("track_with_bad_rows.csv");
  await bad.getByText("finished").waitFor();
  const [download] = await Promise.all([page.waitForEvent("download"), bad.getByText("rejects").click()]);
  const rejects = await readFile(await download.path(), "utf8");
  const mended = rejects
    .replace(/^,Product Viewed/m, "5,Product Viewed")
    .replace(",free,", ",12.50,")
    .replace("\n8,,", "\n8,Product Viewed,")
    .replace(",yesterday,", ",2019-05-15T09:04:00.000Z,");
  await open("/");
  await choose({ name: download.suggestedFilename(), mimeType: "text/csv", buffer: Buffer.from(mended) });
  await card(download.suggestedFilename()).getByText("every row can be sent").waitFor();
  await send(download.suggestedFilename(), "4 acknowledged, 0 rejected");
  await open("/files");
  await row(download.suggestedFilename()).getByText("finished").waitFor();
  await picture("files");
});

test("calls are found by kind and words, paused, and shown raw; a refusal says why", async () => {
  const receiver = (await page.locator("footer code").nth(1).textContent()).trim();
  const refused = await fetch(receiver + "/v1/track", { method: "POST", body: '{"userId":"u1","event":"e","writeKey":"unknown"}' });
  assert.notEqual(refused.status, 200);
  await open("/live?kind=identify");
  await page.locator("#entries li").first().waitFor();
  assert.ok((await page.locator("#entries .badge").allTextContents()).every((kind) => kind === "identify"));
  await open("/live");
  await page.locator("#entries .badge.bad", { hasText: "refused" }).waitFor();
  await page.locator("details", { has: page.getByText("Order Imported") }).first().locator("summary").click();
  assert.match(await page.locator("details[open] pre").textContent(), /"event": "Order Imported"/);
  await page.keyboard.press("/");
  await page.keyboard.type("order imported");
  await page.keyboard.press("Enter");
  await page.waitForURL(/q=order/);
  await page.locator("#entries summary").nth(1).click();
  await page.evaluate(() => scrollTo(0, 0));
  await picture("live");
  const titles = await page.locator("#entries .title").allTextContents();
  assert.ok(titles.length > 0 && titles.every((title) => /Order Imported|orders_export_1/.test(title)), titles.join());
  await page.locator("input[name=raw]").check();
  await page.waitForURL(/raw=1/);
  assert.doesNotMatch(await page.locator("#entries pre").first().textContent(), /\n/);

  await open("/live");
  await page.locator("#pause").click();
  const before = await page.locator("#entries li").count();
  const call = () => fetch(receiver + "/v1/track", {
    method: "POST",
    body: JSON.stringify({ userId: "u1", event: "While Paused", writeKey: "local-write-key" }),
  });
  assert.equal((await call()).status, 200);
  await page.waitForTimeout(1_000);
  assert.equal(await page.locator("#entries li").count(), before);
  await page.locator("#pause").click();
  await page.getByText("While Paused · u1").first().waitFor();
});

test("what was sent is exported when one says so, and its lines can be read", async () => {
  await open("/exports");
  await page.getByText("There is none yet.").waitFor();
  await page.getByRole("button", { name: "Export now" }).click();
  await page.locator("tbody tr", { hasText: ".gz" }).first().waitFor();
  await page.getByText("takes objects").waitFor();
  await picture("exports");
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.locator("tbody").last().getByText("download").first().click(),
  ]);
  const bytes = await readFile(await download.path());
  assert.deepEqual([...bytes.subarray(0, 2)], [0x1f, 0x8b]);
  await page.getByText("first lines").first().click();
  assert.match(await page.locator("pre").first().textContent(), /"messageId"/);
  await picture("lines");
});

test("a replay sends a file again", async () => {
  await open("/files");
  await row("identify_1.csv").getByRole("button", { name: "Replay" }).click();
  await page.getByText(/replay page-/).first().waitFor();
});

test("a change between a page and its first word of changes is shown", async () => {
  const late = await context.newPage();
  let connect;
  const held = new Promise((resolve) => (connect = resolve));
  await late.route("**/events?*", async (route) => {
    await held;
    await route.continue();
  });
  await late.goto(address + "/files");
  await open("/");
  await choose({ name: "track_late.csv", mimeType: "text/csv", buffer: await readFile(sample("track_1.csv")) });
  await send("track_late.csv", "finished");
  assert.equal(await late.getByText("track_late.csv").count(), 0, "it has heard of nothing yet");
  connect();
  await late.getByText("track_late.csv").first().waitFor();
  await late.close();
});

test("a change while progress is asked for is shown", async () => {
  await open("/");
  let answer;
  const held = new Promise((resolve) => (answer = resolve));
  let asked = 0;
  await page.route("**/drop/progress?*", async (route) => {
    asked += 1;
    if (asked > 1) return route.continue();
    const old = await route.fetch();
    const other = await context.newPage();
    await other.goto(address + "/files");
    await row("track_slow.csv", other).getByText("finished").waitFor();
    await other.close();
    await held;
    // As it would have been said while no run had begun.
    await route.fulfill({ response: old, json: [] });
  });
  await choose({ name: "track_slow.csv", mimeType: "text/csv", buffer: await readFile(sample("track_1.csv")) });
  const sent = send("track_slow.csv", "finished");
  await card("track_slow.csv").getByText("uploading").waitFor();
  // The page has heard of the end by now, and nothing more will come.
  await page.waitForTimeout(500);
  answer();
  await sent;
  await page.unroute("**/drop/progress?*");
});

test("each view can be read on a narrow screen and without JavaScript", async () => {
  const plain = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 380, height: 800 } });
  const narrow = await browser.newContext({ viewport: { width: 380, height: 800 } });
  for (const [path, words] of [["/", "Drop CSV files"], ["/files", "identify_1.csv"], ["/live", "Order Imported"], ["/exports", ".gz"]]) {
    const read = await plain.newPage();
    await read.goto(address + path);
    await read.getByText(words).first().waitFor({ timeout: 10_000 });
    const fitted = await narrow.newPage();
    await fitted.goto(address + path);
    const [needed, given] = await fitted.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    assert.ok(needed <= given, `${path} needs ${needed} of ${given} pixels`);
    if (process.env.SCREENSHOTS && path === "/files") {
      await fitted.screenshot({ path: join(process.env.SCREENSHOTS, "narrow.png") });
    }
  }
  await plain.close();
  await narrow.close();
});

test("no view asks for anything of another machine", () => {
  assert.deepEqual([...requested].filter((host) => host && host !== new URL(address).host), []);
});
