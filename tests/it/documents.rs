//! The documents: their links lead to files and headings, and the guide's summary lists all of its pages.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The documents in a folder, not those below it.
fn documents_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// Targets of the links and images of a document.
fn links(document: &Path) -> Vec<String> {
    let text = fs::read_to_string(document).unwrap();
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect()
}

/// The names by which links lead to a document's headings, as on GitHub: lower case, hyphens for spaces, no punctuation.
fn anchors(document: &Path) -> Vec<String> {
    let text = fs::read_to_string(document).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let words = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    let kept = |sign: &char| sign.is_alphanumeric() || matches!(sign, ' ' | '-' | '_');
    words
        .map(|words| words.chars().filter(kept).map(|sign| if sign == ' ' { '-' } else { sign }).collect())
        .collect()
}

#[test]
fn links_lead_to_files_and_headings() {
    let models = fs::read_dir(root().join("models")).unwrap().map(|entry| entry.unwrap().path());
    let folders: Vec<PathBuf> = ["", "docs", "docs/guide", "assets/slides", "scripts/encoder_experiments"]
        .iter()
        .map(|name| root().join(name))
        .chain(models.filter(|path| path.is_dir()))
        .collect();
    let mut to_headings = 0;
    for document in folders.iter().flat_map(|folder| documents_in(folder)) {
        for link in links(&document).iter().filter(|link| !link.starts_with("http")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link}", document.display());
            if !heading.is_empty() {
                assert!(anchors(&target).contains(&heading.to_owned()), "{}: {link}", document.display());
                to_headings += 1;
            }
        }
    }
    assert!(to_headings > 30, "{to_headings} links to headings were followed");
}

#[test]
fn the_summary_of_the_guide_lists_every_page() {
    let docs = root().join("docs");
    let listed = links(&docs.join("SUMMARY.md"));
    for page in documents_in(&docs).into_iter().chain(documents_in(&docs.join("guide"))) {
        let name = page.strip_prefix(&docs).unwrap().to_str().unwrap().to_owned();
        assert!(name == "SUMMARY.md" || listed.contains(&name), "{name} is not in the summary");
    }
}

#[test]
fn the_guide_shows_its_pictures_and_no_others_and_they_are_small() {
    let guide = root().join("docs/guide");
    let documents = documents_in(&guide).into_iter().chain([root().join("README.md")]);
    let shown: Vec<String> = documents.flat_map(|document| links(&document)).collect();
    let mut bytes = 0;
    for entry in fs::read_dir(guide.join("images")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_str().unwrap().to_owned();
        assert!(
            shown.iter().any(|link| link.ends_with(&format!("images/{name}"))),
            "{name} is shown nowhere"
        );
        bytes += entry.metadata().unwrap().len();
    }
    assert!(bytes <= 1_500_000, "{bytes} bytes of pictures");
}

/// The values of a key of a desktop entry or of an attribute in XML, one after the other.
fn between<'a>(text: &'a str, before: &str, after: char) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).collect()
}

#[test]
fn the_desktop_entry_names_the_types_of_slides_that_the_package_declares() {
    let packaging = root().join("packaging");
    let entry = fs::read_to_string(packaging.join("histokin.desktop")).unwrap();
    let types = fs::read_to_string(packaging.join("histokin.xml")).unwrap();
    let named: Vec<&str> = between(&entry, "MimeType=", '\n')[0].split_terminator(';').collect();
    let declared = between(&types, "<mime-type type=\"", '"');
    for one in &declared {
        assert!(named.contains(one), "{one} is not in the desktop entry");
    }
    for one in named.iter().filter(|one| one.starts_with("image/x-")) {
        assert!(declared.contains(one), "{one} is not declared");
    }
    assert!(between(&entry, "Exec=", '\n').iter().all(|line| line.starts_with("histokin ")), "{entry}");
}
