//! Cells to columns: exact number parsing, label interning, the repair of row order.

use std::collections::HashMap;

use super::{Labels, NO_SESSION, PrefixBlocks, Reading, TimeUnit, Trace};
use crate::error::{Error, printable};
use crate::words::counted;

/// Arrival times end here, 3,200 years in seconds: milliseconds since 1970 taken for seconds lie beyond it,
/// and sums stay finite.
const MAX_TIME_S: f64 = 1e11;

/// Most tokens of a hash block.
pub(super) const MAX_HASH_TOKENS: u32 = 1 << 20;

/// The longest label of a model or log type, and the longest name of a session or chat, bytes.
const MAX_LABEL: usize = 256;

/// The most rows of a trace. A browser's module has 4 GiB for the trace and four schedulers' outcomes, about
/// 400 bytes a row while a column grows: with more rows it would be at their end in the middle of a run.
/// Elsewhere a run of the most rows takes about 10 GB.
const MOST_ROWS: usize = if cfg!(target_arch = "wasm32") {
    8_000_000
} else {
    100_000_000
};
/// The most hashes of prompt blocks in a trace: distinct ones take up to 40 bytes each while a file is read.
const MOST_HASHES: usize = if cfg!(target_arch = "wasm32") {
    1 << 25
} else {
    1 << 27
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
    Unit(TimeUnit),
    /// Milliseconds by the format's rule, which has no fractions of them.
    WholeMilliseconds,
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
    chats: Option<Chats>,
    prefixes: Option<Prefixes>,
    /// Tokens of a hash block: as the reader was told, or as the rows say.
    hash_tokens: Option<u32>,
    reading: Reading,
    /// The format's own size of a hash block.
    format_hash_tokens: Option<u32>,
    /// Nanoseconds since 1970 where the clock is [`Clock::Calendar`]; they become arrivals at the
    /// end, when the earliest is known.
    ticks: Vec<i64>,
}

impl Columns {
    pub(super) fn new(file: &str, reading: &Reading, format_hash_tokens: Option<u32>) -> Self {
        Columns {
            trace: Trace {
                name: file.to_owned(),
                ..Trace::default()
            },
            file: file.to_owned(),
            model: None,
            log_type: None,
            session: None,
            chats: None,
            prefixes: None,
            hash_tokens: reading.hash_tokens,
            reading: *reading,
            format_hash_tokens,
            ticks: Vec::new(),
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.trace.prompt.len() as u64
    }

    /// Appends a row's arrival time. Each row calls this, then [`Columns::push_prompt`] and
    /// [`Columns::push_output`], then the calls for what a row may have.
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
        let unit = match clock {
            Clock::Unit(unit) => unit,
            Clock::WholeMilliseconds => TimeUnit::Ms,
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
        let value = parse_f64(cell);
        if clock == Clock::WholeMilliseconds && value.is_some_and(|t| libm::floor(t) != t) {
            let allowed = "a whole number of milliseconds, which this format counts; where it is another \
                           unit, name it (--time-unit, trace.file.time_unit: s, ms, us or ns)";
            return Err(self.bad_cell(row, column, cell, allowed));
        }
        match value.map(|t| t / unit.per_second()) {
            // Adding 0 turns -0 into 0, so that equal times have equal bytes.
            Some(t) if (0.0..=MAX_TIME_S).contains(&t) => self.trace.arrival.push(t + 0.0),
            _ => return Err(self.bad_time(row, column, cell, unit, value)),
        }
        Ok(())
    }

    #[cold]
    fn bad_time(
        &self,
        row: u64,
        column: &str,
        cell: &[u8],
        unit: TimeUnit,
        value: Option<f64>,
    ) -> Error {
        let most = MAX_TIME_S * unit.per_second();
        let mut allowed = format!("a time in {} from 0 to {most:e}", unit.words());
        // What would be a time since 1970, from 1973 to 2286, in a smaller unit.
        let since_1970 = [TimeUnit::Ms, TimeUnit::Us, TimeUnit::Ns]
            .into_iter()
            .find(|unit| value.is_some_and(|t| (1e8..1e10).contains(&(t / unit.per_second()))));
        if let Some(smaller) = since_1970 {
            allowed += &format!(
                "; in {} it would be a time since 1970: name the unit (--time-unit {}, \
                 trace.file.time_unit)",
                smaller.words(),
                smaller.name()
            );
            if smaller == TimeUnit::Ms {
                allowed += " or call the column timestamp_ms";
            }
        }
        self.bad_cell(row, column, cell, &allowed)
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

    /// Rows before this one, once its prompt and output are there.
    fn before(&self) -> usize {
        self.trace.prompt.len().saturating_sub(1)
    }

    /// Appends a label; rows without one share the empty label where other rows have one.
    #[inline]
    pub(super) fn push_model(
        &mut self,
        row: u64,
        cell: Option<&[u8]>,
        column: &str,
    ) -> Result<(), Error> {
        let before = self.before();
        push_label(&mut self.model, "model names", before, cell)
            .map_err(|why| bad_cell(&self.file, row, column, cell.unwrap_or_default(), &why))
    }

    #[inline]
    pub(super) fn push_log_type(
        &mut self,
        row: u64,
        cell: Option<&[u8]>,
        column: &str,
    ) -> Result<(), Error> {
        let before = self.before();
        push_label(&mut self.log_type, "log types", before, cell)
            .map_err(|why| bad_cell(&self.file, row, column, cell.unwrap_or_default(), &why))
    }

    /// Whether the reader asked for no more rows than there are.
    pub(super) fn enough(&self) -> bool {
        self.reading
            .most_rows
            .is_some_and(|most| self.rows() >= most)
    }

    #[inline]
    pub(super) fn push_session(
        &mut self,
        row: u64,
        cell: Option<&[u8]>,
        column: &str,
    ) -> Result<(), Error> {
        let cell = cell.map(|name| self.name(row, name, column)).transpose()?;
        let before = self.before();
        match (&mut self.session, cell) {
            (None, None) => {}
            (sessions, cell) => sessions
                .get_or_insert_with(|| Sessions {
                    ids: vec![NO_SESSION; before],
                    ..Sessions::default()
                })
                .push(cell.unwrap_or_default()),
        }
        Ok(())
    }

    /// A name of a session or chat that is short enough to be kept.
    fn name<'n>(&self, row: u64, name: &'n [u8], column: &str) -> Result<&'n [u8], Error> {
        if name.len() <= MAX_LABEL {
            return Ok(name);
        }
        let allowed = format!("a name of at most {MAX_LABEL} bytes");
        Err(self.bad_cell(row, column, name, &allowed))
    }

    /// Appends a chat and the one that it goes on from ([`Format::Bailian`](super::Format::Bailian)).
    pub(super) fn push_chat(
        &mut self,
        row: u64,
        chat: &[u8],
        parent: Option<&[u8]>,
        column: &str,
    ) -> Result<(), Error> {
        for name in [Some(chat), parent].into_iter().flatten() {
            self.name(row, name, column)?;
        }
        let chats = self.chats.get_or_insert_default();
        chats.push(row, chat, parent).map_err(|first| {
            let allowed = format!("a chat of its own: row {first} has the same");
            bad_cell(&self.file, row, column, chat, &allowed)
        })
    }

    /// Appends the hashes of a row's prompt, and how many tokens a hash stands for, where the row says.
    pub(super) fn push_hashes(
        &mut self,
        row: u64,
        hashes: Option<(&str, &[u8])>,
        size: Option<(&str, &[u8])>,
    ) -> Result<(), Error> {
        if let Some((column, cell)) = size {
            self.block_size(row, column, cell)?;
        }
        let before = self.before();
        let Some((column, cell)) = hashes else {
            if let Some(prefixes) = &mut self.prefixes {
                prefixes.push_none();
            }
            return Ok(());
        };
        let prefixes = self
            .prefixes
            .get_or_insert_with(|| Prefixes::with_rows(before));
        let Some(blocks) = prefixes.push(cell) else {
            let allowed = "a list of whole numbers, as in [0, 1, 2]";
            return Err(self.bad_cell(row, column, cell, allowed));
        };
        if prefixes.blocks.len() > MOST_HASHES {
            return Err(Error::too_large(
                self.file.clone(),
                format!("more than {MOST_HASHES} hashes of prompt blocks up to row {row}"),
                format!("{MOST_HASHES} in all; cut the file, or leave the column {column} out"),
            ));
        }
        let tokens = self.trace.prompt.last().copied().unwrap_or_default();
        match self.hash_tokens.or(self.format_hash_tokens) {
            Some(size) if !fits(blocks, tokens, size) => {
                Err(self.wrong_count(row, column, blocks, tokens, size))
            }
            _ => Ok(()),
        }
    }

    fn block_size(&mut self, row: u64, column: &str, cell: &[u8]) -> Result<(), Error> {
        let size = parse_u32(cell).filter(|size| (1..=MAX_HASH_TOKENS).contains(size));
        let allowed = match (size, self.hash_tokens) {
            (None, _) => format!("a whole number from 1 to {MAX_HASH_TOKENS}"),
            (Some(size), Some(known)) if size != known => match self.reading.hash_tokens {
                Some(_) => format!("{known}, as --hash-tokens (trace.file.hash_tokens) says"),
                None => format!("{known}, as in the rows before"),
            },
            (Some(size), None) => {
                self.hash_tokens = Some(size);
                match self.contradicts_before(size) {
                    None => return Ok(()),
                    Some((blocks, tokens)) => format!(
                        "a size of which {tokens} tokens make {blocks}, as the prompt and the hashes of a row before"
                    ),
                }
            }
            (Some(_), Some(_)) => return Ok(()),
        };
        Err(self.bad_cell(row, column, cell, &allowed))
    }

    /// The hashes and the prompt of a row before this one that a size of blocks contradicts: rows before the
    /// first one that says a size were not held against it.
    fn contradicts_before(&self, size: u32) -> Option<(u32, u32)> {
        let prefixes = self.prefixes.as_ref()?;
        let counts = prefixes.offsets.windows(2).map(|ends| ends[1] - ends[0]);
        counts
            .zip(self.trace.prompt.iter().copied())
            .find(|&(blocks, tokens)| !fits(blocks, tokens, size))
    }

    #[cold]
    fn wrong_count(&self, row: u64, column: &str, blocks: u32, tokens: u32, size: u32) -> Error {
        // The sizes for which `tokens` make so many blocks, the last of them full or not.
        let least = tokens.div_ceil(blocks);
        let most = tokens
            .saturating_sub(1)
            .checked_div(blocks.saturating_sub(1));
        let fits = match most {
            _ if least == 0 => String::new(),
            None => format!("; {least} or more would fit this row"),
            Some(most) if most == least => format!("; {least} would fit this row"),
            Some(most) if most > least => format!("; {least} to {most} would fit this row"),
            Some(_) => String::new(),
        };
        let make = tokens.div_ceil(size);
        Error::BadRow {
            file: self.file.clone(),
            row,
            problem: format!(
                "{} in \"{column}\" for a prompt of {}, which is {} of {size} tokens; where blocks have another size, name it (--hash-tokens, \
                 trace.file.hash_tokens){fits}",
                counted(blocks, "block"),
                counted(tokens, "token"),
                counted(make, "block"),
            ),
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
    pub(super) fn finish(mut self, format: &str, rows_blank: u64) -> Result<Trace, Error> {
        let mut trace = self.trace;
        if trace.prompt.is_empty() {
            return Err(Error::EmptyTrace {
                file: self.file,
                problem: "there is no row of data in it".to_owned(),
            });
        }
        if self.prefixes.is_none() && self.reading.hash_tokens.is_some() {
            return Err(Error::contradiction(
                "trace.file.hash_tokens",
                format!("{} has no hash_ids; leave --hash-tokens out", self.file),
            ));
        }
        if let Some(first) = self.ticks.iter().min().copied() {
            trace.arrival = self.ticks.drain(..).map(|t| seconds(t - first)).collect();
        }
        trace.model = self.model.map(|l| l.labels);
        trace.log_type = self.log_type.map(|l| l.labels);
        trace.session = match (self.session, self.chats) {
            (Some(sessions), _) => Some(sessions.ids),
            (None, Some(chats)) => Some(chats.sessions().map_err(|row| Error::BadRow {
                file: self.file.clone(),
                row,
                problem: "the chat goes on from itself, by its parents".to_owned(),
            })?),
            (None, None) => None,
        };
        // A column without any session is none.
        trace.session = trace
            .session
            .filter(|ids| ids.iter().any(|id| *id != NO_SESSION));
        let size = self.hash_tokens.or(self.format_hash_tokens);
        trace.prefix = self.prefixes.map(|p| p.finish(size.unwrap_or_default()));
        trace.report.format = format.to_owned();
        trace.report.rows = trace.prompt.len() as u64;
        trace.report.rows_blank = rows_blank;
        sort_by_arrival(&mut trace);
        if let Some(sessions) = &mut trace.session {
            renumber(sessions);
        }
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

fn push_label(
    labels: &mut Option<Interner>,
    what: &'static str,
    before: usize,
    cell: Option<&[u8]>,
) -> Result<(), String> {
    match (labels, cell) {
        (None, None) => Ok(()),
        (Some(labels), cell) => labels.push(cell.unwrap_or_default()),
        (none, Some(cell)) => {
            let mut labels = Interner::new(what);
            for _ in 0..before {
                labels.push(b"")?;
            }
            labels.push(cell)?;
            *none = Some(labels);
            Ok(())
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

/// Chats that go on from one another: a session is a first chat and all that follow from it.
#[derive(Default)]
struct Chats {
    // Looked up, never walked: the order of a hash map shows nowhere.
    known: HashMap<Box<[u8]>, u32>,
    /// By chat: the row of the file that has it, 0 for one that is only named as a parent.
    row: Vec<u64>,
    /// By chat: the one before it.
    parent: Vec<Option<u32>>,
    /// By row of the trace: its chat.
    chat: Vec<u32>,
}

impl Chats {
    /// `Err`: the row that has this chat already.
    fn push(&mut self, row: u64, chat: &[u8], parent: Option<&[u8]>) -> Result<(), u64> {
        let chat = self.number(chat);
        let parent = parent
            .filter(|name| !matches!(*name, b"" | b"-1"))
            .map(|name| self.number(name));
        match self.row.get_mut(chat as usize) {
            Some(seen) if *seen == 0 => *seen = row,
            Some(seen) => return Err(*seen),
            None => {}
        }
        if let Some(slot) = self.parent.get_mut(chat as usize) {
            *slot = parent;
        }
        self.chat.push(chat);
        Ok(())
    }

    fn number(&mut self, name: &[u8]) -> u32 {
        if let Some(number) = self.known.get(name) {
            return *number;
        }
        let number = self.known.len() as u32;
        self.known.insert(name.into(), number);
        self.row.push(0);
        self.parent.push(None);
        number
    }

    /// The first chat of each row's session. `Err`: the row of a chat that is among its own parents.
    fn sessions(self) -> Result<Vec<u32>, u64> {
        let mut first: Vec<Option<u32>> = vec![None; self.parent.len()];
        let mut path = Vec::new();
        for start in 0..self.parent.len() as u32 {
            let mut chat = start;
            let root = loop {
                if let Some(known) = first.get(chat as usize).copied().flatten() {
                    break known;
                }
                if path.len() > self.parent.len() {
                    return Err(self.row.get(start as usize).copied().unwrap_or_default());
                }
                path.push(chat);
                match self.parent.get(chat as usize).copied().flatten() {
                    Some(parent) => chat = parent,
                    None => break chat,
                }
            };
            for chat in path.drain(..) {
                if let Some(slot) = first.get_mut(chat as usize) {
                    *slot = Some(root);
                }
            }
        }
        Ok(self
            .chat
            .iter()
            .map(|chat| first.get(*chat as usize).copied().flatten())
            .map(Option::unwrap_or_default)
            .collect())
    }
}

/// Prefix blocks in the making: hash ids of any size become dense numbers.
struct Prefixes {
    known: HashMap<u64, u32>,
    offsets: Vec<u32>,
    blocks: Vec<u32>,
}

impl Prefixes {
    /// Begins behind so many rows without hashes.
    fn with_rows(rows: usize) -> Self {
        Prefixes {
            known: HashMap::new(),
            offsets: vec![0; rows + 1],
            blocks: Vec::new(),
        }
    }

    /// Reads one row's `[1, 2, 3]` and says how many there are; `None` where it is not a list of whole
    /// numbers.
    fn push(&mut self, list: &[u8]) -> Option<u32> {
        let inner = list.trim_ascii().strip_prefix(b"[")?.strip_suffix(b"]")?;
        let before = self.blocks.len();
        if !inner.trim_ascii().is_empty() {
            for id in inner.split(|b| *b == b',') {
                let id: u64 = std::str::from_utf8(id.trim_ascii()).ok()?.parse().ok()?;
                let next = self.known.len() as u32;
                self.blocks.push(*self.known.entry(id).or_insert(next));
            }
        }
        self.offsets.push(u32::try_from(self.blocks.len()).ok()?);
        u32::try_from(self.blocks.len() - before).ok()
    }

    fn push_none(&mut self) {
        self.offsets.push(self.blocks.len() as u32);
    }

    fn finish(self, tokens_per_block: u32) -> PrefixBlocks {
        PrefixBlocks {
            tokens_per_block,
            offsets: self.offsets,
            blocks: self.blocks,
        }
    }
}

/// Whether `blocks` is the number of hashes of a prompt of `tokens`, with or without one for a partly filled
/// last block. A prompt without hashes fits every size.
fn fits(blocks: u32, tokens: u32, size: u32) -> bool {
    blocks == 0 || blocks == tokens / size || blocks == tokens.div_ceil(size)
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
