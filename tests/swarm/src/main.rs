use swarm::{case::Case, rng::Rng, invariants, ways};
use std::collections::BTreeMap;
fn main() {
    let n: u64 = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(1000);
    let (mut ok, mut refused) = (0, BTreeMap::<String, (u64, String)>::new());
    let mut bad = BTreeMap::<String, (u64, String)>::new();
    let start = std::time::Instant::now();
    for k in 0..n {
        let mut rng = Rng::new(1, k, 0);
        let case = Case::random(&mut rng);
        let run = case.open().and_then(|(s, t)| batchscope::simulate(&t, &s).map(|o| (s, t, o)));
        match run {
            Err(e) => {
                let text = e.to_string();
                let key = match &e { batchscope::Error::BadField{field,..} => field.clone(), batchscope::Error::Contradiction{what,..} => what.clone(), e => text.split(", field").nth(1).unwrap_or(e.code()).to_owned() };
                let x = refused.entry(key).or_insert((0, text)); x.0 += 1;
            }
            Ok((s, t, o)) => {
                ok += 1;
                if std::env::var("SHOW").is_ok_and(|x| x == k.to_string()) { println!("{} rows {} {:?}", s.to_json(), t.len(), o.served.as_ref().map(|x| { let mut y = x.1.clone(); y.marks.clear(); y.series=Default::default(); y})); } if let Err(b) = invariants::check(&t, &s, &o) { let x = bad.entry(b.name.to_owned()).or_insert((0, format!("case {k}: {}", b.detail))); x.0 += 1; }
                for ev in [1, 7] { let p = ways::sliced(&t, &s, ev).unwrap(); if let Err(b) = invariants::same_bytes(&o, &p, "slices") { let x = bad.entry(b.name.to_owned()).or_insert((0, format!("case {k}: {}", b.detail))); x.0 += 1; } }
                if let Some(p) = ways::stepped(&t, &s).unwrap() { if let Err(b) = invariants::same_steps(&o, &p) { let x = bad.entry(b.name.to_owned()).or_insert((0, format!("case {k}: {}", b.detail))); x.0 += 1; } }
            }
        }
    }
    println!("{ok} of {n} in {:?}", start.elapsed());
    let mut r: Vec<_> = refused.into_iter().collect(); r.sort_by_key(|x| std::cmp::Reverse(x.1.0));
    for (k, (c, t)) in r { println!("  {c} {k}: {}", t.chars().take(150).collect::<String>()); }
    for (k, (c, t)) in bad { println!("BAD {c} {k}: {}", t.chars().take(400).collect::<String>()); }
}
