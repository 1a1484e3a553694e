//! Numbers and lists as text.

use crate::study::text::thousands;

/// A number for a sentence: one decimal, thousands parted, huge and tiny ones in powers of ten.
pub fn number(x: f64) -> String {
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

/// "1 user", "2 users".
pub fn users(n: u32) -> String {
    if n == 1 {
        "1 user".to_owned()
    } else {
        format!("{n} users")
    }
}

/// How throughput per user changes with load, to the digits shown: "falls from 18.41 tok/s at 10
/// users to 14.58 at 100".
pub fn per_user(first: u32, a: f64, last: u32, b: f64) -> String {
    let (from, to) = (format!("{a:.2}"), format!("{b:.2}"));
    if from == to {
        return format!("stays at {from} tok/s from {first} to {}", users(last));
    }
    let word = if b < a { "falls" } else { "rises" };
    format!(
        "{word} from {from} tok/s at {} to {to} at {last}",
        users(first)
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lists() {
        assert_eq!(number(14_447.46), "14,447.5");
        assert_eq!(number(-110_377.6), "-110,377.6");
        assert_eq!(number(999.96), "1,000.0");
        assert_eq!(number(256.0), "256");
        assert_eq!(number(1.5e12), "1.500e12");
        assert_eq!(number(0.0), "0");
        assert_eq!(joined(["a", "b", "c"].map(str::to_owned)), "a, b and c");
        assert_eq!(joined([]), "");
    }
}
