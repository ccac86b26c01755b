//! Explains why OpenSlide does not recognise a MIRAX slide. The `.mrxs` file is only a small preview JPEG;
//! the slide itself is in a folder of the same name next to it, and OpenSlide compares names
//! case-sensitively.

use std::path::Path;

/// The file extension that OpenSlide expects.
const EXTENSION: &str = "mrxs";
/// The file that OpenSlide expects in the folder.
const INDEX: &str = "Slidedat.ini";

/// Returns why `path` is not recognised, with a remedy, if its extension is that of a MIRAX slide.
pub(super) fn why_unrecognised(path: &Path) -> Option<String> {
    let extension = path.extension()?.to_str()?;
    if !extension.eq_ignore_ascii_case(EXTENSION) {
        return None;
    }
    let stem = path.file_stem()?.to_string_lossy().into_owned();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut remedies = Vec::new();
    let mut reasons = Vec::new();
    if extension != EXTENSION {
        reasons.push(format!("its name ends in “.{extension}” instead of “.{EXTENSION}”"));
        remedies.push(format!("rename the file to “{stem}.{EXTENSION}”"));
    }
    let Some(folder) = entry_named(parent, &stem) else {
        return Some(format!(
            "the folder “{stem}” with the slide data ({INDEX} and more) has to be next to it; copy it there"
        ));
    };
    if folder != stem {
        reasons.push(format!("the folder next to it is spelt “{folder}” instead of “{stem}”"));
        remedies.push(format!("rename the folder to “{stem}”"));
    }
    match entry_named(&parent.join(&folder), INDEX) {
        None => {
            return Some(format!(
                "{INDEX} is missing from the folder “{folder}” next to it; copy the whole folder again"
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

/// Returns the name of the entry of `folder` that equals `name` except for case; an exact match is preferred.
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
            let parent = tempfile::tempdir().unwrap();
            if let Some(folder) = folder {
                std::fs::create_dir(parent.path().join(folder)).unwrap();
                std::fs::write(parent.path().join(folder).join(index), "").unwrap();
            }
            let reason = why_unrecognised(&parent.path().join(file)).expect("it is a MIRAX slide");
            for part in expected {
                assert!(reason.contains(part), "{file}: {reason}");
            }
        }
        assert_eq!(why_unrecognised(Path::new("a.svs")), None);
    }
}
