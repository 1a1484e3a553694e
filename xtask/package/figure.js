// Defines <batchscope-figure>.
export { BatchscopeFigure } from "./www/article/element.js";
