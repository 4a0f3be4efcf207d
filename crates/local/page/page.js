// Views are whole without this script. It fetches a view again when something has changed, and drops files.
"use strict";

const main = document.getElementById("view");
const only = (part) => main.dataset.on.split(" ").includes(part);

// Times in the zone of the browser.
function localTimes(within) {
  for (const time of within.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const today = at.toDateString() === new Date().toDateString();
    time.title = time.dateTime;
    time.textContent = today ? at.toLocaleTimeString() : at.toLocaleString();
  }
}
localTimes(document);

// ---- A view that stays current.

// Work that is asked for while it runs, runs once more afterwards: what it read may be old.
function single(work) {
  let running = false;
  let again = false;
  return async () => {
    again = true;
    if (running) return;
    running = true;
    try {
      while (again) {
        again = false;
        await work();
      }
    } finally {
      running = false;
    }
  };
}

let paused = false;
let pressed = false;
let timer = 0;
for (const kind of ["pointerdown", "pointerup", "pointercancel"]) {
  document.addEventListener(kind, () => (pressed = kind === "pointerdown"), true);
}

const refresh = single(async () => {
  if (paused || document.hidden) return;
  const answer = await fetch(location.href, { headers: { "x-fragment": "1" } }).catch(() => null);
  if (!answer?.ok || paused) return;
  const content = await answer.text();
  const active = document.activeElement;
  // A button that is replaced while it is pressed would lose its click.
  if (pressed) return later();
  // Whoever writes into a field is not disturbed.
  if (active && main.contains(active) && active.matches("input, select, textarea")) return later();
  const open = [...main.querySelectorAll("details[open][id]")].map((one) => one.id);
  const focused = active && main.contains(active) ? active.closest("[id]")?.id : null;
  main.innerHTML = content;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.querySelector("summary")?.focus();
  arm();
});

function later() {
  timer ||= setTimeout(() => {
    timer = 0;
    refresh();
  }, 400);
}

const dropped = new Set();
const events = new EventSource("/events?seen=" + main.dataset.seen);
events.onmessage = ({ data }) => {
  if (data === "all" || only(data)) later();
  if (data === "all" || data === "files") dropped.forEach((card) => card.follow());
};
document.addEventListener("visibilitychange", () => document.hidden || !main.dataset.on || later());

// What a view needs each time that it is new.
function arm() {
  localTimes(main);
  const pause = document.getElementById("pause");
  if (!pause) return;
  pause.hidden = false;
  const show = () => {
    pause.textContent = paused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(paused));
  };
  pause.onclick = () => {
    paused = !paused;
    show();
    if (!paused) later();
  };
  show();
  const filters = document.querySelector(".filters");
  filters.onchange = () => filters.requestSubmit();
}
arm();

// Keys: / searches, p pauses, 1 to 4 are the views.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  const view = document.querySelectorAll("nav a")[Number(event.key) - 1];
  if (view) view.click();
  if (event.key === "/") {
    const search = document.querySelector("input[type=search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  }
  if (event.key === "p") document.getElementById("pause")?.click();
});

// ---- Files that are dropped.

const SAMPLE_BYTES = 1 << 20;
const number = (value) => value.toLocaleString("en");
const address = (path, values) => path + "?" + new URLSearchParams(values);

function duration(seconds) {
  const whole = Math.ceil(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

class Card {
  constructor(file) {
    this.file = file;
    this.sample = file.slice(0, SAMPLE_BYTES);
    this.element = document.getElementById("file").content.firstElementChild.cloneNode(true);
    // The upload that is followed.
    this.sent = null;
    this.round = 0;
    this.follow = single(() => this.ask());
    const part = (selector) => this.element.querySelector(selector);
    [this.key, this.shown, this.toml, this.send] = [".key", ".preview", ".toml", ".send"].map(part);
    [this.progress, this.bar, this.words] = [".progress", ".progress progress", ".progress p"].map(part);
    part("h2").textContent = file.name;
    this.key.value = file.name;
    let wait = 0;
    const soon = () => {
      clearTimeout(wait);
      wait = setTimeout(() => this.preview(), 350);
    };
    this.key.oninput = soon;
    this.toml.oninput = soon;
    part(".choose").onchange = ({ target }) => this.choose(target.value);
    part(".suggest").onclick = () => this.suggest();
    part(".save").onclick = () => this.save();
    part(".remove").onclick = () => {
      dropped.delete(this);
      this.element.remove();
    };
    this.send.onclick = () => this.drop();
    document.getElementById("dropped").prepend(this.element);
    dropped.add(this);
    this.preview();
  }

  async preview() {
    const round = ++this.round;
    const mapping = new Blob([this.toml.value]);
    const values = { key: this.key.value, size: this.file.size, mapping: mapping.size };
    const body = new Blob([mapping, this.sample]);
    const answer = await fetch(address("/drop/preview", values), { method: "POST", body }).catch(() => null);
    if (round !== this.round) return;
    const content = answer ? await answer.text() : "";
    if (round !== this.round) return;
    if (answer?.headers.get("content-type")?.startsWith("text/html")) this.shown.innerHTML = content;
    else this.shown.textContent = content || "The system does not answer.";
    this.send.disabled = !answer?.ok;
  }

  async choose(name) {
    const answer = name ? await fetch(address("/drop/mapping", { name })) : null;
    this.toml.value = answer?.ok ? await answer.text() : "";
    this.preview();
  }

  async suggest() {
    const answer = await fetch(address("/drop/suggest", { key: this.key.value }), { method: "POST", body: this.sample });
    const words = await answer.text();
    if (answer.ok) {
      this.toml.value = words;
      this.toml.scrollTop = 0;
      this.preview();
    } else {
      this.shown.textContent = words;
    }
  }

  save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([this.toml.value], { type: "application/toml" }));
    link.download = this.file.name.replace(/\.[^.]*$/, "") + ".mapping.toml";
    link.click();
    URL.revokeObjectURL(link.href);
  }

  tell(words, part) {
    this.progress.hidden = false;
    this.words.textContent = words;
    if (part === null) this.bar.removeAttribute("value");
    else this.bar.value = part;
  }

  async drop() {
    const key = this.key.value;
    this.send.disabled = true;
    this.sent = null;
    if (this.toml.value.trim()) {
      const answer = await fetch(address("/drop/mapping", { key }), { method: "POST", body: this.toml.value });
      if (!answer.ok) {
        this.send.disabled = false;
        return this.tell(await answer.text(), 0);
      }
    }
    const request = new XMLHttpRequest();
    request.open("PUT", address("/drop/file", { key }));
    request.upload.onprogress = ({ loaded, total }) =>
      this.tell(`uploading: ${Math.floor((loaded / total) * 100)} %`, loaded / total / 4);
    request.onload = () => {
      this.send.disabled = false;
      if (request.status !== 200) return this.tell(request.responseText, 0);
      const { version } = JSON.parse(request.responseText);
      this.sent = { key, version: version ?? "" };
      this.follow();
    };
    request.onerror = () => {
      this.send.disabled = false;
      this.tell("The system does not answer. Is it still running?", 0);
    };
    // A file of the disk is not read into memory.
    request.send(this.file);
  }

  async ask() {
    const sent = this.sent;
    if (!sent) return;
    const answer = await fetch(address("/drop/progress", sent)).catch(() => null);
    const files = answer?.ok ? await answer.json() : null;
    if (!files || sent !== this.sent) return;
    if (!files.length) return this.tell("waiting", null);
    const lines = files.map((file) => {
      const counts = `${number(file.rows)} rows, ${number(file.acknowledged)} acknowledged, ${number(file.rejected)} rejected`;
      const of = file.mapping ? `${file.mapping}: ` : "";
      const rate = file.ended || !file.rate ? "" : `, ${number(file.rate)} rows a second`;
      const left = file.seconds_left ? `, ${duration(file.seconds_left)} left` : "";
      const why = file.reason ? `: ${file.reason}` : "";
      return `${of}${file.outcome.replaceAll("_", " ")}${why} · ${counts}${rate}${left}`;
    });
    const ended = files.every((file) => file.ended);
    const settled = files.reduce((sum, file) => sum + (file.ended ? 1 : file.settled / Math.max(1, file.bytes)), 0);
    this.tell(lines.join("\n"), 0.25 + (0.75 * settled) / files.length);
    this.links(files);
    if (ended && !files.some((file) => file.outcome === "failed")) this.sent = null;
  }

  links(files) {
    for (const file of files.filter((one) => one.rejects)) {
      const link = document.createElement("a");
      link.href = address("/download", { bucket: "segment-s3-state", key: file.rejects });
      link.textContent = "download the rejects";
      link.download = "";
      this.words.append(" ", link);
    }
  }
}

const zone = document.getElementById("zone");
if (zone) {
  const chosen = document.getElementById("chosen");
  const take = (files) => [...files].forEach((file) => new Card(file));
  chosen.onchange = () => {
    take(chosen.files);
    chosen.value = "";
  };
  const over = (is) => (event) => {
    event.preventDefault();
    zone.classList.toggle("over", is);
  };
  document.addEventListener("dragover", over(true));
  document.addEventListener("dragleave", over(false));
  document.addEventListener("drop", (event) => {
    over(false)(event);
    take(event.dataTransfer.files);
  });
}
