//! Names under which tables and files of other programs list slides.
//!
//! They have another folder than the slide, the separators of another system, another extension or none, other capital
//! letters, or another Unicode form (macOS decomposes `é` into two characters). A name that no slide has as it stands is
//! compared without these differences.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;

/// Extensions of files that count as slides when a folder is searched, in lower case. A file that the user names directly
/// is always tried.
pub const EXTENSIONS: [&str; 27] = [
    "svs", "tif", "tiff", "btf", "tf2", "tf8", "qptiff", "ndpi", "scn", "mrxs", "bif", "vms", "vmu", "czi",
    "dcm", "dicom", "svslide", "zvi", "lif", "png", "jpg", "jpeg", "jpe", "jfif", "bmp", "dib", "webp",
];

/// Extensions of files of features, by which tables of STAMP and CLAM name slides.
const FEATURE_EXTENSIONS: [&str; 3] = ["h5", "pt", "safetensors"];

/// How well a name fits a slide; the smaller, the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fit {
    rank: usize,
    /// Whether the name has a folder, and is the slide's without it only: the slide may be another one with the same
    /// file name.
    pub is_by_file_alone: bool,
}

/// Returns a name in the form in which names are compared: composed (NFC), in lower case, with `/` between folders.
pub fn plain(name: &str) -> String {
    // In upper case first, since ß is SS there.
    name.trim().nfc().collect::<String>().to_uppercase().to_lowercase().replace('\\', "/")
}

/// Returns the plain forms of a name, from the whole of it to ever less: with the last folder, the file name, and that
/// without the extension of a slide or of its features.
pub fn forms(name: &str) -> Vec<String> {
    let whole = plain(name);
    let file = whole.rsplit('/').next().unwrap_or_default().to_owned();
    let with_folder = whole.rmatch_indices('/').nth(1).map(|(at, _)| whole[at + 1..].to_owned());
    let is_known = |ending: &str| EXTENSIONS.contains(&ending) || FEATURE_EXTENSIONS.contains(&ending);
    let stem = file.rsplit_once('.').filter(|(stem, ending)| !stem.is_empty() && is_known(ending));
    let stem = stem.map(|(stem, _)| stem.to_owned());
    let mut forms = vec![whole];
    forms.extend(with_folder);
    forms.push(file);
    forms.extend(stem);
    forms.dedup();
    forms
}

/// Returns how a name fits a slide whose names are `own`, the most specific first; `None` if it does not.
pub fn fit(name: &str, own: &[&str]) -> Option<Fit> {
    if let Some(rank) = own.iter().position(|one| *one == name) {
        return Some(Fit { rank, is_by_file_alone: false });
    }
    let own: Vec<String> = own.iter().map(|one| plain(one)).collect();
    let has_folder = |form: &str| form.contains('/');
    let forms = forms(name);
    let is_in_folder = forms.first().is_some_and(|whole| has_folder(whole));
    forms.iter().enumerate().find_map(|(less, form)| {
        let position = own.iter().position(|one| one == form)?;
        let rank = own.len() * (less + 1) + position;
        Some(Fit { rank, is_by_file_alone: is_in_folder && !has_folder(form) })
    })
}

/// Returns the value of the key that `name` means: the one that is equal to it or, if there is none, the first that it
/// [fits](fit).
pub fn among<'a, T>(name: &str, by_name: &'a HashMap<String, T>) -> Option<&'a T> {
    let fitting = || {
        let fits = by_name.iter().filter_map(|(key, value)| Some((fit(name, &[key])?, key, value)));
        fits.min_by_key(|(fit, key, _)| (*fit, *key)).map(|(.., value)| value)
    };
    by_name.get(name).or_else(fitting)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [&str; 5] =
        ["0123abcd", "/data/P1/Mu\u{308}ller 1.svs", "P1/Müller 1.svs", "Müller 1.svs", "Müller 1"];

    #[test]
    fn a_slide_is_recognised_whatever_another_system_made_of_its_name() {
        for name in [
            "Müller 1",
            "Mu\u{308}ller 1",
            "MÜLLER 1.SVS",
            "müller 1.ndpi",
            "Müller 1.h5",
            " P1\\Müller 1.svs ",
            "D:\\slides\\P1\\Müller 1.svs",
        ] {
            assert_eq!(fit(name, &OWN).map(|fit| fit.is_by_file_alone), Some(false), "{name}");
        }
        for name in ["D:\\P2\\Müller 1.svs", "elsewhere/Müller 1.tif", "x/Müller 1"] {
            assert_eq!(fit(name, &OWN).map(|fit| fit.is_by_file_alone), Some(true), "{name}");
        }
        for name in ["Müller", "Müller 1.2", "Müller 1.csv", "Muller 1", "P1", ""] {
            assert_eq!(fit(name, &OWN), None, "{name}");
        }
    }

    #[test]
    fn capital_letters_do_not_matter_where_there_is_none() {
        assert_eq!(fit("GRÖSSE 2.TIF", &["Größe 2.tif"]), fit("größe 2.TIF", &["Größe 2.tif"]));
        assert!(fit("GRÖSSE 2.TIF", &["Größe 2.tif"]).is_some());
    }

    #[test]
    fn the_best_name_counts() {
        assert!(fit("Müller 1.svs", &OWN) < fit("Müller 1", &OWN));
        assert!(fit("Müller 1", &OWN) < fit("müller 1.svs", &OWN), "as it stands before other letters");
        assert!(fit("x/P1/müller 1.svs", &OWN) < fit("x/P2/müller 1.svs", &OWN));
        let by_name = HashMap::from([("a.svs".to_owned(), 1), ("A".to_owned(), 2)]);
        assert_eq!(among("a.svs", &by_name), Some(&1));
        assert_eq!(among("a", &by_name), Some(&2));
        assert_eq!(among("a.tif", &by_name), Some(&2));
        assert_eq!(among("b", &by_name), None);
    }
}
