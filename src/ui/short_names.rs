//! Slide names in little room: what a name shares with the other names is left out, not what tells them apart.

use egui::{FontId, Ui};

use crate::session::Session;
use crate::slide::SlideId;
use crate::ui::theme;

/// Characters kept at the beginning of a name whose shared part is cut out of the middle.
const KEPT_START: usize = 6;

/// Shared characters kept before the first one that differs from another name.
const KEPT_SHARED: usize = 2;

/// Which characters of a name differ from the other names, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Telling {
    /// The first character that differs from any other name.
    first: usize,
    /// The last character at which another name begins to differ.
    last: usize,
}

impl Telling {
    /// Compares `name` with all `others`; `None` if there are no others, or only equal ones.
    fn of<'a>(name: &str, others: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let shared = |other: &str| name.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
        let different = others.into_iter().filter(|other| *other != name).map(shared);
        different.fold(None, |telling, at| match telling {
            None => Some(Self { first: at, last: at }),
            Some(Self { first, last }) => Some(Self { first: first.min(at), last: last.max(at) }),
        })
    }
}

/// Returns `name`, shortened until it `fits`. An ellipsis replaces what it shares with the other names; only if that is
/// not enough is more cut off its end.
fn shortened(name: &str, telling: Option<Telling>, fits: impl Fn(&str) -> bool) -> String {
    if fits(name) {
        return name.to_owned();
    }
    let letters: Vec<char> = name.chars().collect();
    let text = |from: usize, to: usize| letters[from.min(letters.len())..to.min(letters.len())].iter();
    let cut_off = |start: usize, length: usize| -> String {
        if length == 0 {
            return "…".to_owned();
        }
        let front = (start > 0).then_some(&'…');
        let back = (start + length < letters.len()).then_some(&'…');
        front.into_iter().chain(text(start, start + length)).chain(back).copied().collect()
    };
    // The longest beginning shows all that tells the name apart, or there is nothing to tell.
    let longest =
        |start: usize| (0..=letters.len() - start).rev().find(|length| fits(&cut_off(start, *length)));
    let from_start = longest(0).unwrap_or(0);
    let Some(telling) = telling.filter(|telling| telling.last >= from_start) else {
        return cut_off(0, from_start);
    };
    let first = telling.first.saturating_sub(KEPT_SHARED).min(letters.len());
    // In the middle: the beginning, and as much of the end as fits.
    let without_middle = |from: usize| -> String {
        text(0, KEPT_START).chain(Some(&'…')).chain(text(from, letters.len())).copied().collect()
    };
    if let Some(from) = (KEPT_START + 1..=first).find(|from| fits(&without_middle(*from))) {
        return without_middle(from);
    }
    // At the front, and if need be at the end.
    let start = (1..=first).find(|start| fits(&cut_off(*start, letters.len()))).unwrap_or(first);
    cut_off(start, longest(start).unwrap_or(0))
}

/// Returns the name of a slide of the session's list, shortened to `width` points of `font`.
pub fn slide_name_within(ui: &Ui, session: &Session, slide: &SlideId, font: &FontId, width: f32) -> String {
    let Some(state) = session.slide(slide) else { return slide.short().to_owned() };
    let name = state.source.info().name();
    let measured = |text: &str| {
        ui.ctx().fonts_mut(|fonts| text.chars().map(|letter| fonts.glyph_width(font, letter)).sum::<f32>())
    };
    // Widths of letters in a bold font are those of its regular weight.
    let width = if font.family == theme::bold() { width * 0.95 } else { width };
    if measured(&name) <= width {
        return name;
    }
    let others: Vec<String> = session.slides().iter().map(|slide| slide.source.info().name()).collect();
    let telling = Telling::of(&name, others.iter().map(String::as_str));
    shortened(&name, telling, |text| measured(text) <= width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(names: &[&str], letters: usize) -> Vec<String> {
        let short = |name: &&str| {
            let telling = Telling::of(name, names.iter().copied());
            shortened(name, telling, |text| text.chars().count() <= letters)
        };
        names.iter().map(short).collect()
    }

    #[test]
    fn what_tells_names_apart_stays_visible() {
        let names =
            ["TCGA-AA-3501-01Z-00-DX1.svs", "TCGA-AA-3501-01Z-00-DX2.svs", "TCGA-AA-3602-01Z-00-DX1.svs"];
        let short = within(&names, 22);
        assert_eq!(short, ["…A-3501-01Z-00-DX1.svs", "…A-3501-01Z-00-DX2.svs", "…A-3602-01Z-00-DX1.svs"]);
    }

    #[test]
    fn a_shared_beginning_is_cut_out_of_the_middle_or_at_the_front() {
        let names =
            ["2024-study of the large bowel, section 01", "2024-study of the large bowel, section 02"];
        assert_eq!(within(&names, 20), ["2024-s…l, section 01", "2024-s…l, section 02"]);
        assert_eq!(within(&names, 6), ["…on 01", "…on 02"]);
    }

    #[test]
    fn names_that_differ_at_their_beginning_are_cut_at_the_end() {
        assert_eq!(within(&["liver with a long name", "spleen"], 10), ["liver wit…", "spleen"]);
        assert_eq!(within(&["the only slide"], 8), ["the onl…"]);
        assert_eq!(within(&["same same", "same same"], 6), ["same …", "same …"]);
    }

    #[test]
    fn without_any_room_an_ellipsis_is_left() {
        assert_eq!(within(&["abcdef", "abcxyz"], 0), ["…", "…"]);
    }
}
