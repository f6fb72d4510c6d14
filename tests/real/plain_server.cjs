// A plain server on Node's http. Prints its port. /echo sends the request back, /events 20 events, each when the one before was
// acknowledged at /ack, /trailers an answer with a trailer, /sum the trailer of the request, /big as many bytes as it is asked
// for, /count how many connections there were.
const http = require("http");

let connections = 0;
let acknowledged = () => {};

const routes = {
  "/echo": (request, response) => {
    response.writeHead(200, { "x-method": request.method, "content-type": "application/octet-stream" });
    request.pipe(response);
  },
  "/events": async (request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (let n = 0; n < 20; n += 1) {
      const acknowledgement = new Promise((resolve) => { acknowledged = resolve; });
      response.write(`data: ${n}\n\n`);
      await acknowledgement;
    }
    response.end();
  },
  "/ack": (request, response) => {
    acknowledged();
    response.end("ok");
  },
  "/trailers": (request, response) => {
    response.writeHead(200, { trailer: "x-sum" });
    response.write("body");
    response.addTrailers({ "x-sum": "4" });
    response.end();
  },
  "/sum": (request, response) => request.resume().on("end", () => response.end(`sum ${request.trailers["x-sum"]}`)),
  "/big": (request, response) => {
    let left = Number(new URL(request.url, "http://a").searchParams.get("bytes"));
    const chunk = Buffer.alloc(1 << 16, "x");
    const more = () => {
      while (left > 0) {
        const part = chunk.subarray(0, Math.min(left, chunk.length));
        left -= part.length;
        if (!response.write(part)) return response.once("drain", more);
      }
      return response.end();
    };
    more();
  },
  "/count": (request, response) => response.end(String(connections)),
};

const server = http.createServer((request, response) => {
  const route = routes[request.url.split("?")[0]];
  if (route) return route(request, response);
  response.statusCode = 404;
  return response.end("no such page");
});
server.on("connection", () => { connections += 1; });
server.listen(0, "127.0.0.1", () => console.log(server.address().port));

process.stdin.resume().on("end", () => process.exit(0));
