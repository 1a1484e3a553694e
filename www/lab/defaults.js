// Generated from the Rust types by tests/types.rs; do not edit.

/** @import { ContinuousServer } from "../types.js" */

/** @type {ContinuousServer} */
export const DEFAULT_SERVER = {
  "rule": "vllm",
  "order": "fcfs",
  "ageing_per_s": 0.0,
  "classes": [],
  "bins": false,
  "bin_patience_s": 2.0,
  "max_sequences": 256,
  "max_batched_tokens": 2048,
  "long_prefill_token_threshold": 0,
  "async_scheduling": false,
  "kv": {
    "block_tokens": 16,
    "capacity": "memory",
    "null_block": false,
    "watermark": 0.0,
    "preemption": "recompute",
    "prefix": {
      "reuse": "off",
      "eviction": "lru",
      "eviction_s": 0.0
    }
  },
  "speculative": null,
  "admission": {
    "whole_prompt_fits": true,
    "max_waiting": null,
    "timeout_s": null,
    "reject_too_long": false
  },
  "router": "least-requests",
  "tensor_parallel": 1,
  "latency": {
    "linear": {
      "c0_s": 0.004480393093731343,
      "c1_s_per_sequence": 3.912597014925373e-8,
      "c2_s_per_context_token": 3.912597014925373e-8,
      "c3_s_per_prefill_token": 3.912597014925373e-8,
      "c4_s_per_prefill_pair": 5.29904992925005e-10,
      "compute": {
        "d0_s": 0.0,
        "d1_s_per_token": 0.000015170120137457044
      }
    }
  },
  "memory": {
    "capacity_gb": 72.0,
    "model_gb": 16.059990016,
    "kv_gb_per_token": 0.000131072,
    "margin_gb": 0.0
  },
  "ceiling": null,
  "warmup": "none"
};

export const MODELS = [
  "qwen3-0.6b",
  "llama-3.2-1b",
  "qwen3-1.7b",
  "qwen3-4b",
  "qwen3-8b",
  "llama-3.1-8b"
];

/** By rising bandwidth. */
export const HARDWARE = [
  "m2-pro",
  "l4",
  "rtx-4080-laptop",
  "a40",
  "rtx-4090",
  "a100",
  "h100",
  "h200"
];

/** @type {Record<string, string>} */
export const HARDWARE_NAME = {
  "a100": "NVIDIA A100 SXM 80 GB, 80 GB",
  "a40": "NVIDIA A40, 48 GB",
  "h100": "NVIDIA H100 SXM, 80 GB",
  "h200": "NVIDIA H200 SXM, 141 GB",
  "l4": "NVIDIA L4, 24 GB",
  "m2-pro": "Apple M2 Pro, 19 cores, 32 GB",
  "rtx-4080-laptop": "NVIDIA GeForce RTX 4080 Laptop, 12 GB",
  "rtx-4090": "NVIDIA GeForce RTX 4090, 24 GB"
};

export const PRECISIONS = [
  "f32",
  "f16",
  "int8",
  "int4"
];
