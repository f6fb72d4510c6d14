// MQTT over WebSocket: `serve` is the broker aedes; otherwise mqtt.js, played by a test (play.cjs).
const { createServer } = require("http");
const WebSocket = require("ws");
const { play, soon, serve, serving } = require("./play.cjs");

async function start() {
  const { Aedes } = require("aedes");
  const broker = await Aedes.createBroker();
  const http = createServer();
  new WebSocket.Server({ server: http }).on("connection", (socket, request) => {
    broker.handle(WebSocket.createWebSocketStream(socket), request);
  });
  // Every broker says its port to who asks, on the topic that the question names.
  broker.subscribe("who", ({ payload }, done) => {
    broker.publish({ topic: payload.toString(), payload: String(http.address().port), qos: 1 }, done);
  }, () => {});
  serve(http);
}

let client;
const seen = { opened: 0, errors: [] };
let onConnect = () => {};

async function who() {
  const answer = new Promise((resolve) => client.once("message", (_, payload) => resolve(Number(payload))));
  await soon(client.publishAsync("who", "answers", { qos: 1 }), "publish");
  return { server: await soon(answer, "an answer"), ...seen };
}

const connected = (times) =>
  soon(new Promise((resolve) => {
    onConnect = () => seen.opened >= times && resolve();
    onConnect();
  }), `${times} connects, ${JSON.stringify(seen)}`);

if (serving) start();
else
  play({
    async open({ url }) {
      client = require("mqtt").connect(url, { reconnectPeriod: 10 });
      client.on("connect", () => { seen.opened += 1; onConnect(); });
      client.on("error", (error) => seen.errors.push(String(error)));
      await connected(1);
      await soon(client.subscribeAsync("answers", { qos: 1 }), "subscribe");
      return who();
    },
    async moved() {
      await connected(2);
      // It subscribes again by itself before it publishes what is asked next.
      return who();
    },
  });
