//! The list of slides with the size and embedding progress of each.

use egui::{
    Align, FontId, Frame, Layout, Margin, Rect, Response, RichText, ScrollArea, Stroke, TextEdit, TextStyle,
    Ui, Vec2,
};
use egui_material_icons::icons;

use super::{
    ICON_BUTTON, action_icon_ui, header_ui, icon_button, line_ui, picture_ui, progress_ui, row_ui,
    text_over_ui, waiting_time,
};
use crate::number_format::{counted, decimal, grouped, plain, sentence};
use crate::session::{
    EncoderState, Session, SlideCommand, SlideProgress, SlideState, SlideStatus, ViewCommand,
};
use crate::slide::SlideId;
use crate::tiling::TileGrid;
use crate::ui::actions::{self, Action, EmbeddingAction, SearchAction, SlideAction};
use crate::ui::app::Requests;
use crate::ui::panels::first_steps::Step;
use crate::ui::short_names::slide_name_within;
use crate::ui::shown_slides::ShownSlides;
use crate::ui::theme::{self, PANEL_MARGIN, Palette};

/// Height of a row in points.
const ROW_HEIGHT: f32 = 84.0;
/// Number of slides from which the list can be searched by name: more than a large window shows.
const SEARCHED_FROM: usize = 12;

/// Draws the list and the overall embedding progress.
pub fn slides_ui(
    ui: &mut Ui,
    session: &Session,
    shown: &ShownSlides,
    palette: &Palette,
    requests: &mut Requests,
) {
    header_ui(ui, palette, "Slides", |ui| {
        action_icon_ui(ui, SlideAction::OpenFiles, icons::ICON_ADD, None, palette, requests);
        if !session.slides().is_empty() {
            action_icon_ui(
                ui,
                EmbeddingAction::ToggleSettings,
                icons::ICON_SETTINGS,
                None,
                palette,
                requests,
            );
            action_icon_ui(ui, EmbeddingAction::ToggleEncoders, icons::ICON_MEMORY, None, palette, requests);
            ui.label(RichText::new(session.slides().len().to_string()).color(palette.weak));
        }
    });
    if session.total_progress().total > 0 || session.is_embedding_left() {
        egui::Panel::bottom("embedding")
            .frame(Frame::new().fill(palette.panel).inner_margin(Margin::symmetric(PANEL_MARGIN, 10)))
            .show(ui, |ui| {
                embedding_ui(ui, session, palette, requests);
                Step::Wait.is_at(ui.ctx(), ui.min_rect());
            });
    }
    if session.slides().is_empty() {
        Frame::new().inner_margin(Margin::symmetric(24, 40)).show(ui, |ui| {
            ui.vertical_centered(|ui| {
                ui.label(RichText::new("No slides yet").family(theme::bold()).color(palette.strong));
                let text = "Drop slides or a folder on the window, or open them with the button above.";
                ui.label(RichText::new(text).color(palette.weak));
            });
        });
        return;
    }
    let wanted = if session.slides().len() >= SEARCHED_FROM { search_ui(ui, palette) } else { String::new() };
    let is_wanted = |state: &&SlideState| {
        let name = state.shown().info().name().to_lowercase();
        wanted.split_whitespace().all(|word| name.contains(word))
    };
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        Frame::new().inner_margin(Margin::symmetric(8, 2)).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 6.0;
            if !session.slides().iter().any(|state| is_wanted(&state)) {
                ui.label(RichText::new("No name contains this text.").color(palette.weak));
            }
            let active = session.active().map(SlideState::id);
            // Scroll to the row of a slide that has become active, by whatever action.
            let scrolled_to = ui.scope_id().with("the slide whose row was brought into view");
            let has_changed = ui.data(|data| data.get_temp::<SlideId>(scrolled_to)).as_ref() != active;
            for state in session.slides().iter().filter(is_wanted) {
                let is_active = active == Some(state.id());
                let row = slide_ui(ui, session, state, is_active, shown, palette, requests);
                if is_active && has_changed {
                    row.scroll_to_me(None);
                    ui.data_mut(|data| data.insert_temp(scrolled_to, state.id().clone()));
                }
            }
        });
    });
}

/// Draws the field by which the list is searched; returns what was typed, in lower case.
fn search_ui(ui: &mut Ui, palette: &Palette) -> String {
    let slot = ui.scope_id().with("part of a slide's name");
    let mut typed: String = ui.data(|data| data.get_temp(slot)).unwrap_or_default();
    Frame::new().inner_margin(Margin { left: 8, right: 8, top: 0, bottom: 6 }).show(ui, |ui| {
        ui.horizontal(|ui| {
            let room = ui.available_width();
            let gap = ui.spacing().item_spacing.x;
            let is_any = !typed.is_empty();
            let width = if is_any { room - ICON_BUTTON - gap } else { room };
            let edit = TextEdit::singleline(&mut typed)
                .hint_text("Find slide by name")
                .margin(Margin::symmetric(8, 5));
            ui.add(edit.desired_width(width)).accessible_name("Part of a slide's name");
            let hint = "Show all slides again";
            if is_any && icon_button(ui, icons::ICON_CLOSE, "clear search", hint, palette.weak).clicked() {
                typed.clear();
            }
        });
    });
    ui.data_mut(|data| data.insert_temp(slot, typed.clone()));
    typed.to_lowercase()
}

fn slide_ui(
    ui: &mut Ui,
    session: &Session,
    state: &SlideState,
    is_active: bool,
    shown: &ShownSlides,
    palette: &Palette,
    requests: &mut Requests,
) -> Response {
    let info = state.shown().info();
    let name = info.name();
    let (rect, response) = row_ui(ui, ROW_HEIGHT, is_active, &name, palette);
    if !ui.is_rect_visible(rect) {
        return response;
    }
    if is_active {
        let bar = Rect::from_min_size(rect.min + Vec2::new(0.0, 8.0), Vec2::new(3.0, rect.height() - 16.0));
        ui.painter().rect_filled(bar, 1.5, palette.accent);
    }
    let inner = rect.shrink2(Vec2::new(10.0, 10.0));
    let picture = Rect::from_min_size(inner.min, Vec2::splat(inner.height()));
    picture_ui(ui, picture, shown.get(state.id()).and_then(|shown| shown.thumbnail.as_ref()), palette);
    let text = Rect::from_min_max(inner.min + Vec2::new(inner.height() + 10.0, -1.0), inner.max);
    text_over_ui(ui, text, |ui| {
        ui.spacing_mut().item_spacing.y = 3.0;
        let font = FontId::new(TextStyle::Body.resolve(ui.style()).size, theme::bold());
        let short = slide_name_within(ui, session, state.id(), &font, text.width());
        line_ui(ui, RichText::new(short).font(font).color(palette.strong));
        line_ui(ui, RichText::new(size_label(state)).small().color(palette.weak));
        status_ui(ui, session, state, palette);
    });
    if response.clicked() {
        requests.command(ViewCommand::Show(state.id().clone()));
    }
    let response = response.on_hover_ui(|ui| {
        let about = [info.path.display().to_string(), status_text(session, state)];
        let warnings = info.warnings.iter().map(|warning| sentence(&warning.text()));
        for line in about.into_iter().chain(coarser_text(session, state)).chain(warnings) {
            ui.label(line);
        }
    });
    response.context_menu(|ui| {
        ui.set_min_width(200.0);
        for action in [
            Action::Slides(SlideAction::Properties),
            Action::Slides(SlideAction::Calibrate),
            Action::Search(SearchAction::BySlide),
            Action::Slides(SlideAction::Remove),
        ] {
            let entry = actions::entry(action);
            let button = egui::Button::new(entry.name).frame_when_inactive(false);
            if ui.add(button).on_hover_text(entry.tooltip).clicked() {
                if action == Action::Slides(SlideAction::Remove) {
                    // Without showing it first.
                    requests.command(SlideCommand::Remove(state.id().clone()));
                } else {
                    requests.command(ViewCommand::Show(state.id().clone()));
                    requests.action(action);
                }
                ui.close();
            }
        }
        let button = egui::Button::new("Copy path").frame_when_inactive(false);
        if ui.add(button).on_hover_text("Copy the path of the slide's file").clicked() {
            ui.copy_text(info.path.display().to_string());
            requests.notice = Some("Path copied to the clipboard.".to_owned());
            ui.close();
        }
    });
    response
}

/// Physical size and spacing of a calibrated slide, otherwise its size in pixels.
fn size_label(state: &SlideState) -> String {
    let info = state.source.info();
    match info.mpp {
        Some(mpp) => {
            let (width, height) = (f64::from(info.width()) * mpp.x(), f64::from(info.height()) * mpp.y());
            let size = match width.min(height) >= 1000.0 {
                true => format!("{} × {} mm", decimal(width / 1000.0, 1), decimal(height / 1000.0, 1)),
                false => format!("{} × {} µm", decimal(width, 0), decimal(height, 0)),
            };
            format!("{size} · {}", mpp.label(3))
        }
        None => format!("{} × {} px", grouped(info.width().into()), grouped(info.height().into())),
    }
}

fn status_ui(ui: &mut Ui, session: &Session, state: &SlideState, palette: &Palette) {
    let color = match &state.status {
        SlideStatus::Embedded(progress) if progress.total == 0 => palette.query,
        SlideStatus::Embedded(_) => palette.good,
        SlideStatus::Failed(_) => palette.error,
        SlideStatus::NeedsMpp => palette.query,
        SlideStatus::Embedding(_) => palette.accent,
        _ => palette.weak,
    };
    line_ui(ui, RichText::new(status_text(session, state)).small().color(color));
    if let SlideStatus::Embedding(progress) | SlideStatus::Waiting(progress) = &state.status
        && progress.total > 0
    {
        ui.add_space(2.0);
        progress_ui(ui, share(*progress), palette.accent, palette);
    }
}

fn status_text(session: &Session, state: &SlideState) -> String {
    if state.unavailable.is_some() {
        return "file not available".to_owned();
    }
    match &state.status {
        SlideStatus::Checking
            if matches!(session.encoder(), EncoderState::Failed(_) | EncoderState::Untrusted(_)) =>
        {
            "view only".to_owned()
        }
        SlideStatus::Checking => "checking descriptors…".to_owned(),
        SlideStatus::NeedsMpp => "pixel size unknown".to_owned(),
        SlideStatus::Waiting(progress) if progress.total == 0 => {
            match state.tissue.is_none() && state.tissue_read > 0.0 {
                true => format!("finding tissue, {} %", decimal(state.tissue_read * 100.0, 0)),
                false => "waiting to be embedded".to_owned(),
            }
        }
        SlideStatus::Waiting(progress) | SlideStatus::Embedding(progress) => {
            format!("{} of {}", grouped(progress.done.into()), counted(progress.total.into(), "tile"))
        }
        SlideStatus::Embedded(progress) if progress.total == 0 => "no tiles to embed".to_owned(),
        SlideStatus::Embedded(progress) => {
            format!("{} embedded", counted((progress.done - progress.failed).into(), "tile"))
        }
        SlideStatus::Failed(reason) => {
            // The row already shows the file name.
            let path = format!("{}: ", state.source.info().path.display());
            reason.strip_prefix(&path).unwrap_or(reason).to_owned()
        }
    }
}

/// Text for a slide that is coarser than the requested spacing of its tiles.
fn coarser_text(session: &Session, state: &SlideState) -> Option<String> {
    let tiles = session.recipe()?.tiles;
    let grid = TileGrid::new(state.source.info(), tiles).ok()?;
    grid.is_coarser_than(tiles).then(|| {
        format!(
            "Coarser than the requested {} µm/px: its tiles have {} µm/px and cover a larger area",
            plain(tiles.mpp),
            decimal(grid.effective_mpp, 3)
        )
    })
}

fn share(progress: SlideProgress) -> f32 {
    progress.done as f32 / progress.total.max(1) as f32
}

/// Draws overall progress, speed and remaining time, with buttons to pause and stop.
fn embedding_ui(ui: &mut Ui, session: &Session, palette: &Palette, requests: &mut Requests) {
    let embedding = session.embedding();
    let progress = session.total_progress();
    let (top, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 0.0), egui::Sense::hover());
    ui.painter().hline(
        top.x_range().expand(f32::from(PANEL_MARGIN)),
        top.top() - 10.0,
        Stroke::new(1.0, palette.line),
    );
    if !session.is_embedding_left() {
        let text = format!("{} can be searched", counted(session.searchable_tiles() as u64, "tile"));
        ui.label(RichText::new(text).small().color(palette.weak));
        return;
    }
    let halted = embedding.paused || embedding.cancelled;
    ui.horizontal(|ui| {
        let state = match (embedding.cancelled, embedding.paused) {
            (true, _) => "Embedding stopped",
            (false, true) => "Embedding paused",
            _ => "Embedding",
        };
        ui.vertical(|ui| {
            ui.spacing_mut().item_spacing.y = 1.0;
            // Until all tiles have been counted, slides are.
            let percent = match (uncounted(session), progress.total) {
                (false, 0) => String::new(),
                (false, _) => format!("  {} %", decimal(share(progress) * 100.0, 0)),
                (true, _) => {
                    let [done, all] = embedded(session);
                    format!("  {done} of {}", counted(all as u64, "slide"))
                }
            };
            ui.label(RichText::new(format!("{state}{percent}")).family(theme::bold()).color(palette.strong));
            ui.label(RichText::new(speed_label(session)).small().color(palette.weak));
        });
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            if !embedding.cancelled {
                action_icon_ui(ui, EmbeddingAction::Stop, icons::ICON_STOP, None, palette, requests);
            }
            let icon = if halted { icons::ICON_PLAY_ARROW } else { icons::ICON_PAUSE };
            action_icon_ui(ui, EmbeddingAction::PauseOrResume, icon, None, palette, requests);
        });
    });
    ui.add_space(2.0);
    let done = match uncounted(session) {
        true => {
            let [done, all] = embedded(session);
            done as f32 / all.max(1) as f32
        }
        false => share(progress),
    };
    progress_ui(ui, done, if halted { palette.weak } else { palette.accent }, palette);
    ui.add_space(2.0);
    let text = match (halted, session.searchable_tiles()) {
        (true, _) => "Resume to embed the rest.",
        (false, 0) => "You can already pan, zoom, measure and annotate.",
        (false, _) => "You can already search what is embedded.",
    };
    ui.label(RichText::new(text).small().color(palette.weak));
}

/// Returns whether the number of tiles is still unknown for some slide, and with it the total.
fn uncounted(session: &Session) -> bool {
    session.slides().iter().any(|slide| match slide.status {
        SlideStatus::Waiting(progress) => progress.total == 0,
        SlideStatus::Checking => true,
        _ => false,
    })
}

/// Number of slides of which no tile is left to be embedded, and of all that can be.
fn embedded(session: &Session) -> [usize; 2] {
    let count = |counts: fn(&SlideStatus) -> bool| {
        session.slides().iter().filter(|slide| counts(&slide.status)).count()
    };
    [
        count(|status| matches!(status, SlideStatus::Embedded(_))),
        count(|status| !matches!(status, SlideStatus::NeedsMpp | SlideStatus::Failed(_))),
    ]
}

fn speed_label(session: &Session) -> String {
    let (embedding, progress) = (session.embedding(), session.total_progress());
    if embedding.paused || embedding.cancelled {
        return format!("{} can be searched", counted(session.searchable_tiles() as u64, "tile"));
    }
    if embedding.tiles_per_second <= 0.0 {
        return "starting…".to_owned();
    }
    let left = f64::from(progress.total - progress.done) / embedding.tiles_per_second;
    let which = if uncounted(session) { " for this slide" } else { "" };
    format!("{} tiles/s · {} left{which}", decimal(embedding.tiles_per_second, 1), waiting_time(left))
}
