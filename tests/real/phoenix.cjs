// Phoenix channels: `serve` answers as a Phoenix server does (joins, heartbeats, pushes; the real one needs Erlang);
// otherwise Phoenix's own client for JavaScript, played by a test (play.cjs).
const { createServer } = require("http");
const WebSocket = require("ws");
const { play, soon, serve, serving } = require("./play.cjs");

function start() {
  const http = createServer();
  const server = new WebSocket.Server({ noServer: true, handleProtocols: (offered) => offered.has("phoenix") && "phoenix" });
  http.on("upgrade", (request, socket, head) => {
    const { pathname, searchParams } = new URL(request.url, "http://server");
    if (pathname !== "/socket/websocket" || searchParams.get("vsn") !== "2.0.0") return socket.end("HTTP/1.1 404 Not Found\r\n\r\n");
    const bearer = /base64url\.bearer\.phx\.([\w-]+)/.exec(request.headers["sec-websocket-protocol"] || "");
    const token = bearer && Buffer.from(bearer[1], "base64url").toString();
    server.handleUpgrade(request, socket, head, (session) => talk(session, token));
  });
  function talk(session, token) {
    session.on("message", (data) => {
      const [join, ref, topic, event, payload] = JSON.parse(data);
      const response = event === "who" ? { port: http.address().port, token } : payload;
      session.send(JSON.stringify([join, ref, topic, "phx_reply", { status: "ok", response }]));
    });
  }
  serve(http);
}

let socket;
let channel;
const seen = { opened: 0, closed: [], joined: 0 };
let onJoin = () => {};

const push = (event) =>
  soon(new Promise((resolve, reject) => {
    channel.push(event, {}).receive("ok", resolve).receive("error", reject).receive("timeout", () => reject(new Error(event)));
  }), event);

const joined = (times) =>
  soon(new Promise((resolve) => {
    onJoin = () => seen.joined >= times && resolve();
    onJoin();
  }), `${times} joins, ${JSON.stringify(seen)}`);

async function who() {
  const { port, token } = await push("who");
  return { server: port, token, ...seen };
}

if (serving) start();
else
  play({
    async open({ url, token }) {
      const { Socket } = require("phoenix");
      socket = new Socket(url, { transport: WebSocket, authToken: token, heartbeatIntervalMs: 20 });
      socket.onOpen(() => (seen.opened += 1));
      socket.onClose((event) => seen.closed.push(event.code));
      socket.connect();
      channel = socket.channel("room:lobby");
      channel.join().receive("ok", () => { seen.joined += 1; onJoin(); });
      await joined(1);
      return who();
    },
    async moved() {
      await joined(2);
      return who();
    },
  });
