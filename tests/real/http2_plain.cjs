// Uses the server of plain_server.cjs at the URL in the first argument on one HTTP/2 connection: bodies and trailers both ways,
// events one by one, many requests at once. Prints what it saw.
const http2 = require("http2");

const connection = http2.connect(process.argv[2]);

function ask(path, { method = "GET", body, trailers, ondata = () => {} } = {}) {
  return new Promise((resolve, reject) => {
    // The backend speaks HTTP/1.1, where trailers are announced.
    const announced = trailers ? { trailer: Object.keys(trailers).join() } : {};
    const stream = connection.request({ ":method": method, ":path": path, te: "trailers", ...announced }, { endStream: body === undefined, waitForTrailers: Boolean(trailers) });
    const seen = { text: "", trailers: {} };
    stream.on("response", (head) => { seen.status = head[":status"]; seen.head = head; });
    stream.on("trailers", (fields) => { seen.trailers = fields; });
    stream.on("wantTrailers", () => stream.sendTrailers(trailers));
    stream.setEncoding("utf8").on("data", (text) => { seen.text += text; ondata(text, stream); });
    stream.on("end", () => resolve(seen)).on("error", reject);
    if (body !== undefined) stream.end(body);
  });
}

async function main() {
  for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
    const { status, head, text } = await ask("/echo", { method, body: `body of ${method}` });
    console.log(method, status, head["x-method"], text);
  }
  const big = "z".repeat(3_000_000);
  console.log("large", (await ask("/echo", { method: "PUT", body: big })).text === big);
  console.log("missing", (await ask("/nothing")).status);
  console.log("trailers down", (await ask("/trailers")).trailers["x-sum"]);
  console.log("trailers up", (await ask("/sum", { method: "POST", body: "abc", trailers: { "x-sum": "3" } })).text);
  let events = 0;
  await ask("/events", { ondata: (text) => { events += 1; if (text !== `data: ${events - 1}\n\n`) throw new Error(text); ask("/ack", { method: "POST", body: "" }); } });
  console.log("events", events);
  const many = await Promise.all(Array.from({ length: 200 }, (_, n) => ask("/echo", { method: "POST", body: String(n) })));
  console.log("at once", many.every(({ text }, n) => text === String(n)));
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
