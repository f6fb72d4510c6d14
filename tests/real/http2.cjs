// The exchanges of client.cjs, with every WebSocket on a stream of one HTTP/2 connection (RFC 8441).
const http2 = require("http2");
const path = require("path");

const ws = require.resolve("ws");
const WebSocket = require(ws);
const lib = path.join(path.dirname(ws), "lib");
const Deflate = require(path.join(lib, "permessage-deflate.js"));
const extension = require(path.join(lib, "extension.js"));

const url = new URL(process.argv[2]);
const connection = http2.connect(`${url.protocol === "wss:" ? "https" : "http"}://${url.host}`);
const ready = new Promise((resolve) => connection.once("remoteSettings", resolve));

class OverHttp2 extends WebSocket {
  constructor(_, protocols, options) {
    super(null, undefined, { closeTimeout: 30_000, ...options });
    this._isServer = false;
    ready.then((settings) => this.#connect(settings, protocols, options)).catch((error) => this.emit("error", error));
  }

  #connect(settings, protocols, options) {
    if (!settings.enableConnectProtocol) throw new Error("WebSockets are not offered");
    const head = { ":method": "CONNECT", ":protocol": "websocket", ":path": url.pathname, "sec-websocket-version": "13" };
    const names = [].concat(protocols ?? []);
    if (names.length > 0) head["sec-websocket-protocol"] = names.join(",");
    let deflate;
    if (options.perMessageDeflate) {
      deflate = new Deflate(options.perMessageDeflate === true ? {} : options.perMessageDeflate, false, 100 << 20);
      head["sec-websocket-extensions"] = extension.format({ [Deflate.extensionName]: deflate.offer() });
    }
    const stream = connection.request(head);
    stream.on("error", (error) => this.readyState === WebSocket.OPEN || this.emit("error", error));
    stream.on("response", (answer) => {
      if (answer[":status"] !== 200) return this.emit("error", new Error(`status ${answer[":status"]}`));
      this._protocol = answer["sec-websocket-protocol"] ?? "";
      const agreed = answer["sec-websocket-extensions"];
      if (agreed && deflate) {
        deflate.accept(extension.parse(agreed)[Deflate.extensionName]);
        this._extensions[Deflate.extensionName] = deflate;
      }
      this.setSocket(stream, Buffer.alloc(0), { allowSynchronousEvents: false, maxPayload: 100 << 20, skipUTF8Validation: false });
    });
  }
}

require.cache[ws].exports = OverHttp2;
require("./client.cjs");
