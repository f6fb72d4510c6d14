// An echo server on npm `ws`: every message goes back, `close CODE REASON` makes the server close.
// Prints its port. Chooses the last subprotocol that it was offered; compresses when the client offers it.
const { WebSocketServer } = require("ws");

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: 0,
  perMessageDeflate: { threshold: 0 },
  maxPayload: 4 * 1024 * 1024,
  handleProtocols: (offered) => [...offered].pop(),
});

server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", (data, binary) => {
    const close = !binary && /^close (\d+) ?(.*)$/.exec(data.toString());
    if (close) socket.close(Number(close[1]), close[2]);
    else socket.send(data, { binary });
  });
});

process.stdin.resume().on("end", () => process.exit(0));
