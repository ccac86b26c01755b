//! The tiles on which encoders are compared: those that every one of them has described, with their places,
//! patients and classes.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use super::labels::{LabelCounts, Labels, Patients, SlideLabels, means_tumour};
use super::{Class, Descriptors, Tiles};
use histokin_core::geometry::{Level0Rect, MicronsPerPixel};

/// One slide of the sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SampleSlide {
    /// The slide's id in the project; empty where descriptors came from elsewhere.
    pub id: String,
    /// File stem: what people call it.
    pub name: String,
    /// Further names by which labels may call it, such as the file name.
    #[serde(skip)]
    pub also: Vec<String>,
    pub patient: Option<String>,
    /// µm per level-0 pixel; none where only places in µm are known.
    #[serde(skip)]
    pub mpp: Option<MicronsPerPixel>,
}

impl SampleSlide {
    fn names(&self) -> Vec<&str> {
        let own = [self.name.as_str(), self.id.as_str()];
        own.into_iter().chain(self.also.iter().map(String::as_str)).filter(|name| !name.is_empty()).collect()
    }
}

/// What one encoder says of one slide.
#[derive(Debug, Clone, Default)]
pub struct SlideFeatures {
    /// Level-0 pixels of each tile; empty where only places in µm are known.
    pub rects: Vec<Level0Rect>,
    /// Centres in µm from the slide's corner.
    pub centers_um: Vec<[f64; 2]>,
    /// `centers_um.len() × width`.
    pub values: Vec<f32>,
}

/// One encoder with its descriptors of each slide, in the order of the slides.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub id: String,
    pub name: String,
    pub width: usize,
    pub slides: Vec<SlideFeatures>,
}

/// Descriptors of one encoder of the tiles of a [`Sample`], in their order.
#[derive(Debug, Clone)]
pub struct Described {
    pub id: String,
    pub name: String,
    pub width: usize,
    pub values: Vec<f32>,
}

impl Described {
    /// # Errors
    /// As [`Descriptors::new`].
    pub fn descriptors(&self) -> Result<Descriptors<'_>, super::EvaluationError> {
        Descriptors::new(&self.values, self.width)
    }
}

/// Tiles that all encoders have described.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    pub slides: Vec<SampleSlide>,
    /// Names of the classes, by [`Class`].
    pub classes: Vec<String>,
    pub tiles: Tiles,
    /// Level-0 pixels of each tile; empty where only places in µm are known.
    pub rects: Vec<Level0Rect>,
    pub label_counts: LabelCounts,
    /// What the reader of the figures should know, as sentences.
    pub notes: Vec<String>,
    /// Classes that a file marks as tumour under a name of their own.
    tumour_classes: Vec<String>,
}

/// Why there is no sample to compare encoders on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SampleError {
    #[error("there are no descriptors to evaluate; embed slides first, or name a file with --features")]
    Empty,
    #[error(
        "{slide}: tiles of {a} are {a_px} pixels wide and those of {b} {b_px}; encoders are compared on the same \
         tiles only, so embed the slides with both in the same tile size and resolution"
    )]
    TileSize { slide: String, a: String, a_px: u32, b: String, b_px: u32 },
    #[error(
        "{slide}: {a} and {b} have no tile in common, so they cannot be compared; embed the slide with both in the \
         same tile size and resolution"
    )]
    NothingInCommon { slide: String, a: String, b: String },
    #[error(
        "labels are given for slides that are not here: {unknown}. The slides here are: {known}. Mend the labels, \
         or give --some-slides to use the labels of the slides that are here"
    )]
    UnknownSlides { unknown: String, known: String },
    #[error("slide {slide} has places in µm only, but its labels are in pixels; give --slide-mpp")]
    NoPixelSize { slide: String },
    #[error(
        "no tile takes a class from the labels ({conflicting} lie in two classes, {uncovered} in none); check that \
         the labels are in level-0 pixels of these slides, or give a lower --coverage"
    )]
    NoLabelledTile { conflicting: usize, uncovered: usize },
    #[error("there is no labelled tile of class {asked:?}; the labelled tiles are of: {known}")]
    NoSuchClass { asked: String, known: String },
    #[error("slides {slides} have no patient; complete the table or mend the pattern of --patients")]
    NoPatient { slides: String },
}

/// A tile's place, in tenths of a µm: the same for all encoders, however they round.
type Key = (i64, i64);

fn key(center: [f64; 2]) -> Key {
    ((center[0] * 10.0).round() as i64, (center[1] * 10.0).round() as i64)
}

impl Sample {
    /// The tiles that all `candidates` have, and their descriptors of these.
    ///
    /// # Errors
    /// [`SampleError::Empty`], or when encoders have tiles of different sizes or none in common.
    pub fn gather(
        slides: Vec<SampleSlide>,
        candidates: Vec<Candidate>,
    ) -> Result<(Self, Vec<Described>), SampleError> {
        let mut sample = Self { slides, ..Self::default() };
        let mut described: Vec<Described> = candidates
            .iter()
            .map(|one| Described {
                id: one.id.clone(),
                name: one.name.clone(),
                width: one.width,
                values: Vec::new(),
            })
            .collect();
        let Some((first, others)) = candidates.split_first() else { return Err(SampleError::Empty) };
        for place in 0..sample.slides.len() {
            let of_first = &first.slides[place];
            let mut common: HashSet<Key> = of_first.centers_um.iter().copied().map(key).collect();
            for other in others {
                sample.same_tile_size(place, first, other)?;
                let its: HashSet<Key> = other.slides[place].centers_um.iter().copied().map(key).collect();
                let before = common.len();
                common.retain(|key| its.contains(key));
                if common.is_empty() && before > 0 {
                    return Err(SampleError::NothingInCommon {
                        slide: sample.slides[place].name.clone(),
                        a: first.name.clone(),
                        b: other.name.clone(),
                    });
                }
            }
            let left_out = of_first.centers_um.len() - common.len();
            if left_out > 0 {
                let name = &sample.slides[place].name;
                sample
                    .notes
                    .push(format!("{name}: {left_out} tiles are left out that not every encoder has."));
            }
            sample.take_in(place, of_first, &common);
            let order: Vec<Key> =
                of_first.centers_um.iter().copied().map(key).filter(|key| common.contains(key)).collect();
            for (candidate, described) in candidates.iter().zip(&mut described) {
                let its = &candidate.slides[place];
                let rows: HashMap<Key, usize> =
                    its.centers_um.iter().enumerate().map(|(row, center)| (key(*center), row)).collect();
                for row in order.iter().map(|key| rows[key]) {
                    described.values.extend(&its.values[row * candidate.width..(row + 1) * candidate.width]);
                }
            }
        }
        if sample.tiles.is_empty() { Err(SampleError::Empty) } else { Ok((sample, described)) }
    }

    fn same_tile_size(&self, place: usize, a: &Candidate, b: &Candidate) -> Result<(), SampleError> {
        let edge = |candidate: &Candidate| candidate.slides[place].rects.first().map(|rect| rect.width);
        match (edge(a), edge(b)) {
            (Some(a_px), Some(b_px)) if a_px != b_px => Err(SampleError::TileSize {
                slide: self.slides[place].name.clone(),
                a: a.name.clone(),
                a_px,
                b: b.name.clone(),
                b_px,
            }),
            _ => Ok(()),
        }
    }

    fn take_in(&mut self, place: usize, features: &SlideFeatures, common: &HashSet<Key>) {
        for (row, center) in features.centers_um.iter().enumerate() {
            if !common.contains(&key(*center)) {
                continue;
            }
            self.tiles.positions_um.push(*center);
            self.tiles.slides.push(place as u32);
            self.tiles.patients.push(place as u32);
            self.tiles.classes.push(None);
            self.rects.extend(features.rects.get(row));
        }
    }

    /// Give the tiles the classes and patients that `labels` tell of. `some_slides` allows labels of slides
    /// that are not here.
    ///
    /// # Errors
    /// [`SampleError`] when labels are of unknown slides or no tile takes a class.
    pub fn label(&mut self, labels: &Labels, coverage: f64, some_slides: bool) -> Result<(), SampleError> {
        let mut of_slide: BTreeMap<usize, SlideLabels> = BTreeMap::new();
        let mut unknown = Vec::new();
        for (name, drawn) in &labels.slides {
            let place = self.slides.iter().position(|slide| slide.names().contains(&name.as_str()));
            let Some(place) = place else {
                unknown.push(name.as_str());
                continue;
            };
            // Labels may call a slide by its stem here and by its file name there.
            of_slide.entry(place).or_default().join(drawn.clone());
            if let Some(patient) = labels.patients.get(name) {
                self.slides[place].patient = Some(patient.clone());
            }
        }
        if !unknown.is_empty() && (!some_slides || of_slide.is_empty()) {
            let known: Vec<&str> = self.slides.iter().map(|slide| slide.name.as_str()).collect();
            return Err(SampleError::UnknownSlides { unknown: unknown.join(", "), known: known.join(", ") });
        }
        self.classes = labels.classes();
        self.tumour_classes.clone_from(&labels.tumour_classes);
        let rows = self.tiles.rows_by_slide();
        for (place, drawn) in of_slide {
            let own: &[u32] = rows.get(place).map_or(&[], Vec::as_slice);
            let tiles: Vec<Level0Rect> = self.rects_of(place, own)?;
            let (found, counts) = drawn.classes_of(&tiles, coverage);
            for (row, class) in own.iter().zip(found) {
                let index = class.and_then(|class| self.classes.iter().position(|name| name == class));
                self.tiles.classes[*row as usize] = index.map(|index| Class(index as u16));
            }
            self.label_counts.labelled += counts.labelled;
            self.label_counts.conflicting += counts.conflicting;
        }
        let LabelCounts { labelled, conflicting, .. } = self.label_counts;
        self.label_counts.uncovered = self.tiles.len() - labelled - conflicting;
        if labelled == 0 {
            return Err(SampleError::NoLabelledTile { conflicting, uncovered: self.label_counts.uncovered });
        }
        self.number_patients();
        Ok(())
    }

    /// Rectangles of a slide's tiles; squares of the tiles' spacing where only centres are known.
    fn rects_of(&self, place: usize, rows: &[u32]) -> Result<Vec<Level0Rect>, SampleError> {
        if self.rects.len() == self.tiles.len() {
            return Ok(rows.iter().map(|row| self.rects[*row as usize]).collect());
        }
        let slide = &self.slides[place];
        let mpp = slide.mpp.ok_or_else(|| SampleError::NoPixelSize { slide: slide.name.clone() })?;
        let centers: Vec<[f64; 2]> = rows.iter().map(|row| self.tiles.positions_um[*row as usize]).collect();
        let spacing = spacing_um(&centers);
        let edge = |mpp: f64| (spacing / mpp).round().max(1.0);
        let edges = if mpp.is_square() { [edge(mpp.mean()); 2] } else { [edge(mpp.x), edge(mpp.y)] };
        let corner = |um: f64, mpp: f64, edge: f64| (um / mpp - edge / 2.0).round() as i64;
        Ok(centers
            .iter()
            .map(|[x, y]| {
                let (left, top) = (corner(*x, mpp.x, edges[0]), corner(*y, mpp.y, edges[1]));
                Level0Rect::new(left, top, edges[0] as u32, edges[1] as u32)
            })
            .collect())
    }

    /// Take the patient of every slide from a table or its name.
    ///
    /// # Errors
    /// [`SampleError::NoPatient`] with the slides that have none.
    pub fn set_patients(&mut self, patients: &Patients) -> Result<(), SampleError> {
        let mut without = Vec::new();
        for slide in &mut self.slides {
            match patients.of(&slide.names()) {
                Some(patient) => slide.patient = Some(patient),
                None => without.push(slide.name.clone()),
            }
        }
        if !without.is_empty() {
            return Err(SampleError::NoPatient { slides: without.join(", ") });
        }
        self.number_patients();
        Ok(())
    }

    /// Number the patients; a slide of unknown patient is a patient of its own.
    fn number_patients(&mut self) {
        let mut numbers: HashMap<String, u32> = HashMap::new();
        let of_slide: Vec<u32> = self
            .slides
            .iter()
            .map(|slide| {
                let name = slide.patient.clone().unwrap_or_else(|| format!("\u{0}{}", slide.name));
                let next = numbers.len() as u32;
                *numbers.entry(name).or_insert(next)
            })
            .collect();
        self.tiles.patients = self.tiles.slides.iter().map(|slide| of_slide[*slide as usize]).collect();
    }

    /// Number of different patients, slides of unknown patient counting as one each.
    pub fn patient_count(&self) -> usize {
        self.tiles.patients.iter().collect::<HashSet<_>>().len()
    }

    /// The classes that `asked` means: of that name, or all that stand for tumour when it does.
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

    /// Put codes in place of the patients' names, and numbers in place of the names of slides that hold their
    /// patient's. What is called otherwise from now on comes back.
    pub fn pseudonymise(&mut self) -> Pseudonyms {
        let mut names = Pseudonyms::default();
        let mut codes: BTreeMap<String, String> = BTreeMap::new();
        for (place, slide) in (1..).zip(&mut self.slides) {
            let Some(patient) = &mut slide.patient else { continue };
            let next = codes.len() + 1;
            let code = codes.entry(patient.clone()).or_insert_with(|| format!("patient {next}")).clone();
            if slide.name.to_lowercase().contains(&patient.to_lowercase()) {
                let number = format!("slide {place}");
                names.0.push((std::mem::replace(&mut slide.name, number.clone()), number));
                slide.also.clear();
            }
            *patient = code;
        }
        // A name that holds another goes first.
        names.0.sort_by_key(|(before, _)| std::cmp::Reverse(before.len()));
        self.notes.iter_mut().for_each(|note| *note = names.apply(note));
        names
    }
}

/// Names of slides that were replaced, with what stands for them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pseudonyms(Vec<(String, String)>);

impl Pseudonyms {
    /// A sentence with the names replaced.
    pub fn apply(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (before, after)| text.replace(before, after))
    }
}

/// The smallest distance between columns of tiles, in µm.
fn spacing_um(centers: &[[f64; 2]]) -> f64 {
    let mut columns: Vec<f64> = centers.iter().map(|center| center[0]).collect();
    columns.sort_by(f64::total_cmp);
    let steps = columns.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step > 1.0);
    let smallest = steps.fold(f64::INFINITY, f64::min);
    if smallest.is_finite() { smallest } else { 224.0 }
}
