//! The report as PDF: text that can be searched and copied, plots as paths, tiles as images.

mod layout;
mod paint;
mod plot;

use super::content::{Block, Cell, Content, Plot, Section, Table, Tile, TileRole};
use super::drawing::SERIES_COLORS;
use super::gallery::EDGE;
use histokin_project::typeface::Typeface;
use layout::{Layout, WIDTH};
use paint::{Color, Ink, Weight};

const TEXT: Color = [0x1d, 0x21, 0x26];
const QUIET: Color = [0x5d, 0x66, 0x72];
const LINE: Color = [0xd9, 0xde, 0xe4];
const GOOD: Color = [0x2e, 0x8b, 0x57];
const BAD: Color = [0xc0, 0x50, 0x4d];

/// Size of body text in points.
const BODY: f32 = 9.0;
/// Size of captions and notes in points.
const SMALL: f32 = 7.5;

/// Returns the PDF file.
///
/// # Errors
/// When the font that comes with the program is damaged.
pub fn document(content: &Content) -> Result<Vec<u8>, String> {
    let typeface = Typeface::new()?;
    let mut page = Layout::new(&typeface);
    page.paragraph(content.title, 20.0, Weight::Bold, TEXT);
    page.paragraph(&content.lead, 10.0, Weight::Regular, QUIET);
    page.gap(4.0);
    content
        .notes
        .iter()
        .for_each(|note| page.paragraph(&format!("•  {note}"), SMALL, Weight::Regular, QUIET));
    for section in &content.sections {
        heading(&mut page, section);
        section.blocks.iter().for_each(|block| put(&mut page, block));
    }
    Ok(paint::write(page.into_pages(), content.title, &typeface))
}

fn heading(page: &mut Layout<'_>, section: &Section) {
    page.gap(16.0);
    // Keeps a title together with the beginning of its section.
    let first = match section.blocks.first() {
        Some(Block::Plots(plots)) => plots.first().map_or(0.0, |plot| height_of(plot, 2)),
        Some(Block::Figure(plot)) => height_of(plot, 1),
        _ => 60.0,
    };
    page.make_room(40.0 + first);
    page.paragraph(&section.title, 13.0, Weight::Bold, TEXT);
    page.rule(LINE);
    page.gap(6.0);
}

fn put(page: &mut Layout<'_>, block: &Block) {
    match block {
        Block::Heading(text) => {
            page.gap(6.0);
            page.make_room(70.0);
            page.paragraph(text, 10.0, Weight::Bold, TEXT);
            page.gap(3.0);
        }
        Block::Caption(text) => {
            page.gap(3.0);
            page.paragraph(text, SMALL, Weight::Regular, QUIET);
        }
        Block::Table(table) => put_table(page, table),
        Block::Plots(plots) => plots.chunks(2).for_each(|pair| put_plots(page, pair, 2)),
        Block::Figure(plot) => put_plots(page, std::slice::from_ref(plot), 1),
        Block::Gallery(rows) => rows.iter().for_each(|row| put_tiles(page, row)),
        Block::Facts(facts) => {
            page.gap(8.0);
            for (name, value) in facts {
                put_fact(page, name, value);
            }
        }
    }
}

/// Space between columns in points.
const COLUMN_GAP: f32 = 9.0;

fn put_table(page: &mut Layout<'_>, table: &Table) {
    const LEADING: f32 = 1.3;
    let columns = table.header.len();
    let heads: Vec<Vec<String>> = table.header.iter().map(|name| in_two(name)).collect();
    let width_at = |page: &Layout<'_>, column: usize, size: f32| {
        let swatch = if column == 0 { size } else { 0.0 };
        let cells = table.rows.iter().filter_map(|row| row.get(column));
        let widest_cell = cells
            .map(|cell| {
                let text = page.width_of(&cell.text, size, weight(cell)) + swatch;
                text.max(page.width_of(&cell.small, small(size), Weight::Regular))
            })
            .fold(0.0, f32::max);
        let words = heads[column].iter().map(|word| page.width_of(word, small(size), Weight::Regular));
        words.fold(widest_cell, f32::max)
    };
    let widths = |page: &Layout<'_>, size: f32| -> Vec<f32> {
        (0..columns).map(|column| width_at(page, column, size)).collect()
    };
    // Wide tables are set smaller, down to a legible size.
    let natural = widths(page, BODY).iter().sum::<f32>();
    let room = WIDTH - COLUMN_GAP * columns.saturating_sub(1) as f32;
    let size = (BODY * (room / natural).min(1.0)).max(4.5);
    let widths = widths(page, size);
    let lefts: Vec<f32> = widths
        .iter()
        .scan(0.0, |left, width| Some(std::mem::replace(left, *left + width + COLUMN_GAP)))
        .collect();
    let head_lines = heads.iter().map(Vec::len).max().unwrap_or(1);
    let head_height = head_lines as f32 * small(size) * LEADING + 4.0;
    let put_head = |page: &mut Layout<'_>| {
        for (left, words) in lefts.iter().zip(&heads) {
            // Names are aligned at the bottom, whether they have one line or two.
            let above = head_lines - words.len();
            for (line, word) in words.iter().enumerate() {
                let y = (above + line + 1) as f32 * small(size) * LEADING;
                page.text_at([*left, y], small(size), Weight::Regular, QUIET, word);
            }
        }
        page.advance(head_height);
        page.rule(LINE);
    };
    let height = |row: &[Cell]| {
        let has_small = row.iter().any(|cell| !cell.small.is_empty());
        size * LEADING + if has_small { small(size) * LEADING } else { 0.0 } + 5.0
    };
    page.make_room(head_height + table.rows.first().map_or(0.0, |row| height(row)));
    put_head(page);
    for row in &table.rows {
        if page.make_room(height(row)) {
            put_head(page);
        }
        for (column, (left, cell)) in lefts.iter().zip(row).enumerate() {
            let mut left = *left;
            if let Some(series) = cell.series {
                let color = SERIES_COLORS[series % SERIES_COLORS.len()];
                page.area_at([left, size * 0.45], [size * 0.65, size * 0.65], color);
            }
            if column == 0 && row.iter().any(|cell| cell.series.is_some()) {
                left += size;
            }
            page.text_at([left, size * 1.1], size, weight(cell), TEXT, &cell.text);
            let below = [left, size * 1.1 + small(size) * LEADING];
            page.text_at(below, small(size), Weight::Regular, QUIET, &cell.small);
        }
        page.advance(height(row));
        page.rule(LINE);
    }
}

fn weight(cell: &Cell) -> Weight {
    if cell.strong { Weight::Bold } else { Weight::Regular }
}

fn small(size: f32) -> f32 {
    size * 0.82
}

/// Breaks the name of a column into one or two lines of about equal length.
fn in_two(name: &str) -> Vec<String> {
    let middle = name.len() / 2;
    let spaces = name.match_indices(' ').map(|(space, _)| space);
    match spaces.min_by_key(|space| space.abs_diff(middle)) {
        Some(space) if name.len() > 8 => vec![name[..space].to_owned(), name[space + 1..].to_owned()],
        _ => vec![name.to_owned()],
    }
}

/// Space between plots side by side, in points.
const PLOT_GAP: f32 = 16.0;

/// Returns the points per drawing unit of a plot when `across` plots fill the width.
fn scale_of(plot: &Plot, across: usize) -> f32 {
    let each = (WIDTH - PLOT_GAP * (across - 1) as f32) / across as f32;
    (each / plot.drawing.width as f32).min(0.9)
}

/// Returns the height of a plot with one line of caption.
fn height_of(plot: &Plot, across: usize) -> f32 {
    plot.drawing.height as f32 * scale_of(plot, across) + SMALL * 1.35 + 12.0
}

/// Places plots side by side; `across` of them would fill the width.
fn put_plots(page: &mut Layout<'_>, plots: &[Plot], across: usize) {
    let each = (WIDTH - PLOT_GAP * (across - 1) as f32) / across as f32;
    let heights = plots.iter().map(|plot| plot.drawing.height as f32 * scale_of(plot, across));
    let tallest = heights.fold(0.0, f32::max);
    let captions: Vec<Vec<String>> =
        plots.iter().map(|plot| page.lines_of(&plot.caption, SMALL, Weight::Regular, each)).collect();
    let caption_lines = captions.iter().map(Vec::len).max().unwrap_or(0);
    let line = SMALL * 1.35;
    page.make_room(tallest + caption_lines as f32 * line + 12.0);
    for (index, (plot, caption)) in plots.iter().zip(&captions).enumerate() {
        let left = index as f32 * (each + PLOT_GAP);
        for ink in plot::inks(&plot.drawing, scale_of(plot, across), |text, size| {
            page.width_of(text, size, Weight::Regular)
        }) {
            page.ink_at([left, 0.0], ink);
        }
        for (number, text) in caption.iter().enumerate() {
            let y = tallest + 4.0 + (number + 1) as f32 * line;
            page.text_at([left, y], SMALL, Weight::Regular, QUIET, text);
        }
    }
    page.advance(tallest + caption_lines as f32 * line + 12.0);
}

fn put_tiles(page: &mut Layout<'_>, row: &[Tile]) {
    const GAP: f32 = 5.0;
    const ACROSS: f32 = 7.0;
    const CAPTION: f32 = 5.5;
    let edge = (WIDTH - GAP * (ACROSS - 1.0)) / ACROSS;
    page.make_room(edge + 22.0);
    for (index, tile) in row.iter().enumerate() {
        let left = index as f32 * (edge + GAP);
        let frame = match tile.role {
            TileRole::Query => TEXT,
            TileRole::Hit => GOOD,
            TileRole::Miss => BAD,
        };
        page.area_at([left, 0.0], [edge, edge], frame);
        let (at, size) = ([1.8, 1.8], [edge - 3.6, edge - 3.6]);
        let picture = Ink::Picture { at, size, pixels: [EDGE, EDGE], jpeg: tile.jpeg.clone() };
        page.ink_at([left, 0.0], picture);
        let name = page.cut(&tile.slide, CAPTION, edge);
        page.text_at([left, edge + 7.5], CAPTION, Weight::Regular, QUIET, &name);
        let [x, y] = tile.corner;
        page.text_at([left, edge + 14.5], CAPTION, Weight::Regular, QUIET, &format!("{x}, {y}"));
    }
    page.advance(edge + 22.0);
}

fn put_fact(page: &mut Layout<'_>, name: &str, value: &str) {
    const NAMES: f32 = 130.0;
    let lines = page.lines_of(value, SMALL, Weight::Regular, WIDTH - NAMES);
    let step = SMALL * 1.4;
    page.make_room(step * lines.len() as f32);
    let name = page.cut(name, SMALL, NAMES - 6.0);
    page.text_at([0.0, SMALL], SMALL, Weight::Regular, QUIET, &name);
    for (number, line) in lines.iter().enumerate() {
        page.text_at([NAMES, SMALL + step * number as f32], SMALL, Weight::Regular, TEXT, line);
    }
    page.advance(step * lines.len() as f32);
}
