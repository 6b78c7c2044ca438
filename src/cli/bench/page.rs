//! One page for an experiment: its tables, and its graphs, which lie beside it. Nothing on it is code, and nothing is loaded from
//! elsewhere.

use super::book::{Book, Part, Shown};
use super::records::Run;
use std::fmt::Write as _;

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
    table{border-collapse:collapse;margin:.5rem 0 1.5rem}th,td{padding:.15rem .8rem;border-bottom:1px solid #ddd;\
    text-align:right;font-variant-numeric:tabular-nums}th:first-child,td:first-child{text-align:left}\
    img{max-width:100%}caption{text-align:left;font-weight:bold;padding:.3rem 0}pre{overflow:auto}";

/// The page. Graphs are told by part and file.
pub fn html(run: &Run, book: &Book, graphs: &[(usize, String)]) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{name} · p2p bench</title>\n<style>{STYLE}</style>\n\
         <h1>p2p bench {name}</h1>\n",
        name = escaped(&run.experiment)
    );
    if run.interrupted {
        page += "<p><strong>interrupted</strong>: this is what had been measured by then.</p>\n";
    }
    if let Some(trouble) = &run.failed {
        let _ = writeln!(page, "<p><strong>ended early</strong>: {}</p>", escaped(trouble));
    }
    for sentence in &book.about {
        let _ = writeln!(page, "<p>{}</p>", escaped(sentence));
    }
    for shown in &book.shown {
        page += &compared(shown);
    }
    for (at, part) in book.parts.iter().enumerate() {
        let files = graphs.iter().filter(|(of, _)| *of == at).map(|(_, file)| file.as_str()).collect::<Vec<_>>();
        page += &part_of_page(part, &files);
    }
    page += "<h2>How it was run</h2>\n<table>\n";
    for (name, value) in run.facts() {
        let _ = writeln!(page, "<tr><td>{}<td>{}", escaped(&name), escaped(&value));
    }
    page + "</table>\n<p>All times are in milliseconds unless a column says otherwise. Making and comparing images and strings \
        is not in them. run.json has the same facts for programs.</p>\n</html>\n"
}

fn part_of_page(part: &Part, graphs: &[&str]) -> String {
    let within = |file: &str| if part.folder.is_empty() { file.to_owned() } else { format!("{}/{file}", part.folder) };
    let mut html = format!("<h2>{}</h2>\n", escaped(&part.title));
    for sentence in part.about.iter().chain(&part.notes).chain(&part.failures) {
        let _ = writeln!(html, "<p>{}</p>", escaped(sentence));
    }
    for file in graphs {
        let _ = writeln!(html, "<p><img src=\"{0}\" alt=\"{0}\"></p>", escaped(&within(file)));
    }
    for table in &part.tables {
        let cells = table.cells();
        let header = table.columns.iter().map(|column| (*column).to_owned()).collect();
        let title = format!("{} ({})", table.title, table.file);
        let link = escaped(&within(&table.file));
        let _ = writeln!(html, "<details><summary><a href=\"{link}\">{link}</a>, {} rows</summary>", cells.len());
        html += &compared(&Shown { title, header, rows: cells });
        html += "</details>\n";
    }
    html
}

fn compared(shown: &Shown) -> String {
    let mut html = format!("<table>\n<caption>{}</caption>\n<tr>", escaped(&shown.title));
    html.extend(shown.header.iter().map(|cell| format!("<th>{}", escaped(cell))));
    for row in &shown.rows {
        html += "\n<tr>";
        html.extend(row.iter().map(|cell| format!("<td>{}", escaped(cell))));
    }
    html + "\n</table>\n"
}

/// Text as it stands in HTML and SVG.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            // Would not be XML.
            letter if letter.is_control() && letter != '\n' => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_on_the_page() {
        let mut book = Book::default();
        let part = book.open("", "<b>", "title & more");
        part.table("img_read.csv", "images", &["name", "duration"]).push("<script>alert(1)</script>.png", [1.0]);
        let page = html(&Run::example(), &book, &[(0, "img_read.svg".to_owned())]);
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;.png") && !page.contains("<script"));
        assert!(page.contains("title &amp; more") && page.contains("src=\"img_read.svg\""));
        assert!(page.contains("<td>mean"));
    }
}
