//! The runbook, for those who come from the status page: each heading is a place to link to.

use super::{document, html::Html};

const RUNBOOK: &str = include_str!("../../../deploy/runbook.md");

/// The runbook as a document.
pub(super) fn render() -> String {
    document("Runbook – biograph-bridge", |page| {
        page.raw("<main id=\"main\" tabindex=\"-1\" class=\"runbook\"><p><a href=\"./\">Status</a></p>\n");
        let (mut text, mut fenced) = (String::new(), false);
        for line in RUNBOOK.lines() {
            if line.starts_with("```") {
                flush(page, &mut text, fenced);
                fenced = !fenced;
            } else if let Some((level, title)) = heading(line).filter(|_| !fenced) {
                flush(page, &mut text, false);
                head(page, level, title);
            } else {
                if !fenced && !is_item(line) && text.pop().is_some() {
                    text.push(' ');
                }
                text.extend([line, "\n"]);
                if line.is_empty() && !fenced {
                    flush(page, &mut text, false);
                }
            }
        }
        flush(page, &mut text, false);
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

/// Whether a line begins an item of a list or a row of a table.
fn is_item(line: &str) -> bool {
    line.starts_with(['-', '|']) || line.split_once(". ").is_some_and(|(number, _)| number.parse::<u8>().is_ok())
}

/// Ends a paragraph, or commands.
fn flush(page: &mut Html, text: &mut String, commands: bool) {
    if commands {
        page.raw("<pre><code>").text(text.trim_end()).raw("</code></pre>\n");
    } else if !text.trim().is_empty() {
        page.raw("<p>");
        for (place, part) in text.trim().split('`').enumerate() {
            if place % 2 == 1 {
                page.raw("<code>").text(part).raw("</code>");
            } else {
                prose(page, part);
            }
        }
        page.raw("</p>\n");
    }
    text.clear();
}

/// Text with links; those that lead out of the runbook are left as text.
fn prose(page: &mut Html, mut text: &str) {
    while let Some((before, label, place, after)) = link(text) {
        page.text(before);
        match place.starts_with('#') {
            true => page.raw("<a href=\"").text(place).raw("\">").text(label).raw("</a>"),
            false => page.text(label),
        };
        text = after;
    }
    page.text(text);
}

/// The first `[label](place)`, with what is before and after it.
fn link(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (before, rest) = text.split_once('[')?;
    let (label, rest) = rest.split_once("](")?;
    let (place, after) = rest.split_once(')')?;
    Some((before, label, place, after))
}
