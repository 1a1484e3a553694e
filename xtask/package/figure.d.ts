/** `<batchscope-figure figure="promise" k="12">`; emits `change` with the figure's settings as `detail`. */
export declare class BatchscopeFigure extends HTMLElement {}
