//! Users against the real decoder, on whatever adapters are here: every token comes, the cache is big
//! enough and comes back, and a calibration's adapter is found from the command line.

use std::rc::Rc;

use crate::support::gpu::devices;
use batchscope::experiment::serving::Served;
use batchscope::gpu::decoder::{Config, Decoder};
use batchscope::gpu::serve::{self as gpu_serve, pool_tokens, serve};
use batchscope::latency::architecture::{Architecture, Precision};
use batchscope::scenario::{ClosedLoop, Engine};
use batchscope::sched::continuous::Server;
use batchscope::sched::continuous::kv::Capacity;
use batchscope::trace::synth::Synthetic;
use batchscope::{Error, Outcome, Scenario};

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

/// Users who each send two requests of 40 prompt and 5 output tokens, with so many blocks of 16 tokens.
fn level(users: u32, capacity: Capacity) -> Scenario {
    let mut server = Server {
        max_sequences: 64,
        max_batched_tokens: 128,
        ..Server::default()
    };
    server.kv.capacity = capacity;
    server.kv.null_block = false;
    let mut scenario = Scenario {
        engine: Engine::Continuous(Box::new(server)),
        ..Scenario::default()
    };
    scenario.fleet.gpus = 1;
    scenario.workload.closed_loop = Some(ClosedLoop {
        users,
        requests_per_user: 2,
        think_min_s: 0.0,
        think_max_s: 0.0,
    });
    scenario
}

#[test]
fn users_are_served_by_the_real_decoder() {
    let trace = Synthetic::alike(6, 40, 5).generate(1).unwrap();
    // Two requests of three blocks: the third user waits for room.
    let few = Capacity::Blocks(7);
    let levels = [level(1, few), level(3, few)];
    // The cache that the levels ask for, and no more.
    let tokens = pool_tokens(&trace, &levels).unwrap();
    assert_eq!(tokens, 7 * 16);
    for device in devices().into_iter().take(1) {
        let decoder = Decoder::new(Rc::new(device), config(tokens));
        let mut decoder = pollster::block_on(decoder).unwrap();
        // Twice: nothing of the first time is left in the way of the second.
        for _ in 0..2 {
            let mut told = 0;
            let mut tell = |_| told += 1;
            let measured = serve(&mut decoder, &trace, &levels, &|| false, &mut tell);
            let measured = pollster::block_on(measured).unwrap();
            for (users, measured) in [1, 3].into_iter().zip(&measured) {
                let served = Served::measured(&trace, measured);
                let level = &served.level;
                assert_eq!(level.successful, Some(2 * users));
                assert!(served.busy_s > 0.0 && served.busy_s <= level.duration_s.unwrap());
                assert!(level.ttft_ms.avg < level.latency_ms.avg);
            }
            assert!(told > 2 * 10, "{told}");
            // Who waits for room is served after another.
            let outcome = Outcome::of(&trace, measured[1].record.clone());
            let served = &outcome.served.unwrap().0;
            assert!(served.joined_s[2] >= served.done_s[0].min(served.done_s[1]));
        }
        // All layers, or none.
        let model = config(0).architecture;
        let mut asked = calibration::calibration();
        asked.model.architecture = model.clone();
        asked.model.precision = Precision::Int4;
        let whole = gpu_serve::decoder(decoder.device().clone(), &asked, "cal.json", tokens);
        assert_eq!(pollster::block_on(whole).unwrap().layers(), model.layers);
        // A cache that is too small for what the scenario believes in is no silent loss.
        let believed = [level(3, Capacity::Unlimited)];
        let mut silent = |_| {};
        let run = serve(&mut decoder, &trace, &believed, &|| false, &mut silent);
        match pollster::block_on(run) {
            Err(Error::Gpu { code, .. }) => assert_eq!(code, "out-of-gpu-memory"),
            other => panic!("{other:?}"),
        }
    }
}
