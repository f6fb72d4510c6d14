// socket.io, versions 4 and 2 side by side. `serve 4` or `serve 2` is a server; otherwise a client that a test plays (play.cjs).
const { createServer } = require("http");
const { play, all, tally, soon, serve, serving } = require("./play.cjs");

function start(version) {
  const http = createServer();
  const io = version === "2" ? require("socket.io-v2")(http) : new (require("socket.io").Server)(http);
  io.on("connection", (socket) => {
    socket.on("who", (answer) => answer(http.address().port));
    socket.on("echo", (value, answer) => answer(value));
  });
  serve(http);
}

const clients = [];

async function open({ url, version, transports, patience = 10000 }) {
  const connect = version === "2" ? require("socket.io-client-v2") : require("socket.io-client").io;
  const socket = connect(url, { forceNew: true, reconnection: false, transports, autoConnect: false });
  try {
    const upgraded = new Promise((resolve) => {
      socket.once("connect", () => {
        const { engine } = socket.io;
        if (engine.transport.name === "websocket" || transports.length === 1) resolve();
        else engine.once("upgrade", resolve);
      });
    });
    const refused = new Promise((_, reject) => {
      for (const event of ["connect_error", "error"]) socket.once(event, (error) => reject(new Error(String(error.message || error))));
      // A session that was opened and then refused says no more than this.
      socket.io.once("close", (reason) => reject(new Error(String(reason))));
    });
    socket.open();
    await soon(Promise.race([upgraded, refused]), "connect and upgrade", patience);
    const client = { socket, server: await ask(socket, "who") };
    clients.push(client);
    return client;
  } catch (error) {
    socket.close();
    throw error;
  }
}

const ask = (socket, ...words) => soon(new Promise((resolve) => socket.emit(...words, resolve)), words[0]);

async function use({ socket, server }) {
  const text = `grüße ${Math.random()}`;
  if ((await ask(socket, "echo", text)) !== text) throw new Error("another text");
  const bytes = Buffer.from([0, 255, 128]);
  if (!bytes.equals(Buffer.from(await ask(socket, "echo", bytes)))) throw new Error("other bytes");
  return (await ask(socket, "who")) !== server;
}

const now = (found) => ({
  servers: tally(found.map(({ server }) => server)),
  transports: tally(found.map(({ socket }) => socket.io.engine.transport.name)),
});

if (serving) start(process.argv[3]);
else
  play({
    async open({ count, at_once = 1, ...how }) {
      const { done, failed } = await all(count, at_once, () => open({ transports: ["polling", "websocket"], ...how }));
      return { opened: done.length, ...now(done), failed: tally(failed) };
    },
    async use() {
      const { done, failed } = await all(clients.length, 50, (index) => use(clients[index]));
      return { used: done.length, moved: done.filter(Boolean).length, ...now(clients), failed: tally(failed) };
    },
  });
