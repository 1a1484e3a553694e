//! Cells to columns: exact number parsing, label interning, the repair of row order.

use std::collections::HashMap;

use super::{Labels, NO_SESSION, PrefixBlocks, Trace};
use crate::error::{Error, printable};

/// Arrival times end here (32,000 years in seconds): more is a wrong unit, and sums stay finite.
const MAX_TIME_S: f64 = 1e12;

/// The longest label of a model or log type, bytes.
const MAX_LABEL: usize = 256;

/// The most rows of a trace. A browser's module has 4 GiB for the trace and four schedulers' outcomes, about
/// 400 bytes a row while a column grows: with more rows it would be at their end in the middle of a run.
const MOST_ROWS: usize = if cfg!(target_arch = "wasm32") {
    8_000_000
} else {
    u32::MAX as usize
};
/// What to do where that is not enough.
const SO_MANY: &str = if cfg!(target_arch = "wasm32") {
    ", which is what a browser's memory holds; cut the file, or replay it with the command line"
} else {
    ""
};

/// A column of the file by the name that errors use.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) index: usize,
    pub(super) name: String,
}

/// How arrival times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    Seconds,
    Milliseconds,
    /// `2023-11-16 18:17:03.9799600`, a `T` between and a UTC offset behind allowed; becomes
    /// seconds since the earliest row.
    Calendar,
}

/// A trace in the making.
pub(super) struct Columns {
    trace: Trace,
    file: String,
    model: Option<Interner>,
    log_type: Option<Interner>,
    session: Option<Sessions>,
    /// Nanoseconds since 1970 where the clock is [`Clock::Calendar`]; they become arrivals at the
    /// end, when the earliest is known.
    ticks: Vec<i64>,
}

impl Columns {
    pub(super) fn new(file: &str, model: bool, log_type: bool, session: bool) -> Self {
        Columns {
            trace: Trace {
                name: file.to_owned(),
                ..Trace::default()
            },
            file: file.to_owned(),
            model: model.then(|| Interner::new("model names")),
            log_type: log_type.then(|| Interner::new("log types")),
            session: session.then(Sessions::default),
            ticks: Vec::new(),
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.trace.prompt.len() as u64
    }

    /// Appends a row's arrival time; each of the four calls below comes once a row.
    #[inline]
    pub(super) fn push_time(
        &mut self,
        row: u64,
        cell: &[u8],
        clock: Clock,
        column: &str,
    ) -> Result<(), Error> {
        if self.trace.prompt.len() >= MOST_ROWS {
            return Err(Error::BadRow {
                file: self.file.clone(),
                row,
                problem: format!("more than {MOST_ROWS} rows{SO_MANY}"),
            });
        }
        let per_second = match clock {
            Clock::Seconds => 1.0,
            Clock::Milliseconds => 1000.0,
            Clock::Calendar => {
                let Some(ns) = parse_calendar(cell) else {
                    let allowed =
                        "a date and time of 1970 to 2199, as in 2023-11-16 18:17:03.9799600";
                    return Err(self.bad_cell(row, column, cell, allowed));
                };
                self.ticks.push(ns);
                return Ok(());
            }
        };
        match parse_f64(cell).map(|t| t / per_second) {
            // Adding 0 turns -0 into 0, so that equal times have equal bytes.
            Some(t) if (0.0..=MAX_TIME_S).contains(&t) => self.trace.arrival.push(t + 0.0),
            _ => {
                let allowed = match clock {
                    Clock::Milliseconds => "a time in milliseconds from 0 to 1e15",
                    _ => "a time in seconds from 0 to 1e12",
                };
                return Err(self.bad_cell(row, column, cell, allowed));
            }
        }
        Ok(())
    }

    #[inline]
    pub(super) fn push_prompt(&mut self, row: u64, cell: &[u8], column: &str) -> Result<(), Error> {
        let tokens = self.tokens(row, cell, column)?;
        self.trace.prompt.push(tokens);
        Ok(())
    }

    #[inline]
    pub(super) fn push_output(&mut self, row: u64, cell: &[u8], column: &str) -> Result<(), Error> {
        let tokens = self.tokens(row, cell, column)?;
        self.trace.report.rows_failed += u64::from(tokens == 0);
        self.trace.output.push(tokens);
        Ok(())
    }

    #[inline]
    pub(super) fn push_model(&mut self, row: u64, cell: &[u8], column: &str) -> Result<(), Error> {
        match &mut self.model {
            Some(labels) => labels
                .push(cell)
                .map_err(|why| bad_cell(&self.file, row, column, cell, &why)),
            None => Ok(()),
        }
    }

    #[inline]
    pub(super) fn push_log_type(
        &mut self,
        row: u64,
        cell: &[u8],
        column: &str,
    ) -> Result<(), Error> {
        match &mut self.log_type {
            Some(labels) => labels
                .push(cell)
                .map_err(|why| bad_cell(&self.file, row, column, cell, &why)),
            None => Ok(()),
        }
    }

    #[inline]
    pub(super) fn push_session(&mut self, cell: &[u8]) {
        if let Some(sessions) = &mut self.session {
            sessions.push(cell);
        }
    }

    #[inline]
    fn tokens(&self, row: u64, cell: &[u8], column: &str) -> Result<u32, Error> {
        parse_u32(cell)
            .filter(|&tokens| tokens <= MAX_TOKENS)
            .ok_or_else(|| self.bad_cell(row, column, cell, "a whole number from 0 to 100000000"))
    }

    #[cold]
    pub(super) fn bad_cell(&self, row: u64, column: &str, cell: &[u8], allowed: &str) -> Error {
        bad_cell(&self.file, row, column, cell, allowed)
    }

    /// The finished trace: in time order, with its report.
    pub(super) fn finish(
        mut self,
        format: &str,
        rows_blank: u64,
        prefix: Option<PrefixBlocks>,
    ) -> Result<Trace, Error> {
        let mut trace = self.trace;
        if trace.prompt.is_empty() {
            return Err(Error::EmptyTrace {
                file: self.file,
                problem: "there is no row of data in it".to_owned(),
            });
        }
        if let Some(first) = self.ticks.iter().min().copied() {
            trace.arrival = self.ticks.drain(..).map(|t| seconds(t - first)).collect();
        }
        trace.model = self.model.map(|l| l.labels);
        trace.log_type = self.log_type.map(|l| l.labels);
        trace.session = self.session.map(|s| s.ids);
        trace.prefix = prefix;
        trace.report.format = format.to_owned();
        trace.report.rows = trace.prompt.len() as u64;
        trace.report.rows_blank = rows_blank;
        sort_by_arrival(&mut trace);
        if let Some(prefix) = &mut trace.prefix {
            renumber(&mut prefix.blocks);
        }
        Ok(trace)
    }
}

#[cold]
fn bad_cell(file: &str, row: u64, column: &str, cell: &[u8], allowed: &str) -> Error {
    Error::BadCell {
        file: file.to_owned(),
        row,
        column: column.to_owned(),
        value: printable(cell),
        allowed: allowed.to_owned(),
    }
}

/// Nanoseconds to seconds. In the coarsest unit that holds the value both parts of the quotient are
/// exact doubles (microseconds for 285 years), so the result is rounded once.
fn seconds(ns: i64) -> f64 {
    if ns % 1000 == 0 {
        (ns / 1000) as f64 / 1e6
    } else if ns % 100 == 0 {
        (ns / 100) as f64 / 1e7
    } else {
        ns as f64 / 1e9
    }
}

/// Brings rows into time order, stable; counts those that stood behind a later one.
fn sort_by_arrival(trace: &mut Trace) {
    let mut latest = f64::NEG_INFINITY;
    let mut moved = 0;
    for t in &trace.arrival {
        if *t < latest {
            moved += 1;
        } else {
            latest = *t;
        }
    }
    trace.report.rows_sorted = moved;
    if moved == 0 {
        return;
    }
    let at = |i: &u32| trace.arrival.get(*i as usize).copied().unwrap_or_default();
    let mut order: Vec<u32> = (0..trace.arrival.len() as u32).collect();
    order.sort_by(|a, b| at(a).total_cmp(&at(b)));
    trace.arrival = permuted(&trace.arrival, &order);
    trace.prompt = permuted(&trace.prompt, &order);
    trace.output = permuted(&trace.output, &order);
    for labels in [&mut trace.model, &mut trace.log_type]
        .into_iter()
        .flatten()
    {
        labels.ids = permuted(&labels.ids, &order);
    }
    if let Some(sessions) = &mut trace.session {
        *sessions = permuted(sessions, &order);
        renumber(sessions);
    }
    if let Some(prefix) = &mut trace.prefix {
        let mut offsets = vec![0];
        let mut blocks = Vec::with_capacity(prefix.blocks.len());
        for i in &order {
            blocks.extend_from_slice(prefix.of(*i as usize));
            offsets.push(blocks.len() as u32);
        }
        prefix.offsets = offsets;
        prefix.blocks = blocks;
    }
}

fn permuted<T: Copy>(column: &[T], order: &[u32]) -> Vec<T> {
    order
        .iter()
        .filter_map(|i| column.get(*i as usize).copied())
        .collect()
}

/// Numbers ids anew, densely from 0 in order of first appearance; [`NO_SESSION`] stays.
fn renumber(ids: &mut [u32]) {
    let largest = ids.iter().filter(|id| **id != NO_SESSION).max();
    let mut new = vec![NO_SESSION; largest.map_or(0, |id| *id as usize + 1)];
    let mut next = 0;
    for id in ids {
        if let Some(new) = new.get_mut(*id as usize) {
            if *new == NO_SESSION {
                *new = next;
                next += 1;
            }
            *id = *new;
        }
    }
}

/// Up to 256 names. Neighbouring rows mostly share their label, so the previous row's is tried
/// first, then the others in turn: no hashing.
struct Interner {
    labels: Labels,
    last: usize,
    what: &'static str,
}

impl Interner {
    fn new(what: &'static str) -> Self {
        Interner {
            labels: Labels::default(),
            last: 0,
            what,
        }
    }

    #[inline]
    fn push(&mut self, cell: &[u8]) -> Result<(), String> {
        let names = &self.labels.names;
        if names.get(self.last).is_none_or(|n| n.as_bytes() != cell) {
            match names.iter().position(|n| n.as_bytes() == cell) {
                Some(id) => self.last = id,
                None => self.add(cell)?,
            }
        }
        self.labels.ids.push(self.last as u8);
        Ok(())
    }

    #[cold]
    fn add(&mut self, cell: &[u8]) -> Result<(), String> {
        let name = std::str::from_utf8(cell)
            .ok()
            .filter(|n| n.len() <= MAX_LABEL && !n.contains(char::is_control))
            .ok_or_else(|| format!("printable UTF-8 text of at most {MAX_LABEL} bytes"))?;
        if self.labels.names.len() > usize::from(u8::MAX) {
            return Err(format!(
                "among the first 256 {}, and no more are kept",
                self.what
            ));
        }
        self.last = self.labels.names.len();
        self.labels.names.push(name.to_owned());
        Ok(())
    }
}

/// Session names, numbered densely in order of appearance.
#[derive(Default)]
struct Sessions {
    // Looked up, never walked: the order of a hash map shows nowhere.
    known: HashMap<Box<[u8]>, u32>,
    last: Box<[u8]>,
    last_id: u32,
    ids: Vec<u32>,
}

impl Sessions {
    fn push(&mut self, cell: &[u8]) {
        if cell.is_empty()
            || cell.eq_ignore_ascii_case(b"nan")
            || cell.eq_ignore_ascii_case(b"null")
            || cell.eq_ignore_ascii_case(b"none")
        {
            self.ids.push(NO_SESSION);
            return;
        }
        if *cell != *self.last {
            self.last = cell.into();
            let next = self.known.len() as u32;
            self.last_id = *self.known.entry(cell.into()).or_insert(next);
        }
        self.ids.push(self.last_id);
    }
}

/// Prefix blocks in the making: hash ids of any size become dense numbers.
#[derive(Default)]
pub(super) struct Prefixes {
    known: HashMap<u64, u32>,
    offsets: Vec<u32>,
    blocks: Vec<u32>,
}

impl Prefixes {
    /// Reads one row's `[1, 2, 3]`; `None` where it is not a list of whole numbers.
    pub(super) fn push(&mut self, list: &[u8]) -> Option<()> {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        let inner = list.trim_ascii().strip_prefix(b"[")?.strip_suffix(b"]")?;
        if !inner.trim_ascii().is_empty() {
            for id in inner.split(|b| *b == b',') {
                let id: u64 = std::str::from_utf8(id.trim_ascii()).ok()?.parse().ok()?;
                let next = self.known.len() as u32;
                self.blocks.push(*self.known.entry(id).or_insert(next));
            }
        }
        self.offsets.push(u32::try_from(self.blocks.len()).ok()?);
        Some(())
    }

    pub(super) fn finish(self, tokens_per_block: u32) -> PrefixBlocks {
        PrefixBlocks {
            tokens_per_block,
            offsets: self.offsets,
            blocks: self.blocks,
        }
    }
}

/// Longest prompt or output that a trace may hold: far beyond any model, and small enough that no
/// sum of two lengths overflows a `u32`.
const MAX_TOKENS: u32 = 100_000_000;

/// A whole number up to `u32::MAX`; `472.0`, as tables with gaps write it, counts as whole.
#[inline]
pub(super) fn parse_u32(cell: &[u8]) -> Option<u32> {
    if cell.is_empty() {
        return None;
    }
    if cell.len() > 10 {
        return parse_whole(cell);
    }
    let mut value: u64 = 0;
    for byte in cell {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return parse_whole(cell);
        }
        value = value * 10 + u64::from(digit);
    }
    u32::try_from(value).ok()
}

#[cold]
fn parse_whole(cell: &[u8]) -> Option<u32> {
    let value = parse_f64(cell)?;
    let whole = value as u32;
    (f64::from(whole) == value).then_some(whole)
}

/// The nearest `f64` of a decimal number. Up to 15 digits and 22 decimals the quotient of two exact
/// doubles is correctly rounded (Clinger 1990); everything else goes through `str::parse`.
#[inline]
pub(super) fn parse_f64(cell: &[u8]) -> Option<f64> {
    let mut mantissa: u64 = 0;
    let mut digits = 0;
    let mut decimals = None;
    for byte in cell {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            digits += 1;
            if digits > 15 {
                return parse_slow(cell);
            }
            mantissa = mantissa * 10 + u64::from(digit);
        } else if *byte == b'.' && decimals.is_none() {
            decimals = Some(digits);
        } else {
            return parse_slow(cell);
        }
    }
    if digits == 0 {
        return None;
    }
    let value = mantissa as f64;
    match decimals.map(|before| digits - before) {
        None | Some(0) => Some(value),
        Some(n) => POWERS_OF_TEN.get(n).map(|p| value / p),
    }
}

#[cold]
fn parse_slow(cell: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(cell).ok()?;
    text.parse::<f64>().ok().filter(|v| v.is_finite())
}

const POWERS_OF_TEN: [f64; 16] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];

/// Nanoseconds since 1970 UTC of `YYYY-MM-DD HH:MM:SS[.up to 9 digits][Z|+HH:MM|+HHMM]`.
fn parse_calendar(cell: &[u8]) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let mut value = 0;
        for byte in cell.get(range)? {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value * 10 + i64::from(digit);
        }
        Some(value)
    };
    let separated = cell.get(4) == Some(&b'-')
        && cell.get(7) == Some(&b'-')
        && matches!(cell.get(10), Some(b' ' | b'T'))
        && cell.get(13) == Some(&b':')
        && cell.get(16) == Some(&b':');
    if !separated {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    let in_range = (1970..2200).contains(&year)
        && (1..=month_days).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !in_range {
        return None;
    }
    let mut at = 19;
    let mut ns = 0;
    if cell.get(at) == Some(&b'.') {
        let tail = cell.get(at + 1..)?;
        let len = tail.iter().take_while(|b| b.is_ascii_digit()).count();
        if len == 0 || len > 9 {
            return None;
        }
        ns = number(at + 1..at + 1 + len)?;
        for _ in len..9 {
            ns *= 10;
        }
        at += 1 + len;
    }
    let offset_s = match cell.get(at..)? {
        [] | [b'Z'] => 0,
        [sign @ (b'+' | b'-'), zone @ ..] => {
            let (h, m) = match zone.len() {
                5 if zone.get(2) == Some(&b':') => {
                    (number(at + 1..at + 3)?, number(at + 4..at + 6)?)
                }
                4 => (number(at + 1..at + 3)?, number(at + 3..at + 5)?),
                _ => return None,
            };
            if h > 23 || m > 59 {
                return None;
            }
            let offset = h * 3600 + m * 60;
            if *sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    // Days since 1970-01-01, with years that begin in March so that the leap day comes last.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset_s;
    Some(seconds * 1_000_000_000 + ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact() {
        for text in [
            "0",
            "5",
            "0.1",
            "46927.25",
            "1787267980.0827403",
            "123456789012345",
            "1e3",
            "0.000000000000001",
            "9007199254740993",
            "3.141592653589793",
            "5.",
            ".5",
            "+7",
        ] {
            assert_eq!(parse_f64(text.as_bytes()), text.parse().ok(), "{text}");
        }
        for text in [
            "", ".", "-", "1.2.3", "nan", "inf", "1e999", "0x10", "1_000", "--1",
        ] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn whole_numbers_reach_u32_max_and_stop_there() {
        assert_eq!(parse_u32(b"4294967295"), Some(u32::MAX));
        assert_eq!(parse_u32(b"472.0"), Some(472));
        assert_eq!(parse_u32(b"00000000000007"), Some(7));
        for text in [
            "4294967296",
            "99999999999999999999",
            "-1",
            "1.5",
            "",
            "NaN",
            "12a",
        ] {
            assert_eq!(parse_u32(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn calendar_times_count_from_1970() {
        let second = 1_000_000_000;
        assert_eq!(parse_calendar(b"1970-01-01 00:00:00"), Some(0));
        assert_eq!(parse_calendar(b"1970-01-01T01:00:00+01:00"), Some(0));
        // date -ud '2024-02-29 12:00:00' +%s
        let leap_noon = 1_709_208_000 * second;
        assert_eq!(parse_calendar(b"2024-02-29 12:00:00Z"), Some(leap_noon));
        assert_eq!(
            parse_calendar(b"2024-02-29 12:00:00.009930+0000"),
            Some(leap_noon + 9_930_000)
        );
        for text in [
            "2023-02-29 12:00:00",
            "2023-13-01 12:00:00",
            "2023-01-01 24:00:00",
            "2023-01-01",
            "2023-01-01 10:00:00.",
            "2023-01-01 10:00:00.1234567890",
            "2023-01-01 10:00:00+1",
            "2023/01/01 10:00:00",
            "",
        ] {
            assert_eq!(parse_calendar(text.as_bytes()), None, "{text}");
        }
    }
}
