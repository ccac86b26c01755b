//! Errors of preparing the sample.

/// An error while preparing the sample.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SampleError {
    /// There are no descriptors.
    #[error("there are no descriptors to evaluate; embed slides first, or name a file with --features")]
    Empty,
    /// Two encoders have tiles of different sizes.
    #[error(
        "{slide}: tiles of {a} are {a_px} pixels wide and those of {b} {b_px}; encoders are compared on the same \
         tiles only, so embed the slides with both at the same tile size and spacing"
    )]
    TileSize {
        /// Name of the slide.
        slide: String,
        /// Name of the first encoder.
        a: String,
        /// Width of its tiles in level-0 pixels.
        a_px: u32,
        /// Name of the second encoder.
        b: String,
        /// Width of its tiles in level-0 pixels.
        b_px: u32,
    },
    /// Two encoders have no tile in common.
    #[error(
        "{slide}: {a} and {b} have no tile in common, so they cannot be compared; embed the slide with both at the \
         same tile size and spacing"
    )]
    NothingInCommon {
        /// Name of the slide.
        slide: String,
        /// Name of the first encoder.
        a: String,
        /// Name of the second encoder.
        b: String,
    },
    /// Labels are given for slides that are not in the sample.
    #[error(
        "labels are given for slides that are not here: {unknown}. The slides here are: {known}. Correct the labels, \
         or give --some-slides to use the labels of the slides that are here"
    )]
    UnknownSlides {
        /// Names of these slides, separated by commas.
        unknown: String,
        /// Names of the slides of the sample.
        known: String,
    },
    /// Labels or patients are given for a name that several slides share.
    #[error(
        "{name:?} may mean any of {count} slides: {slides}. Name the slide by its path or its ID instead, or rename the \
         files"
    )]
    SharedName {
        /// The name.
        name: String,
        /// Number of slides that have it.
        count: usize,
        /// The slides, separated by commas.
        slides: String,
    },
    /// Labels are in pixels, but the pixel size is unknown.
    #[error("slide {slide} has positions in µm only, but its labels are in pixels; give --slide-mpp")]
    NoPixelSize {
        /// Name of the slide.
        slide: String,
    },
    /// No tile takes a class from the labels.
    #[error(
        "no tile takes a class from the labels ({conflicting} lie in two classes, {uncovered} in none); check that \
         the labels are in level-0 pixels of these slides, or give a lower --coverage"
    )]
    NoLabelledTile {
        /// Number of tiles in two or more classes.
        conflicting: usize,
        /// Number of tiles in no class.
        uncovered: usize,
    },
    /// No tile is of the target class.
    #[error("there is no labelled tile of class {asked:?}; the labelled tiles are of: {known}")]
    NoSuchClass {
        /// Name of the target class.
        asked: String,
        /// Names of the classes with tiles.
        known: String,
    },
    /// Slides have no patient.
    #[error("no patient for these slides: {slides}; complete the table or correct the pattern of --patients")]
    NoPatient {
        /// Names of the slides, separated by commas.
        slides: String,
    },
}
