// Microsoft's SignalR client for JavaScript, played by a test: see play.cjs.
const { HttpTransportType, HubConnectionBuilder, LogLevel } = require("@microsoft/signalr");
const { play, all, tally, soon } = require("./play.cjs");

const connections = [];
let reconnected = [];
let closed = 0;
let onReconnected = () => {};

async function open(url, transport) {
  const options = transport ? { transport: HttpTransportType[transport] } : {};
  const connection = new HubConnectionBuilder()
    .withUrl(url, options)
    .withAutomaticReconnect()
    .configureLogging(LogLevel.None)
    .build();
  const client = { connection };
  connection.onreconnected(() => { reconnected.push(client); onReconnected(); });
  connection.onclose(() => { closed += 1; });
  await soon(connection.start(), "start");
  const [hub, kind, id] = await soon(connection.invoke("WhoAmI"), "WhoAmI");
  if (id !== connection.connectionId) throw new Error(`connected as ${id}, negotiated ${connection.connectionId}`);
  Object.assign(client, { hub, kind });
  connections.push(client);
  return client;
}

// An answer, a stream and a question whether the hub is still the one it was.
async function use(client) {
  const text = `grüße ${Math.random()}`;
  const echo = await soon(client.connection.invoke("Echo", text), "Echo");
  if (echo !== text) throw new Error(`echo of ${text}: ${echo}`);
  const items = await soon(new Promise((resolve, reject) => {
    const seen = [];
    client.connection.stream("Count", 5).subscribe({ next: (item) => seen.push(item), complete: () => resolve(seen), error: reject });
  }), "Count");
  if (items.join() !== "1,2,3,4,5") throw new Error(`counted ${items}`);
  const [hub, kind] = await soon(client.connection.invoke("WhoAmI"), "WhoAmI");
  const moved = hub !== client.hub;
  Object.assign(client, { hub, kind });
  return moved;
}

const spread = (clients) => ({ hubs: tally(clients.map((c) => c.hub)), transports: tally(clients.map((c) => c.kind)) });

play({
  async open({ url, transport, count, at_once = 1 }) {
    const { done, failed } = await all(count, at_once, () => open(url, transport));
    return { opened: done.length, ...spread(done), failed: tally(failed) };
  },
  async use() {
    const { done, failed } = await all(connections.length, 50, (index) => use(connections[index]));
    return { used: done.length, moved: done.filter(Boolean).length, ...spread(connections), failed: tally(failed) };
  },
  // How many lost their connection and have another one, once there are so many.
  async reconnected({ count }) {
    await soon(new Promise((resolve) => {
      onReconnected = () => reconnected.length >= count && resolve();
      onReconnected();
    }), `${count} reconnected, ${reconnected.length} did`);
    const answer = { reconnected: reconnected.length, closed };
    reconnected = [];
    return answer;
  },
  async leave() {
    await Promise.all(connections.map(({ connection }) => connection.invoke("Leave").catch(() => {})));
    return {};
  },
  async close() {
    const { done } = await all(connections.length, 50, (index) => soon(connections[index].connection.stop(), "stop"));
    connections.length = 0;
    return { stopped: done.length };
  },
});
