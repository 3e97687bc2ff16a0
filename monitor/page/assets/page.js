// The live page. What the guest can choose is set as text, never as markup.
import { Charts } from "./charts.js";
import { EventLog } from "./events.js";
import { MachineList } from "./list.js";
import { Screen } from "./screen.js";
import { rows, sum } from "./tables.js";

const TABLE_KEYS = ["doorbells", "polls", "chains", "interrupts"];

const $ = (id) => document.getElementById(id);
const machine = new URLSearchParams(location.search).get("machine");
const list = new MachineList($("machines"), machine ?? undefined);
const screen = new Screen($("console"));
const log = new EventLog({
  url: of("log"),
  types: $("types"),
  device: $("device"),
  filter: $("filter"),
  output: $("log"),
});
let source;
let charts;

/** The URL of what is this page's machine's own. */
function of(what) {
  const words = machine === null ? {} : { machine };
  return `${what}?${new URLSearchParams(words)}`;
}

/** The token is exchanged for a cookie, and leaves the address. */
async function enter() {
  const token = location.hash.slice(1);
  if (token === "") return true;
  history.replaceState(null, "", location.pathname + location.search);
  return await post("session", token);
}

async function post(what, body) {
  try {
    const response = await fetch(of(what), { method: "POST", body });
    say(await response.text());
    return response.ok;
  } catch {
    say("nobody answers");
    return false;
  }
}

function say(text) {
  $("said").textContent = text.trim();
}

function state(text) {
  $("state").textContent = text;
  document.title = `Vireo: ${text}`;
}

function listen() {
  source = new EventSource(of("events"));
  // Whoever connects anew gets the console from its beginning.
  source.onopen = () => {
    screen.clear();
    charts?.interrupt();
  };
  source.onmessage = ({ data }) => show(JSON.parse(data));
  source.addEventListener("console", ({ data }) => screen.write(data));
  source.addEventListener("end", end);
  source.onerror = () => {
    if (source.readyState !== EventSource.CLOSED) return state("disconnected");
    state("not connected");
    say("open the page by the URL that vireo printed");
  };
}

/** The page is of use without them. */
function loadCharts() {
  const script = document.createElement("script");
  script.src = "echarts.js";
  script.onload = () => {
    $("charts").className = "drawn";
    const names = ["exits", "bytes", "depth", "latency", "memory"];
    const elements = names.map((name) => [name, $(name)]);
    charts = new Charts(globalThis.echarts, Object.fromEntries(elements));
  };
  script.onerror = () => say("no charts: their library can't be had");
  document.head.append(script);
}

function end() {
  source.close();
  log.close();
  state("ended");
  for (const button of document.querySelectorAll("button")) {
    button.disabled = true;
  }
}

function show({ state: now, metrics, balloon, machines }) {
  state(machine === null ? now : `${machine}: ${now}`);
  list.show(machines);
  log.devices(metrics.devices.map(({ name }) => name));
  if (balloon && $("balloon").hidden) {
    $("balloon").hidden = false;
    $("mib").value = balloon.target_mib;
    $("mib").max = metrics.memory / 2 ** 20;
  }
  charts?.add(metrics, balloon);
  const reasons = [
    ...new Set(metrics.vcpus.flatMap(({ exits }) => Object.keys(exits))),
  ];
  rows($("vcpus"), [
    ["exits", ...reasons],
    ...metrics.vcpus.map(({ exits }, id) => [
      `vCPU ${id}`,
      ...reasons.map((reason) => exits[reason] ?? 0),
    ]),
  ]);
  rows($("devices"), [
    ["device", "in flight", ...TABLE_KEYS, "requests", "bytes", "errors"],
    ...metrics.devices.map((device) => {
      const requests = Object.values(device.requests);
      const frames = sum(device.queues, "frameBytes");
      return [
        `${device.name} (${device.kind})`,
        device.inFlight,
        ...TABLE_KEYS.map((key) => sum(device.queues, key)),
        sum(requests, "requests"),
        sum(requests, "bytes") + frames,
        sum(requests, "errors"),
      ];
    }),
  ]);
}

for (const button of document.querySelectorAll("button[data-post]")) {
  button.onclick = () => post(button.dataset.post);
}
$("inflate").onclick = () => post("balloon", $("mib").value);
$("console").onkeydown = (event) => screen.key(event, (text) => type(text));
$("console").onpaste = (event) => {
  event.preventDefault();
  type(event.clipboardData.getData("text").replaceAll(/\r?\n/g, "\r"));
};

let typed = "";
let typing = false;

/** One request at a time, so that keys stay in order. */
async function type(text) {
  typed += text;
  if (typing) return;
  typing = true;
  while (typed !== "") {
    const piece = typed.slice(0, 1000);
    typed = typed.slice(piece.length);
    if (!await post("input", piece)) typed = "";
  }
  typing = false;
}

if (await enter()) {
  listen();
  loadCharts();
} else state("not connected");
