//! Work spread over threads, with results in whatever order they come.

use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::thread;

use crate::Error;

/// Threads that `--jobs` means where it is not given.
pub fn default_jobs() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Works on `items` with `jobs` threads; `sink` sees each result, with the item's number, on the
/// calling thread. At most `2 * jobs` items are taken ahead of the sink. Ends at the sink's first
/// error, which is the result.
pub fn each<T: Send, R: Send>(
    jobs: usize,
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(T) -> R + Sync,
    mut sink: impl FnMut(usize, R) -> Result<(), Error>,
) -> Result<(), Error> {
    let jobs = jobs.max(1);
    let items = Mutex::new(items.enumerate());
    let (send, receive) = sync_channel(jobs);
    thread::scope(|scope| {
        for started in 0..jobs {
            let (send, items, work) = (send.clone(), &items, &work);
            let thread = thread::Builder::new().spawn_scoped(scope, move || {
                loop {
                    // A thread that panicked while it held the lock took no item with it.
                    let next = items.lock().unwrap_or_else(|e| e.into_inner()).next();
                    let Some((i, item)) = next else { return };
                    // The sink has ended: nobody wants the rest.
                    if send.send((i, work(item))).is_err() {
                        return;
                    }
                }
            });
            match thread {
                Ok(_) => {}
                // The system has no more of them: those that run do the work.
                Err(_) if started > 0 => break,
                Err(e) => {
                    return Err(Error::File {
                        action: "start",
                        path: "a thread".to_owned(),
                        detail: e.to_string(),
                    });
                }
            }
        }
        drop(send);
        for (i, result) in receive {
            sink(i, result)?;
        }
        Ok(())
    })
}

/// Results in the order of the items; the first error ends the work.
pub fn in_order<T: Send, R: Send>(
    jobs: usize,
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(T) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    let mut results = Vec::new();
    each(jobs, items, work, |i, result| {
        results.push((i, result?));
        Ok(())
    })?;
    results.sort_by_key(|&(i, _)| i);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once() {
        let mut seen = vec![0; 100];
        each(
            4,
            0..100usize,
            |i| i * i,
            |i, square| {
                assert_eq!(square, i * i);
                seen[i] += 1;
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(seen, vec![1; 100]);
    }

    #[test]
    fn the_sinks_error_ends_the_work() {
        let mut results = 0;
        let ended = each(
            2,
            0..,
            |i: u64| i,
            |_, _| {
                results += 1;
                if results < 5 {
                    Ok(())
                } else {
                    Err(Error::Interrupted)
                }
            },
        );
        assert_eq!(ended, Err(Error::Interrupted));
        assert_eq!(results, 5);
    }
}
