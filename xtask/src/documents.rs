//! The documents that the page links to, and those that these link to, as pages of their own: a static host shows Markdown as source.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use comrak::{
    Anchorizer, Arena, Node, Options, format_html,
    html::escape,
    nodes::{AstNode, NodeHtmlBlock, NodeValue},
    parse_document,
};

use crate::sh;

/// Documents of `docs/`, without `.md`.
const DOCUMENTS: [&str; 4] = ["ERRATA", "HARDWARE", "MODEL", "MODELS"];

/// Writes them to `site/docs`.
pub fn write(site: &Path) -> Result<()> {
    let to = site.join("docs");
    fs::create_dir_all(&to).context("creating the site's docs")?;
    for name in DOCUMENTS {
        let from = sh::root().join("docs").join(name).with_extension("md");
        let text =
            fs::read_to_string(&from).with_context(|| format!("reading {}", from.display()))?;
        let page =
            html(&text).with_context(|| format!("turning {} into a page", from.display()))?;
        let file = to.join(name).with_extension("html");
        fs::write(&file, page).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

/// A document as a page. Headings have GitHub's anchors, so that links into a document hold in both places.
fn html(markdown: &str) -> Result<String> {
    let mut options = Options::default();
    options.extension.table = true;
    options.extension.autolink = true;
    // The documents' own anchors. They are ours, and the page's policy runs no script of theirs.
    options.render.r#unsafe = true;
    let arena = Arena::new();
    let document = parse_document(&arena, markdown, &options);
    let block = |literal: &str| -> Node<'_> {
        let literal = literal.to_owned();
        arena.alloc(AstNode::from(NodeValue::HtmlBlock(NodeHtmlBlock {
            block_type: 6,
            literal,
        })))
    };
    let mut anchors = Anchorizer::new();
    let mut title = String::new();
    // Collected first: nodes are put between them.
    for node in document.descendants().collect::<Vec<_>>() {
        let value = node.data().value.clone();
        match value {
            NodeValue::Heading(heading) => {
                let text = node.collect_text();
                let id = anchors.anchorize(&text);
                node.prepend(arena.alloc(AstNode::from(NodeValue::HtmlInline(format!(
                    "<a id=\"{id}\"></a>"
                )))));
                if heading.level == 1 && title.is_empty() {
                    title = text;
                }
            }
            NodeValue::Link(mut link) => {
                for name in DOCUMENTS {
                    link.url = link
                        .url
                        .replace(&format!("{name}.md"), &format!("{name}.html"));
                }
                node.data_mut().value = NodeValue::Link(link);
            }
            // A wide table scrolls in a box of its own, which the keyboard reaches.
            NodeValue::Table(_) => {
                node.insert_before(block(
                    "<div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"Table\">\n",
                ));
                node.insert_after(block("</div>\n"));
            }
            _ => {}
        }
    }
    anyhow::ensure!(!title.is_empty(), "it has no title");
    let mut body = String::new();
    format_html(document, &options, &mut body)?;
    let mut escaped = String::new();
    escape(&mut escaped, &title)?;
    Ok(format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'">
<meta name="color-scheme" content="light dark">
<title>{escaped} · Batchscope</title>
<link rel="icon" href="../www/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="../www/style.css">
<link rel="stylesheet" href="../www/documents/style.css">
</head>
<body class="document">
<header class="top"><p class="name"><a href="../">Batchscope</a></p></header>
<main>
{body}</main>
</body>
</html>
"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_tables_and_links_hold() {
        let page = html("# A & B\n\n## Closed loop\n\nSee [it](MODEL.md#closed-loop), [here](#3).\n\n<a id=\"3\"></a>\n\n| a | b |\n|---|---|\n| 1 | `x<y` |\n").unwrap();
        for part in [
            "<title>A &amp; B · Batchscope</title>",
            "<h2><a id=\"closed-loop\"></a>Closed loop</h2>",
            "href=\"MODEL.html#closed-loop\"",
            "<a id=\"3\"></a>",
            "role=\"group\" aria-label=\"Table\">\n<table>",
            "<code>x&lt;y</code>",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
    }

    #[test]
    fn a_document_without_a_title_is_refused() {
        assert!(html("text").is_err());
    }

    /// Each link into a document leads to an anchor that is there.
    #[test]
    fn anchors_of_the_documents_exist() {
        let pages = DOCUMENTS.map(|name| {
            let text = fs::read_to_string(sh::root().join("docs").join(name).with_extension("md"))
                .unwrap();
            (name, html(&text).unwrap())
        });
        let mut followed = 0;
        for (name, page) in &pages {
            for link in page
                .split("href=\"")
                .skip(1)
                .filter_map(|rest| rest.split('"').next())
            {
                let Some((file, anchor)) = link.split_once('#') else {
                    continue;
                };
                if file.starts_with("http") {
                    continue;
                }
                let target =
                    file.strip_suffix(".html")
                        .unwrap_or(if file.is_empty() { name } else { file });
                let (_, to) = pages
                    .iter()
                    .find(|(other, _)| *other == target)
                    .unwrap_or_else(|| panic!("{link} in {name}"));
                assert!(
                    to.contains(&format!("id=\"{anchor}\"")),
                    "{link} in {name} leads nowhere"
                );
                followed += 1;
            }
        }
        assert!(followed > 1, "{followed} links");
    }
}
