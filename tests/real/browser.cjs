// Opens the demo page at the URL in the first argument in a headless Chromium, uses it as a visitor would, and prints what
// the page showed, one JSON line.
const { chromium } = require("playwright-core");

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

async function main(url) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, headless: true, args: FLAGS });
  const page = await browser.newPage();
  page.setDefaultTimeout(15000);
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("requestfailed", (request) => problems.push(`${request.url()}: ${request.failure().errorText}`));
  const log = (text) => page.waitForFunction((t) => document.getElementById("log").textContent.includes(t), text);
  const opened = (count) => page.waitForFunction((n) => document.getElementById("open").textContent === n, String(count));

  await page.goto(url);
  await page.click("#connect");
  await opened(1);
  await log("connected to");
  const backend = await page.textContent("#backend");
  await page.fill("#message", "from a browser");
  await page.click("#send");
  await log("from a browser");
  await page.click("#open-10");
  await opened(11);
  await page.waitForFunction(() => {
    const bars = Array.from(document.querySelectorAll(".bar"), (bar) => Number(bar.dataset.sessions));
    return bars.reduce((sum, count) => sum + count, 0) === 11;
  });
  const spread = await page.$$eval(".bar", (bars) => bars.map((bar) => Number(bar.dataset.sessions)).sort());
  await page.click("#close");
  await opened(0);
  const text = await page.textContent("#log");
  console.log(JSON.stringify({ backend, spread, text, problems }));
  await browser.close();
}

module.exports = { FLAGS };
if (require.main === module) main(process.argv[2]).then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
