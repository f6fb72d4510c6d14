// Microsoft's SignalR client in a headless Chromium, on a page of the origin in the first argument: opens a connection on each
// transport, uses it, and prints what each said, one JSON line.
const { chromium } = require("playwright-core");
const { FLAGS } = require("./browser.cjs");

// Runs in the page.
async function use(transport) {
  const { HttpTransportType, HubConnectionBuilder } = window.signalR;
  const connection = new HubConnectionBuilder().withUrl("/hub", { transport: HttpTransportType[transport] }).build();
  await connection.start();
  const [hub, kind] = await connection.invoke("WhoAmI");
  const echo = await connection.invoke("Echo", "from a browser");
  const items = [];
  await new Promise((complete, error) => connection.stream("Count", 3).subscribe({ next: (item) => items.push(item), complete, error }));
  const again = (await connection.invoke("WhoAmI"))[0];
  await connection.stop();
  return { hub, kind, echo, items, stayed: hub === again };
}

async function main(origin) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, headless: true, args: [...FLAGS, "--ignore-certificate-errors"] });
  const page = await browser.newPage();
  page.setDefaultTimeout(15000);
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  await page.goto(`${origin}/page`);
  await page.addScriptTag({ path: require.resolve("@microsoft/signalr/dist/browser/signalr.js") });
  const used = [];
  for (const transport of ["WebSockets", "ServerSentEvents", "LongPolling"]) {
    for (let round = 0; round < 3; round++) used.push(await page.evaluate(use, transport));
  }
  console.log(JSON.stringify({ used, problems }));
  await browser.close();
}

main(process.argv[2]).then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
