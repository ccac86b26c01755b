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
    let mut out = Writer::new(folder, slides)?;
    out.put("slides.csv", &slide_table(areas, &name).map_err(ExportError::format)?)?;
    out.put("patients.csv", &patient_table(patients).map_err(ExportError::format)?)?;
    for slide in areas.iter().filter(|slide| slide.found.tiles > 0) {
        out.put_regions(&slide.slide, &name(&slide.slide), regions(concept, slide))?;
    }
    Ok(out.written)
}

/// Writes a class map as [`write_areas`] writes what one concept finds: `classes.csv` with the area of each of the
/// `concepts` and of none of them on each slide, and the regions of all classes of a slide in one file for QuPath and one
/// for ASAP. `areas` are those of each slide, in the order of the concepts ([`histokin_core::concept::class_areas`]).
///
/// # Errors
/// When a file cannot be written.
pub fn write_class_map(
    concepts: &[&Concept],
    areas: &[Vec<Areas>],
    slides: &Slides,
    name: impl Fn(&SlideId) -> String,
    folder: &Path,
) -> Result<Vec<String>, ExportError> {
    let mut out = Writer::new(folder, slides)?;
    out.put("classes.csv", &class_table(concepts, areas, &name).map_err(ExportError::format)?)?;
    for of_slide in areas {
        let found = || concepts.iter().zip(of_slide).filter(|(_, found)| found.found.tiles > 0);
        let Some((_, first)) = found().next() else { continue };
        let all = found().flat_map(|(concept, found)| regions(concept, found));
        out.put_regions(&first.slide, &name(&first.slide), all)?;
    }
    Ok(out.written)
}

/// Writes files of one export into a folder.
struct Writer<'a> {
    folder: &'a Path,
    slides: &'a Slides,
    /// Files in two folders may have the same name.
    stems: FileStems,
    /// Names of the files that were written.
    written: Vec<String>,
}

impl<'a> Writer<'a> {
    fn new(folder: &'a Path, slides: &'a Slides) -> Result<Self, ExportError> {
        std::fs::create_dir_all(folder).map_err(|source| ExportError::Io {
            path: folder.to_owned(),
            source: durable::advised(source),
        })?;
        Ok(Self { folder, slides, stems: FileStems::default(), written: Vec::new() })
    }

    fn put(&mut self, file: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let path = self.folder.join(file);
        durable::write(&path, bytes).map_err(|source| ExportError::Io { path, source })?;
        self.written.push(file.to_owned());
        Ok(())
    }

    /// Writes regions of a slide of this name.
    fn put_regions(
        &mut self,
        slide: &SlideId,
        name: &str,
        regions: impl IntoIterator<Item = Annotation>,
    ) -> Result<(), ExportError> {
        let stem = self.stems.next(name, slide.short());
        let set = AnnotationSet::new(regions);
        let Some(source) = self.slides.get(slide) else {
            return self.put(&format!("{stem}.geojson"), annotation::write_geojson(&set, None).as_bytes());
        };
        for ending in ["geojson", "xml"] {
            let file = format!("{stem}.{ending}");
            annotation::write_file(&self.folder.join(&file), &set, source.info())?;
            self.written.push(file);
        }
        Ok(())
    }
}

/// Returns the regions of a concept on one slide as annotations of its class.
fn regions(concept: &Concept, areas: &Areas) -> impl Iterator<Item = Annotation> {
    let polygons = areas.shape.polygons().into_owned();
    (1..).zip(polygons).map(move |(number, polygon): (usize, _)| {
        let mut one = Annotation::new(Shape::Polygons(vec![polygon]), Some(concept.class.clone()));
        one.name = Some(format!("{} {number}", concept.name));
        one
    })
}

/// What tiles belong to that belong to no concept.
pub const NO_CONCEPT: &str = "none of them";

fn class_table(
    concepts: &[&Concept],
    areas: &[Vec<Areas>],
    name: impl Fn(&SlideId) -> String,
) -> csv::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "slide",
        "slide_id",
        "concept",
        "class",
        "tiles",
        "area_mm2",
        "of_tiles",
        "of_area_mm2",
    ])?;
    for (class, found) in areas.iter().flat_map(|of_slide| of_slide.iter().enumerate()) {
        let concept = concepts.get(class);
        let of_concept = concept.map_or(NO_CONCEPT, |concept| &concept.name);
        let class = concept.map_or("", |concept| &concept.class.name);
        let what = [&name(&found.slide), found.slide.0.as_str(), of_concept, class].map(str::to_owned);
        writer.write_record(what.iter().chain(&numbers(found.found, found.of)))?;
    }
    finished(writer)
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
