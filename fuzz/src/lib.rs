//! What each fuzz target does with the bytes of a file: it is read, and what is read has to be consistent.
//!
//! `tests/it/mutated_files.rs` calls the same functions with files that are damaged at random.

use std::cell::OnceCell;
use std::io::Cursor;
use std::path::Path;

use histokin::annotation::{AnnotationSet, read_bytes, write_asap, write_geojson};
use histokin::descriptors::{DescriptorStore, Recipe, Row};
use histokin::encoder::{EncoderId, weights};
use histokin::evaluation::labels::read_labels;
use histokin::geometry::MicronsPerPixel;
use histokin::interchange::read_features;
use histokin::project::Project;
use histokin::query::QueryHistory;
use histokin::slide::SlideId;
use histokin::stain::StainSetting;
use histokin::tiling::TileSettings;
use histokin::training::TrainingConfig;
use histokin_core::{annotation, index, slide};

/// Annotations of QuPath, ASAP and ImageScope in any encoding, plain and packed; what is read is written and read again
/// as the same, as GeoJSON and as XML.
pub fn annotations(file: &[u8]) {
    let Ok(read) = read_bytes(file, Path::new("a.geojson")) else { return };
    let written = write_geojson(&read.set, None);
    let again = read_bytes(written.as_bytes(), Path::new("b.geojson")).expect("what is written can be read");
    assert_eq!(again.set.len(), read.set.len());
    let parents = |set: &AnnotationSet| set.iter().filter(|one| one.parent.is_some()).count();
    assert_eq!(parents(&again.set), parents(&read.set));
    read.set.iter().take(8).for_each(|one| _ = one.shape().area_px2());
    let (xml, _) = write_asap(&read.set);
    read_bytes(xml.as_bytes(), Path::new("c.xml")).expect("the XML that is written can be read");
}

/// A descriptor file in a project, whatever its checksum.
pub fn descriptors(file: &[u8]) {
    let slide = SlideId("a".repeat(8));
    let recipe = Recipe {
        encoder_id: EncoderId("test".to_owned()),
        encoder_name: "test".to_owned(),
        tiles: TileSettings::default(),
        stain: StainSetting::None,
    };
    in_folder(|folder| {
        let store = DescriptorStore::new(folder);
        std::fs::write(store.path(&slide, &recipe), file).expect("memory");
        if let Ok(Some(set)) = store.open_unchecked(&slide, &recipe) {
            for row in (0..set.len() as u32).map(Row) {
                assert_eq!(set.descriptor(row).len(), set.width());
                let _ = set.row_at(set.rect(row).center());
            }
        }
    });
}

/// The elements of a DICOM file that identify its series, and where its tiles lie.
pub fn dicom(file: &[u8]) {
    slide::fuzz_dicom(file);
}

/// Descriptors made elsewhere: HDF5 and safetensors.
pub fn features(file: &[u8]) {
    for name in ["a.h5", "a.safetensors"] {
        as_file(name, file, |path| {
            if let Ok(read) = read_features(path) {
                assert_eq!(read.values.len(), read.positions.len() * read.width);
                assert!(read.values.iter().all(|value| value.is_finite()));
                for mpp in [None, MicronsPerPixel::square(0.25).ok()] {
                    let _ = read.stated.tile_level0(None, mpp);
                }
                let _ = read.stated.size_problem([2220, 2967], 256);
            }
        });
    }
}

/// A part of the index on the disk, whatever its checksum.
pub fn index_segment(file: &[u8]) {
    index::fuzz_layout(file);
}

/// The journal beside a project's annotations, whatever its checksums.
pub fn journal(file: &[u8]) {
    annotation::fuzz_journal(file);
}

/// A JPEG tile of a slide, put together with shared tables and decoded.
pub fn jpeg_tile(file: &[u8]) {
    slide::fuzz_jpeg_tile(file);
}

/// Labels: tables and annotations.
pub fn labels(file: &[u8]) {
    for name in ["a.csv", "a.xml", "a.geojson"] {
        as_file(name, file, |path| _ = read_labels(path, &|_| None));
    }
}

/// Weights as Python's torch saves them, in both of its containers.
pub fn pickled_weights(file: &[u8]) {
    as_file("weights.pth", file, |path| _ = weights::read_bytes(path));
}

/// A project's folder: its settings, its query history and judgements.
pub fn project(file: &[u8]) {
    for name in ["project.toml", "queries.json", "judgements.csv", "training.toml"] {
        as_file(name, file, |path| {
            let folder = path.parent().expect("it lies in a folder");
            if let Ok(project) = Project::open(folder) {
                for entry in project.slides() {
                    let inside = project.annotations().path(&entry.id);
                    assert_eq!(inside.parent(), Some(project.root().join("annotations").as_path()));
                }
            }
            let _ = QueryHistory::load(folder);
            let _ = TrainingConfig::read(path);
        });
    }
}

/// What tells a slide from others.
pub fn slide_identity(file: &[u8]) {
    slide::fuzz_identity(file);
}

/// Where the tiles of a TIFF file lie.
pub fn tiff_directories(file: &[u8]) {
    slide::fuzz_tiff_directories(Cursor::new(file));
}

/// Tiles and strips of a TIFF file, decoded.
pub fn tiff_tile(file: &[u8]) {
    slide::fuzz_tiff_tile(file);
}

thread_local! {
    /// In memory where there is a file system for that.
    static FOLDER: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
}

/// Calls `read` with a folder, and empties it afterwards.
fn in_folder(read: impl FnOnce(&Path)) {
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| {
            let memory = Path::new("/dev/shm");
            let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
            made.expect("a folder for temporary files")
        });
        read(folder.path());
        for entry in std::fs::read_dir(folder.path()).expect("it is there").flatten() {
            let _ = std::fs::remove_file(entry.path());
        }
    });
}

/// Calls `read` with the path of a file of these bytes.
fn as_file(name: &str, bytes: &[u8], read: impl FnOnce(&Path)) {
    in_folder(|folder| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("memory");
        read(&path);
    });
}
