//! Slide names in little room: what a name shares with the other names is left out, not what tells them apart.

use egui::{FontId, Id, Ui};

use crate::session::Session;
use crate::slide::SlideId;
use crate::ui::theme;

/// Characters kept at the beginning of a name whose shared part is cut out of the middle.
const KEPT_START: usize = 6;

/// Shared characters kept before the first one that differs from another name.
const KEPT_SHARED: usize = 2;

/// Characters that have to be seen from the first one that differs on, since one alone is easily overlooked.
const KEPT_TELLING: usize = 4;

/// What a shortened name depends on: the name, the bits of the width, and the number of slides in the list.
type Key = (String, u32, usize);

/// Where other names begin to differ from `name`, in characters from 0, ascending.
fn telling<'a>(name: &str, others: impl IntoIterator<Item = &'a str>) -> Vec<usize> {
    let shared = |other: &str| name.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let mut positions: Vec<usize> = others.into_iter().filter(|other| *other != name).map(shared).collect();
    positions.sort_unstable();
    positions.dedup();
    positions
}

/// Returns `name`, shortened until it `fits`. An ellipsis replaces a part that tells it apart from no other name, whose
/// differences begin at the positions `telling`; only if that is not enough is more cut off its end.
fn shortened(name: &str, telling: &[usize], fits: impl Fn(&str) -> bool) -> String {
    if fits(name) {
        return name.to_owned();
    }
    let letters: Vec<char> = name.chars().collect();
    // The name without the characters from `from` to before `to`.
    let without = |from: usize, to: usize| -> String {
        let (from, to) = (from.min(letters.len()), to.min(letters.len()));
        letters[..from].iter().chain(Some(&'…')).chain(&letters[to..]).collect()
    };
    let from_start = (0..letters.len()).rev().find(|kept| fits(&without(*kept, letters.len()))).unwrap_or(0);
    let is_hidden = |last: usize| (last + KEPT_TELLING).min(letters.len()) > from_start;
    let Some(last) = telling.last().copied().filter(|last| is_hidden(*last)) else {
        return without(from_start, letters.len());
    };
    // Between two differences, or before the first one: with the beginning kept, or without it.
    let before = |difference: usize| difference.saturating_sub(KEPT_SHARED);
    let between = telling.windows(2).map(|pair| ((pair[0] + 1).max(KEPT_START), before(pair[1])));
    let first = before(telling[0]);
    let gaps = between.chain([(KEPT_START, first), (0, first)]);
    let shorter = |(from, to): (usize, usize)| (from + 1..=to).map(move |to| (from, to));
    if let Some((from, to)) = gaps.flat_map(shorter).find(|(from, to)| fits(&without(*from, *to))) {
        return without(from, to);
    }
    // What tells it apart from the most similar name, and what fits of the rest.
    let start = before(last);
    let rest = |kept: usize| -> String {
        let end = (start + kept).min(letters.len());
        let cut = (end < letters.len()).then_some(&'…');
        Some(&'…').into_iter().chain(&letters[start..end]).chain(cut).collect()
    };
    let kept = (1..=letters.len() - start).rev().find(|kept| fits(&rest(*kept)));
    kept.map_or_else(|| "…".to_owned(), rest)
}

/// Returns the name of a slide of the session's list, shortened to `width` points of `font`.
pub fn slide_name_within(ui: &Ui, session: &Session, slide: &SlideId, font: &FontId, width: f32) -> String {
    let Some(name) = session.slide_name(slide) else { return slide.short().to_owned() };
    let measured = |text: &str| {
        ui.ctx().fonts_mut(|fonts| text.chars().map(|letter| fonts.glyph_width(font, letter)).sum::<f32>())
    };
    // Widths of letters in a bold font are those of its regular weight.
    let width = if font.family == theme::bold() { width * 0.95 } else { width };
    if measured(&name) <= width {
        return name;
    }
    // Lists are drawn in every frame, and shortening measures many candidates.
    let slot = Id::unique(("short name", slide, font.size.to_bits(), &font.family));
    let key = (name, width.to_bits(), session.slides().len());
    let known = ui.ctx().data(|data| data.get_temp::<(Key, String)>(slot));
    if let Some((_, short)) = known.filter(|(known, _)| *known == key) {
        return short;
    }
    let name = &key.0;
    let others: Vec<String> =
        session.slides().iter().filter_map(|slide| session.slide_name(&slide.source.info().id)).collect();
    let telling = telling(name, others.iter().map(String::as_str));
    let short = shortened(name, &telling, |text| measured(text) <= width);
    ui.ctx().data_mut(|data| data.insert_temp(slot, (key, short.clone())));
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(names: &[&str], letters: usize) -> Vec<String> {
        let short = |name: &&str| {
            let telling = telling(name, names.iter().copied());
            shortened(name, &telling, |text| text.chars().count() <= letters)
        };
        names.iter().map(short).collect()
    }

    #[test]
    fn what_tells_names_apart_stays_visible() {
        let names =
            ["TCGA-AA-3501-01Z-00-DX1.svs", "TCGA-AA-3501-01Z-00-DX2.svs", "TCGA-AA-3602-01Z-00-DX1.svs"];
        let short = within(&names, 22);
        assert_eq!(short, ["TCGA-AA-35…-00-DX1.svs", "TCGA-AA-35…-00-DX2.svs", "TCGA-AA-3602-01Z-00-D…"]);
        let distinct: std::collections::HashSet<_> = within(&names, 9).into_iter().collect();
        assert_eq!(distinct.len(), names.len(), "{distinct:?}");
    }

    #[test]
    fn a_shared_beginning_is_cut_out_of_the_middle_or_at_the_front() {
        let names =
            ["2024-study of the large bowel, section 01", "2024-study of the large bowel, section 02"];
        assert_eq!(within(&names, 20), ["2024-s…l, section 01", "2024-s…l, section 02"]);
        assert_eq!(within(&names, 6), ["…on 01", "…on 02"]);
        // Names of another kind beside them change nothing.
        let names = [names[0], names[1], "CMU-1.svs", "panel"];
        assert_eq!(within(&names, 20)[..2], ["2024-s…l, section 01", "2024-s…l, section 02"]);
    }

    #[test]
    fn more_than_one_letter_of_a_difference_is_seen() {
        let names = ["CMU-1-Small-Region.svs", "CMU-1-Small-Region-rotated-cut.tif"];
        assert_eq!(within(&names, 20), ["CMU-1-…ll-Region.svs", "…ion-rotated-cut.tif"]);
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
