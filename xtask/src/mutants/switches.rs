//! Puts many breaks into one program, each behind a switch of its own: `a + b` becomes
//! `(if crate::mutation::on(7) { a - b } else { a + b })`. So the product is built once and not once for each break.

use std::{collections::BTreeMap, ops::Range};

use anyhow::{Context, Result};
use serde::Deserialize;
use syn::{spanned::Spanned, visit::Visit};

/// The switches themselves: a module of the broken product. The one whose number is in the environment is on.
pub const MODULE: &str = r#"
pub mod mutation {
    pub fn on(number: u32) -> bool {
        static NUMBER: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
        let read = || std::env::var("MUTATION").ok().and_then(|n| n.parse().ok());
        *NUMBER.get_or_init(|| read().unwrap_or(u32::MAX)) == number
    }
}
"#;

/// A break, as `cargo mutants --list --json` has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Mutant {
    pub name: String,
    pub file: String,
    pub genre: String,
    pub replacement: String,
    pub span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Span {
    pub start: Place,
    pub end: Place,
}

/// Both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// A switch's number, and the text that stands where it is on.
type Other = (usize, String);

/// A piece of text that is another where a switch is on.
struct Edit {
    range: Range<usize>,
    change: Change,
}

enum Change {
    /// Another operator.
    Binary {
        left: Range<usize>,
        operator: Range<usize>,
        right: Range<usize>,
        others: Vec<Other>,
    },
    /// No operator.
    Unary {
        operand: Range<usize>,
        others: Vec<Other>,
    },
    /// A value at once, before the first statement of a function.
    Body(Vec<Other>),
    /// A guard that is true or false.
    Guard(Vec<Other>),
    /// An arm that never matches; `guard`: the one that it has.
    Arm {
        guard: Option<Range<usize>>,
        others: Vec<Other>,
    },
}

/// The file with these breaks, by number, and the numbers of those that have no place in it. Lines stay where they are.
pub fn put_in(text: &str, mutants: &[(usize, &Mutant)]) -> Result<(String, Vec<usize>)> {
    let file = syn::parse_file(text).context("not Rust")?;
    let mut places = Places::default();
    for &(number, mutant) in mutants {
        let at = (mutant.span, mutant.genre.as_str());
        let other = (number, mutant.replacement.clone());
        places.left.entry(at).or_default().push(other);
    }
    places.visit_file(&file);
    let homeless = places.left.values().flatten().map(|(number, _)| *number);
    let homeless = homeless.collect();
    // From outside to inside; what begins a body comes before its first statement.
    places.edits.sort_by_key(|edit| {
        let Range { start, end } = edit.range;
        let inside = if start == end { 0 } else { usize::MAX - end };
        (start, inside)
    });
    Ok((render(text, 0..text.len(), &places.edits), homeless))
}

/// The breaks that still look for their place, and the edits of those that have one.
#[derive(Default)]
struct Places<'a> {
    left: BTreeMap<(Span, &'a str), Vec<Other>>,
    edits: Vec<Edit>,
}

impl<'a> Places<'a> {
    /// Takes the breaks of a piece of syntax.
    fn take(&mut self, of: proc_macro2::Span, genre: &'static str) -> Option<Vec<Other>> {
        let place = |at: proc_macro2::LineColumn| Place {
            line: at.line,
            column: at.column + 1,
        };
        let span = Span {
            start: place(of.start()),
            end: place(of.end()),
        };
        self.left.remove(&(span, genre as &'a str))
    }

    fn edit(&mut self, range: Range<usize>, change: Change) {
        self.edits.push(Edit { range, change });
    }

    /// cargo-mutants names a body's statements without the braces.
    fn body(&mut self, body: &syn::Block) {
        let (Some(first), Some(last)) = (body.stmts.first(), body.stmts.last()) else {
            return;
        };
        let whole = first.span().join(last.span()).unwrap_or(first.span());
        if let Some(others) = self.take(whole, "FnValue") {
            let start = whole.byte_range().start;
            self.edit(start..start, Change::Body(others));
        }
    }
}

impl<'ast> Visit<'ast> for Places<'_> {
    fn visit_expr_binary(&mut self, expr: &'ast syn::ExprBinary) {
        let chain = in_let_chain(&expr.left) || in_let_chain(&expr.right);
        if !chain && let Some(others) = self.take(expr.op.span(), "BinaryOperator") {
            let change = Change::Binary {
                left: expr.left.span().byte_range(),
                operator: expr.op.span().byte_range(),
                right: expr.right.span().byte_range(),
                others,
            };
            self.edit(expr.span().byte_range(), change);
        }
        syn::visit::visit_expr_binary(self, expr);
    }

    fn visit_expr_unary(&mut self, expr: &'ast syn::ExprUnary) {
        if let Some(others) = self.take(expr.op.span(), "UnaryOperator") {
            let operand = expr.expr.span().byte_range();
            self.edit(expr.span().byte_range(), Change::Unary { operand, others });
        }
        syn::visit::visit_expr_unary(self, expr);
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.body(&function.block);
        syn::visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.body(&function.block);
        syn::visit::visit_impl_item_fn(self, function);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let guard = arm.guard.as_ref().map(|(_, guard)| guard.span());
        if let Some(others) = self.take(arm.span(), "MatchArm") {
            let guard = guard.map(|guard| guard.byte_range());
            let pattern = arm.pat.span().byte_range();
            let range = pattern.end..guard.as_ref().map_or(pattern.end, |guard| guard.end);
            self.edit(range, Change::Arm { guard, others });
        }
        if let Some(guard) = guard
            && let Some(others) = self.take(guard, "MatchArmGuard")
        {
            self.edit(guard.byte_range(), Change::Guard(others));
        }
        syn::visit::visit_arm(self, arm);
    }
}

/// `if let A = a && b`: this `&&` is no operator, and no other can stand there.
fn in_let_chain(left: &syn::Expr) -> bool {
    match left {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) => in_let_chain(&binary.left) || in_let_chain(&binary.right),
        _ => false,
    }
}

/// The text of a range with the edits inside of it.
fn render(text: &str, range: Range<usize>, edits: &[Edit]) -> String {
    let mut rendered = String::new();
    let mut at = range.start;
    for (i, edit) in edits.iter().enumerate() {
        if edit.range.start < at {
            continue;
        }
        if edit.range.end > range.end {
            break;
        }
        rendered += &text[at..edit.range.start];
        rendered += &edit.text(text, &edits[i + 1..]);
        at = edit.range.end;
    }
    rendered + &text[at..range.end]
}

impl Edit {
    /// What stands in its place; `inner`: edits inside of it, and others.
    fn text(&self, text: &str, inner: &[Edit]) -> String {
        let of = |range: &Range<usize>| render(text, range.clone(), inner);
        // `otherwise` where no switch is on.
        let chosen = |others: &[Other], shown: &dyn Fn(&str) -> String, otherwise: String| {
            let branches = others.iter().map(|(number, other)| {
                format!(
                    "if crate::mutation::on({number}) {{ {} }} else ",
                    shown(other)
                )
            });
            format!("({}{{ {otherwise} }})", branches.collect::<String>())
        };
        match &self.change {
            Change::Binary {
                left,
                operator,
                right,
                others,
            } => {
                let (left, right) = (of(left), of(right));
                let with = |operator: &str| format!("{left} {operator} {right}");
                chosen(others, &with, with(&text[operator.clone()]))
            }
            Change::Unary { operand, others } => {
                let operator = &text[self.range.start..operand.start];
                let operand = of(operand);
                let with = |_: &str| operand.clone();
                chosen(others, &with, format!("{operator}{operand}"))
            }
            Change::Body(others) => {
                let values = others.iter().map(|(number, value)| {
                    format!("if crate::mutation::on({number}) {{ return {value}; }} ")
                });
                values.collect()
            }
            Change::Guard(others) => chosen(others, &str::to_owned, of(&self.range)),
            Change::Arm { guard, others } => {
                let off = others
                    .iter()
                    .map(|(number, _)| format!("!crate::mutation::on({number})"));
                let guard = guard.as_ref().map(|guard| format!("({})", of(guard)));
                let all: Vec<String> = off.chain(guard).collect();
                format!(" if {}", all.join(" && "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A break of the first `what` in the text.
    fn mutant(text: &str, what: &str, genre: &str, replacement: &str) -> Mutant {
        let place = |at: usize| {
            let before = &text[..at];
            let line = before.matches('\n').count() + 1;
            let column = at - before.rfind('\n').map_or(0, |n| n + 1) + 1;
            Place { line, column }
        };
        let start = text.find(what).unwrap();
        Mutant {
            name: what.to_owned(),
            file: String::new(),
            genre: genre.to_owned(),
            replacement: replacement.to_owned(),
            span: Span {
                start: place(start),
                end: place(start + what.len()),
            },
        }
    }

    #[test]
    fn breaks_stand_inside_of_each_other() {
        let text = "fn f(a: u32) -> u32 {\n    !1 + a * 2\n}\n";
        let mutants = [
            mutant(text, "!1 + a * 2", "FnValue", "0"),
            mutant(text, "+", "BinaryOperator", "-"),
            mutant(text, "*", "BinaryOperator", "/"),
            mutant(text, "!", "UnaryOperator", ""),
            mutant(text, "2", "BinaryOperator", "-"),
        ];
        let numbered: Vec<_> = mutants.iter().enumerate().collect();
        let (broken, homeless) = put_in(text, &numbered).unwrap();
        assert_eq!(homeless, [4]);
        let unary = "(if crate::mutation::on(3) { 1 } else { !1 })";
        let product = "(if crate::mutation::on(2) { a / 2 } else { a * 2 })";
        assert_eq!(
            broken,
            format!(
                "fn f(a: u32) -> u32 {{\n    if crate::mutation::on(0) {{ return 0; }} \
                 (if crate::mutation::on(1) {{ {unary} - {product} }} else {{ {unary} + {product} }})\n}}\n"
            )
        );
    }

    #[test]
    fn arms_and_guards_have_switches() {
        let text =
            "fn f(a: u32) -> u32 {\n match a {\n 1 => 2,\n n if n > 3 => 4,\n _ => 5,\n }\n}\n";
        let mutants = [
            mutant(text, "1 => 2,", "MatchArm", ""),
            mutant(text, "n if n > 3 => 4,", "MatchArm", ""),
            mutant(text, "n > 3", "MatchArmGuard", "true"),
        ];
        let numbered: Vec<_> = mutants.iter().enumerate().collect();
        let (broken, homeless) = put_in(text, &numbered).unwrap();
        assert!(homeless.is_empty(), "{broken}");
        assert!(
            broken.contains("\n 1 if !crate::mutation::on(0) => 2,\n"),
            "{broken}"
        );
        let guard = "(if crate::mutation::on(2) { true } else { n > 3 })";
        let arm = format!("\n n if !crate::mutation::on(1) && ({guard}) => 4,\n");
        assert!(broken.contains(&arm), "{broken}");
        assert!(syn::parse_file(&broken).is_ok(), "{broken}");
    }
}
