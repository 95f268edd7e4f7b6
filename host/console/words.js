// Figures and times as people read them.

import { h } from "./dom.js";

/** Seconds between the year 0, which REST counts from, and 1970. */
const YEAR_0_S = 62167219200;

export const toDate = (seconds) => new Date((seconds - YEAR_0_S) * 1000);
export const nowS = () => Math.floor(Date.now() / 1000) + YEAR_0_S;

const NUMBER = new Intl.NumberFormat("en");
const EXACT = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const number = (value) => (value === null || value === undefined ? "–" : NUMBER.format(value));
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
export const exact = (seconds) => EXACT.format(toDate(seconds));
export const clock = (seconds) => CLOCK.format(toDate(seconds));

export function bytes(count) {
  if (count === null || count === undefined) return "–";
  if (count < 1024) return `${number(count)} B`;
  const units = ["KiB", "MiB", "GiB"];
  let [value, unit] = [count / 1024, 0];
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function ms(value) {
  if (value === null || value === undefined) return "–";
  if (value < 1000) return `${number(Math.round(value))} ms`;
  if (value < 60_000) return `${(value / 1000).toFixed(1)} s`;
  return span(value / 1000);
}

export const us = (value) => (value < 1000 ? `${number(value)} µs` : value < 100_000 ? `${(value / 1000).toFixed(1)} ms` : ms(value / 1000));

/** Big numbers in three digits: 1.2 M. */
export function short(value) {
  if (value < 1000) return number(value);
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (value >= size) return `${(value / size).toFixed(value / size < 10 ? 1 : 0)} ${unit}`;
  }
  return number(value);
}

function span(seconds) {
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.max(0, Math.round(seconds))} s`;
}

function relative(seconds) {
  const away = nowS() - seconds;
  if (Math.abs(away) < 5) return "now";
  return away > 0 ? `${span(away)} ago` : `in ${span(-away)}`;
}

/** A time as far as it is away; the exact one on hover. */
export function ago(seconds) {
  if (!seconds) return "–";
  return h("time", { datetime: toDate(seconds).toISOString(), title: exact(seconds), "data-seconds": seconds }, relative(seconds));
}

setInterval(() => {
  for (const time of document.querySelectorAll("time[data-seconds]")) {
    const words = relative(Number(time.dataset.seconds));
    if (time.textContent !== words) time.textContent = words;
  }
}, 5000);

/** A sentence whose words in backticks are code. */
export const sentence = (words) => (words ?? "").split("`").map((piece, place) => (place % 2 ? h("code", piece) : piece));

/** The beginning of an id; the whole on hover. */
export const shortId = (id) => h("code.id", { title: id }, id.length > 12 ? `${id.slice(0, 10)}…` : id);

/** JSON as it is read best; a text that is none as it is. */
export function pretty(text) {
  if (typeof text !== "string") return JSON.stringify(text, null, 2);
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
