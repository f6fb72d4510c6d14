"use strict";
// The first message of a session names its backend; all later ones are echoes.

const MAX_LINES = 200;
const at = (id) => document.getElementById(id);
const router = document.body.dataset.router;
// Open sessions and the backend of each; null until it has said its name.
const sessions = new Map();
const connecting = new Set();
let number = 0;
const lines = [];

function log(words) {
  lines.push(words);
  lines.splice(0, Math.max(0, lines.length - MAX_LINES));
  at("log").textContent = lines.join("\n");
  at("log").scrollTop = at("log").scrollHeight;
}

function draw() {
  const counts = new Map(Array.from(at("spread").children, (row) => [row.dataset.backend, 0]));
  for (const backend of sessions.values()) {
    if (backend !== null) counts.set(backend, (counts.get(backend) || 0) + 1);
  }
  const most = Math.max(1, ...counts.values());
  const names = Array.from(counts.keys()).sort();
  at("spread").replaceChildren(...names.map((name) => row(name, counts.get(name), most)));
  at("open").textContent = sessions.size;
}

function row(name, count, most) {
  const made = document.createElement("div");
  made.className = "backend";
  made.dataset.backend = name;
  const [label, track, bar, total] = ["span", "div", "div", "span"].map((tag) => document.createElement(tag));
  label.textContent = name;
  track.className = "track";
  bar.className = "bar";
  bar.dataset.backend = name;
  bar.dataset.sessions = count;
  bar.style.width = `${(100 * count) / most}%`;
  track.append(bar);
  total.textContent = count;
  made.append(label, track, total);
  return made;
}

function greeted(text) {
  try {
    const backend = JSON.parse(text).backend;
    return typeof backend === "string" ? backend : null;
  } catch {
    return null;
  }
}

function connect() {
  number += 1;
  const name = `#${number}`;
  const socket = new WebSocket(router);
  let opened = false;
  connecting.add(socket);
  socket.addEventListener("open", () => {
    opened = true;
    connecting.delete(socket);
    sessions.set(socket, null);
    draw();
  });
  socket.addEventListener("message", ({ data }) => {
    if (sessions.get(socket) !== null) {
      log(`${name} ${sessions.get(socket)}: ${data}`);
      return;
    }
    const backend = greeted(data) || "unknown";
    sessions.set(socket, backend);
    at("backend").textContent = backend;
    log(`${name} connected to ${backend}`);
    draw();
  });
  socket.addEventListener("close", ({ code, reason }) => {
    sessions.delete(socket);
    connecting.delete(socket);
    log(opened ? `${name} closed with code ${code} ${reason}` : `${name} was refused`);
    draw();
  });
}

function open(count) {
  for (let left = count; left > 0; left -= 1) connect();
}

at("connect").addEventListener("click", () => {
  const count = Number.parseInt(at("count").value, 10);
  open(Math.min(1000, Math.max(1, count || 1)));
});
for (const button of document.querySelectorAll("[data-open]")) {
  button.addEventListener("click", () => open(Number(button.dataset.open)));
}
at("close").addEventListener("click", () => {
  for (const socket of [...connecting, ...sessions.keys()]) socket.close(1000);
});
at("echo").addEventListener("submit", (event) => {
  event.preventDefault();
  for (const socket of sessions.keys()) socket.send(at("message").value);
});
