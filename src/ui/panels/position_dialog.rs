//! The dialog that goes to a position which the user types or pastes.

use egui::{Margin, RichText, TextEdit, Ui};

use super::dialog_width;
use super::dialogs::{confirm_ui, focus_unless_elsewhere, title_ui};
use crate::geometry::{Level0Point, Level0Rect, MicronsPerPixel};
use crate::number_format::{plain, read};
use crate::session::{Session, ViewCommand};
use crate::slide::SlideId;
use crate::ui::app::Requests;
use crate::ui::theme::Palette;

/// The name of a slide and a position on it, as they are copied.
pub fn point_text(name: &str, at: Level0Point) -> String {
    format!("{name}: x {}, y {}", at.x.floor(), at.y.floor())
}

/// The name of a slide and the place of a tile on it, as they are copied.
pub(super) fn tile_text(name: &str, rect: Level0Rect) -> String {
    format!("{name}: x {}, y {}, {} × {} px", rect.x, rect.y, rect.width, rect.height)
}

/// Input of the dialog.
pub struct PositionForm {
    slide: SlideId,
    /// What is in view, which is moved to a position without a size.
    field: Level0Rect,
    typed: String,
}

impl PositionForm {
    /// Returns the form for a slide, of which `field` is in view.
    pub fn new(slide: SlideId, field: Level0Rect) -> Self {
        Self { slide, field, typed: String::new() }
    }
}

/// Why a text is no position.
#[derive(Debug, PartialEq)]
enum NoPosition {
    /// It has not two numbers, or four with the size of a tile.
    Incomplete,
    /// It is in µm or mm, and the slide has no pixel size.
    NotCalibrated,
}

/// Reads a position in level-0 pixels, or in µm or mm where that is said, and its size if there is one. A number without a unit
/// has that of the next one, or else of the one before. What stands before the last colon is the name of a slide.
fn read_position(
    typed: &str,
    mpp: Option<MicronsPerPixel>,
) -> Result<([f64; 2], Option<[f64; 2]>), NoPosition> {
    let (mut found, units) = numbers_with_units(typed)?;
    if units.iter().any(|unit| matches!(unit, Some(Unit::Microns(_)))) && mpp.is_none() {
        return Err(NoPosition::NotCalibrated);
    }
    for (at, number) in found.iter_mut().enumerate() {
        let unit = units[at..].iter().flatten().next().or_else(|| units[..at].iter().rev().flatten().next());
        if let (Some(Unit::Microns(um)), Some(mpp)) = (unit, mpp) {
            *number *= um / [mpp.x(), mpp.y()][at % 2];
        }
    }
    match found[..] {
        [x, y] => Ok(([x, y], None)),
        [x, y, width, height] if width >= 1.0 && height >= 1.0 => Ok(([x, y], Some([width, height]))),
        _ => Err(NoPosition::Incomplete),
    }
}

/// The unit of a number.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Pixels,
    /// So many micrometres.
    Microns(f64),
}

/// Returns the numbers of a text, and the unit of each that has one.
fn numbers_with_units(typed: &str) -> Result<(Vec<f64>, Vec<Option<Unit>>), NoPosition> {
    let numbers = typed.rsplit_once(": ").map_or(typed, |(_, numbers)| numbers);
    let (mut found, mut units): (Vec<f64>, Vec<Option<Unit>>) = Default::default();
    let is_border = |sign: char| sign.is_whitespace() || matches!(sign, ';' | '×');
    for word in numbers.split(is_border) {
        let word = word.trim_start_matches(['x', 'y', 'X', 'Y', '=', ':', '(']).trim_end_matches([',', ')']);
        let letters = word.find(|sign: char| sign.is_alphabetic()).unwrap_or(word.len());
        let (number, unit) = word.split_at(letters);
        match (read(number), number.split_once(',')) {
            (_, Some((first, second))) if !number.contains('.') && numbers.trim() == word => {
                // Without a space, a comma stands between two numbers.
                found.extend([first, second].into_iter().filter_map(read));
            }
            (Some(number), _) => found.push(number),
            (None, _) if number.is_empty() => {}
            (None, _) => return Err(NoPosition::Incomplete),
        }
        units.resize(found.len(), None);
        let unit = match unit {
            "mm" => Unit::Microns(1000.0),
            "µm" | "μm" | "um" => Unit::Microns(1.0),
            "px" => Unit::Pixels,
            "" => continue,
            _ => return Err(NoPosition::Incomplete),
        };
        if let Some(last) = units.last_mut() {
            *last = Some(unit);
        }
    }
    Ok((found, units))
}

/// Draws the dialog; returns whether to close it.
pub fn position_ui(
    ui: &mut Ui,
    form: &mut PositionForm,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) -> bool {
    let Some(info) = session.slide(&form.slide).map(|state| state.source.info()) else { return true };
    dialog_width(ui, 440.0);
    title_ui(ui, "Go to position", palette);
    let edit = TextEdit::singleline(&mut form.typed)
        .hint_text(format!("x {}  y {}", plain(12345), plain(6789)))
        .desired_width(f32::INFINITY)
        .margin(Margin::symmetric(10, 8));
    focus_unless_elsewhere(&ui.add(edit).accessible_name("Position"));
    ui.add_space(4.0);
    let text = "From the upper left corner of the slide, in pixels of full resolution or with µm or mm. What \
                “Copy name and position” copied can be pasted.";
    ui.label(RichText::new(text).small().color(palette.weak));
    let position = read_position(&form.typed, info.mpp);
    let is_on_slide = |[x, y]: [f64; 2]| {
        (0.0..=f64::from(info.width())).contains(&x) && (0.0..=f64::from(info.height())).contains(&y)
    };
    let obstacle = match &position {
        Err(NoPosition::Incomplete) => Some("Enter two numbers first"),
        Err(NoPosition::NotCalibrated) => Some("This slide has no pixel size: enter pixels"),
        Ok((at, _)) if !is_on_slide(*at) => Some("This position is not on the slide"),
        Ok(_) => None,
    };
    if let Some(obstacle) = obstacle.filter(|_| position != Err(NoPosition::Incomplete)) {
        ui.label(RichText::new(obstacle).color(palette.error));
    }
    confirm_ui(ui, "Go", obstacle, palette, || {
        if let Ok((at, size)) = position {
            let rect = target(at, size, form.field);
            requests.command(ViewCommand::GoToTile { slide: form.slide.clone(), rect, from: None });
        }
    })
}

/// The part of the slide to show: a tile, or as much as is in view around a position.
fn target([x, y]: [f64; 2], size: Option<[f64; 2]>, field: Level0Rect) -> Level0Rect {
    let [x, y] = [x, y].map(|at| at.round() as i64);
    match size {
        Some([width, height]) => Level0Rect::new(x, y, width.round() as u32, height.round() as u32),
        // A tile is shown with as much around it on each side.
        None => {
            let (width, height) = ((field.width / 3).max(1), (field.height / 3).max(1));
            Level0Rect::new(x - i64::from(width / 2), y - i64::from(height / 2), width, height)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_people_write_them() {
        let mpp = MicronsPerPixel::new(0.5, 0.25).ok();
        let at = |typed: &str| read_position(typed, mpp);
        for typed in
            ["x 120 y 340", "120 340", "120, 340", "120,340", "x=120; y=340", "(120, 340)", "X 120px Y 340px"]
        {
            assert_eq!(at(typed), Ok(([120.0, 340.0], None)), "{typed}");
        }
        assert_eq!(at("x 60 µm  y 0.085 mm"), Ok(([120.0, 340.0], None)));
        for typed in ["60, 85 µm", "0.06, 0.085 mm", "60 µm, 85", "60,85µm", "x 120 px, y 85 µm"] {
            assert_eq!(at(typed), Ok(([120.0, 340.0], None)), "one unit is that of both: {typed}");
        }
        let tile = tile_text("a: 7 b.svs", Level0Rect::new(120, -340, 448, 450));
        assert_eq!(tile, "a: 7 b.svs: x 120, y -340, 448 × 450 px");
        assert_eq!(at(&tile), Ok(([120.0, -340.0], Some([448.0, 450.0]))));
        let point = point_text("7.svs", Level0Point::new(12345.6, 7.9));
        assert_eq!(at(&point), Ok(([12345.0, 7.0], None)));
        for typed in ["", "120", "x y", "1 2 3", "12 a 3b4 c5", "1 2 0 0"] {
            assert_eq!(at(typed), Err(NoPosition::Incomplete), "{typed}");
        }
        for typed in ["60 µm 8 µm", "60, 8 µm"] {
            assert_eq!(read_position(typed, None), Err(NoPosition::NotCalibrated));
        }
        assert_eq!(read_position("60 8", None), Ok(([60.0, 8.0], None)));
    }

    #[test]
    fn a_position_without_a_size_is_shown_in_the_middle_of_the_view() {
        let field = Level0Rect::new(0, 0, 600, 300);
        assert_eq!(target([500.0, 600.0], None, field), Level0Rect::new(400, 550, 200, 100));
        assert_eq!(target([5.0, 6.0], Some([4.0, 3.0]), field), Level0Rect::new(5, 6, 4, 3));
    }
}
