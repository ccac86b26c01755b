//! Export of what concepts find: tables, and regions for other programs.

use std::path::Path;

use super::export::{ExportError, Slides};
use histokin_core::annotation::{self, Annotation, AnnotationSet, Shape};
use histokin_core::concept::{Areas, Concept, PatientAreas, TileArea};
use histokin_core::durable;
use histokin_core::paths::FileStems;
use histokin_core::slide::SlideId;

/// Writes `slides.csv` with the area of a concept on each slide, `patients.csv` with that of each patient, and for
/// each slide where it is found its regions for QuPath (`.geojson`) and for ASAP (`.xml`) into `folder`, which is
/// created. `name` gives the name of a slide without its ending. Regions of a slide that is not in `slides` are
/// written for QuPath only, relative to the corner of level 0. Returns the names of the files.
///
/// # Errors
/// When a file cannot be written.
pub fn write_areas(
    concept: &Concept,
    (areas, patients): (&[Areas], &[PatientAreas]),
    slides: &Slides,
    name: impl Fn(&SlideId) -> String,
    folder: &Path,
) -> Result<Vec<String>, ExportError> {
    let io = |path: &Path, source| ExportError::Io { path: path.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(|source| io(folder, durable::advised(source)))?;
    let put = |file: &str, bytes: &[u8]| {
        let path = folder.join(file);
        durable::write(&path, bytes).map_err(|source| io(&path, source))
    };
    put("slides.csv", &slide_table(areas, &name).map_err(ExportError::format)?)?;
    put("patients.csv", &patient_table(patients).map_err(ExportError::format)?)?;
    let mut written = vec!["slides.csv".to_owned(), "patients.csv".to_owned()];
    let mut stems = FileStems::default();
    for slide in areas.iter().filter(|slide| slide.found.tiles > 0) {
        // Files in two folders may have the same name.
        let stem = stems.next(&name(&slide.slide), slide.slide.short());
        let set = regions(concept, slide);
        match slides.get(&slide.slide) {
            None => {
                let file = format!("{stem}.geojson");
                put(&file, annotation::write_geojson(&set, None).as_bytes())?;
                written.push(file);
            }
            Some(source) => {
                for ending in ["geojson", "xml"] {
                    let file = format!("{stem}.{ending}");
                    annotation::write_file(&folder.join(&file), &set, source.info())?;
                    written.push(file);
                }
            }
        }
    }
    Ok(written)
}

/// Returns the regions of a concept on one slide as annotations of its class.
pub fn regions(concept: &Concept, areas: &Areas) -> AnnotationSet {
    let region = |(number, polygon): (usize, &annotation::Polygon)| {
        let shape = Shape::Polygons(vec![polygon.clone()]);
        let mut one = Annotation::new(shape, Some(concept.class.clone()));
        one.name = Some(format!("{} {number}", concept.name));
        one
    };
    AnnotationSet::new((1..).zip(areas.shape.polygons().iter()).map(region))
}

fn slide_table(areas: &[Areas], name: impl Fn(&SlideId) -> String) -> csv::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["slide", "slide_id", "tiles", "area_mm2", "of_tiles", "of_area_mm2"])?;
    for slide in areas {
        let [tiles, area, of_tiles, of_area] = numbers(slide.found, slide.of);
        writer.write_record([name(&slide.slide), slide.slide.0.clone(), tiles, area, of_tiles, of_area])?;
    }
    finished(writer)
}

fn patient_table(patients: &[PatientAreas]) -> csv::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["patient", "slides", "tiles", "area_mm2", "of_tiles", "of_area_mm2"])?;
    for one in patients {
        let [tiles, area, of_tiles, of_area] = numbers(one.found, one.of);
        writer.write_record([one.patient.clone(), one.slides.to_string(), tiles, area, of_tiles, of_area])?;
    }
    finished(writer)
}

fn numbers(found: TileArea, of: TileArea) -> [String; 4] {
    let area = |area: TileArea| format!("{:.4}", area.mm2);
    [found.tiles.to_string(), area(found), of.tiles.to_string(), area(of)]
}

fn finished(writer: csv::Writer<Vec<u8>>) -> csv::Result<Vec<u8>> {
    writer.into_inner().map_err(|error| error.into_error().into())
}
