//! Predictors against numpy and against their own definitions.

use batchscope::Scenario;
use batchscope::trace::predict::{Kind, Predictor, bin_errors};

fn predictor(kind: Kind, sigma: f64) -> Predictor {
    Predictor {
        kind,
        sigma,
        ..Predictor::default()
    }
}

/// FNV-1a over little-endian words.
fn checksum(values: &[u32]) -> u64 {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Computed with numpy 2.4.6 on x86-64 glibc:
/// `r = np.random.RandomState(seed)`, then for i in order, with prompt `i * 7919 % 30001`,
/// `max(1, min(int(prompt**0.7 * 1.5 * r.lognormal(0, 0.1)), 4096))`.
#[test]
fn published_predictions_are_numpys() {
    let prompts: Vec<u32> = (0..1_000_000u64)
        .map(|i| (i * 7919 % 30_001) as u32)
        .collect();
    let published = predictor(Kind::Published, 0.1);
    let got = published.predict(&prompts, &prompts, 42);
    assert_eq!(
        got[..20],
        [
            1, 792, 1393, 2019, 264, 898, 1640, 1964, 419, 1086, 1425, 1815, 598, 936, 1332, 1875,
            646, 1274, 1526, 94
        ]
    );
    assert_eq!(checksum(&got[..100_000]), 0xe581_326393ea1ef3);
    assert_eq!(checksum(&got), 0xdbdb_97af4e981df6);
    let got = published.predict(&prompts[..5000], &prompts, 7);
    assert_eq!(
        got[..10],
        [1, 767, 1310, 1806, 250, 919, 1400, 1526, 487, 1092]
    );
    assert_eq!(got.iter().map(|v| u64::from(*v)).sum::<u64>(), 6_028_834);
    // The first five rows of BurstGPT_1.csv.
    let head = [472, 1087, 417, 1360, 185];
    assert_eq!(
        published.predict(&head, &[0; 5], 42),
        [117, 197, 109, 272, 56]
    );
}

#[test]
fn published_predictions_are_clamped_and_ignore_the_output() {
    let prompts = [0, 1, u32::MAX, 70_000, 70_000];
    let published = predictor(Kind::Published, 0.1);
    let got = published.predict(&prompts, &[0; 5], 1);
    assert_eq!(got, published.predict(&prompts, &[9999; 5], 1));
    assert_eq!((got[0], got[2]), (1, 4096));
    let huge = Predictor {
        scale: 1e6,
        exponent: 4.0,
        max_tokens: u32::MAX,
        ..published
    };
    assert_eq!(huge.predict(&prompts, &[0; 5], 1)[2], u32::MAX);
}

#[test]
fn prompt_only_is_the_curve_without_noise() {
    let got = predictor(Kind::PromptOnly, 0.1).predict(&[0, 1, 100, 200_000], &[5; 4], 3);
    // 1.5, 1.5 * 100^0.7 = 37.67..., and far above the clamp.
    assert_eq!(got, [1, 1, 37, 4096]);
}

#[test]
fn oracle_and_noiseless_noise_tell_the_truth() {
    let outputs = [0, 1, 7, 100_000, u32::MAX];
    let truth = [1, 1, 7, 100_000, u32::MAX];
    assert_eq!(
        predictor(Kind::Oracle, 1.0).predict(&[1; 5], &outputs, 3),
        truth
    );
    assert_eq!(
        predictor(Kind::Noisy, 0.0).predict(&[1; 5], &outputs, 3),
        truth
    );
}

#[test]
fn noise_has_the_stated_spread_and_depends_on_the_seed() {
    let n = 100_000;
    let outputs = vec![1_000_000; n];
    let noisy = predictor(Kind::Noisy, 0.25);
    let got = noisy.predict(&outputs, &outputs, 5);
    let logs: Vec<f64> = got.iter().map(|v| libm::log(f64::from(*v) / 1e6)).collect();
    let mean = logs.iter().sum::<f64>() / n as f64;
    let sd = libm::sqrt(logs.iter().map(|l| (l - mean) * (l - mean)).sum::<f64>() / n as f64);
    // Five standard errors.
    assert!(mean.abs() < 5.0 * 0.25 / 316.0, "{mean}");
    assert!((sd - 0.25).abs() < 5.0 * 0.25 / 447.0, "{sd}");
    assert_eq!(got, noisy.predict(&outputs, &outputs, 5));
    assert_ne!(got, noisy.predict(&outputs, &outputs, 6));
    // The promise across targets and releases, frozen.
    let small = noisy.predict(&[0; 8], &[10, 20, 40, 80, 160, 320, 640, 1280], 42);
    insta::assert_compact_debug_snapshot!(small, @"[9, 26, 44, 118, 165, 205, 524, 1365]");
}

#[test]
fn bin_errors_have_their_probability() {
    let n = 100_000;
    for p in [0.0, 0.1, 0.3, 0.5] {
        let errors = bin_errors(p, 9, n);
        for side in [-1, 1] {
            let share = errors.iter().filter(|e| **e == side).count() as f64 / n as f64;
            assert!((share - p).abs() < 0.008, "{p}: {share}");
        }
    }
    assert_ne!(bin_errors(0.3, 1, 64), bin_errors(0.3, 2, 64));
}

#[test]
fn parameters_out_of_range_are_named() {
    type Spoil = fn(&mut Predictor);
    let faults: [(&str, Spoil); 9] = [
        ("sigma", |p| p.sigma = -0.1),
        ("sigma", |p| p.sigma = f64::NAN),
        ("sigma", |p| p.sigma = f64::INFINITY),
        ("bin_error", |p| p.bin_error = 0.51),
        ("exponent", |p| p.exponent = -1.0),
        ("exponent", |p| p.exponent = 5.0),
        ("scale", |p| p.scale = 0.0),
        ("scale", |p| p.scale = 1e7),
        ("max_tokens", |p| p.max_tokens = 0),
    ];
    for (name, spoil) in faults {
        let mut p = Predictor::default();
        spoil(&mut p);
        let scenario = Scenario {
            predictor: p,
            ..Scenario::default()
        };
        let e = scenario.validate().expect_err("out of range").to_string();
        assert!(e.starts_with(&format!("predictor.{name}: ")), "{e}");
    }
}
