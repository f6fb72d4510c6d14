// In a headless Chromium, scripts of the page at the first URL of the argument and of the same page by another name ask the
// router at the second. Prints what each script could read.
const { chromium } = require("playwright-core");

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];

// Runs in the page.
async function ask(router) {
  const seen = [];
  for (const [path, options] of [
    ["/echo", { method: "POST", headers: { "x-requested-with": "a script" }, credentials: "include", body: "hello" }],
    ["/echo", { method: "DELETE" }],
    ["/none", {}],
  ]) {
    try {
      const response = await fetch(router + path, options);
      seen.push(`${path} ${response.status} ${(await response.text()).trim()}`);
    } catch (error) {
      seen.push(`${path} ${error.name}`);
    }
  }
  return seen;
}

async function main([page, router]) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, headless: true, args: FLAGS });
  for (const url of [page, page.replace("127.0.0.1", "localhost")]) {
    const tab = await browser.newPage();
    await tab.goto(`${url}/count`);
    console.log((await tab.evaluate(ask, router)).join("\n"));
    await tab.close();
  }
  await browser.close();
}

main(process.argv[2].split(" ")).then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
