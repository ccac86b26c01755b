//! The tiles on which encoders are compared: tiles that every encoder has embedded, with their positions,
//! patients and classes.

mod error;
mod names;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

pub use error::SampleError;
pub(crate) use names::longer_names;

use super::comparison::no_retrieval_of;
use super::labels::{LabelCounts, Labels, Patients, PatientsByName, SlideLabels, means_tumour};
use super::{Class, Descriptors, Exclude, Tiles};
use histokin_core::geometry::{Level0Rect, MicronsPerPixel};
use histokin_core::number_format::counted;

/// One slide of the sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SampleSlide {
    /// ID of the slide in the project; empty for imported descriptors.
    pub id: String,
    /// Displayed name: the file stem.
    pub name: String,
    /// Other names that labels may use for it, most specific first: its path, its file name with the folder, its file name.
    #[serde(skip)]
    pub also: Vec<String>,
    /// Patient of the slide, if known.
    pub patient: Option<String>,
    /// Spacing of level 0 in µm; `None` if only positions in µm are known.
    #[serde(skip)]
    pub mpp: Option<MicronsPerPixel>,
}

/// Descriptors of one slide by one encoder.
#[derive(Debug, Clone, Default)]
pub struct SlideFeatures {
    /// Rectangle of each tile in level-0 pixels; empty if only positions in µm are known.
    pub rects: Vec<Level0Rect>,
    /// Centre of each tile in µm from the slide's top-left corner.
    pub centers_um: Vec<[f64; 2]>,
    /// Descriptors, `centers_um.len() × width`.
    pub values: Vec<f32>,
}

/// An encoder with its descriptors of each slide.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// ID of the encoder.
    pub id: String,
    /// Name of the encoder.
    pub name: String,
    /// Numbers in a descriptor.
    pub width: usize,
    /// Descriptors, in the order of the slides.
    pub slides: Vec<SlideFeatures>,
}

/// Descriptors by one encoder of the tiles of a [`Sample`].
#[derive(Debug, Clone)]
pub struct EncoderDescriptors {
    /// ID of the encoder.
    pub id: String,
    /// Name of the encoder.
    pub name: String,
    /// Numbers in a descriptor.
    pub width: usize,
    /// Descriptors, in the order of the sample's tiles.
    pub values: Vec<f32>,
}

impl EncoderDescriptors {
    /// Returns the descriptors of the tiles at `rows` only.
    pub(super) fn select(&self, rows: &[u32]) -> Self {
        let row = |row: &u32| &self.values[*row as usize * self.width..(*row as usize + 1) * self.width];
        Self { values: rows.iter().flat_map(row).copied().collect(), ..self.clone() }
    }

    /// Returns a view of the descriptors.
    ///
    /// # Errors
    /// As [`Descriptors::new`].
    pub fn descriptors(&self) -> Result<Descriptors<'_>, super::EvaluationError> {
        Descriptors::new(&self.values, self.width)
    }
}

/// Tiles that all encoders have embedded.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Slides of the tiles.
    pub slides: Vec<SampleSlide>,
    /// Names of the classes, indexed by [`Class`].
    pub classes: Vec<String>,
    /// Positions, slides, patients and classes of the tiles.
    pub tiles: Tiles,
    /// Rectangle of each tile in level-0 pixels; empty if only positions in µm are known.
    pub rects: Vec<Level0Rect>,
    /// Numbers of tiles with and without a label.
    pub label_counts: LabelCounts,
    /// Notes for the reader, as sentences.
    pub notes: Vec<String>,
    /// Classes with other names that a file marks as tumour.
    tumour_classes: Vec<String>,
}

/// Position of a tile in tenths of a µm, which identifies it across encoders despite rounding.
type Key = (i64, i64);

fn key(center: [f64; 2]) -> Key {
    ((center[0] * 10.0).round() as i64, (center[1] * 10.0).round() as i64)
}

impl Sample {
    /// Selects the tiles that all `candidates` have, and returns them with each encoder's descriptors.
    ///
    /// # Errors
    /// [`SampleError::Empty`], or when encoders have tiles of different sizes or none in common.
    pub fn gather(
        slides: Vec<SampleSlide>,
        candidates: Vec<Candidate>,
    ) -> Result<(Self, Vec<EncoderDescriptors>), SampleError> {
        let mut sample = Self { slides, ..Self::default() };
        let mut encoders: Vec<EncoderDescriptors> = candidates
            .iter()
            .map(|one| EncoderDescriptors {
                id: one.id.clone(),
                name: one.name.clone(),
                width: one.width,
                values: Vec::new(),
            })
            .collect();
        let Some((first, others)) = candidates.split_first() else { return Err(SampleError::Empty) };
        for index in 0..sample.slides.len() {
            let of_first = &first.slides[index];
            let mut common: HashSet<Key> = of_first.centers_um.iter().copied().map(key).collect();
            for other in others {
                sample.same_tile_size(index, first, other)?;
                let keys: HashSet<Key> = other.slides[index].centers_um.iter().copied().map(key).collect();
                let before = common.len();
                common.retain(|key| keys.contains(key));
                if common.is_empty() && before > 0 {
                    return Err(SampleError::NothingInCommon {
                        slide: sample.slides[index].name.clone(),
                        a: first.name.clone(),
                        b: other.name.clone(),
                    });
                }
            }
            let left_out = of_first.centers_um.len() - common.len();
            if left_out > 0 {
                let name = &sample.slides[index].name;
                let tiles = counted(left_out as u64, "tile");
                sample.notes.push(format!("{name}: left out {tiles} that not every encoder has."));
            }
            sample.add_tiles(index, of_first, &common);
            let order: Vec<Key> =
                of_first.centers_um.iter().copied().map(key).filter(|key| common.contains(key)).collect();
            for (candidate, encoder) in candidates.iter().zip(&mut encoders) {
                let own = &candidate.slides[index];
                let rows: HashMap<Key, usize> =
                    own.centers_um.iter().enumerate().map(|(row, center)| (key(*center), row)).collect();
                for row in order.iter().map(|key| rows[key]) {
                    encoder.values.extend(&own.values[row * candidate.width..(row + 1) * candidate.width]);
                }
            }
        }
        if sample.tiles.is_empty() { Err(SampleError::Empty) } else { Ok((sample, encoders)) }
    }

    /// Returns the sample of these tiles of each slide, whatever their descriptors.
    pub fn of_tiles(slides: Vec<SampleSlide>, tiles: &[SlideFeatures]) -> Self {
        let mut sample = Self { slides, ..Self::default() };
        for (index, features) in tiles.iter().enumerate() {
            let all = features.centers_um.iter().copied().map(key).collect();
            sample.add_tiles(index, features, &all);
        }
        sample.number_patients();
        sample
    }

    /// Checks that two encoders have tiles of the same size on the slide `index`.
    fn same_tile_size(&self, index: usize, a: &Candidate, b: &Candidate) -> Result<(), SampleError> {
        let edge = |candidate: &Candidate| candidate.slides[index].rects.first().map(|rect| rect.width);
        match (edge(a), edge(b)) {
            (Some(a_px), Some(b_px)) if a_px != b_px => Err(SampleError::TileSize {
                slide: self.slides[index].name.clone(),
                a: a.name.clone(),
                a_px,
                b: b.name.clone(),
                b_px,
            }),
            _ => Ok(()),
        }
    }

    /// Adds the `common` tiles of the slide `index`.
    fn add_tiles(&mut self, index: usize, features: &SlideFeatures, common: &HashSet<Key>) {
        for (row, center) in features.centers_um.iter().enumerate() {
            if !common.contains(&key(*center)) {
                continue;
            }
            self.tiles.positions_um.push(*center);
            self.tiles.slides.push(index as u32);
            self.tiles.patients.push(index as u32);
            self.tiles.classes.push(None);
            self.rects.extend(features.rects.get(row));
        }
    }

    /// Assigns classes and patients from `labels` to the tiles; `coverage` is the fraction of a tile (0 to 1)
    /// that a class must cover. With `some_slides`, labels of slides outside the sample are ignored.
    ///
    /// # Errors
    /// [`SampleError`] when labels are of unknown slides or no tile takes a class.
    pub fn label(&mut self, labels: &Labels, coverage: f64, some_slides: bool) -> Result<(), SampleError> {
        let mut of_slide: BTreeMap<usize, SlideLabels> = BTreeMap::new();
        let (mut unknown, mut elsewhere) = (Vec::new(), Vec::new());
        let named = self.slides_named(labels.slides.keys().map(String::as_str))?;
        for (name, drawn) in &labels.slides {
            let Some((index, fit)) = named.get(name.as_str()).copied().flatten() else {
                unknown.push(name.as_str());
                continue;
            };
            if fit.is_by_file_alone {
                elsewhere.push(name.as_str());
            }
            // Several names in the labels may mean the same slide, such as its stem and its file name.
            of_slide.entry(index).or_default().join(drawn.clone());
            if let Some(patient) = labels.patients.get(name) {
                self.slides[index].patient = Some(patient.clone());
            }
        }
        if !unknown.is_empty() && (!some_slides || of_slide.is_empty()) {
            let known: Vec<&str> = self.slides.iter().map(|slide| slide.name.as_str()).collect();
            return Err(SampleError::UnknownSlides { unknown: unknown.join(", "), known: known.join(", ") });
        }
        self.notes.extend(labels.notes.iter().cloned());
        if let Some(first) = elsewhere.first() {
            self.notes.push(format!(
                "Labels of {} in another folder, such as {first}, were taken for those with the same file name here.",
                counted(elsewhere.len() as u64, "slide")
            ));
        }
        self.classes = labels.classes();
        self.tumour_classes.clone_from(&labels.tumour_classes);
        let rows = self.tiles.rows_by_slide();
        let mut beside = Vec::new();
        for (slide, drawn) in of_slide {
            let own: &[u32] = rows.get(slide).map_or(&[], Vec::as_slice);
            let tiles: Vec<Level0Rect> = self.rects_of(slide, own)?;
            let (found, counts) = drawn.classes_of(&tiles, coverage);
            for (row, class) in own.iter().zip(found) {
                let index = class.and_then(|class| self.classes.iter().position(|name| name == class));
                self.tiles.classes[*row as usize] = index.map(|index| Class(index as u16));
            }
            self.label_counts.labelled += counts.labelled;
            self.label_counts.conflicting += counts.conflicting;
            if !drawn.areas.is_empty() && counts.labelled + counts.conflicting == 0 {
                beside.push(self.slides[slide].name.as_str());
            }
        }
        if let Some(first) = beside.first() {
            self.notes.push(format!(
                "Labels of {}, such as {first}, cover none of its tiles enough: they may be of another slide, or not in level-0 \
                 pixels.",
                counted(beside.len() as u64, "slide")
            ));
        }
        let LabelCounts { labelled, conflicting, .. } = self.label_counts;
        self.label_counts.uncovered = self.tiles.len() - labelled - conflicting;
        if labelled == 0 {
            return Err(SampleError::NoLabelledTile { conflicting, uncovered: self.label_counts.uncovered });
        }
        self.number_patients();
        Ok(())
    }

    /// Returns the sample with only the tiles at `rows`.
    pub(super) fn select(&self, rows: &[u32]) -> Self {
        let tiles = self.tiles.select(rows);
        let labelled = tiles.classes.iter().flatten().count();
        Self {
            label_counts: LabelCounts { labelled, ..self.label_counts },
            rects: rows.iter().filter_map(|row| self.rects.get(*row as usize)).copied().collect(),
            tiles,
            ..self.clone()
        }
    }

    /// Returns the rectangles of a slide's tiles; squares as wide as the distance between tiles if only
    /// centres are known.
    fn rects_of(&self, index: usize, rows: &[u32]) -> Result<Vec<Level0Rect>, SampleError> {
        if self.rects.len() == self.tiles.len() {
            return Ok(rows.iter().map(|row| self.rects[*row as usize]).collect());
        }
        let slide = &self.slides[index];
        let mpp = slide.mpp.ok_or_else(|| SampleError::NoPixelSize { slide: slide.name.clone() })?;
        let centers: Vec<[f64; 2]> = rows.iter().map(|row| self.tiles.positions_um[*row as usize]).collect();
        let spacing = spacing_um(&centers);
        let edge = |mpp: f64| (spacing / mpp).round().max(1.0);
        let edges = if mpp.is_square() { [edge(mpp.mean()); 2] } else { [edge(mpp.x()), edge(mpp.y())] };
        let corner = |um: f64, mpp: f64, edge: f64| (um / mpp - edge / 2.0).round() as i64;
        Ok(centers
            .iter()
            .map(|[x, y]| {
                let (left, top) = (corner(*x, mpp.x(), edges[0]), corner(*y, mpp.y(), edges[1]));
                Level0Rect::new(left, top, edges[0] as u32, edges[1] as u32)
            })
            .collect())
    }

    /// Assigns the patient of every slide, from a table or from the slide's name.
    ///
    /// # Errors
    /// [`SampleError::NoPatient`] with the slides that have none.
    pub fn set_patients(&mut self, patients: &Patients) -> Result<(), SampleError> {
        let mut without = Vec::new();
        let found = self.patients_told_by(patients)?;
        for (slide, patient) in self.slides.iter_mut().zip(found) {
            match patient {
                Some(patient) => slide.patient = Some(patient),
                None => without.push(slide.name.clone()),
            }
        }
        if !without.is_empty() {
            return Err(SampleError::NoPatient { slides: without.join(", ") });
        }
        if let Patients::Table(PatientsByName { note: Some(note), .. }) = patients {
            self.notes.push(format!("Patients: {note}"));
        }
        self.number_patients();
        Ok(())
    }

    /// Numbers the patients; a slide of unknown patient counts as a separate patient.
    fn number_patients(&mut self) {
        let of_slide = self.patients_of_slides();
        self.tiles.patients = self.tiles.slides.iter().map(|slide| of_slide[*slide as usize]).collect();
    }

    /// Returns the number of each slide's patient.
    pub(super) fn patients_of_slides(&self) -> Vec<u32> {
        let mut numbers: HashMap<String, u32> = HashMap::new();
        let number = |(index, slide): (usize, &SampleSlide)| {
            // Slides may have the same name.
            let name = slide.patient.clone().unwrap_or_else(|| format!("\u{0}{index}"));
            let next = numbers.len() as u32;
            *numbers.entry(name).or_insert(next)
        };
        self.slides.iter().enumerate().map(number).collect()
    }

    /// Returns the name of the patient of this number, or of the slide whose patient is unknown.
    pub(super) fn patient_name(&self, number: u32) -> &str {
        let of_slides = self.patients_of_slides();
        let slide = of_slides.iter().position(|patient| *patient == number).map(|slide| &self.slides[slide]);
        slide.map_or("", |slide| slide.patient.as_deref().unwrap_or(&slide.name))
    }

    /// Returns the number of patients; each slide of unknown patient counts as one.
    pub fn patient_count(&self) -> usize {
        self.tiles.patients.iter().collect::<HashSet<_>>().len()
    }

    /// Returns the classes that `asked` refers to: the class of that name, or all tumour classes if the name
    /// means tumour.
    ///
    /// # Errors
    /// [`SampleError::NoSuchClass`] when no tile is of such a class.
    pub fn target(&self, asked: &str) -> Result<Vec<Class>, SampleError> {
        let is_meant = |name: &String| {
            let tumour = || means_tumour(name) || self.tumour_classes.contains(name);
            name.eq_ignore_ascii_case(asked) || (means_tumour(asked) && tumour())
        };
        let used: HashSet<Class> = self.tiles.classes.iter().flatten().copied().collect();
        let classes: Vec<Class> = (0..)
            .map(Class)
            .zip(&self.classes)
            .filter(|(class, name)| used.contains(class) && is_meant(name))
            .map(|(class, _)| class)
            .collect();
        if classes.is_empty() {
            let known: Vec<&str> = (0..)
                .map(Class)
                .zip(&self.classes)
                .filter(|(class, _)| used.contains(class))
                .map(|(_, name)| name.as_str())
                .collect();
            return Err(SampleError::NoSuchClass { asked: asked.to_owned(), known: known.join(", ") });
        }
        Ok(classes)
    }

    /// Returns the classes meant by `asked` as [`Self::target`] does; none, with a note, if no labelled tile is
    /// of such a class but other classes can be retrieved.
    ///
    /// # Errors
    /// [`SampleError::NoSuchClass`] if no class can be retrieved.
    pub fn target_if_any(&mut self, asked: &str, exclude: Exclude) -> Result<Vec<Class>, SampleError> {
        match self.target(asked) {
            Err(none) if self.has_answerable_class(exclude) => {
                self.notes.push(no_retrieval_of(asked, &none));
                Ok(Vec::new())
            }
            other => other,
        }
    }

    /// Returns whether there are several classes, one of which occurs on several slides or patients.
    pub(super) fn has_answerable_class(&self, exclude: Exclude) -> bool {
        let groups = self.tiles.groups(exclude);
        let mut first: HashMap<Class, u32> = HashMap::new();
        let mut is_answerable = false;
        for (class, group) in self.tiles.classes.iter().zip(groups) {
            if let Some(class) = class {
                is_answerable |= first.entry(*class).or_insert(*group) != group;
            }
        }
        is_answerable && first.len() > 1
    }

    /// Replaces the patients' names by codes, and the names of slides that contain their patient's name by
    /// numbers. Returns the replaced slide names.
    pub fn pseudonymise(&mut self) -> Pseudonyms {
        let mut names = Pseudonyms::default();
        let mut codes: BTreeMap<String, String> = BTreeMap::new();
        for (index, slide) in (1..).zip(&mut self.slides) {
            let Some(patient) = &mut slide.patient else { continue };
            let next = codes.len() + 1;
            let code = codes.entry(patient.clone()).or_insert_with(|| format!("patient {next}")).clone();
            if slide.name.to_lowercase().contains(&patient.to_lowercase()) {
                let number = format!("slide {index}");
                names.0.push((std::mem::replace(&mut slide.name, number.clone()), number));
                slide.also.clear();
            }
            *patient = code;
        }
        // Longer names first, since a name may contain another.
        names.0.sort_by_key(|(before, _)| std::cmp::Reverse(before.len()));
        self.notes.iter_mut().for_each(|note| *note = names.apply(note));
        names
    }
}

/// Names of slides that were replaced, with their replacements.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pseudonyms(Vec<(String, String)>);

impl Pseudonyms {
    /// Returns a text with the names replaced.
    pub fn apply(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (before, after)| text.replace(before, after))
    }
}

/// Returns the smallest distance between columns of tiles in µm.
fn spacing_um(centers: &[[f64; 2]]) -> f64 {
    let mut columns: Vec<f64> = centers.iter().map(|center| center[0]).collect();
    columns.sort_by(f64::total_cmp);
    let steps = columns.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step > 1.0);
    let smallest = steps.fold(f64::INFINITY, f64::min);
    if smallest.is_finite() { smallest } else { 224.0 }
}
