//! The report as one self-contained HTML page, for screens in light and dark mode and for print.

use base64ct::{Base64, Encoding};

use super::content::{Block, Cell, Content, Plot, Table, Tile, TileRole};
use super::drawing::{SERIES_COLORS, escaped};

/// Returns the HTML page.
pub fn page(content: &Content) -> String {
    let mut body = format!("<h1>{}</h1>\n<p class=\"lead\">{}</p>\n", content.title, escaped(&content.lead));
    if !content.notes.is_empty() {
        body += "<ul class=\"notes\">\n";
        content.notes.iter().for_each(|note| body += &format!("<li>{}</li>\n", escaped(note)));
        body += "</ul>\n";
    }
    for section in &content.sections {
        let blocks: String = section.blocks.iter().map(block).collect();
        let title = format!("<h2>{}</h2>", escaped(&section.title));
        body += &match section.is_folded {
            true => format!("<details>\n<summary>{title}</summary>\n{blocks}</details>\n"),
            false => format!("<section>\n{title}\n{blocks}</section>\n"),
        };
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n\
         <style>\n{}</style>\n</head>\n<body>\n<main>\n{body}\
         <footer>histokin {}. For research, not for diagnosis.</footer>\n</main>\n</body>\n</html>\n",
        content.title,
        include_str!("style.css"),
        env!("CARGO_PKG_VERSION")
    )
}

fn block(block: &Block) -> String {
    match block {
        Block::Heading(text) => format!("<h3>{}</h3>\n", escaped(text)),
        Block::Caption(text) => format!("<p class=\"caption\">{}</p>\n", escaped(text)),
        Block::Table(table) => table_of(table),
        Block::Plots(plots) => {
            let figures: String = plots.iter().map(|plot| figure(plot, "")).collect();
            format!("<div class=\"plots\">\n{figures}</div>\n")
        }
        // Limits the enlargement of the drawing.
        Block::Figure(plot) => {
            figure(plot, &format!(" style=\"max-width:{:.0}px\"", 1.2 * plot.drawing.width))
        }
        Block::Gallery(rows) => rows.iter().map(|row| gallery_row(row)).collect(),
        Block::Facts(facts) => {
            let items = facts
                .iter()
                .map(|(name, value)| format!("<dt>{}</dt><dd>{}</dd>\n", escaped(name), escaped(value)));
            format!("<dl>\n{}</dl>\n", items.collect::<String>())
        }
    }
}

fn figure(plot: &Plot, attributes: &str) -> String {
    let (svg, caption) = (plot.drawing.svg(), escaped(&plot.caption));
    format!("<figure{attributes}>{svg}<figcaption>{caption}</figcaption></figure>\n")
}

fn table_of(table: &Table) -> String {
    let mut text = "<div class=\"wide\"><table>\n<tr>".to_owned();
    table.header.iter().for_each(|name| text += &format!("<th>{}</th>", escaped(name)));
    text += "</tr>\n";
    for row in &table.rows {
        text += "<tr>";
        for (column, cell) in row.iter().enumerate() {
            let tag = if column == 0 { "th" } else { "td" };
            text += &format!("<{tag}>{}</{tag}>", cell_of(cell));
        }
        text += "</tr>\n";
    }
    text + "</table></div>\n"
}

fn cell_of(cell: &Cell) -> String {
    let mut text = escaped(&cell.text);
    if cell.strong {
        text = format!("<b>{text}</b>");
    }
    if let Some(series) = cell.series {
        text = format!("<span class=\"swatch b{}\"></span>{text}", series % SERIES_COLORS.len());
    }
    if cell.small.is_empty() { text } else { format!("{text}<small>{}</small>", escaped(&cell.small)) }
}

fn gallery_row(row: &[Tile]) -> String {
    let tile = |tile: &Tile| {
        let kind = match tile.role {
            TileRole::Query => "query",
            TileRole::Hit => "hit",
            TileRole::Miss => "miss",
        };
        let (slide, class) = (escaped(&tile.slide), escaped(&tile.class));
        let [x, y] = tile.corner;
        format!(
            "<figure class=\"tile {kind}\"><img src=\"data:image/jpeg;base64,{}\" alt=\"{slide}, {class}\" \
             title=\"{slide}, {class}\" width=\"112\" height=\"112\"><figcaption title=\"{slide}\">{slide}<br>\
             {x}, {y}</figcaption></figure>\n",
            Base64::encode_string(&tile.jpeg)
        )
    };
    format!("<div class=\"row\">\n{}</div>\n", row.iter().map(tile).collect::<String>())
}
