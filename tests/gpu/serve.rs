//! Users against the real decoder, on whatever adapters are here: every token comes, the cache is big
//! enough and comes back, and a calibration's adapter is found from the command line.

use std::rc::Rc;

use crate::support::gpu::devices;
use batchscope::Error;
use batchscope::gpu::decoder::{Config, Decoder};
use batchscope::gpu::serve::{self as gpu_serve, pool_tokens, serve};
use batchscope::latency::architecture::{Architecture, Precision};
use batchscope::sched::joining::{Limits, Load};
use batchscope::study::serving::Served;

use crate::support::calibration;

fn config(pool_tokens: u32) -> Config {
    Config {
        architecture: Architecture {
            layers: 2,
            vocabulary: 512,
            ..Architecture::preset("demo").unwrap()
        },
        precision: Precision::F16,
        pool_tokens,
        seed: 3,
        temperature: 1.0,
        most_bytes: None,
    }
}

#[test]
fn users_are_served_by_the_real_decoder() {
    let load = Load {
        users: 3,
        requests_per_user: 2,
        prompt_tokens: 40,
        output_tokens: 5,
        limits: Limits {
            // Two requests of three blocks: the third user waits for room.
            kv_blocks: Some(7),
            ..Limits::default()
        },
        ..Load::default()
    };
    let loads = [Load { users: 1, ..load }, load];
    // The cache that the loads ask for, and no more.
    assert_eq!(pool_tokens(&loads), 7 * 16);
    for device in devices().into_iter().take(1) {
        let decoder = Decoder::new(Rc::new(device), config(pool_tokens(&loads)));
        let mut decoder = pollster::block_on(decoder).unwrap();
        // Twice: nothing of the first time is left in the way of the second.
        for _ in 0..2 {
            let mut told = 0;
            let records =
                pollster::block_on(serve(&mut decoder, &loads, &|| false, &mut |_| told += 1));
            let records = records.unwrap();
            for (load, record) in loads.iter().zip(&records) {
                let served = Served::of(load, record);
                let level = &served.level;
                assert_eq!(level.successful, Some(load.requests()));
                assert!(record.requests.iter().all(|r| r.tokens_s.len() == 5));
                assert!(served.busy_s > 0.0 && served.busy_s <= level.duration_s.unwrap());
                assert!(level.ttft_ms.avg < level.latency_ms.avg);
            }
            assert!(told > 2 * 10, "{told}");
            // Who waits for room is served after the others.
            let [first, .., last] = &records[1].requests[..3] else {
                panic!("three users send at once")
            };
            assert!(last.joined_s.unwrap() >= *first.tokens_s.last().unwrap());
        }
        // All layers, or none.
        let model = config(0).architecture;
        let mut asked = calibration::calibration();
        asked.model.architecture = model.clone();
        asked.model.precision = Precision::Int4;
        let whole = gpu_serve::decoder(decoder.device().clone(), &asked, "cal.json", &loads);
        assert_eq!(pollster::block_on(whole).unwrap().layers(), model.layers);
        // A cache that is too small for what the load believes in is no silent loss.
        let believed = Load {
            limits: Limits::default(),
            ..load
        };
        match pollster::block_on(serve(&mut decoder, &[believed], &|| false, &mut |_| {})) {
            Err(Error::Gpu { code, .. }) => assert_eq!(code, "out-of-gpu-memory"),
            other => panic!("{other:?}"),
        }
    }
}
