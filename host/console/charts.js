// Small charts, drawn by hand: bars by minute, a line, a strip of attempts, the parts of a time.

import { h, s } from "./dom.js";
import { ago, clock, ms, number, plural, us } from "./words.js";

const WIDTH = 720;
/** Attempts that a strip has room for. */
const STRIP = 60;

/** Deliveries and failures by minute, one above the other. */
export function minutes(figures) {
  const [height, room] = [120, WIDTH / figures.length];
  const most = Math.max(4, ...figures.map((minute) => minute.delivered + minute.failed));
  const bars = figures.map((minute, place) => {
    const [good, bad] = [(minute.delivered / most) * height, (minute.failed / most) * height];
    return s("g",
      s("title", {}, `${clock(minute.timestamp)}: ${minute.delivered} delivered, ${minute.failed} failed`),
      s("rect", { x: place * room, y: 0, width: room, height, class: "hit" }),
      s("rect.good", { x: place * room + 1, y: height - good, width: room - 2, height: good }),
      s("rect.bad", { x: place * room + 1, y: height - good - bad, width: room - 2, height: bad }));
  });
  return chart(`Attempts by minute, last hour: at most ${number(most)} a minute`, height, bars, [clock(figures[0].timestamp), `most ${number(most)}/min`, "now"]);
}

/** The slowest of a hundred, by minute. */
export function latency(figures) {
  const height = 70;
  const known = figures.filter((minute) => minute.p99_ms !== null);
  const most = Math.max(10, ...known.map((minute) => minute.p99_ms));
  const at = (minute, place) => `${((place + 0.5) * WIDTH) / figures.length},${height - 2 - (minute.p99_ms / most) * (height - 6)}`;
  const runs = [];
  figures.forEach((minute, place) => {
    if (minute.p99_ms === null) return;
    const last = runs.at(-1);
    if (last && last.end === place - 1) { last.points.push(at(minute, place)); last.end = place; }
    else runs.push({ points: [at(minute, place)], end: place });
  });
  const lines = runs.map(({ points }) => points.length > 1
    ? s("polyline.line", { points: points.join(" ") })
    : s("circle.dot", { cx: points[0].split(",")[0], cy: points[0].split(",")[1], r: 2.5 }));
  return chart(`p99 by minute, last hour: at most ${ms(most)}`, height, lines, ["", `most ${ms(most)}`, ""]);
}

function chart(label, height, drawing, axis) {
  return h("figure.chart",
    s("svg", { viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, drawing),
    h("figcaption", axis.map((words) => h("span", words))));
}

/** Amounts by day, the oldest first. */
export function days(label, figures) {
  const [height, room] = [70, WIDTH / Math.max(figures.length, 31)];
  const most = Math.max(1, ...figures.map(({ amount }) => amount));
  const bars = figures.map(({ day, amount, words }, place) => s("g", s("title", {}, `${day}: ${words}`),
    s("rect", { x: place * room, y: 0, width: room, height, class: "hit" }),
    s("rect.plain", { x: place * room + 2, y: height - (amount / most) * height, width: room - 4, height: (amount / most) * height })));
  return chart(label, height, bars, [figures[0]?.day ?? "", "", figures.length > 1 ? figures.at(-1).day : ""]);
}

/** One mark an attempt, the newest on the right. */
export function strip(attempts) {
  const newest = attempts.slice(0, STRIP).reverse();
  const failures = newest.filter((attempt) => attempt.result !== "success").length;
  const marks = newest.map((attempt) => h(`i.${attempt.result === "success" ? "good" : "bad"}`, {
    title: `${clock(attempt.timestamp)} ${attempt.resp_status_code ?? attempt.client_error ?? ""} ${ms(attempt.duration_ms)}`,
  }));
  const room = Array.from({ length: STRIP - marks.length }, () => h("i"));
  return h("figure", h("div.strip", { role: "img", "aria-label": `The last ${newest.length} attempts: ${failures} failed` }, room, marks),
    h("figcaption.strip-words", h("span", `The last ${plural(newest.length, "attempt")}: ${number(failures)} failed`), h("span", "the newest ", ago(newest.at(-1)?.timestamp))));
}

const PHASES = [["connect_us", "connect", "Name, connection, TLS"], ["first_byte_us", "first byte", "Until the answer began"], ["body_us", "body", "Until it was read"]];

/** What a try's time is made of. */
export function phases(taken) {
  const known = PHASES.filter(([name]) => taken[name] !== undefined);
  const whole = Math.max(1, known.reduce((sum, [name]) => sum + taken[name], 0));
  let before = 0;
  return h("div.phases", known.map(([name, label, title]) => {
    const width = Math.max(0.5, (taken[name] / whole) * 100);
    const bar = s("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
      s("rect.track", { x: 0, y: 0, width: 100, height: 8 }), s(`rect.${name}`, { x: Math.min(before, 99.5), y: 0, width, height: 8 }));
    before += (taken[name] / whole) * 100;
    return h("div.phase", h("span", { title }, label), bar, h("span.number", us(taken[name])));
  }), taken.connect_us === undefined && taken.first_byte_us !== undefined && h("p.faint", "The connection was there already."));
}
