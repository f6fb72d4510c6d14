// Opens a page of the origin in the first argument in a headless Chromium, fetches, and opens as many WebSockets on /chat as the
// second says, all at once; prints what the page saw, one JSON line. Any certificate will do.
const { chromium } = require("playwright-core");
const { FLAGS } = require("./browser.cjs");

// Runs in the page.
async function use(count) {
  const session = (n) => new Promise((resolve, reject) => {
    const socket = new WebSocket(`wss://${location.host}/chat`, ["chat.v1"]);
    socket.onopen = () => socket.send(`text ${n} ${"x".repeat(n * 5000)}`);
    socket.onmessage = ({ data }) => { socket.echoed = data.length; socket.close(4000 + n, "done"); };
    socket.onclose = ({ code, wasClean }) => resolve({ echoed: socket.echoed, code, wasClean });
    socket.onerror = () => reject(new Error(`WebSocket ${n}`));
  });
  const sessions = Promise.all(Array.from({ length: count }, (_, n) => session(n)));
  const body = "b".repeat(100_000);
  const response = await fetch("/echo", { method: "POST", body });
  const echoed = await response.text();
  return { sessions: await sessions, same: echoed === body, protocol: performance.getEntriesByType("navigation")[0].nextHopProtocol };
}

async function main(origin, count) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, headless: true, args: [...FLAGS, "--ignore-certificate-errors"] });
  const page = await browser.newPage();
  page.setDefaultTimeout(15000);
  await page.goto(`${origin}/page`);
  console.log(JSON.stringify(await page.evaluate(use, count)));
  await browser.close();
}

main(process.argv[2], Number(process.argv[3])).then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
