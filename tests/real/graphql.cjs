// graphql-ws: `serve` is a server; otherwise a client that a test plays (play.cjs).
const { createServer } = require("http");
const WebSocket = require("ws");
const { play, soon, serve, serving } = require("./play.cjs");

function start() {
  const { GraphQLObjectType, GraphQLSchema, GraphQLInt } = require("graphql");
  const { useServer } = require("graphql-ws/use/ws");
  const http = createServer();
  async function* served() {
    for (;;) {
      yield { port: http.address().port };
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  const fields = { port: { type: GraphQLInt } };
  const schema = new GraphQLSchema({
    query: new GraphQLObjectType({ name: "Query", fields }),
    subscription: new GraphQLObjectType({ name: "Subscription", fields: { port: { type: GraphQLInt, subscribe: served } } }),
  });
  useServer({ schema }, new WebSocket.Server({ server: http }));
  serve(http);
}

let port;
let onPort = () => {};
const seen = { opened: 0, closed: [], errors: [], completed: 0 };

async function open({ url }) {
  const client = require("graphql-ws").createClient({
    url,
    webSocketImpl: WebSocket,
    // What is fatal is the client's own judgement; only its pause is shortened.
    retryWait: async () => {},
    on: { connected: () => (seen.opened += 1), closed: (event) => seen.closed.push(event.code) },
  });
  client.subscribe({ query: "subscription { port }" }, {
    next: ({ data }) => { port = data.port; onPort(); },
    error: (error) => seen.errors.push(String(error.reason || error.message || error)),
    complete: () => (seen.completed += 1),
  });
  return other(undefined);
}

// The server that events come from, once it is another than this one.
async function other(before) {
  await soon(new Promise((resolve) => {
    onPort = () => port !== undefined && port !== before && resolve();
    onPort();
  }), `events of another than ${before}, ${JSON.stringify(seen)}`);
  return { server: port, ...seen };
}

if (serving) start();
else play({ open, moved: ({ from }) => other(from) });
