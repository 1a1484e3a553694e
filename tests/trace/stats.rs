//! Trace statistics: real traces against figures computed independently, small ones by hand.

use std::path::PathBuf;

use batchscope::Trace;
use batchscope::trace::stats::{LengthStats, stats};
use batchscope::trace::{Labels, PrefixBlocks, read};

/// Equal when printed with that number of decimals.
fn close(what: &str, got: f64, want: f64, decimals: i32) {
    let unit = libm::pow(10.0, f64::from(-decimals));
    assert!(
        (got - want).abs() <= 0.5001 * unit,
        "{what}: {got} is not {want}"
    );
}

fn shared(path: &str) -> Option<Trace> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data")
        .join(path);
    match std::fs::File::open(&file) {
        Ok(input) => Some(read(input, path, None).expect("a real trace must be readable")),
        Err(_) => {
            eprintln!("skipped: {} is not here", file.display());
            None
        }
    }
}

fn check_lengths(what: &str, got: &LengthStats, want: [f64; 6]) {
    close(&format!("{what} mean"), got.mean, want[0], 1);
    close(&format!("{what} P50"), got.p50, want[1], 1);
    close(&format!("{what} P90"), got.p90, want[2], 0);
    close(&format!("{what} P95"), got.p95, want[3], 0);
    close(&format!("{what} P99"), got.p99, want[4], 0);
    close(&format!("{what} max"), f64::from(got.max), want[5], 0);
}

#[test]
fn azure_code() {
    let Some(t) = shared("azure2023/AzureLLMInferenceTrace_code.csv.gz") else {
        return;
    };
    let s = stats(&t);
    close("span", s.span_s, 3435.9, 1);
    close("mean", s.mean_per_s.expect("has a span"), 2.567, 3);
    assert_eq!(s.peak_1s, 67);
    close("peak 60 s", s.peak_60s_per_s.unwrap(), 10.53, 2);
    close("IoD 1 s", s.iod_1s.unwrap(), 13.2, 1);
    close("IoD 60 s", s.iod_60s.unwrap(), 160.5, 1);
    close("CV", s.cv_gap.expect("has gaps"), 13.15, 2);
    check_lengths(
        "prompt",
        &s.prompt,
        [2047.8, 1469.0, 5188.0, 7303.0, 7436.0, 7437.0],
    );
    check_lengths("output", &s.output, [27.9, 13.0, 55.0, 90.0, 251.0, 1899.0]);
    assert_eq!(s.failed_share, 0.0);
    assert_eq!(s.prefix_hit_ratio, None);
}

#[test]
fn mooncake_conversation() {
    let Some(t) = shared("mooncake/conversation_trace.jsonl.gz") else {
        return;
    };
    let s = stats(&t);
    close("span", s.span_s, 3537.0, 1);
    // 12,031 over 3536.999 s.
    close("mean", s.mean_per_s.expect("has a span"), 3.4015, 4);
    assert_eq!(s.peak_1s, 28);
    close("peak 60 s", s.peak_60s_per_s.unwrap(), 4.12, 2);
    close("IoD 1 s", s.iod_1s.unwrap(), 7.89, 2);
    close("IoD 60 s", s.iod_60s.unwrap(), 2.85, 2);
    close("CV", s.cv_gap.expect("has gaps"), 3.03, 2);
    close("prompt mean", s.prompt.mean, 12035.0, 0);
    check_lengths(
        "prompt",
        &s.prompt,
        [12035.1, 6909.0, 27367.0, 39551.0, 85400.0, 126195.0],
    );
    check_lengths(
        "output",
        &s.output,
        [342.6, 350.0, 597.0, 698.0, 1119.0, 2000.0],
    );
    close(
        "hit ratio",
        s.prefix_hit_ratio.expect("has blocks"),
        0.3664,
        4,
    );
    let prefix = t.prefix.expect("has blocks");
    assert_eq!(prefix.blocks.len(), 288_500);
    assert_eq!(prefix.blocks.iter().max(), Some(&182_789));
}

#[test]
fn burstgpt_head() {
    let Some(t) = shared("burstgpt_slice/BurstGPT_1_head.csv") else {
        return;
    };
    let s = stats(&t);
    assert_eq!(s.span_s, 37269.0);
    close("mean", s.mean_per_s.expect("has a span"), 0.0107, 4);
    assert_eq!(s.peak_1s, 2);
    close("peak 60 s", s.peak_60s_per_s.unwrap(), 0.133, 3);
    close("IoD 1 s", s.iod_1s.unwrap(), 1.01, 2);
    close("IoD 60 s", s.iod_60s.unwrap(), 2.77, 2);
    close("CV", s.cv_gap.expect("has gaps"), 4.56, 2);
    check_lengths(
        "prompt",
        &s.prompt,
        [520.5, 314.0, 1418.0, 1637.0, 1958.0, 2126.0],
    );
    check_lengths(
        "output",
        &s.output,
        [276.5, 229.5, 571.0, 814.0, 1421.0, 2019.0],
    );
    assert_eq!(s.failed_share, 0.0425);
    let models: Vec<_> = s
        .models
        .iter()
        .map(|m| (m.name.as_str(), m.requests))
        .collect();
    assert_eq!(models, [("ChatGPT", 320), ("GPT-4", 80)]);
    let types: Vec<_> = s
        .log_types
        .iter()
        .map(|m| (m.name.as_str(), m.requests))
        .collect();
    assert_eq!(types, [("Conversation log", 398), ("API log", 2)]);
}

#[test]
fn by_hand() {
    let t = Trace {
        arrival: vec![10.0, 10.5, 12.0, 13.0],
        prompt: vec![1, 2, 3, 4],
        output: vec![0, 10, 20, 30],
        model: Some(Labels {
            names: vec!["a".into(), "unused".into(), "b".into()],
            ids: vec![0, 2, 2, 2],
        }),
        prefix: Some(PrefixBlocks {
            tokens_per_block: 512,
            offsets: vec![0, 2, 4, 6, 7],
            // The second request hits 0 but not 2; the third hits nothing, as its first block is
            // new, although 1 is cached; the fourth hits 3.
            blocks: vec![0, 1, 0, 2, 3, 1, 3],
        }),
        ..Trace::default()
    };
    let s = stats(&t);
    assert_eq!((s.requests, s.span_s), (4, 3.0));
    assert_eq!(s.mean_per_s, Some(4.0 / 3.0));
    // Windows of 1 s hold 2, 0, 1, 1: mean 1, variance 1/2. No window of 60 s is full.
    assert_eq!((s.peak_1s, s.iod_1s), (2, Some(0.5)));
    assert_eq!((s.peak_60s_per_s, s.iod_60s), (None, None));
    // Gaps .5, 1.5, 1: mean 1, variance 1/6.
    assert!((s.cv_gap.expect("has gaps") - libm::sqrt(1.0 / 6.0)).abs() < 1e-15);
    assert_eq!((s.prompt.mean, s.prompt.p50, s.prompt.max), (2.5, 2.5, 4));
    assert!((s.output.p90 - 27.0).abs() < 1e-12, "{}", s.output.p90);
    assert_eq!(s.failed_share, 0.25);
    assert_eq!(s.prefix_hit_ratio, Some(2.0 / 7.0));
    let models: Vec<_> = s
        .models
        .iter()
        .map(|m| (m.name.as_str(), m.requests))
        .collect();
    assert_eq!(models, [("a", 1), ("unused", 0), ("b", 3)]);
}

#[test]
fn few_or_no_requests() {
    let s = stats(&Trace::default());
    assert_eq!((s.requests, s.mean_per_s, s.cv_gap), (0, None, None));
    assert_eq!((s.iod_1s, s.failed_share, s.prompt.max), (None, 0.0, 0));
    let one = Trace {
        arrival: vec![1e12],
        prompt: vec![7],
        output: vec![7],
        ..Trace::default()
    };
    let s = stats(&one);
    assert_eq!(
        (s.requests, s.span_s, s.mean_per_s, s.cv_gap),
        (1, 0.0, None, None)
    );
    assert_eq!((s.peak_1s, s.iod_1s, s.prompt.p99), (1, None, 7.0));
    // A span that could not be walked window by window.
    let far = Trace {
        arrival: vec![0.0, 1e12],
        prompt: vec![7; 2],
        output: vec![7; 2],
        ..Trace::default()
    };
    assert_eq!(stats(&far).peak_1s, 1);
}

#[test]
fn windows_that_the_span_does_not_fill_have_no_figure() {
    let trace = |span_s: f64| Trace {
        arrival: vec![0.0, span_s / 2.0, span_s],
        prompt: vec![10; 3],
        output: vec![10; 3],
        ..Trace::default()
    };
    for (span_s, peak, dispersion) in [
        (3.0, false, false),
        (59.0, false, false),
        // One full window: a peak, and no variance.
        (60.0, true, false),
        (119.0, true, false),
        (120.0, true, true),
    ] {
        let s = stats(&trace(span_s));
        assert_eq!(s.peak_60s_per_s.is_some(), peak, "{span_s}");
        assert_eq!(s.iod_60s.is_some(), dispersion, "{span_s}");
    }
    // Windows of 60 s from the first arrival hold 1, 1 and 1.
    assert_eq!(stats(&trace(120.0)).iod_60s, Some(0.0));
}
