//! Why OpenSlide does not recognise a MIRAX slide. Its first file is a small JPEG for people to look at; the slide
//! itself lies in a folder of the same name beside it, and OpenSlide compares names letter by letter.

use std::path::Path;

/// The ending that OpenSlide looks for.
const ENDING: &str = "mrxs";
/// The file in the folder that OpenSlide looks for.
const INDEX: &str = "Slidedat.ini";

/// Why `path` is not recognised, with a remedy, where its name says that it is a MIRAX slide; else `None`.
pub(super) fn why_unrecognised(path: &Path) -> Option<String> {
    let ending = path.extension()?.to_str()?;
    if !ending.eq_ignore_ascii_case(ENDING) {
        return None;
    }
    let stem = path.file_stem()?.to_string_lossy().into_owned();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut remedies = Vec::new();
    let mut reasons = Vec::new();
    if ending != ENDING {
        reasons.push(format!("its name ends in “.{ending}” instead of “.{ENDING}”"));
        remedies.push(format!("rename the file to “{stem}.{ENDING}”"));
    }
    let Some(folder) = entry_named(parent, &stem) else {
        return Some(format!(
            "the folder “{stem}” with the slide itself ({INDEX} and more) has to lie beside it; copy it there"
        ));
    };
    if folder != stem {
        reasons.push(format!("the folder beside it is spelt “{folder}” instead of “{stem}”"));
        remedies.push(format!("rename the folder to “{stem}”"));
    }
    match entry_named(&parent.join(&folder), INDEX) {
        None => {
            return Some(format!(
                "{INDEX} is missing in the folder “{folder}” beside it; copy the whole folder again"
            ));
        }
        Some(index) if index != INDEX => {
            reasons.push(format!("the file in its folder is spelt “{index}” instead of “{INDEX}”"));
            remedies.push(format!("rename that file to “{INDEX}”"));
        }
        Some(_) => {}
    }
    if reasons.is_empty() {
        return Some(format!("{INDEX} in its folder “{folder}” is damaged; copy the whole folder again"));
    }
    Some(format!("{}; {}", reasons.join(", and "), remedies.join(", and ")))
}

/// The name of the entry of `folder` that is spelt like `name` but for the case of its letters; the same spelling
/// first.
fn entry_named(folder: &Path, name: &str) -> Option<String> {
    let names = std::fs::read_dir(folder).ok()?.flatten();
    let mut alike: Vec<String> = names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|entry| entry.to_lowercase() == name.to_lowercase())
        .collect();
    alike.sort_by_key(|entry| entry != name);
    alike.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_names_what_is_spelt_otherwise() {
        for (file, folder, index, expected) in [
            ("a.MRXS", Some("a"), INDEX, &["“.MRXS”", "rename the file to “a.mrxs”"][..]),
            ("a.mrxs", Some("A"), INDEX, &["spelt “A”", "rename the folder to “a”"]),
            ("a.Mrxs", Some("A"), INDEX, &["rename the file to “a.mrxs”", "rename the folder to “a”"]),
            ("a.mrxs", Some("a"), "SLIDEDAT.INI", &["spelt “SLIDEDAT.INI”"]),
            ("a.mrxs", Some("a"), "other", &["Slidedat.ini is missing"]),
            ("a.mrxs", None, "", &["folder “a”", "copy it there"]),
        ] {
            let place = tempfile::tempdir().unwrap();
            if let Some(folder) = folder {
                std::fs::create_dir(place.path().join(folder)).unwrap();
                std::fs::write(place.path().join(folder).join(index), "").unwrap();
            }
            let reason = why_unrecognised(&place.path().join(file)).expect("it is a MIRAX slide");
            for part in expected {
                assert!(reason.contains(part), "{file}: {reason}");
            }
        }
        assert_eq!(why_unrecognised(Path::new("a.svs")), None);
    }
}
