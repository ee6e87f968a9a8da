// The page of a job: draws its events as they arrive; htmx fetches the rest only when the state changes.
"use strict";

const PARTS = ["total", "content", "style", "tv"];
/** Pictures are mixed by the server: one is fetched once the slider has rested for so long. */
const STRENGTH_DELAY_MS = 200;
const job = document.getElementById("job");
const picture = document.getElementById("picture");

/** The losses so far, as columns, and their chart. */
const losses = {
  columns: Object.fromEntries(["step", "scale", ...PARTS].map((name) => [name, []])),
  plot: null,
  due: false,

  add(step) {
    const last = this.columns.step.at(-1) ?? 0;
    if (step.step <= last) return; // repeated after a reconnection, or by a later attempt
    this.columns.step.push(step.step);
    this.columns.scale.push(step.scale);
    for (const part of PARTS) this.columns[part].push(step.losses[part]);
    this.redraw();
  },

  /** Draw once in the next animation frame, however many steps arrive before it. */
  redraw() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      if (this.columns.step.length) this.draw();
    });
  },

  draw() {
    const data = [this.columns.step, ...PARTS.map((part) => this.columns[part].map((value) => (value > 0 ? value : null)))];
    if (this.plot) this.plot.setData(data);
    else this.plot = new uPlot(chart(), data, document.getElementById("curves"));
    if (this.plot.cursor.left < 0) this.plot.setLegend({ idx: data[0].length - 1 }); // unless the pointer is on a step
  },
};

function chart() {
  const style = getComputedStyle(document.documentElement);
  const [ink, quiet, line] = ["--ink", "--quiet", "--line"].map((name) => style.getPropertyValue(name));
  const colours = { total: ink, content: "#3d84c6", style: "#d0622c", tv: "#5f9a46" };
  const axis = { stroke: quiet, grid: { stroke: line, width: 1 }, ticks: { stroke: line } };
  return {
    width: width(),
    height: 280,
    scales: { x: { time: false }, y: { distr: 3 } },
    axes: [{ ...axis, label: "step" }, { ...axis, size: 70, values: (_, values) => values.map(powerOfTen) }],
    series: [
      { label: "step" },
      ...PARTS.map((part) => ({
        label: part, stroke: colours[part], width: part === "total" ? 2 : 1.25, points: { show: false },
        value: (_, value) => (value == null ? "–" : value.toPrecision(4)),
      })),
    ],
    hooks: { drawAxes: [(plot) => scaleLines(plot, quiet)] },
  };
}

/** Label an axis value if it is a power of ten. */
function powerOfTen(value) {
  return value != null && Number.isInteger(Math.round(Math.log10(value) * 1e6) / 1e6) ? value.toExponential(0) : "";
}

/** Draw a line at the start of each scale but the first. */
function scaleLines(plot, colour) {
  const { step, scale } = losses.columns;
  plot.ctx.save();
  plot.ctx.strokeStyle = colour;
  plot.ctx.setLineDash([4, 4]);
  for (let at = 1; at < step.length; at += 1) {
    if (scale[at] === scale[at - 1]) continue;
    const x = plot.valToPos(step[at], "x", true);
    plot.ctx.beginPath();
    plot.ctx.moveTo(x, plot.bbox.top);
    plot.ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
    plot.ctx.stroke();
  }
  plot.ctx.restore();
}

const width = () => document.getElementById("curves").clientWidth;
addEventListener("resize", () => losses.plot?.setSize({ width: width(), height: 280 }));

/** Format a duration as the server does. */
function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${String(Math.round(seconds % 60)).padStart(2, "0")} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function showStep(step) {
  const values = { ...step, step_ms: step.step_ms.toFixed(1), eta: duration(step.eta_s) };
  for (const place of document.querySelectorAll("[data-live]")) {
    if (values[place.dataset.live] !== undefined) place.textContent = values[place.dataset.live];
  }
  const bar = document.getElementById("bar");
  if (bar) [bar.max, bar.value] = [step.total, step.step];
}

function showPicture(version, look = "") {
  picture.src = `${picture.dataset.path}?v=${version}${look}`;
  picture.hidden = false;
  slider.hidden = false;
}

/** The film strip: fewer than 12 of the previews shown, evenly spaced. */
const film = {
  every: 1,
  seen: 0,
  add(version) {
    const frames = document.querySelector("#film .frames");
    if (!frames || this.seen++ % this.every) return;
    const frame = new Image();
    frame.src = `${picture.dataset.path}?v=${version}`;
    frame.alt = `Step ${version.split("-")[1]}`;
    frames.append(frame);
    document.getElementById("film").hidden = false;
    if (frames.children.length < 12) return;
    this.every *= 2;
    [...frames.children].forEach((child, place) => place % 2 && child.remove());
  },
};

const slider = document.getElementById("slider");
slider.hidden = picture.hidden;
const clip = () => { picture.style.clipPath = `inset(0 0 0 ${slider.value}%)`; };
slider.addEventListener("input", clip);
clip();

/** The form that sets how strongly the painting shows; there is none once the photograph is gone. */
const strength = {
  form: document.getElementById("strength"),
  timer: 0,

  start() {
    if (!this.form) return;
    this.form.hidden = false; // a viewer may look, but has no button to save
    this.form.elements.strength.addEventListener("input", () => {
      this.form.querySelector("output").value = Number(this.form.elements.strength.value).toFixed(2);
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.show(), STRENGTH_DELAY_MS);
    });
  },

  show() {
    const look = `strength=${this.form.elements.strength.value}`;
    const link = document.querySelector("#whole a");
    showPicture(document.getElementById("state").dataset.version, `&${look}`);
    link.querySelector("img").src = picture.src;
    link.search = look;
  },
};
strength.start();

const handlers = {
  step: (data) => {
    showStep(data);
    losses.add(data);
  },
  preview: (data) => {
    showPicture(`live-${data.step}`);
    film.add(`live-${data.step}`);
  },
};
const known = new WeakSet(); // a source opens again after each reconnection
document.addEventListener("htmx:sseOpen", (event) => {
  const source = event.detail.source;
  if (known.has(source)) return;
  known.add(source);
  for (const [name, handle] of Object.entries(handlers)) source.addEventListener(name, (message) => handle(JSON.parse(message.data)));
});

// When the job has ended, show its result.
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "state") return;
  const { state, version } = document.getElementById("state").dataset;
  if (!["succeeded", "failed", "canceled"].includes(state)) return;
  if (!document.querySelector("#state a[download]")) return;
  showPicture(version);
  const whole = document.getElementById("whole");
  whole.querySelector("img").src = picture.src;
  whole.hidden = false;
});

fetch(document.getElementById("curves").dataset.path)
  .then((response) => (response.ok ? response.json() : null))
  .then((columns) => {
    if (!columns || !columns.step.length) return;
    const live = losses.columns;
    const last = columns.step.at(-1);
    const isNewer = live.step.map((step) => step > last);
    for (const name of Object.keys(live)) live[name] = columns[name].concat(live[name].filter((_, at) => isNewer[at]));
    losses.redraw();
  });
