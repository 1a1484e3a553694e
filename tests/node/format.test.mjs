// Numbers on screen: three significant digits, and never a wrong 100 % or 0 %.

import assert from "node:assert/strict";
import { test } from "node:test";

import { count, duration, number, percent, withUnit } from "../../www/format.js";

/** @param {string} text */
const plain = (text) => text.replaceAll("\u202f", " ");

test("three significant digits", () => {
  assert.deepEqual([0, 1, 12.345, 0.012345, 123.456, 1234.5, 44325.4, -3.14159, 999.9].map(number), ["0", "1", "12.3", "0.0123", "123", "1,230", "44,300", "-3.14", "1,000"]);
  assert.equal(number(Number.NaN), "–");
});

test("counts are exact", () => {
  assert.equal(count(1234567), "1,234,567");
});

test("shares", () => {
  assert.deepEqual([0, 0.0001, 0.5, 0.9567, 0.99951, 1].map((share) => plain(percent(share))), ["0 %", "< 0.1 %", "50.0 %", "95.7 %", "> 99.9 %", "100 %"]);
});

test("times choose their unit", () => {
  assert.deepEqual([0.00002, 0.25, 20, 1457, 40_000, 2e6].map((s) => plain(duration(s))), ["20 µs", "250 ms", "20 s", "24.3 min", "11.1 h", "23.1 d"]);
  assert.equal(plain(withUnit(6.29, "requests/s")), "6.29 requests/s");
});
