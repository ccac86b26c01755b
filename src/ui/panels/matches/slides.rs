//! Slides ranked by similarity, each with its number of matches and a histogram of its tiles' distances.

use egui::{Align, Frame, Layout, Margin, Pos2, Rect, RichText, ScrollArea, TextStyle, Ui, Vec2};

use super::super::{line_ui, picture_ui, row_ui, text_over_ui};
use super::Shown;
use super::menu::ranked_menu_ui;
use crate::number_format::{counted, decimal};
use crate::query::{HISTOGRAM_BINS, SlideRank};
use crate::session::{ArchiveCommand, Command, ViewCommand};
use crate::ui::app::slide_name;
use crate::ui::short_names::slide_name_within;
use crate::ui::theme::{self, Palette};

/// Height of a row in points.
const ROW_HEIGHT: f32 = 70.0;
/// Side of a slide's image in points.
const PICTURE: f32 = 54.0;
/// Size of a histogram in points.
const HISTOGRAM: Vec2 = Vec2::new(84.0, 26.0);

/// Draws the ranked slides, from the first one if `is_new`.
pub fn slides_ui(ui: &mut Ui, mut shown: Shown<'_>, is_new: bool) {
    let mut area = ScrollArea::vertical().auto_shrink(false);
    if is_new {
        area = area.vertical_scroll_offset(0.0);
    }
    area.show_rows(ui, ROW_HEIGHT, shown.answer.slides.len(), |ui, rows| {
        Frame::new().inner_margin(Margin::symmetric(8, 0)).show(ui, |ui| {
            rows.for_each(|rank| slide_ui(ui, &mut shown, rank));
        });
    });
}

fn slide_ui(ui: &mut Ui, shown: &mut Shown<'_>, rank: usize) {
    let slide = &shown.answer.slides[rank];
    let (session, palette) = (shown.session, shown.palette);
    let name = slide_name(session, &slide.slide);
    let is_active = session.active().is_some_and(|active| *active.id() == slide.slide);
    let label = format!("similar slide {}: {name}", rank + 1);
    let (rect, response) = row_ui(ui, ROW_HEIGHT, is_active, &label, palette);
    let frame = Rect::from_min_size(rect.min + Vec2::splat(8.0), Vec2::splat(PICTURE));
    let is_open = session.slide(&slide.slide).is_some();
    let archived = shown.answer.from_archive(&slide.slide).filter(|_| !is_open);
    let thumbnail = shown.pictures.get(&slide.slide).and_then(|shown| shown.thumbnail.clone());
    // For a slide in the archive, at most the image of its best match is available.
    let best = shown.answer.matches.iter().find(|found| archived.is_some() && found.slide == slide.slide);
    let picture = thumbnail.or_else(|| {
        let best = best?;
        shown.pictures.picture(session, ui.ctx(), &best.slide, best.rect)
    });
    picture_ui(ui, frame, picture.as_ref(), palette);
    let text = Rect::from_min_max(
        Pos2::new(frame.right() + 10.0, rect.top() + 8.0),
        rect.max - Vec2::new(10.0, 8.0),
    );
    text_over_ui(ui, text, |ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        ui.horizontal(|ui| {
            ui.label(RichText::new((rank + 1).to_string()).family(theme::bold()).color(palette.strong));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let median = RichText::new(decimal(slide.median_distance, 3));
                ui.label(median.family(theme::bold()).color(palette.text));
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    let font = TextStyle::Body.resolve(ui.style());
                    let room = ui.available_width();
                    let short = is_open.then(|| slide_name_within(ui, session, &slide.slide, &font, room));
                    line_ui(ui, RichText::new(short.as_ref().unwrap_or(&name)).color(palette.text));
                });
            });
        });
        let matches =
            if slide.matches == 1 { "1 match".to_owned() } else { format!("{} matches", slide.matches) };
        let origin = if archived.is_some() { " · archive" } else { "" };
        ui.label(RichText::new(format!("{matches}{origin}")).small().color(palette.text));
        let tiles = format!("of {}", counted(slide.tiles as u64, "tile"));
        ui.label(RichText::new(tiles).small().color(palette.weak));
    });
    let histogram = Rect::from_min_size(rect.right_bottom() - HISTOGRAM - Vec2::new(10.0, 8.0), HISTOGRAM);
    histogram_ui(ui, histogram, slide, palette);
    let mut hint = format!(
        "{name}\nMedian distance from the query's tiles to the most similar tile of this slide: {}\nBars: the \
         slide's tiles by their distance to the query, from 0 to {}",
        decimal(slide.median_distance, 4),
        decimal(slide.farthest, 2)
    );
    if let Some(archived) = archived {
        hint = format!("{hint}\nIn the archive: {}", archived.location());
    }
    let response = response.on_hover_text(hint);
    ranked_menu_ui(&response, shown, &slide.slide);
    if response.clicked() {
        let id = slide.slide.clone();
        shown.requests.command(if is_open {
            Command::View(ViewCommand::Show(id))
        } else {
            Command::Archive(ArchiveCommand::ShowSlide(id))
        });
    }
}

/// Draws the histogram of a slide's tiles by distance, with the nearest on the left.
fn histogram_ui(ui: &Ui, rect: Rect, slide: &SlideRank, palette: &Palette) {
    let most = slide.histogram.iter().copied().max().unwrap_or(0).max(1) as f32;
    let width = rect.width() / HISTOGRAM_BINS as f32;
    for (bin, count) in slide.histogram.iter().enumerate().filter(|(_, count)| **count > 0) {
        let height = (rect.height() * *count as f32 / most).max(1.0);
        let left = rect.left() + bin as f32 * width;
        let bar = Rect::from_min_max(
            Pos2::new(left, rect.bottom() - height),
            Pos2::new(left + width - 1.0, rect.bottom()),
        );
        ui.painter().rect_filled(bar, 0.0, theme::rank_color(bin + 1, HISTOGRAM_BINS));
    }
    ui.painter().hline(rect.x_range(), rect.bottom() + 0.5, egui::Stroke::new(1.0, palette.line));
}
