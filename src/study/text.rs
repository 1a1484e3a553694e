//! Words and numbers of the studies' reports.

use super::published_columns::{request_violation_rate, token_violation_rate};
use crate::metrics::Summary;
use crate::sched::Policy;

/// "1,000".
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// "74.3%"; "<0.1%" and ">99.9%" where one decimal would say none or all of some.
pub(crate) fn percent(share: f64) -> String {
    match share {
        s if s > 0.0 && s < 0.0005 => "<0.1%".to_owned(),
        s if (0.9995..1.0).contains(&s) => ">99.9%".to_owned(),
        s => format!("{:.1}%", s * 100.0),
    }
}

/// "1 GPU", "32 GPUs".
pub(crate) fn gpus(n: u32) -> String {
    format!("{n} GPU{}", if n == 1 { "" } else { "s" })
}

/// "Static FIFO", "Multi-Bin K=8".
pub(crate) fn scheduler(s: &Summary) -> String {
    let bins = s.scenario.bins.count;
    match s.scenario.policy().unwrap_or_default() {
        Policy::StaticFifo => "Static FIFO".to_owned(),
        Policy::Dynamic => "Dynamic No-Bins".to_owned(),
        Policy::MultiBinDynamic => format!("Multi-Bin K={bins}"),
        Policy::MultiBin => format!("Full Multi-Bin K={bins}"),
    }
}

/// "Static FIFO (1 GPU)", as in the published reports.
pub(crate) fn method(s: &Summary) -> String {
    format!("{} ({})", scheduler(s), gpus(s.scenario.fleet.gpus))
}

/// The share that kept the token SLA, as published.
pub(crate) fn token_pass(s: &Summary) -> f64 {
    1.0 - token_violation_rate(s)
}

/// The share that kept the request SLA, as published.
pub(crate) fn request_pass(s: &Summary) -> f64 {
    1.0 - request_violation_rate(s)
}

/// Up to four significant digits and at least two, never an exponent: "0.1661", "15,537", "0.000046".
pub(crate) fn short(x: f64) -> String {
    let decimals = match x.abs() {
        a if a >= 999.95 && x.is_finite() => {
            let sign = if x < 0.0 { "-" } else { "" };
            return sign.to_owned() + &thousands(libm::round(a) as u64);
        }
        a if a >= 100.0 => 1,
        a if a >= 10.0 => 2,
        a if a >= 1.0 || a == 0.0 => 3,
        a if a >= 0.01 => 4,
        a => (1.0 - libm::floor(libm::log10(a))).clamp(4.0, 9.0) as usize,
    };
    format!("{x:.decimals$}")
}

/// At least four significant digits and no zeros at the end; whole numbers whole: "166.7",
/// "0.05965", "32768".
pub(crate) fn trimmed(value: f64) -> String {
    let mut digits = 3;
    let mut magnitude = value.abs();
    while magnitude >= 10.0 && digits > 0 {
        magnitude /= 10.0;
        digits -= 1;
    }
    while magnitude < 1.0 && magnitude > 0.0 && digits < 12 {
        magnitude *= 10.0;
        digits += 1;
    }
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// "-" where there is nothing.
pub(crate) fn or_dash<T>(value: Option<T>, write: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), write)
}

/// A line of 80 signs.
pub(crate) fn rule(sign: char) -> String {
    std::iter::repeat_n(sign, 80).collect::<String>() + "\n"
}

/// A paragraph in lines of at most 80 characters; the last ends with a line feed too.
pub(crate) fn paragraph(words: &str) -> String {
    let mut text = String::new();
    let mut column = 0;
    for word in words.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > 80 {
            text.push('\n');
            column = 0;
        } else if column > 0 {
            text.push(' ');
            column += 1;
        }
        text += word;
        column += length;
    }
    text.push('\n');
    text
}

/// A Markdown table; cells hold no markup.
pub(crate) fn pipes(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!(
        "| {} |\n|{}\n",
        header.join(" | "),
        "---|".repeat(header.len())
    );
    for row in rows {
        text += &format!("| {} |\n", row.join(" | "));
    }
    text
}

/// Columns under a header, two spaces apart: the first to the left, the others to the right.
pub(crate) fn aligned(header: &[&str], rows: &[Vec<String>]) -> String {
    let header = header.iter().map(|&name| name.to_owned()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&header).chain(rows).collect();
    let width = |at: usize| {
        let cells = lines.iter().filter_map(|line| line.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut out = String::new();
        for (at, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            if at == 0 {
                out += &format!("{cell:<width$}");
            } else {
                out += &format!("  {cell:>width$}");
            }
        }
        text += out.trim_end();
        text.push('\n');
    }
    text
}

/// The latency model that a run used, in lines for a report.
pub(crate) fn latency_model(s: &Summary) -> String {
    let closed = s.scenario.closed();
    let Some(model) = closed.and_then(|closed| closed.latency.linear()) else {
        return "  the steps of a server, added up\n".to_owned();
    };
    // The published models do not have it, and their reports do not speak of it.
    let (term, value) = if model.growth == 0.0 {
        ("", String::new())
    } else {
        (
            " + growth (b - 1)",
            format!(", growth = {:.5}", model.growth),
        )
    };
    format!(
        "  T(b, L) = alpha + beta L h(b),  h(b) = 1 + gamma (b - 1)/b{term}\n  \
         L = prompt + output tokens of the longest request in a batch of b\n  \
         alpha = {:.2} ms, beta = {:.3} ms/token, gamma = {:.4}{value}\n",
        model.alpha_s * 1e3,
        model.beta_s_per_token * 1e3,
        model.gamma,
    )
}

/// The run with the largest value, the earlier of equals.
pub(crate) fn best_by<'a>(
    runs: impl IntoIterator<Item = &'a Summary>,
    value: impl Fn(&Summary) -> f64,
) -> Option<&'a Summary> {
    runs.into_iter().fold(None, |best, run| match best {
        Some(old) if value(old) >= value(run) => Some(old),
        _ => Some(run),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_two_digits_and_say_what_is_not_quite_none_or_all() {
        let said = [0.000_046, 0.0083, 0.1661, 999.96, 15_537.4, -1_200.0].map(short);
        assert_eq!(
            said,
            ["0.000046", "0.0083", "0.1661", "1,000", "15,537", "-1,200"]
        );
        let said = [0.0, 0.0004, 0.743, 0.9999, 1.0].map(percent);
        assert_eq!(said, ["0.0%", "<0.1%", "74.3%", ">99.9%", "100.0%"]);
    }

    #[test]
    fn paragraphs_fill_lines() {
        let text = paragraph(&"word ".repeat(32));
        assert_eq!(text.lines().map(str::len).collect::<Vec<_>>(), [79, 79]);
        assert_eq!(paragraph(""), "\n");
        assert_eq!(paragraph(" one\n two "), "one two\n");
    }

    #[test]
    fn trimmed_numbers_do_not_lose_their_size() {
        for (value, text) in [
            (0.0, "0"),
            (5.0, "5"),
            (166.666_67, "166.7"),
            (0.059_652_777, "0.05965"),
            (1234.5678, "1235"),
            (32_768.0, "32768"),
            (0.5, "0.5"),
            (5.555_555, "5.556"),
            (-2.5, "-2.5"),
        ] {
            assert_eq!(trimmed(value), text);
        }
    }
}
