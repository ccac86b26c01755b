//! Labels in a folder: tables, and, named after their slides, annotations or mask images whose grey values
//! are classes.

use std::path::{Path, PathBuf};

use super::{Area, LabelError, Labels, read_annotations, read_table};
use histokin_core::geometry::Level0Rect;
use histokin_core::slide::SlideInfo;

/// Reads labels of any supported format from a file or a folder. `find` returns information on the slide with
/// a given file stem, if there is one: masks need its size, QuPath's files the corner of its scanned region.
///
/// # Errors
/// [`LabelError`] with the file, and the line where there is one.
pub fn read_labels(path: &Path, find: &dyn Fn(&str) -> Option<SlideInfo>) -> Result<Labels, LabelError> {
    if path.is_dir() { read_folder(path, find) } else { read_file(path, find) }
}

/// Reads every label file in a folder: tables, and files named after slides.
///
/// # Errors
/// As [`read_labels`], and when the folder contains no label files.
pub fn read_folder(folder: &Path, find: &dyn Fn(&str) -> Option<SlideInfo>) -> Result<Labels, LabelError> {
    let io = |source| LabelError::Io { path: folder.to_owned(), source };
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).map_err(io)?.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut labels = Labels::default();
    let mut used = 0;
    for path in paths.iter().filter(|path| path.is_file() && is_supported(path)) {
        let is_image = matches!(ending(path).as_str(), "png" | "tif" | "tiff");
        if is_image && find(&slide_stem(path)).is_none() {
            continue;
        }
        labels.join(read_file(path, find)?);
        used += 1;
    }
    if used == 0 {
        return Err(LabelError::file(
            folder,
            "no labels here; a folder may contain tables (.csv, .tsv) and, named after their slides, annotations (.geojson, .xml) or masks (.png, .tif)",
        ));
    }
    Ok(labels)
}

/// Returns the path without the extension of compressed files.
fn unpacked(path: &Path) -> PathBuf {
    let is_packed = path
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("gz") || ending.eq_ignore_ascii_case("zip"));
    if is_packed { path.with_extension("") } else { path.to_owned() }
}

/// Returns the extension of a file, or of what is compressed in it, in lower case.
fn ending(path: &Path) -> String {
    unpacked(path).extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

fn is_supported(path: &Path) -> bool {
    // macOS keeps metadata of files on foreign disks in hidden files with the same extension.
    let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    !is_hidden
        && matches!(
            ending(path).as_str(),
            "csv" | "tsv" | "geojson" | "json" | "xml" | "annotations" | "png" | "tif" | "tiff"
        )
}

/// Returns the stem of the slide that a file belongs to: the file's stem without a mask suffix.
fn slide_stem(path: &Path) -> String {
    let stem = unpacked(path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    ["_mask", "-mask", ".mask"].iter().find_map(|mark| stem.strip_suffix(mark)).unwrap_or(&stem).to_owned()
}

fn read_file(path: &Path, find: &dyn Fn(&str) -> Option<SlideInfo>) -> Result<Labels, LabelError> {
    match ending(path).as_str() {
        "csv" | "tsv" => read_table(path),
        "png" | "tif" | "tiff" => read_mask(path, find),
        "geojson" | "json" | "xml" | "annotations" => {
            let stem = slide_stem(path);
            let (drawn, notes) = read_annotations(path, find(&stem).as_ref())?;
            Ok(Labels { slides: [(stem, drawn)].into(), notes, ..Labels::default() })
        }
        _ => Err(LabelError::file(
            path,
            "labels are a table (.csv, .tsv), or annotations (.geojson, .xml) and masks (.png, .tif) named after their slides",
        )),
    }
}

/// Maximum number of areas of one mask, of about 200 bytes each.
const MOST_AREAS: usize = 1 << 22;

/// Reads a mask, an image of the whole slide at any scale: 0 is unknown, 255 tumour, any other value `n` the
/// class `class n`.
fn read_mask(path: &Path, find: &dyn Fn(&str) -> Option<SlideInfo>) -> Result<Labels, LabelError> {
    let stem = slide_stem(path);
    let Some(info) = find(&stem) else {
        return Err(LabelError::file(
            path,
            format!("there is no slide {stem:?} for this mask; name it after its slide"),
        ));
    };
    let (width, height) = (info.width(), info.height());
    let mask = image::ImageReader::open(path)
        .map_err(|source| LabelError::Io { path: path.to_owned(), source })?
        .with_guessed_format()
        .map_err(|source| LabelError::Io { path: path.to_owned(), source })?
        .decode()
        .map_err(|error| LabelError::file(path, format!("it cannot be read as a mask: {error}")))?
        .into_luma8();
    let scale = [f64::from(width) / f64::from(mask.width()), f64::from(height) / f64::from(mask.height())];
    if (scale[0] / scale[1] - 1.0).abs() > 0.02 {
        return Err(LabelError::file(
            path,
            format!(
                "the mask has {} × {} pixels and the slide {width} × {height}: not the same shape, so they do not belong together",
                mask.width(),
                mask.height()
            ),
        ));
    }
    let mut labels = Labels::default();
    let mut areas_left = MOST_AREAS;
    let areas = &mut labels.slides.entry(stem).or_default().areas;
    for (row, values) in (0..mask.height()).zip(mask.rows()) {
        let values: Vec<u8> = values.map(|pixel| pixel.0[0]).collect();
        let mut start = 0_u32;
        for run in values.chunk_by(|a, b| a == b) {
            let end = start + run.len() as u32;
            let class = match run[0] {
                0 => None,
                255 => Some("tumour".to_owned()),
                other => Some(format!("class {other}")),
            };
            if let Some(class) = class {
                areas_left = areas_left.checked_sub(1).ok_or_else(|| {
                    LabelError::file(
                        path,
                        "its classes form too many separate areas; save the mask at a lower resolution",
                    )
                })?;
                let edge = |pixel: u32, axis: usize| (f64::from(pixel) * scale[axis]).round();
                let (left, top) = (edge(start, 0), edge(row, 1));
                let rect = Level0Rect::new(
                    left as i64,
                    top as i64,
                    (edge(end, 0) - left) as u32,
                    (edge(row + 1, 1) - top) as u32,
                );
                areas.entry(class).or_default().push(Area::rectangle(&rect));
            }
            start = end;
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(width: u32, height: u32) -> SlideInfo {
        SlideInfo {
            id: histokin_core::slide::SlideId("made".to_owned()),
            former_ids: Vec::new(),
            path: "slide.tif".into(),
            vendor: "none".to_owned(),
            reader: histokin_core::slide::Reader::OpenSlide,
            levels: vec![histokin_core::slide::Level::finest(width, height)],
            mpp: None,
            mpp_source: histokin_core::slide::MppSource::Unknown,
            objective_power: None,
            associated: Vec::new(),
            properties: std::collections::BTreeMap::new(),
            channels: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_mask_tells_classes_at_any_scale() {
        let folder = tempfile::tempdir().unwrap();
        let mut mask = image::GrayImage::new(40, 20);
        image::imageops::replace(
            &mut mask,
            &image::GrayImage::from_pixel(10, 10, image::Luma([255])),
            20,
            10,
        );
        mask.save(folder.path().join("slide_mask.png")).unwrap();
        mask.save(folder.path().join("other.png")).unwrap();
        let find = |stem: &str| (stem == "slide").then(|| info(4000, 2000));
        let labels = read_labels(folder.path(), &find).unwrap();
        assert_eq!(labels.slides.len(), 1, "the other image belongs to no slide");
        let tiles = [Level0Rect::new(2000, 1000, 1000, 1000), Level0Rect::new(1500, 1000, 1000, 1000)];
        let slide = &labels.slides["slide"];
        assert_eq!(slide.classes_of(&tiles, 0.5).0, [Some("tumour"), Some("tumour")]);
        assert_eq!(slide.classes_of(&tiles, 0.6).0, [Some("tumour"), None]);

        let narrow = |_: &str| Some(info(4000, 4000));
        let wrong = read_labels(&folder.path().join("slide_mask.png"), &narrow).unwrap_err();
        assert!(wrong.to_string().contains("not the same shape"), "{wrong}");
    }

    #[test]
    fn compressed_annotations_count_and_hidden_files_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],[0,0]]]},
            "properties":{"classification":"Tumor"}}"#;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
        std::fs::write(folder.path().join("a.svs.geojson.gz"), packed.finish().unwrap()).unwrap();
        std::fs::write(folder.path().join("._a.geojson"), b"\0\x05\x16\x07Mac OS X").unwrap();
        std::fs::write(folder.path().join("b.tsv"), "Slide\tX\tY\tWidth\tHeight\tClass\nb\t0\t0\t9\t9\tS\n")
            .unwrap();
        let labels = read_labels(folder.path(), &|_| None).unwrap();
        assert_eq!(labels.slides.keys().collect::<Vec<_>>(), ["a.svs", "b"]);
        assert_eq!(labels.classes(), ["S", "Tumor"]);
    }

    #[test]
    fn a_folder_without_labels_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("notes.txt"), "nothing").unwrap();
        assert!(read_labels(folder.path(), &|_| None).unwrap_err().to_string().contains("no labels"));
    }
}
