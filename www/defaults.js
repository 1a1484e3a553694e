// Generated from the Rust types by tests/types.rs; do not edit.

/** @import { Scenario, StepLatencyModel } from "./types.js" */

/** @type {Scenario} */
export const DEFAULT_SCENARIO = {
  "version": 2,
  "trace": {
    "synthetic": {
      "requests": 10000,
      "shape": "burstgpt-week1"
    }
  },
  "workload": {
    "window_start_s": null,
    "window_end_s": null,
    "limit": null,
    "time_scale": 1.0,
    "rate_per_s": null,
    "failed": "drop",
    "ties": "fixed",
    "closed_loop": null
  },
  "predictor": {
    "kind": "noisy",
    "sigma": 0.1,
    "bin_error": 0.0,
    "exponent": 0.7,
    "scale": 1.5,
    "max_tokens": 4096
  },
  "bins": {
    "count": 8,
    "boundaries": "equal-mass-predictions",
    "served": "round-robin",
    "full_batch": 32,
    "sample_rows": 20000,
    "sample_size": 10000,
    "cuts": [
      64,
      256,
      1024
    ],
    "last_upper": 10000,
    "below_range_to_last": false,
    "batch_caps": false
  },
  "engine": {
    "closed": {
      "policy": "multi-bin-dynamic",
      "static_batch": 8,
      "max_batch": 128,
      "memory_bound": {
        "rule": "published",
        "reserve": 0.1,
        "overflow_probability": 0.05,
        "smoothing": 0.2,
        "initial_prompt_tokens": 300.0,
        "initial_output_tokens": 200.0,
        "initial_sd_tokens": 500.0,
        "at_least_running": false
      },
      "controller": {
        "variant": "nov29",
        "feedback": "total",
        "target_s": null,
        "epsilon_s": 0.005,
        "alpha": 4,
        "delta": 2,
        "smoothing": 0.2,
        "initial_batch": 64.0,
        "warmup_batches": 3,
        "running_floor": "at-formation",
        "band_from_delta": false
      },
      "latency": {
        "linear": {
          "alpha_s": 0.05965277786696989,
          "beta_s_per_token": 0.005741996981393911,
          "gamma": 0.31568071151206994,
          "growth": 0.0,
          "floor_s": 0.001
        }
      },
      "memory": {
        "capacity_gb": 12.0,
        "model_gb": 4.0,
        "kv_gb_per_token": 0.0001875,
        "margin_gb": 1.0
      }
    }
  },
  "fleet": {
    "gpus": 4
  },
  "sla": {
    "token_ms": 30.0,
    "request_s": 20.0,
    "ttft_s": null,
    "published_token_rule": "batch-tbt"
  },
  "seed": 42
};

/** Of Llama-3.1-8B on an H100. @type {StepLatencyModel} */
export const DEFAULT_STEPS = {
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
};

/** @type {Record<string, Scenario>} */
export const PRESETS = {
  "stress-v2": {
    "version": 2,
    "trace": {
      "synthetic": {
        "requests": 10000,
        "shape": "burstgpt-week1"
      }
    },
    "workload": {
      "window_start_s": null,
      "window_end_s": null,
      "limit": null,
      "time_scale": 200.0,
      "rate_per_s": null,
      "failed": "keep",
      "ties": "published-heap",
      "closed_loop": null
    },
    "predictor": {
      "kind": "published",
      "sigma": 0.1,
      "bin_error": 0.0,
      "exponent": 0.7,
      "scale": 1.5,
      "max_tokens": 4096
    },
    "bins": {
      "count": 8,
      "boundaries": "equal-mass-outputs",
      "served": "round-robin",
      "full_batch": 32,
      "sample_rows": 20000,
      "sample_size": 10000,
      "cuts": [
        64,
        256,
        1024
      ],
      "last_upper": 10000,
      "below_range_to_last": true,
      "batch_caps": false
    },
    "engine": {
      "closed": {
        "policy": "multi-bin-dynamic",
        "static_batch": 8,
        "max_batch": 128,
        "memory_bound": {
          "rule": "published",
          "reserve": 0.1,
          "overflow_probability": 0.05,
          "smoothing": 0.2,
          "initial_prompt_tokens": 300.0,
          "initial_output_tokens": 200.0,
          "initial_sd_tokens": 500.0,
          "at_least_running": false
        },
        "controller": {
          "variant": "nov29",
          "feedback": "total",
          "target_s": null,
          "epsilon_s": 0.005,
          "alpha": 4,
          "delta": 2,
          "smoothing": 0.2,
          "initial_batch": 64.0,
          "warmup_batches": 3,
          "running_floor": "at-last-end",
          "band_from_delta": false
        },
        "latency": {
          "linear": {
            "alpha_s": 0.05965277786696989,
            "beta_s_per_token": 0.005741996981393911,
            "gamma": 0.31568071151206994,
            "growth": 0.0,
            "floor_s": 0.001
          }
        },
        "memory": {
          "capacity_gb": 12.0,
          "model_gb": 4.0,
          "kv_gb_per_token": 0.0001875,
          "margin_gb": 1.0
        }
      }
    },
    "fleet": {
      "gpus": 4
    },
    "sla": {
      "token_ms": 30.0,
      "request_s": 20.0,
      "ttft_s": null,
      "published_token_rule": "batch-tbt"
    },
    "seed": 42
  },
  "three-step": {
    "version": 2,
    "trace": {
      "synthetic": {
        "requests": 10000,
        "shape": "burstgpt-week1"
      }
    },
    "workload": {
      "window_start_s": null,
      "window_end_s": null,
      "limit": null,
      "time_scale": 200.0,
      "rate_per_s": null,
      "failed": "keep",
      "ties": "published-heap",
      "closed_loop": null
    },
    "predictor": {
      "kind": "published",
      "sigma": 0.1,
      "bin_error": 0.0,
      "exponent": 0.7,
      "scale": 1.5,
      "max_tokens": 4096
    },
    "bins": {
      "count": 8,
      "boundaries": "equal-mass-predictions",
      "served": "round-robin",
      "full_batch": 32,
      "sample_rows": 20000,
      "sample_size": 5000,
      "cuts": [
        64,
        256,
        1024
      ],
      "last_upper": 10000,
      "below_range_to_last": true,
      "batch_caps": false
    },
    "engine": {
      "closed": {
        "policy": "multi-bin-dynamic",
        "static_batch": 8,
        "max_batch": 128,
        "memory_bound": {
          "rule": "published",
          "reserve": 0.1,
          "overflow_probability": 0.05,
          "smoothing": 0.2,
          "initial_prompt_tokens": 300.0,
          "initial_output_tokens": 200.0,
          "initial_sd_tokens": 500.0,
          "at_least_running": false
        },
        "controller": {
          "variant": "nov24",
          "feedback": "service",
          "target_s": 1.0,
          "epsilon_s": 0.1,
          "alpha": 4,
          "delta": 2,
          "smoothing": 0.2,
          "initial_batch": 64.0,
          "warmup_batches": 3,
          "running_floor": "off",
          "band_from_delta": false
        },
        "latency": {
          "linear": {
            "alpha_s": 0.015,
            "beta_s_per_token": 0.0003,
            "gamma": 0.4,
            "growth": 0.0,
            "floor_s": 0.001
          }
        },
        "memory": {
          "capacity_gb": 12.0,
          "model_gb": 2.0,
          "kv_gb_per_token": 5e-6,
          "margin_gb": 1.0
        }
      }
    },
    "fleet": {
      "gpus": 4
    },
    "sla": {
      "token_ms": 1000.0,
      "request_s": 1.0,
      "ttft_s": null,
      "published_token_rule": "end-to-end"
    },
    "seed": 42
  },
  "two-step": {
    "version": 2,
    "trace": {
      "synthetic": {
        "requests": 10000,
        "shape": "burstgpt-week1"
      }
    },
    "workload": {
      "window_start_s": null,
      "window_end_s": null,
      "limit": null,
      "time_scale": 200.0,
      "rate_per_s": null,
      "failed": "keep",
      "ties": "published-heap",
      "closed_loop": null
    },
    "predictor": {
      "kind": "published",
      "sigma": 0.1,
      "bin_error": 0.0,
      "exponent": 0.7,
      "scale": 1.5,
      "max_tokens": 4096
    },
    "bins": {
      "count": 8,
      "boundaries": "equal-mass-outputs",
      "served": "round-robin",
      "full_batch": 32,
      "sample_rows": 20000,
      "sample_size": 10000,
      "cuts": [
        64,
        256,
        1024
      ],
      "last_upper": 10000,
      "below_range_to_last": true,
      "batch_caps": false
    },
    "engine": {
      "closed": {
        "policy": "multi-bin-dynamic",
        "static_batch": 8,
        "max_batch": 128,
        "memory_bound": {
          "rule": "published",
          "reserve": 0.1,
          "overflow_probability": 0.05,
          "smoothing": 0.2,
          "initial_prompt_tokens": 300.0,
          "initial_output_tokens": 200.0,
          "initial_sd_tokens": 500.0,
          "at_least_running": false
        },
        "controller": {
          "variant": "nov29",
          "feedback": "total",
          "target_s": null,
          "epsilon_s": 0.005,
          "alpha": 4,
          "delta": 2,
          "smoothing": 0.2,
          "initial_batch": 64.0,
          "warmup_batches": 3,
          "running_floor": "at-last-end",
          "band_from_delta": false
        },
        "latency": {
          "linear": {
            "alpha_s": 0.01,
            "beta_s_per_token": 0.0002,
            "gamma": 0.3,
            "growth": 0.0,
            "floor_s": 0.001
          }
        },
        "memory": {
          "capacity_gb": 12.0,
          "model_gb": 4.0,
          "kv_gb_per_token": 0.0001875,
          "margin_gb": 1.0
        }
      }
    },
    "fleet": {
      "gpus": 4
    },
    "sla": {
      "token_ms": 50.0,
      "request_s": 10.0,
      "ttft_s": null,
      "published_token_rule": "batch-tbt"
    },
    "seed": 42
  }
};
