//! Decides how a report reads: one HTML file with its style and charts inside, that loads nothing
//! and runs no script, on light and dark paper, on screen and in print.

use std::fmt::Write as _;

use super::chart::Chart;
use super::markup::escape;

/// What a page says. All text is plain: it is escaped where it is written.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub title: String,
    /// What the reader should know first.
    pub lead: String,
    pub sections: Vec<Section>,
}

#[derive(Clone, Debug, Default)]
pub struct Section {
    pub heading: String,
    /// Each line is a paragraph.
    pub text: String,
    /// Header and rows. Numbers are set to the right; PASS and FAIL stand out.
    pub table: Option<(Vec<String>, Vec<Vec<String>>)>,
    pub charts: Vec<Chart>,
}

const STYLE: &str = "\
:root{color-scheme:light dark;--paper:#f6f7f9;--card:#fff;--ink:#1f2328;--muted:#57606a;\
--line:#e1e5ea;--link:#0060a8;--pass:#00704f;--fail:#b3261e}\
@media(prefers-color-scheme:dark){:root{--paper:#0d1014;--card:#14181d;--ink:#e6e9ed;\
--muted:#9aa4af;--line:#2d343c;--link:#6cb8f0;--pass:#3fd0a4;--fail:#ff8a80}}\
*{box-sizing:border-box}\
body{margin:0;background:var(--paper);color:var(--ink);\
font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif}\
main{max-width:860px;margin:0 auto;padding:32px 20px 64px}\
h1{font-size:1.9rem;line-height:1.2;margin:0 0 8px}\
h2{font-size:1.25rem;margin:0 0 8px}\
.lead{font-size:1.1rem;color:var(--muted);margin:0 0 20px}\
nav{margin:0 0 24px}nav a{display:inline-block;margin:0 16px 4px 0;color:var(--link)}\
section{background:var(--card);border:1px solid var(--line);border-radius:12px;\
padding:24px;margin:0 0 20px;break-inside:avoid}\
p{margin:0 0 12px;max-width:70ch}\
.wide{overflow-x:auto}\
table{border-collapse:collapse;width:100%;margin:4px 0 12px;font-variant-numeric:tabular-nums}\
th,td{padding:6px 12px 6px 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}\
th{color:var(--muted);font-weight:600;font-size:.88rem}\
.n{text-align:right;white-space:nowrap}\
.pass{color:var(--pass);font-weight:600}.fail{color:var(--fail);font-weight:700}\
figure{margin:12px 0 0}figure svg{display:block;max-width:100%;height:auto}";

impl Report {
    /// The whole page. Equal reports give equal text.
    pub fn html(&self) -> String {
        let mut out = String::new();
        let title = escape(&self.title);
        let _ = write!(
            out,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <h1>{title}</h1>\n"
        );
        if !self.lead.is_empty() {
            let _ = writeln!(out, "<p class=\"lead\">{}</p>", escape(&self.lead));
        }
        if self.sections.len() > 3 {
            contents(&mut out, &self.sections);
        }
        for (at, section) in self.sections.iter().enumerate() {
            section.write(&mut out, at);
        }
        out.push_str("</main>\n</body>\n</html>\n");
        out
    }
}

fn contents(out: &mut String, sections: &[Section]) {
    out.push_str("<nav aria-label=\"Contents\">\n");
    for (at, section) in sections.iter().enumerate() {
        let _ = writeln!(out, "<a href=\"#s{at}\">{}</a>", escape(&section.heading));
    }
    out.push_str("</nav>\n");
}

impl Section {
    fn write(&self, out: &mut String, at: usize) {
        let _ = writeln!(out, "<section id=\"s{at}\">\n<h2>{}</h2>", escape(&self.heading));
        for paragraph in self.text.lines().filter(|l| !l.trim().is_empty()) {
            let _ = writeln!(out, "<p>{}</p>", escape(paragraph));
        }
        if let Some((header, rows)) = &self.table {
            table(out, header, rows);
        }
        for chart in &self.charts {
            let _ = writeln!(out, "<figure>{}</figure>", chart.svg());
        }
        out.push_str("</section>\n");
    }
}

fn table(out: &mut String, header: &[String], rows: &[Vec<String>]) {
    let numbers = |column: usize| {
        let mut cells = rows.iter().filter_map(|row| row.get(column)).filter(|c| !c.is_empty());
        cells.clone().next().is_some() && cells.all(|cell| is_number(cell))
    };
    let right: Vec<bool> = (0..header.len()).map(numbers).collect();
    let is_right = |column: usize| right.get(column).copied().unwrap_or(false);
    out.push_str("<div class=\"wide\"><table>\n<thead><tr>");
    for (column, name) in header.iter().enumerate() {
        let class = if is_right(column) { " class=\"n\"" } else { "" };
        let _ = write!(out, "<th scope=\"col\"{class}>{}</th>", escape(name));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let class = match cell.as_str() {
                "PASS" => " class=\"pass\"",
                "FAIL" => " class=\"fail\"",
                _ if is_right(column) => " class=\"n\"",
                _ => "",
            };
            let _ = write!(out, "<td{class}>{}</td>", escape(cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table></div>\n");
}

/// Begins like a number: `1,024`, `−3 ± 0.1`, `10⁶`, `12 %`.
fn is_number(cell: &str) -> bool {
    cell.trim_start_matches(['−', '-', '+', '±', '≤', '≥', ' '])
        .starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_whole_equal_and_quotes_everything() {
        let evil = "</style><script>alert('x')</script>\" onload=\"";
        let section = Section {
            heading: evil.to_owned(),
            text: format!("{evil}\nsecond"),
            table: Some((
                vec![evil.to_owned(), "value".to_owned()],
                vec![
                    vec!["a".to_owned(), "1,024".to_owned()],
                    vec![evil.to_owned(), "−3 ± 0.1".to_owned(), "FAIL".to_owned()],
                ],
            )),
            charts: vec![Chart { title: evil.to_owned(), ..Chart::default() }],
        };
        let report =
            Report { title: evil.to_owned(), lead: evil.to_owned(), sections: vec![section; 4] };
        let html = report.html();
        assert_eq!(html, report.html());
        assert!(!html.contains("<script") && !html.contains("onload=\""), "{html}");
        assert_eq!(html.matches("</style>").count(), 5, "the page's and four charts'");
        assert!(html.contains("<td class=\"n\">1,024</td>") && html.contains("<p>second</p>"));
        assert!(html.contains("<td class=\"fail\">FAIL</td>") && html.contains("href=\"#s3\""));
        let outside = ["http://", "https://", "src=", "url(", "@import"];
        let own = html.replace("http://www.w3.org/2000/svg", "");
        assert!(outside.iter().all(|o| !own.contains(o)), "loads nothing");
    }
}
