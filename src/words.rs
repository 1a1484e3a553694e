//! Numbers, counts and lists as words, paragraphs and plain tables: what every report, table and error is written with.

/// "1,000".
pub fn thousands(n: u64) -> String {
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

/// To the next whole number, thousands parted; negative numbers are 0.
pub fn rounded(x: f64) -> String {
    thousands(libm::round(x) as u64)
}

/// For a sentence: up to four significant digits and at least two, never an exponent: "0.1661", "15,537", "0.000046".
pub fn short(x: f64) -> String {
    let decimals = match x.abs() {
        a if a >= 999.95 && x.is_finite() => {
            let sign = if x < 0.0 { "-" } else { "" };
            return sign.to_owned() + &rounded(a);
        }
        a if a >= 100.0 => 1,
        a if a >= 10.0 => 2,
        a if a >= 1.0 || a == 0.0 => 3,
        a if a >= 0.01 => 4,
        a => (1.0 - libm::floor(libm::log10(a))).clamp(4.0, 9.0) as usize,
    };
    format!("{x:.decimals$}")
}

/// For a column: four significant digits, in powers of ten what is very large or small: "12.00", "15537", "1.235e8".
#[cfg(feature = "cli")]
pub fn significant(x: f64) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    let magnitude = libm::floor(libm::log10(x.abs())) as i32;
    if (-4..=6).contains(&magnitude) {
        format!("{x:.*}", (3 - magnitude).max(0) as usize)
    } else {
        format!("{x:.3e}")
    }
}

/// For a measured value: one decimal, thousands parted, whole numbers whole, huge and tiny ones in powers of ten:
/// "14,447.5", "256", "1.500e12".
pub fn tenths(x: f64) -> String {
    let size = x.abs();
    if size >= 1e9 || (size > 0.0 && size < 0.05) || !x.is_finite() {
        return format!("{x:.3e}");
    }
    let text = format!("{size:.1}");
    let (whole, decimal) = text.split_once('.').unwrap_or((&text, "0"));
    let parted = whole.parse().map_or_else(|_| whole.to_owned(), thousands);
    let sign = if x < 0.0 { "-" } else { "" };
    // Whole numbers, such as counts of users, stay whole.
    if x == libm::trunc(x) {
        format!("{sign}{parted}")
    } else {
        format!("{sign}{parted}.{decimal}")
    }
}

/// For a setting: at least four significant digits and no zeros at the end; whole numbers whole: "166.7", "0.05965", "32768".
pub fn trimmed(value: f64) -> String {
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
    without_zeros(format!("{value:.digits$}"))
}

/// A number's text without the zeros that its decimals end with.
pub fn without_zeros(text: String) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// "74.3 %"; "<0.1 %" and ">99.9 %" where one decimal would say none or all of some.
pub fn percent(share: f64) -> String {
    match share {
        s if s > 0.0 && s < 0.0005 => "<0.1 %".to_owned(),
        s if (0.9995..1.0).contains(&s) => ">99.9 %".to_owned(),
        s => percent_to(s, 1),
    }
}

/// With a given number of decimals: "0.83 %".
pub fn percent_to(share: f64, decimals: usize) -> String {
    format!("{:.decimals$} %", share * 100.0)
}

/// A change: "+1.5 %"; what rounds to nothing has no sign.
pub fn change(share: f64, decimals: usize) -> String {
    let text = format!("{:+.decimals$} %", share * 100.0);
    let is_nothing = share.is_finite() && !text.contains(|c: char| ('1'..='9').contains(&c));
    match text.get(1..) {
        Some(size) if is_nothing => size.to_owned(),
        _ => text,
    }
}

/// "1 row", "2 rows", "2 batches".
pub fn counted(n: impl Into<u64>, what: &str) -> String {
    let n = n.into();
    let ending = match n {
        1 => "",
        _ if what.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{n} {what}{ending}")
}

/// "1 GPU", "32 GPUs".
pub fn gpus(n: u32) -> String {
    counted(n, "GPU")
}

/// "a", "a and b", "a, b and c".
pub fn joined(parts: impl IntoIterator<Item = String>) -> String {
    let parts: Vec<String> = parts.into_iter().collect();
    match parts.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// "-" where there is nothing.
pub fn or_dash<T>(value: Option<T>, write: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), write)
}

/// A line of 80 signs.
pub fn rule(sign: char) -> String {
    std::iter::repeat_n(sign, 80).collect::<String>() + "\n"
}

/// A paragraph in lines of at most 80 characters; the last ends with a line feed too.
pub fn paragraph(words: &str) -> String {
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

/// A Markdown table.
pub fn pipes(header: &[impl AsRef<str>], rows: &[Vec<String>]) -> String {
    let header: Vec<String> = header.iter().map(|cell| quiet(cell.as_ref())).collect();
    let mut text = format!(
        "| {} |\n|{}\n",
        header.join(" | "),
        "---|".repeat(header.len())
    );
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| quiet(cell)).collect();
        text += &format!("| {} |\n", cells.join(" | "));
    }
    text
}

/// Text that neither ends a cell of Markdown nor begins markup of its own.
pub fn quiet(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '\\' | '`' | '*' | '[' => out.extend(['\\', c]),
            '<' => out.push_str("&lt;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Columns under a header, two spaces apart: the first to the left, the others to the right.
pub fn aligned(header: &[&str], rows: &[Vec<String>]) -> String {
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
        assert_eq!(said, ["0.0 %", "<0.1 %", "74.3 %", ">99.9 %", "100.0 %"]);
    }

    #[test]
    fn measured_values_are_written_in_tenths() {
        for (value, text) in [
            (14_447.46, "14,447.5"),
            (-110_377.6, "-110,377.6"),
            (999.96, "1,000.0"),
            (256.0, "256"),
            (1.5e12, "1.500e12"),
            (0.0, "0"),
        ] {
            assert_eq!(tenths(value), text);
        }
    }

    #[test]
    fn changes_of_nothing_have_no_sign() {
        let said = [0.0449, -0.012, 0.0004, -0.0004].map(|share| change(share, 1));
        assert_eq!(said, ["+4.5 %", "-1.2 %", "0.0 %", "0.0 %"]);
        assert_eq!(change(-0.000_04, 2), "0.00 %");
        assert_eq!(change(1.0, 0), "+100 %");
        assert_eq!(change(f64::NAN, 1), "NaN %");
        assert_eq!(change(f64::INFINITY, 1), "+inf %");
    }

    #[test]
    fn counts_and_lists() {
        let said = [(1, "row"), (2, "row"), (0, "batch"), (1, "batch")]
            .map(|(n, what)| counted(n as u32, what));
        assert_eq!(said, ["1 row", "2 rows", "0 batches", "1 batch"]);
        assert_eq!(joined(["a", "b", "c"].map(str::to_owned)), "a, b and c");
        assert_eq!(joined([]), "");
    }

    #[test]
    fn cells_of_markdown_are_plain() {
        let rows = [vec!["a|b".to_owned(), "*x*\n<i>".to_owned()]];
        assert_eq!(
            pipes(&["name", "note"], &rows),
            "| name | note |\n|---|---|\n| a\\|b | \\*x\\* &lt;i> |\n"
        );
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
