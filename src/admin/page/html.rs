//! Writing HTML: markup is constant, and whatever else comes in is escaped here and nowhere else.

/// A document, or a part of one.
#[derive(Default)]
pub(super) struct Html(pub(super) String);

impl Html {
    /// Markup.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text, also inside a quoted attribute.
    pub(super) fn text(&mut self, text: impl AsRef<str>) -> &mut Self {
        for character in text.as_ref().chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // no part of HTML
                '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' => self.0.push('\u{fffd}'),
                other => self.0.push(other),
            }
        }
        self
    }

    /// Markup of a picture: nothing in it comes from elsewhere but numbers.
    pub(super) fn shape(&mut self, markup: &str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// A section with a heading that it is known by.
    pub(super) fn section(&mut self, id: &'static str, title: &'static str, content: impl FnOnce(&mut Self)) {
        self.raw("<section aria-labelledby=\"").raw(id).raw("\"><h2 id=\"").raw(id).raw("\">");
        self.raw(title).raw("</h2>\n");
        content(self);
        self.raw("</section>\n");
    }

    /// A table whose rows stand below each other where the screen is narrow, each cell beside its column's name. The style takes the
    /// table's nature away there; the roles keep it. The first cell of a row names it.
    pub(super) fn table<const N: usize>(
        &mut self,
        caption: &'static str,
        columns: [&'static str; N],
        rows: impl IntoIterator<Item = [String; N]>,
    ) {
        self.raw("<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"").raw(caption);
        self.raw("\"><table role=\"table\"><caption>").raw(caption).raw("</caption><thead><tr role=\"row\">");
        for column in columns {
            self.raw("<th scope=\"col\" role=\"columnheader\">").raw(column).raw("</th>");
        }
        self.raw("</tr></thead><tbody>\n");
        for row in rows {
            self.raw("<tr role=\"row\">");
            for (place, (cell, column)) in row.iter().zip(columns).enumerate() {
                let (open, close) = match place {
                    0 => ("<th scope=\"row\" role=\"rowheader\" data-column=\"", "</th>"),
                    _ => ("<td role=\"cell\" data-column=\"", "</td>"),
                };
                self.raw(open).raw(column).raw("\">").text(cell).raw(close);
            }
            self.raw("</tr>\n");
        }
        self.raw("</tbody></table></div>\n");
    }

    /// Facts with their names.
    pub(super) fn facts(&mut self, facts: impl IntoIterator<Item = (String, String)>) {
        self.raw("<dl>");
        for (name, fact) in facts {
            self.raw("<div><dt>").text(name).raw("</dt><dd>").text(fact).raw("</dd></div>");
        }
        self.raw("</dl>\n");
    }

    /// A remark.
    pub(super) fn remark(&mut self, text: impl AsRef<str>) {
        self.raw("<p class=\"quiet\">").text(text).raw("</p>\n");
    }
}
