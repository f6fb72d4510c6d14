// Runs every exchange against the URL in the first argument and prints what it saw, one line each.
const { createHash } = require("crypto");
const WebSocket = require("ws");

const url = process.argv[2];
const sum = (data) => createHash("sha256").update(data).digest("hex").slice(0, 16);

function open(options = {}, protocols = []) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, protocols, { perMessageDeflate: false, ...options });
    socket.on("open", () => resolve(socket));
    socket.on("error", reject);
  });
}

const message = (socket) =>
  new Promise((resolve) => socket.once("message", (data, binary) => resolve({ data, binary })));
const closed = (socket) =>
  new Promise((resolve) => socket.once("close", (code, reason) => resolve(`${code} ${reason}`)));

async function echo(name, payload, options) {
  const socket = await open(options);
  const answer = message(socket);
  socket.send(payload);
  const { data, binary } = await answer;
  const kind = binary ? "binary" : "text";
  const extensions = socket.extensions ? "compressed" : "plain";
  console.log(name, kind, extensions, data.length, sum(data));
  const end = closed(socket);
  socket.close(1000, "done");
  console.log(name, "closed", await end);
}

async function fragments() {
  const socket = await open();
  const answer = message(socket);
  for (let i = 0; i < 20; i++) socket.send(`part ${i};`, { fin: i === 19 });
  const { data } = await answer;
  console.log("fragmented", data.length, sum(data));
  socket.terminate();
}

async function subprotocol() {
  const socket = await open({}, ["first.v1", "second.v2"]);
  console.log("subprotocol", socket.protocol);
  socket.terminate();
}

async function pings() {
  const socket = await open();
  const pong = new Promise((resolve) => socket.once("pong", resolve));
  socket.ping("are you there");
  console.log("pong", (await pong).toString());
  socket.terminate();
}

async function close(code, reason) {
  const socket = await open();
  const end = closed(socket);
  socket.send(`close ${code} ${reason}`);
  console.log("server closes", await end);
}

async function main() {
  const large = Buffer.alloc(1024 * 1024, "longhaul ");
  await echo("text", "grüße, 世界 🌍");
  await echo("empty", "");
  await echo("binary", Buffer.from([0, 1, 2, 253, 254, 255]));
  await echo("large", large);
  await echo("compressed text", "again and again ".repeat(500), { perMessageDeflate: { threshold: 0 } });
  await echo("compressed large", large, { perMessageDeflate: { threshold: 0 } });
  await fragments();
  await subprotocol();
  await pings();
  for (const [code, reason] of [[1000, "bye"], [1001, ""], [1011, "sorry"], [3000, "x".repeat(123)], [4999, "own"]])
    await close(code, reason);
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
