//! The status page: one document, no scripts, no external assets, light and dark.

use std::collections::BTreeMap;

use crate::{
    model::side::Side,
    sync::status::{StatusReport, SweepReport},
};

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta http-equiv=\"refresh\" content=\"5\">\
<title>biograph-bridge</title><style>:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}\
th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #8884;vertical-align:top}\
th{font-weight:600}h1{font-size:1.3rem}h2{font-size:1rem;margin:1.5rem 0 0}\
.bad{color:#c62828}@media(prefers-color-scheme:dark){.bad{color:#ff8a80}}\
td.n{font-variant-numeric:tabular-nums}</style></head><body>";

/// The page for a status.
pub(super) fn render(report: &StatusReport) -> String {
    let mut page = Page(HEAD.to_owned());
    page.raw("<h1>biograph-bridge ").text(&report.version).raw(" — ").text(&report.state).raw("</h1>");
    if report.shadow {
        page.raw("<p>Shadow: decides and journals, writes nothing.</p>");
    }
    page.failing(report).paused(report).directions(report).sides(report).backlog(report).sweeps(report).recent(report);
    page.raw("<p><a href=\"/api/status\">/api/status</a> · <a href=\"/metrics\">/metrics</a> · ");
    page.raw("<a href=\"/readyz\">/readyz</a> · <a href=\"/livez\">/livez</a></p></body></html>");
    page.0
}

struct Page(String);

impl Page {
    fn raw(&mut self, html: &'static str) -> &mut Self {
        self.0.push_str(html);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        self
    }

    fn row(&mut self, cells: &[&str]) {
        self.raw("<tr>");
        for cell in cells {
            self.raw("<td class=\"n\">").text(cell).raw("</td>");
        }
        self.raw("</tr>");
    }

    fn table(&mut self, title: &'static str, columns: &[&'static str]) {
        self.raw("<h2>").raw(title).raw("</h2><table><thead><tr>");
        for column in columns {
            self.raw("<th>").raw(column).raw("</th>");
        }
        self.raw("</tr></thead><tbody>");
    }

    fn failing(&mut self, report: &StatusReport) -> &mut Self {
        for error in &report.errors {
            self.raw("<p class=\"bad\">").text(&error.place).raw(": ").text(&error.message);
            if let Some(fix) = &error.fix {
                self.raw("<br>fix: ").text(fix);
            }
            self.raw("</p>");
        }
        self
    }

    fn paused(&mut self, report: &StatusReport) -> &mut Self {
        for pause in &report.pauses {
            self.raw("<p class=\"bad\">").text(&pause.line()).raw("<br>end it with: ").text(&pause.fix()).raw("</p>");
        }
        self
    }

    fn directions(&mut self, report: &StatusReport) -> &mut Self {
        self.table("Directions", &["direction", "lag", "written"]);
        for (name, direction) in &report.directions {
            let lag = direction.lag_seconds.map_or("unknown".to_owned(), |lag| format!("{lag:.1} s"));
            self.row(&[&name.replace('_', " "), &lag, &direction.applied.to_string()]);
        }
        self.raw("</tbody></table>")
    }

    fn sides(&mut self, report: &StatusReport) -> &mut Self {
        self.table("Sides", &["side", "feed", "received", "echoes", "position saved"]);
        for (name, side) in &report.sides {
            let saved = side.checkpoint_age_seconds.map_or("never".to_owned(), |age| format!("{age:.1} s ago"));
            self.row(&[name, &side.feed, &side.hints.to_string(), &side.echoes.to_string(), &saved]);
        }
        self.raw("</tbody></table>")
    }

    fn backlog(&mut self, report: &StatusReport) -> &mut Self {
        self.table("Work", &["what", "how much"]);
        self.row(&["waiting keys", &report.queue.keys.to_string()]);
        self.row(&["conflicts since the start", &report.conflicts.to_string()]);
        for parked in &report.parked {
            self.row(&[&format!("parked: {} {}", parked.entity, parked.reason), &parked.count.to_string()]);
        }
        self.raw("</tbody></table>")
    }

    /// A row for each walk over an entity, its sides beside each other.
    fn sweeps(&mut self, report: &StatusReport) -> &mut Self {
        let mut walks: BTreeMap<(&str, &str), BTreeMap<&str, String>> = BTreeMap::new();
        for sweep in &report.sweeps {
            walks.entry((&sweep.entity, &sweep.kind)).or_default().insert(&sweep.side, progress(sweep));
        }
        if walks.is_empty() {
            return self;
        }
        self.table("Sweeps", &["entity", "kind", "legacy", "renaissance"]);
        for ((entity, kind), sides) in walks {
            let [legacy, renaissance] =
                Side::ALL.map(|side| sides.get(side.as_str()).map_or("waiting", String::as_str));
            self.row(&[entity, kind, legacy, renaissance]);
        }
        self.raw("</tbody></table>")
    }

    fn recent(&mut self, report: &StatusReport) -> &mut Self {
        self.table("Last changes", &["when", "direction", "entity", "legacy id", "who", "fields"]);
        for crossing in &report.recent {
            let (label, fields) = (crossing.label.as_deref().unwrap_or(""), crossing.fields.join(", "));
            let direction = crossing.direction.replace('_', " ");
            self.row(&[&crossing.at, &direction, &crossing.entity, &crossing.legacy_id, label, &fields]);
        }
        self.raw("</tbody></table>")
    }
}

/// How far a sweep has come.
fn progress(sweep: &SweepReport) -> String {
    let mut words = match (sweep.done, sweep.total) {
        (true, _) => format!("{}, complete", sweep.records),
        (false, Some(total)) => format!("{} of about {total}", sweep.records),
        (false, None) => sweep.records.to_string(),
    };
    if let Some((rate, left)) = sweep.rate.zip(sweep.eta_seconds) {
        words.push_str(&format!(", {rate:.0} a second, {left:.0} s left"));
    }
    if sweep.parked > 0 {
        words.push_str(&format!(", {} parked without a usable _id", sweep.parked));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::status::ErrorReport;

    #[test]
    fn what_a_database_said_is_shown_as_text() {
        let error = ErrorReport { message: "<script>alert('x')</script>".into(), ..ErrorReport::default() };
        let page = render(&StatusReport { errors: vec![error], ..StatusReport::default() });
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
        assert!(!page.contains("<script"));
    }
}
