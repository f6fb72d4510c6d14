"use strict";
// Reads /api every two seconds while the page is visible. All that comes from there is set as text, never as markup.

const REFRESH_MS = 2000;
const PAGE = 100;
const MAX_SHOWN = 1000;
const at = (id) => document.getElementById(id);
let token = "";
let shown = PAGE;
let timer = 0;

async function call(path, method = "GET") {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { method, headers, cache: "no-store" });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error || `${answer.status} ${answer.statusText}`);
  return body;
}

function problem(words) {
  at("problem").textContent = words;
  at("problem").hidden = !words;
}

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function action(words, method, path) {
  const button = element("button", words);
  button.type = "button";
  button.disabled = !token;
  if (!token) button.title = "needs the admin token";
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await call(path, method);
      await refresh();
    } catch (error) {
      problem(error.message);
    }
  });
  return button;
}

const grouped = (count) => count.toLocaleString("en");

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) { bytes /= 1024; unit += 1; }
  return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
}

function age(seconds) {
  const whole = Math.floor(seconds);
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

function endpointRow(service, endpoint, most) {
  const row = element("tr");
  const name = element("td", endpoint.address);
  name.title = endpoint.identity;
  const state = endpoint.ejected && endpoint.state === "active" ? "ejected" : endpoint.state;
  const stateCell = element("td");
  stateCell.append(element("span", endpoint.far ? `${state}, far` : state, `state ${state}`));
  const load = element("td", undefined, "load");
  const track = element("div", undefined, "track");
  const bar = element("div", undefined, "bar");
  bar.style.width = `${most ? (100 * endpoint.sessions) / most : 0}%`;
  track.append(bar);
  load.append(track);
  const place = `/api/services/${encodeURIComponent(service.name)}/endpoints/${encodeURIComponent(endpoint.identity)}`;
  const actions = element("td", undefined, "number");
  actions.append(endpoint.state === "draining"
    ? action("Undrain", "POST", `${place}/undrain`)
    : action("Drain", "POST", `${place}/drain`));
  row.append(name, stateCell, element("td", `weight ${endpoint.weight}`), load,
    element("td", grouped(endpoint.sessions), "number"), actions);
  return row;
}

function serviceCard(service) {
  const card = element("section");
  const total = service.endpoints.reduce((sum, endpoint) => sum + endpoint.sessions, 0);
  const most = service.endpoints.reduce((top, endpoint) => Math.max(top, endpoint.sessions), 0);
  const title = element("h3", service.name);
  title.append(element("span", service.strategy),
    element("span", `${grouped(total)} sessions on ${grouped(service.endpoints.length)} endpoints`));
  if (service.age_seconds !== null) title.append(element("span", `discovery answered ${age(service.age_seconds)} ago`));
  card.append(title);
  if (!service.endpoints.length) {
    card.append(element("div", service.known ? "no endpoints" : "endpoints not known yet", "empty"));
    return card;
  }
  const table = element("table");
  const body = element("tbody");
  body.append(...service.endpoints.slice(0, MAX_SHOWN).map((endpoint) => endpointRow(service, endpoint, most)));
  table.append(body);
  card.append(table);
  const hidden = service.endpoints.length - MAX_SHOWN;
  if (hidden > 0) card.append(element("div", `${grouped(hidden)} more endpoints in /api/services`, "empty"));
  return card;
}

function sessionRow(session) {
  const row = element("tr");
  const opened = element("td", age(session.age_seconds), "number");
  opened.title = session.opened;
  const endpoint = element("td", session.endpoint);
  endpoint.title = session.identity;
  const end = element("td", undefined, "number");
  end.append(action("Close", "DELETE", `/api/sessions/${encodeURIComponent(session.id)}`));
  row.append(element("td", session.id), element("td", session.client), element("td", session.route),
    element("td", session.service), endpoint, opened,
    element("td", `${size(session.bytes_from_client)} / ${size(session.bytes_to_client)}`, "number"),
    element("td", `${grouped(session.messages_from_client)} / ${grouped(session.messages_to_client)}`, "number"), end);
  return row;
}

function offer(services) {
  const choice = at("service");
  const names = services.map((service) => service.name);
  const offered = Array.from(choice.options).slice(1).map((option) => option.value);
  if (names.join("\n") === offered.join("\n")) return;
  const chosen = choice.value;
  choice.replaceChildren(new Option("all", ""), ...names.map((name) => new Option(name, name)));
  choice.value = names.includes(chosen) ? chosen : "";
}

async function refresh() {
  clearTimeout(timer);
  try {
    const query = new URLSearchParams({ limit: shown });
    if (at("service").value) query.set("service", at("service").value);
    if (at("endpoint").value.trim()) query.set("endpoint", at("endpoint").value.trim());
    const [{ services }, page] = await Promise.all([call("/api/services"), call(`/api/sessions?${query}`)]);
    offer(services);
    at("services").replaceChildren(...services.map(serviceCard));
    at("sessions").replaceChildren(...page.sessions.map(sessionRow));
    at("shown").textContent = `${grouped(page.sessions.length)} of ${grouped(page.total)}`;
    at("more").hidden = page.next === null || shown >= MAX_SHOWN;
    at("summary").textContent = `as of ${new Date().toLocaleTimeString()}`;
    problem("");
  } catch (error) {
    problem(error.message);
    at("summary").textContent = "not up to date";
  }
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, REFRESH_MS);
}

at("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value.trim();
  at("token").value = "";
  at("token").placeholder = token ? "token in use" : "to make changes";
  refresh();
});
at("filter").addEventListener("submit", (event) => event.preventDefault());
at("filter").addEventListener("change", () => { shown = PAGE; refresh(); });
at("more").addEventListener("click", () => { shown = Math.min(shown * 2, MAX_SHOWN); refresh(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
refresh();
