// Opens the page of examples/signalr at the URL in the first argument, connects on each transport, talks, drains the hub of
// the first connection with the command in DRAIN, and prints what the page showed, one JSON line.
const { execSync } = require("child_process");
const { chromium } = require("playwright-core");
const { FLAGS } = require("./browser.cjs");

async function main(url) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, headless: true, args: FLAGS });
  const page = await browser.newPage();
  page.setDefaultTimeout(15000);
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  const rows = () => page.$$eval("#connections tr", (found) => found.map((row) => Array.from(row.cells, (cell) => cell.textContent)));
  const logged = (text, times) =>
    page.waitForFunction(([t, n]) => document.getElementById("log").textContent.split(t).length > n, [text, times]);

  await page.goto(url);
  let connections = 0;
  for (const transport of ["any", "WebSockets", "ServerSentEvents", "LongPolling", "WebSockets", "WebSockets"]) {
    await page.selectOption("#transport", transport);
    await page.click("#connect");
    await logged("connected to", ++connections);
  }
  const before = await rows();
  await page.fill("#message", "from a browser");
  await page.click("#say");
  await logged("from a browser", 1);
  const drained = before[0][2];
  const number = drained.slice("hub-".length);
  execSync(`${process.env.DRAIN.replace("127.0.0.1:9001", `127.0.0.1:900${number}`)} --fail --silent`, { shell: "/bin/bash" });
  await logged("connected to", connections + before.filter(([, , hub]) => hub === drained).length);
  const after = await rows();
  console.log(JSON.stringify({ before, after, drained, text: await page.textContent("#log"), problems }));
  await browser.close();
}

main(process.argv[2]).then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
