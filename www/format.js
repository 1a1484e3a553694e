// Numbers as people read them: at most three significant digits, a unit, no more.

// Made once: toLocaleString makes one for every number.
const THREE = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** Between a number and its unit: narrow, and never at the end of a line. */
const THIN = "\u202f";

/**
 * At most three significant digits, thousands apart.
 * @param {number} value
 */
export function number(value) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const places = Math.max(0, Math.min(6, 2 - Math.floor(Math.log10(Math.abs(value)))));
  const scale = 10 ** (2 - Math.floor(Math.log10(Math.abs(value))));
  const rounded = places > 0 ? Number(value.toFixed(places)) : Math.round(value * scale) / scale;
  return THREE.format(rounded);
}

/**
 * A whole number, written out: counts are exact.
 * @param {number} value
 */
export function count(value) {
  return WHOLE.format(value);
}

/**
 * A number with its unit.
 * @param {number} value
 * @param {string} unit
 */
export function withUnit(value, unit) {
  return unit === "" ? number(value) : `${number(value)}${THIN}${unit}`;
}

/**
 * A share of 1 in percent. What is not all and not nothing never reads as 100 % or 0 %.
 * @param {number} share
 */
export function percent(share) {
  if (!Number.isFinite(share)) return "–";
  if (share < 1 && share >= 0.9995) return `>${THIN}99.9${THIN}%`;
  if (share > 0 && share < 0.0005) return `<${THIN}0.1${THIN}%`;
  const value = share * 100;
  const places = value >= 99.95 || value === 0 ? 0 : 1;
  return `${value.toFixed(places)}${THIN}%`;
}

/**
 * A length of time, in the unit a person would choose.
 * @param {number} seconds
 */
export function duration(seconds) {
  const { unit, size } = timeUnit(seconds);
  return withUnit(seconds / size, unit);
}

/** A round time for an axis: 1 min, not 60 s. @param {number} seconds */
export function tickTime(seconds) {
  for (const [size, unit] of /** @type {const} */ ([[86_400, "d"], [3600, "h"], [60, "min"]])) {
    if (seconds >= size) return withUnit(seconds / size, unit);
  }
  return duration(seconds);
}

/**
 * The unit for times up to `seconds`.
 * @param {number} seconds
 * @returns {{unit: string, size: number}}
 */
export function timeUnit(seconds) {
  if (seconds < 1e-3 && seconds > 0) return { unit: "µs", size: 1e-6 };
  if (seconds < 1 && seconds > 0) return { unit: "ms", size: 1e-3 };
  if (seconds < 600) return { unit: "s", size: 1 };
  if (seconds < 36_000) return { unit: "min", size: 60 };
  if (seconds < 864_000) return { unit: "h", size: 3600 };
  return { unit: "d", size: 86_400 };
}
