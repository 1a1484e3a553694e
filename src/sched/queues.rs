//! One first-in-first-out queue per bin, as ranges of one array.
//!
//! How many requests each bin will get is known before the replay begins, so every bin has its
//! place in the array; a queue is then two numbers, and a batch is a slice.

use crate::Trace;

/// What a scheduler reads of the requests, by trace row.
#[derive(Debug, Clone, Copy)]
pub struct Lengths<'a> {
    pub prompt: &'a [u32],
    pub output: &'a [u32],
}

impl<'a> Lengths<'a> {
    pub fn of(trace: &'a Trace) -> Lengths<'a> {
        Lengths {
            prompt: &trace.prompt,
            output: &trace.output,
        }
    }
}

/// Sums and maxima over the members of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Shape {
    pub size: u32,
    pub prompt_tokens: u64,
    pub output_tokens: u64,
    /// Sum of squares of prompt + output.
    pub squared_tokens: f64,
    pub longest_total: u32,
    pub longest_output: u32,
}

/// The queues of a run.
#[derive(Debug, Clone)]
pub struct Queues {
    /// Trace rows, bin by bin, in arrival order within a bin.
    order: Vec<u32>,
    /// Per bin, the position in `order` of the first waiting request.
    head: Vec<u32>,
    /// Per bin, the position after the last request that has arrived.
    tail: Vec<u32>,
}

impl Queues {
    /// Queues for `bin_of.len()` requests; a request whose bin is not below `bins` never arrives.
    pub fn new(bin_of: &[u8], bins: usize) -> Queues {
        // Four tables in turn: increments of one counter would wait for each other.
        let mut tables = [[0u32; 256]; 4];
        for four in bin_of.chunks(4) {
            for (table, &bin) in tables.iter_mut().zip(four) {
                table[usize::from(bin)] += 1;
            }
        }
        let counts: [u32; 256] =
            std::array::from_fn(|bin| tables.iter().map(|table| table[bin]).sum());
        let mut start = Vec::with_capacity(bins);
        let mut sum = 0;
        for &count in &counts[..bins] {
            start.push(sum);
            sum += count;
        }
        Queues {
            order: vec![0; sum as usize],
            tail: start.clone(),
            head: start,
        }
    }

    pub fn bins(&self) -> usize {
        self.head.len()
    }

    /// Requests waiting in a bin.
    #[inline]
    pub fn waiting(&self, bin: usize) -> u32 {
        self.tail[bin] - self.head[bin]
    }

    #[inline]
    pub fn is_empty(&self, bin: usize) -> bool {
        self.tail[bin] == self.head[bin]
    }

    /// A request joins the end of a queue. Each bin must get as many as were announced.
    #[inline(always)]
    pub fn arrive(&mut self, bin: u8, row: u32) {
        let tail = &mut self.tail[usize::from(bin)];
        self.order[*tail as usize] = row;
        *tail += 1;
    }

    /// Takes the front of a queue; gives its position in the order.
    #[inline(always)]
    pub fn take(&mut self, bin: u8, size: u32) -> u32 {
        let head = &mut self.head[usize::from(bin)];
        let first = *head;
        *head += size;
        first
    }

    /// Trace rows that were taken together.
    pub fn taken(&self, first: u32, size: u32) -> &[u32] {
        &self.order[first as usize..(first + size) as usize]
    }

    /// Trace row of the oldest of the `count` newest requests of a bin.
    pub fn newest(&self, bin: usize, count: u32) -> u32 {
        self.order[(self.tail[bin] - count) as usize]
    }

    /// Sums up the first `size` waiting requests of a bin (fewer where fewer wait), stopping
    /// before the batch would exceed `token_limit`, but never before the first request.
    #[inline(always)]
    pub fn shape(&self, lengths: Lengths<'_>, bin: usize, size: u32, token_limit: u64) -> Shape {
        let first = self.head[bin] as usize;
        let size = size.min(self.waiting(bin)) as usize;
        let mut shape = Shape::default();
        for &row in &self.order[first..first + size] {
            let prompt = lengths.prompt[row as usize];
            let output = lengths.output[row as usize];
            let total = prompt.saturating_add(output);
            let tokens = shape.prompt_tokens + shape.output_tokens + u64::from(total);
            if tokens > token_limit && shape.size > 0 {
                break;
            }
            shape.size += 1;
            shape.prompt_tokens += u64::from(prompt);
            shape.output_tokens += u64::from(output);
            shape.squared_tokens += f64::from(total) * f64::from(total);
            shape.longest_total = shape.longest_total.max(total);
            shape.longest_output = shape.longest_output.max(output);
        }
        shape
    }

    /// Gives the layout away, for the outcome.
    pub fn into_order(self) -> Vec<u32> {
        self.order
    }
}
