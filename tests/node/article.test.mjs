// The article: its pictures in index.html are those of the code, its links survive, and every setting of
// every figure gives a picture and a sentence without holes.

import assert from "node:assert/strict";
import { test } from "node:test";

import { draw, toText } from "../../www/article/draw.js";
import { FIGURES } from "../../www/article/figures.js";
import { pairs, valueFrom } from "../../www/article/live.js";
import { fromHash, standard, toHash } from "../../www/article/view.js";
import { CHOICE, FIGURE, controlWords } from "../../www/article/words.js";
import { pictures, simulator } from "../../xtask/article.mjs";

/** What a control can be set to. @param {import("../../www/state.js").Control} control @returns {unknown[]} */
const values = (control) => (control.kind === "number" ? control.stops : control.kind === "choice" ? Object.values(control.options) : []);

test("the pictures in index.html are current", async () => {
  const { now, fresh } = await pictures();
  assert.ok(now === fresh, "index.html has other pictures than the code draws: run `node xtask/article.mjs`");
});

test("every figure and every control has its words, and its default is allowed", () => {
  assert.deepEqual(FIGURES.map(({ id }) => id).sort(), Object.keys(FIGURE).sort());
  for (const { id, controls, standard: settings } of FIGURES) {
    assert.deepEqual(controls.map(({ path }) => path).sort(), Object.keys(settings).sort(), id);
    for (const control of controls) {
      assert.ok(controlWords(id, control.path).help !== "", `${id}.${control.path} has no words`);
      assert.ok(values(control).includes(settings[control.path]), `${id}.${control.path}: the default is no stop of its slider`);
      if (control.kind === "choice") for (const key of Object.keys(control.options)) assert.ok(CHOICE[control.path]?.[key], `${id}.${control.path}=${key} has no name`);
    }
  }
});

test("the default needs no address, and each setting survives a link", () => {
  assert.equal(toHash(standard()), "");
  assert.deepEqual(fromHash(""), { state: standard(), notices: [] });
  for (const figure of FIGURES) {
    for (const control of figure.controls) {
      for (const value of values(control)) {
        const state = standard();
        /** @type {Record<string, unknown>} */ (state[figure.id])[control.path] = value;
        assert.deepEqual(fromHash(toHash(state)), { state, notices: [] }, `${figure.id}.${control.path}=${String(value)}`);
      }
    }
  }
});

for (const [hash, notices] of /** @type {[string, number][]} */ ([
  ["#a=1&promise.k=0", 1],
  ["#a=1&promise.k=1e9", 1],
  ["#a=1&promise.k=2.5", 1],
  ["#a=1&promise.k=NaN", 1],
  ["#a=1&promise.k=", 1],
  ["#a=1&promise.k=<script>alert(1)</script>", 1],
  ["#a=1&decode.card=__proto__", 1],
  ["#a=1&decode.card=constructor", 1],
  ["#a=1&__proto__.polluted=1", 1],
  ["#a=1&promise.__proto__=1", 1],
  ["#a=1&nothing=1&promise.gpus=-3", 2],
  ["#a=2&promise.k=4", 1],
  [`#a=1&${"x=1&".repeat(500)}promise.k=4`, 99],
])) {
  test(`${hash.slice(0, 60)} falls back to the default and says so`, () => {
    const { state, notices: said } = fromHash(hash);
    assert.deepEqual(state, standard());
    assert.equal(said.length, notices);
    assert.ok(said.every((text) => text.length < 200));
    assert.equal(/** @type {any} */ ({}).polluted, undefined);
  });
}

test("every setting of every figure gives a picture, a sentence and numbers without holes", async () => {
  const sim = simulator();
  for (const figure of FIGURES) {
    for (const control of figure.controls) {
      const all = values(control);
      for (const value of [all[0], all.at(-1)]) {
        const settings = { ...structuredClone(figure.standard), [control.path]: value };
        const said = `${figure.id}.${control.path}=${String(value)}`;
        const data = await figure.compute(sim, settings);
        // As the worker posts it.
        const arrived = structuredClone(data);
        for (const width of [300, 640]) {
          const text = toText(draw(figure.spec(arrived, settings), width));
          assert.doesNotMatch(text, /NaN|undefined|Infinity/, said);
        }
        const sentence = figure.sentence(arrived, settings);
        assert.ok(sentence.length > 60, said);
        assert.doesNotMatch(sentence, /NaN|undefined|Infinity|–/, `${said}: ${sentence}`);
        const table = figure.table(arrived, settings);
        assert.ok(table.rows.length > 0 && table.rows.every(({ cells }) => cells.length === table.columns.length), said);
        assert.deepEqual(pairs(figure, settings).length, value === figure.standard[control.path] ? 0 : 1);
        assert.deepEqual(valueFrom(figure, control.path, String(value)), value);
        if (figure.lab !== undefined) assert.match(figure.lab(settings), /^#v=2/);
      }
    }
  }
});

test("theory and simulation agree in the article's own figure", async () => {
  const sim = simulator();
  const theorem = FIGURES.find(({ id }) => id === "theorem");
  for (const size of [2, 16, 64]) {
    const { theory, simulated } = await /** @type {any} */ (theorem).compute(sim, { size });
    // 20,000 requests in batches of up to 64: about 300 batches, each a maximum with a spread of some per cent.
    for (const [i, value] of theory.entries()) assert.ok(Math.abs(simulated[i] / value - 1) < 0.03, `B = ${size}, K no. ${i}: ${simulated[i]} for ${value}`);
  }
});

test("text in a picture is text", () => {
  assert.equal(toText(["text", { x: 1, class: '"><script>' }, "<b> & \"c\""]), '<text x="1" class="&quot;&gt;&lt;script&gt;">&lt;b&gt; &amp; &quot;c&quot;</text>');
});
