// Direct labels: where beside its curve a name stands in nobody's way.

/**
 * @typedef {object} Curve
 * @property {Float64Array | number[]} x canvas px
 * @property {Float64Array | number[]} y canvas px
 * @property {string} text
 */

/** Side of a cell of the occupancy grid, px. */
const CELL = 5;
/** Above this a label would stand in another curve's way: better none, the legend has the name. */
const WORST = 11;
/** Places tried along each curve. */
const TRIES = 48;

/**
 * Chooses a place for each curve's label: the least crowded beside the curve.
 * @param {Curve[]} curves
 * @param {{left: number, top: number, width: number, height: number}} area
 * @param {(text: string) => number} measure width of a text, px
 * @param {number} lineHeight px
 * @returns {({x: number, y: number} | null)[]} left end and middle of each label
 */
export function place(curves, area, measure, lineHeight) {
  const columns = Math.ceil(area.width / CELL);
  const rows = Math.ceil(area.height / CELL);
  const taken = new Uint8Array(columns * rows);
  for (const curve of curves) trace(curve, area, (column, row) => mark(column, row, 1));

  /** @type {(column: number, row: number, weight: number) => void} */
  function mark(column, row, weight) {
    if (column < 0 || row < 0 || column >= columns || row >= rows) return;
    const cell = row * columns + column;
    taken[cell] = Math.min(255, (taken[cell] ?? 0) + weight);
  }

  return curves.map((curve) => {
    const width = measure(curve.text) + 4;
    let best = null;
    let bestCost = WORST;
    for (let i = 0; i < TRIES; i += 1) {
      const index = Math.floor(((i + 0.5) / TRIES) * curve.x.length);
      const anchorX = curve.x[index] ?? NaN;
      const anchorY = curve.y[index] ?? NaN;
      for (const [dx, dy] of /** @type {const} */ ([[8, 0], [-8 - width, 0], [4, -lineHeight], [4, lineHeight], [-width, -lineHeight], [-width, lineHeight]])) {
        const left = anchorX + dx;
        const top = anchorY + dy - lineHeight / 2;
        if (!(left >= area.left && left + width <= area.left + area.width)) continue;
        if (!(top >= area.top && top + lineHeight <= area.top + area.height)) continue;
        // Names read best near the end of a curve, where curves have parted.
        let cost = (1 - i / TRIES) * 8;
        eachCell(left, top, width, lineHeight, (cell) => {
          cost += taken[cell] ?? 0;
        });
        if (cost < bestCost) {
          bestCost = cost;
          best = { x: left + 2, y: top + lineHeight / 2 };
        }
      }
    }
    if (best !== null) {
      eachCell(best.x - 2, best.y - lineHeight / 2, width, lineHeight, (cell) => {
        taken[cell] = 255;
      });
    }
    return best;
  });

  /** @type {(left: number, top: number, width: number, height: number, visit: (cell: number) => void) => void} */
  function eachCell(left, top, width, height, visit) {
    const firstColumn = Math.max(0, Math.floor((left - area.left) / CELL));
    const lastColumn = Math.min(columns - 1, Math.floor((left + width - area.left) / CELL));
    const firstRow = Math.max(0, Math.floor((top - area.top) / CELL));
    const lastRow = Math.min(rows - 1, Math.floor((top + height - area.top) / CELL));
    for (let row = firstRow; row <= lastRow; row += 1) {
      for (let column = firstColumn; column <= lastColumn; column += 1) visit(row * columns + column);
    }
  }
}

/**
 * Visits the cells that a curve passes through.
 * @type {(curve: Curve, area: {left: number, top: number}, visit: (column: number, row: number) => void) => void}
 */
function trace({ x, y }, area, visit) {
  for (let i = 1; i < x.length; i += 1) {
    const [x0, y0, x1, y1] = [x[i - 1] ?? 0, y[i - 1] ?? 0, x[i] ?? 0, y[i] ?? 0];
    const steps = Math.min(400, Math.max(1, Math.ceil(Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0)) / CELL)));
    for (let step = 0; step <= steps; step += 1) {
      const t = step / steps;
      visit(Math.floor((x0 + (x1 - x0) * t - area.left) / CELL), Math.floor((y0 + (y1 - y0) * t - area.top) / CELL));
    }
  }
}
