// Uses the server of plain_server.cjs at the URL in the first argument with Node's fetch and http, and prints what it saw.
const http = require("http");

const base = process.argv[2];

async function echo() {
  for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
    const response = await fetch(`${base}/echo`, { method, body: `body of ${method}` });
    console.log(method, response.status, response.headers.get("x-method"), await response.text());
  }
  const head = await fetch(`${base}/echo`, { method: "HEAD" });
  console.log("HEAD", head.status, head.headers.get("x-method"), (await head.text()).length);
  console.log("GET", (await fetch(`${base}/nothing`)).status);
}

async function streams() {
  // Each chunk comes back before the next is sent.
  const stream = new TransformStream();
  const writer = stream.writable.getWriter();
  const encoder = new TextEncoder();
  const first = writer.write(encoder.encode("chunk 0;"));
  const response = await fetch(`${base}/echo`, { method: "POST", body: stream.readable, duplex: "half" });
  await first;
  const reader = response.body.getReader();
  let text = new TextDecoder().decode((await reader.read()).value);
  for (let n = 1; n < 10; n += 1) {
    await writer.write(encoder.encode(`chunk ${n};`));
    text += new TextDecoder().decode((await reader.read()).value);
  }
  await writer.close();
  console.log("streamed", text, (await reader.read()).done);
}

async function events() {
  const response = await fetch(`${base}/events`);
  let count = 0;
  for await (const bytes of response.body) {
    count += 1;
    if (new TextDecoder().decode(bytes) !== `data: ${count - 1}\n\n`) throw new Error(`event ${count}`);
    await (await fetch(`${base}/ack`, { method: "POST" })).text();
  }
  console.log("events", count);
}

function trailers() {
  return new Promise((resolve, reject) => {
    http.get(`${base}/trailers`, { headers: { te: "trailers", connection: "te" } }, (response) => {
      response.resume().on("end", () => {
        console.log("trailers", response.trailers["x-sum"]);
        resolve();
      });
    }).on("error", reject);
  });
}

function expectation() {
  return new Promise((resolve, reject) => {
    const request = http.request(`${base}/echo`, { method: "PUT", headers: { expect: "100-continue", "content-length": 4 } });
    request.on("continue", () => request.end("body"));
    request.on("response", async (response) => {
      let text = "";
      for await (const chunk of response) text += chunk;
      console.log("expected", response.statusCode, text);
      resolve();
    });
    request.on("error", reject);
    request.flushHeaders();
  });
}

async function big() {
  const size = 64 << 20;
  const response = await fetch(`${base}/big?bytes=${size}`);
  let got = 0;
  for await (const chunk of response.body) got += chunk.length;
  console.log("big", got === size);
}

(async () => {
  await echo();
  await streams();
  await events();
  await trailers();
  await expectation();
  await big();
})().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
