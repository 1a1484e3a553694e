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
  "strix-halo",
  "dgx-spark",
  "m4-pro",
  "l4",
  "t4",
  "m2-max",
  "m3-max",
  "rtx-4080-laptop",
  "m4-max",
  "a10",
  "a10g",
  "a40",
  "rtx-a6000",
  "m2-ultra",
  "m3-ultra",
  "l40s",
  "l40",
  "v100",
  "a30",
  "rtx-3090",
  "rtx-6000-ada",
  "rtx-4090",
  "a100-40",
  "mi210",
  "rtx-5090",
  "rtx-pro-6000",
  "a100-pcie",
  "h100-pcie",
  "a100",
  "a800",
  "mi250x",
  "h100",
  "h800",
  "h100-nvl",
  "h20",
  "gh200",
  "h200",
  "mi300x",
  "mi325x",
  "b300",
  "b200",
  "gb200",
  "gb300",
  "mi355x"
];

/** @type {Record<string, string>} */
export const HARDWARE_NAME = {
  "a10": "NVIDIA A10, 24 GB",
  "a100": "NVIDIA A100 SXM 80 GB, 80 GB",
  "a100-40": "NVIDIA A100 SXM 40 GB, 40 GB",
  "a100-pcie": "NVIDIA A100 PCIe 80 GB, 80 GB",
  "a10g": "NVIDIA A10G, 24 GB",
  "a30": "NVIDIA A30, 24 GB",
  "a40": "NVIDIA A40, 48 GB",
  "a800": "NVIDIA A800 SXM 80 GB, 80 GB",
  "b200": "NVIDIA B200 SXM 180 GB, 180 GB",
  "b300": "NVIDIA B300 SXM (Blackwell Ultra) 270 GB, 270 GB",
  "dgx-spark": "NVIDIA DGX Spark (GB10), 128 GB",
  "gb200": "NVIDIA GB200 (one GPU of the NVL72), 186 GB",
  "gb300": "NVIDIA GB300 (one GPU of the NVL72), 279 GB",
  "gh200": "NVIDIA GH200 Grace Hopper (96 GB HBM3), 96 GB",
  "h100": "NVIDIA H100 SXM, 80 GB",
  "h100-nvl": "NVIDIA H100 NVL 94 GB (one of the pair), 94 GB",
  "h100-pcie": "NVIDIA H100 PCIe 80 GB, 80 GB",
  "h20": "NVIDIA H20 96 GB, 96 GB",
  "h200": "NVIDIA H200 SXM, 141 GB",
  "h800": "NVIDIA H800 SXM 80 GB, 80 GB",
  "l4": "NVIDIA L4, 24 GB",
  "l40": "NVIDIA L40, 48 GB",
  "l40s": "NVIDIA L40S, 48 GB",
  "m2-max": "Apple M2 Max, 38 cores, 96 GB",
  "m2-pro": "Apple M2 Pro, 19 cores, 32 GB",
  "m2-ultra": "Apple M2 Ultra, 76 cores, 192 GB",
  "m3-max": "Apple M3 Max, 40 cores, 128 GB",
  "m3-ultra": "Apple M3 Ultra, 80 cores, 512 GB",
  "m4-max": "Apple M4 Max, 40 cores, 128 GB",
  "m4-pro": "Apple M4 Pro, 20 cores, 64 GB",
  "mi210": "AMD Instinct MI210, 64 GB",
  "mi250x": "AMD Instinct MI250X, 128 GB",
  "mi300x": "AMD Instinct MI300X, 192 GB",
  "mi325x": "AMD Instinct MI325X, 256 GB",
  "mi355x": "AMD Instinct MI355X, 288 GB",
  "rtx-3090": "NVIDIA GeForce RTX 3090, 24 GB",
  "rtx-4080-laptop": "NVIDIA GeForce RTX 4080 Laptop, 12 GB",
  "rtx-4090": "NVIDIA GeForce RTX 4090, 24 GB",
  "rtx-5090": "NVIDIA GeForce RTX 5090, 32 GB",
  "rtx-6000-ada": "NVIDIA RTX 6000 Ada Generation, 48 GB",
  "rtx-a6000": "NVIDIA RTX A6000, 48 GB",
  "rtx-pro-6000": "NVIDIA RTX PRO 6000 Blackwell Workstation Edition, 96 GB",
  "strix-halo": "AMD Ryzen AI Max+ 395 (Radeon 8060S), 128 GB",
  "t4": "NVIDIA T4, 16 GB",
  "v100": "NVIDIA V100 SXM2 32 GB, 32 GB"
};

export const PRECISIONS = [
  "f32",
  "f16",
  "int8",
  "int4"
];
