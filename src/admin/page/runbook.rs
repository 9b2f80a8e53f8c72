//! The runbook, for those who come from the status page: each heading is a place to link to.

use super::{document, html::Html};

const RUNBOOK: &str = include_str!("../../../deploy/runbook.md");

/// The runbook as a document.
pub(super) fn render() -> String {
    document("Runbook – biograph-bridge", |page| {
        page.raw("<main id=\"main\" tabindex=\"-1\" class=\"runbook\"><p><a href=\"./\">Status</a></p>\n");
        let (mut text, mut fenced) = (String::new(), false);
        for line in RUNBOOK.lines() {
            fenced ^= line.starts_with("```");
            match heading(line).filter(|_| !fenced) {
                Some((level, title)) => {
                    flush(page, &mut text);
                    head(page, level, title);
                }
                None => text.extend([line, "\n"]),
            }
        }
        flush(page, &mut text);
        page.raw("</main>");
    })
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let title = line.trim_start_matches('#');
    let level = line.len() - title.len();
    title.strip_prefix(' ').filter(|_| level > 0).map(|title| (level, title))
}

fn head(page: &mut Html, level: usize, title: &str) {
    let (open, close) = match level {
        1 => ("<h1 id=\"", "</h1>\n"),
        2 => ("<h2 id=\"", "</h2>\n"),
        _ => ("<h3 id=\"", "</h3>\n"),
    };
    let place = title.to_lowercase().replace(' ', "-");
    page.raw(open).text(place).raw("\">").text(title).raw(close);
}

fn flush(page: &mut Html, text: &mut String) {
    if !text.trim().is_empty() {
        page.raw("<pre>").text(text.trim_matches('\n')).raw("</pre>\n");
    }
    text.clear();
}
