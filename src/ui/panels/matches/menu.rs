//! The menu of the right button on a match or a ranked slide.

use egui::{Id, Response, RichText, Ui};
use egui_material_icons::icons;

use super::super::menu_item_ui;
use super::super::position_dialog::tile_text;
use super::{Shown, judgement_icon};
use crate::query::{Judgement, Match, Scope, TilePosition, pair};
use crate::session::{MatchCommand, QueryCommand, QueryState, Session};
use crate::slide::SlideId;
use crate::ui::actions::{self, SearchAction};
use crate::ui::app::{Requests, TilePicture, slide_name};
use crate::ui::theme::Palette;

/// Width of the menu in points.
const WIDTH: f32 = 250.0;

/// Draws the menu of the match at index `rank`, whose row or image `response` is of.
pub(super) fn match_menu_ui(response: &Response, shown: &mut Shown<'_>, rank: usize) {
    let (session, query, palette) = (shown.session, shown.query, shown.palette);
    let Some(found) = shown.answer.matches.get(rank) else { return };
    let opened = Id::unique("tile whose menu is open");
    if response.secondary_clicked() {
        let tile = TilePosition { slide: found.slide.clone(), rect: found.rect };
        response.ctx.data_mut(|data| data.insert_temp(opened, tile));
    }
    let (matches, requests) = (&shown.answer.matches, &mut *shown.requests);
    response.context_menu(|ui| {
        ui.set_min_width(WIDTH);
        // While slides are embedded, another match may have come to this place.
        let tile: Option<TilePosition> = ui.data(|data| data.get_temp(opened));
        let is_it = |tile: &TilePosition, found: &Match| found.slide == tile.slide && found.rect == tile.rect;
        let place = |tile: &TilePosition| matches.iter().position(|found| is_it(tile, found));
        let Some((rank, tile)) = tile.and_then(|tile| Some((place(&tile)?, tile))) else {
            ui.label(RichText::new("No longer among the matches").color(palette.weak));
            return;
        };
        let found = &matches[rank];
        if menu_item_ui(ui, icons::ICON_MY_LOCATION, "Go to match", "", "Show this match on its slide") {
            requests.command(MatchCommand::GoTo { rank, from: None });
        }
        let compare = actions::entry(SearchAction::Compare);
        let is_offered = !requests.is_comparing && query.target().is_some();
        if is_offered && menu_item_ui(ui, compare.icon, compare.name, "", compare.tooltip) {
            requests.command(MatchCommand::GoTo { rank, from: None });
            requests.action(SearchAction::Compare);
        }
        let find = actions::entry(SearchAction::FindSimilar);
        let is_open = session.slide(&found.slide).is_some();
        let hint = "Begin a new search with this tile";
        if is_open && menu_item_ui(ui, find.icon, find.name, "", hint) {
            requests.command(QueryCommand::Tiles(vec![tile.clone()]));
        }
        ui.separator();
        judgement_items_ui(ui, (session, query), (rank, found), palette, requests);
        let (name, hint) = match query.chosen.contains(&rank) {
            true => ("Deselect match", "Take this match off the selected ones"),
            false => ("Select match", "Select this match, to assign it a class"),
        };
        if menu_item_ui(ui, icons::ICON_CHECK_BOX, name, "", hint) {
            requests.command(MatchCommand::Choose(rank));
        }
        slide_items_ui(ui, session, &found.slide, requests);
        ui.separator();
        let hint = "Copy the name of the slide and the position of the tile in level-0 pixels";
        if menu_item_ui(ui, icons::ICON_CONTENT_COPY, "Copy name and position", "", hint) {
            ui.copy_text(tile_text(&slide_name(session, &found.slide), found.rect));
            requests.notice = Some("Name and position copied to the clipboard.".to_owned());
        }
        if is_open {
            let copy = "Copy the tile as it is on the slide, without outlines";
            if menu_item_ui(ui, icons::ICON_PHOTO_CAMERA, "Copy image", "", copy) {
                requests.pictures.push(TilePicture::Copy(tile.clone()));
            }
            let save = "Save the tile as a PNG, JPEG or TIFF file";
            if menu_item_ui(ui, icons::ICON_SAVE, "Save image…", "", save) {
                requests.pictures.push(TilePicture::Save(tile));
            }
        }
    });
}

/// Draws the menu of a ranked slide, whose row `response` is of.
pub(super) fn ranked_menu_ui(response: &Response, shown: &mut Shown<'_>, slide: &SlideId) {
    let (session, requests) = (shown.session, &mut *shown.requests);
    response.context_menu(|ui| {
        ui.set_min_width(WIDTH);
        let hint = "Copy the name of the slide";
        if menu_item_ui(ui, icons::ICON_CONTENT_COPY, "Copy name", "", hint) {
            ui.copy_text(slide_name(session, slide));
            requests.notice = Some("Name copied to the clipboard.".to_owned());
        }
        slide_items_ui(ui, session, slide, requests);
    });
}

/// Draws the judgements of a match, or of all selected ones if it is among several; a judgement that a match has is removed by
/// choosing it again. A shortcut is shown where it judges this match.
pub fn judgement_items_ui(
    ui: &mut Ui,
    (session, query): (&Session, &QueryState),
    (rank, found): (usize, &Match),
    palette: &Palette,
    requests: &mut Requests,
) {
    let judged = query.answer.as_ref().and_then(|answer| pair(answer, found));
    let known = judged.and_then(|(query, found)| session.query_history().judgement(&query, &found));
    let are_several = query.chosen.len() > 1 && query.chosen.contains(&rank);
    for choice in [Judgement::Same, Judgement::Different, Judgement::Unsure] {
        let entry = actions::entry(SearchAction::Judge(choice));
        let is_current = known == Some(choice) && !are_several;
        let shortcut = entry.shortcut_label(ui.ctx()).filter(|_| query.visited == Some(rank) && !are_several);
        let (name, hint) = match (are_several, is_current) {
            (true, _) => {
                let name = format!("{} ({} selected)", entry.name, query.chosen.len());
                (name, "Judge all selected matches; the others are ranked again by them")
            }
            (false, true) => (format!("{} (remove)", entry.name), "Remove this judgement"),
            (false, false) => (entry.name.to_owned(), "Judge this match; the others are ranked again by it"),
        };
        let (icon, color) = judgement_icon(choice, palette);
        let icon = icon.rich_text().color(if is_current { color } else { palette.text });
        if menu_item_ui(ui, icon, &name, &shortcut.unwrap_or_default(), hint) {
            let judgement = (!is_current).then_some(choice);
            let ranks = if are_several { query.chosen.iter().copied().collect() } else { vec![rank] };
            ranks.into_iter().for_each(|rank| requests.command(MatchCommand::Judge { rank, judgement }));
        }
    }
}

/// Draws the restriction of searches to a slide or to all others. Slides of the archive cannot be left out one by one.
fn slide_items_ui(ui: &mut Ui, session: &Session, slide: &SlideId, requests: &mut Requests) {
    let settings = session.query_settings();
    let others: Vec<SlideId> = session
        .slides()
        .iter()
        .map(|state| state.id())
        .filter(|id| *id != slide && settings.among.as_ref().is_none_or(|among| among.contains(id)))
        .cloned()
        .collect();
    if settings.scope == Scope::Archive || session.slide(slide).is_none() || others.is_empty() {
        return;
    }
    ui.separator();
    let choices = [
        (icons::ICON_VISIBILITY_OFF, "Leave out this slide", "Show no matches on this slide", others),
        (
            icons::ICON_FILTER_ALT,
            "Search this slide only",
            "Show no matches on other slides",
            vec![slide.clone()],
        ),
    ];
    for (icon, name, hint, among) in choices {
        if menu_item_ui(ui, icon, name, "", hint) {
            let settings = crate::query::QuerySettings { among: Some(among), ..settings.clone() };
            requests.command(QueryCommand::SetSettings(settings));
            requests.notice = Some("Filters, Slides: choose the slides that are searched.".to_owned());
        }
    }
}
