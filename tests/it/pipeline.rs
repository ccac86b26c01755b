//! Embedding from slide to descriptor file, interrupted and not.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use histokin::annotation::{Annotation, AnnotationSet, Bounds, Shape};
use histokin::descriptors::{DescriptorSet, DescriptorStore, Recipe, Row};
use histokin::encoder::{DescriptorBatch, Encoder, EncoderError, EncoderSpec};
use histokin::geometry::{LevelRect, MicronsPerPixel};
use histokin::pipeline::{
    EmbedControl, EmbedError, EmbedOutcome, EmbedProgress, EmbedRequest, EmbedSettings, EmbedSummary,
    HsvHistogram, TileSelection, embed_slide, find_slides,
};
use histokin::slide::{self, SlideError, SlideInfo, SlideSource};
use histokin::tiling::TileSettings;
use histokin::tissue::selection::Cause;
use histokin::tissue::{TissueSettings, Within};
use image::{Rgb, RgbImage, RgbaImage};

use crate::made::{self, QuarterColours};
use crate::support;

const SETTINGS: EmbedSettings = EmbedSettings { decode_threads: 2, batch: 4, baseline: false };

/// A picture of pink tissue in which every 64 px square has a colour of its own, as a slide of 2 µm/px.
fn tissue_slide(folder: &std::path::Path) -> PathBuf {
    let picture = RgbImage::from_fn(640, 512, |x, y| {
        let (column, row) = ((x / 64) as u8, (y / 64) as u8);
        // A white margin at the right is glass.
        if x >= 512 { Rgb([244, 243, 245]) } else { Rgb([150 + 8 * column, 40 + 10 * row, 140 + 4 * column]) }
    });
    let path = folder.join("tissue.tif");
    support::write_pyramid(&path, &picture, 2, Some(2.0));
    path
}

fn recipe() -> Recipe {
    let tiles = TileSettings { tile_px: 64, mpp: 2.0 };
    Recipe { tiles, ..made::recipe() }
}

fn recipe_of(spec: &EncoderSpec) -> Recipe {
    Recipe {
        encoder_id: spec.id.clone(),
        encoder_name: spec.name.clone(),
        tiles: spec.tiles,
        stain: spec.stain,
    }
}

fn embed(
    slide: &dyn SlideSource,
    store: &DescriptorStore,
    encoder: &mut QuarterColours,
    control: &EmbedControl,
    mut tell: impl FnMut(EmbedProgress),
) -> Result<EmbedOutcome, EmbedError> {
    let (selection, recipe) = (TileSelection::default(), recipe());
    embed_slide(&request(slide, &selection, &recipe, store), encoder, control, &mut tell)
}

fn request<'a>(
    slide: &'a dyn SlideSource,
    selection: &'a TileSelection,
    recipe: &'a Recipe,
    store: &'a DescriptorStore,
) -> EmbedRequest<'a> {
    EmbedRequest { slide, selection, tissue: None, recipe, store, settings: SETTINGS }
}

fn embedded(slide: &dyn SlideSource, store: &DescriptorStore) -> Arc<DescriptorSet> {
    match embed(slide, store, &mut QuarterColours::new(), &EmbedControl::default(), |_| {}).unwrap() {
        EmbedOutcome::Finished { set, .. } => set,
        EmbedOutcome::Interrupted => panic!("nobody interrupted"),
    }
}

#[test]
fn all_tissue_is_embedded_and_glass_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let source = slide::open(&tissue_slide(folder.path()), None).unwrap();
    let store = DescriptorStore::new(folder.path().join("descriptors"));
    let set = embedded(source.as_ref(), &store);
    assert_eq!(set.header.grid, [10, 8]);
    assert_eq!(set.header.tile_level0, 64);
    assert!((64..=72).contains(&set.len()), "8 × 8 tiles are tissue, {} were embedded", set.len());
    // The descriptor is that of the very pixels under the tile.
    let row = set.row_at(histokin::geometry::Level0Point::new(3.5 * 64.0, 2.5 * 64.0)).unwrap();
    let expected = [150.0 + 24.0, 40.0 + 20.0, 140.0 + 12.0].map(|value: f32| value / 255.0);
    for (found, expected) in set.descriptor(row).iter().zip(expected.iter().cycle()) {
        assert!((found - expected).abs() < 0.01, "{found} and {expected}");
    }
}

#[test]
fn an_interrupted_run_goes_on_where_it_was_and_ends_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let source = slide::open(&tissue_slide(folder.path()), None).unwrap();
    let whole = embedded(source.as_ref(), &DescriptorStore::new(folder.path().join("whole")));

    let store = DescriptorStore::new(folder.path().join("parts"));
    let mut encoder = QuarterColours::new();
    let mut runs = 0;
    let set = loop {
        runs += 1;
        assert!(runs < 100, "every run gets further");
        let control = EmbedControl::default();
        let outcome = embed(source.as_ref(), &store, &mut encoder, &control, |progress| {
            // Stop after the first batch of each run.
            if matches!(progress, EmbedProgress::Tiles { .. }) {
                control.stop();
            }
        });
        if let EmbedOutcome::Finished { set, .. } = outcome.unwrap() {
            break set;
        }
    };
    assert!(runs > 5, "the work was interrupted again and again, {runs} runs");
    assert_eq!(encoder.encoded, whole.len(), "no tile was encoded twice");
    assert_eq!(set.features(), whole.features());
    assert_eq!(set.coords(), whole.coords());
    let left = std::fs::read_dir(folder.path().join("parts")).unwrap().count();
    assert_eq!(left, 1, "the journal is gone once the descriptors are finished");
}

#[test]
fn the_colour_histogram_is_kept_from_the_tiles_that_are_embedded_anyway() {
    let folder = tempfile::tempdir().unwrap();
    let source = slide::open(&tissue_slide(folder.path()), None).unwrap();
    let settings = EmbedSettings { baseline: true, ..SETTINGS };
    let (all, recipe) = (TileSelection::default(), recipe());
    let mut histogram = HsvHistogram::new(recipe.tiles);
    let of_histogram = recipe_of(histogram.spec());
    let mut by_itself = |store: &DescriptorStore| {
        let request = EmbedRequest { settings, ..request(source.as_ref(), &all, &of_histogram, store) };
        match embed_slide(&request, &mut histogram, &EmbedControl::default(), &mut |_| {}).unwrap() {
            EmbedOutcome::Finished { set, summary } => (set, summary),
            EmbedOutcome::Interrupted => panic!("nobody interrupted"),
        }
    };
    let (expected, summary) = by_itself(&DescriptorStore::new(folder.path().join("alone")));
    assert_eq!(summary.tiles_kept, 0);

    // Interrupted once.
    let store = DescriptorStore::new(folder.path().join("beside"));
    let mut encoder = QuarterColours::new();
    let mut run = |stop: bool| {
        let control = EmbedControl::default();
        let mut tell = |progress| {
            if stop && matches!(progress, EmbedProgress::Tiles { .. }) {
                control.stop();
            }
        };
        let request = EmbedRequest { settings, ..request(source.as_ref(), &all, &recipe, &store) };
        embed_slide(&request, &mut encoder, &control, &mut tell)
    };
    assert!(matches!(run(true).unwrap(), EmbedOutcome::Interrupted));
    assert!(matches!(run(false).unwrap(), EmbedOutcome::Finished { .. }));
    let kept = store.open(&source.info().id, &of_histogram).unwrap().expect("kept beside the descriptors");
    assert_eq!((kept.coords(), kept.features()), (expected.coords(), expected.features()));
    assert_eq!(kept.header, expected.header);
    let (_, summary) = by_itself(&store);
    assert_eq!(summary.tiles_kept, summary.tiles_tissue, "nothing is read again");
    let left = std::fs::read_dir(folder.path().join("beside")).unwrap().count();
    assert_eq!(left, 2, "no journal is left");
}

#[test]
fn tiles_embedded_without_the_histogram_get_it_when_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let source = slide::open(&tissue_slide(folder.path()), None).unwrap();
    let store = DescriptorStore::new(folder.path().join("descriptors"));
    let (half, _) =
        selected(source.as_ref(), &within(0.0, 0.0, 256.0, 512.0), &store, &mut QuarterColours::new());
    let (all, recipe) = (TileSelection::default(), recipe());
    let (mut encoder, control) = (QuarterColours::new(), EmbedControl::default());
    let settings = EmbedSettings { baseline: true, ..SETTINGS };
    let beside = EmbedRequest { settings, ..request(source.as_ref(), &all, &recipe, &store) };
    embed_slide(&beside, &mut encoder, &control, &mut |_| {}).unwrap();
    let mut histogram = HsvHistogram::new(recipe.tiles);
    let of_histogram = recipe_of(histogram.spec());
    let kept = store.open(&source.info().id, &of_histogram).unwrap();
    assert!(kept.is_none(), "half of it is missing");
    let outcome =
        embed_slide(&EmbedRequest { recipe: &of_histogram, ..beside }, &mut histogram, &control, &mut |_| {});
    let EmbedOutcome::Finished { set, summary } = outcome.unwrap() else { panic!("nobody interrupted") };
    assert_eq!(summary.tiles_kept as usize, set.len() - half.len(), "only the other half is read");
}

#[test]
fn finished_descriptors_are_used_again_from_wherever_the_slide_lies() {
    let folder = tempfile::tempdir().unwrap();
    let path = tissue_slide(folder.path());
    let store = DescriptorStore::new(folder.path().join("descriptors"));
    embedded(slide::open(&path, None).unwrap().as_ref(), &store);
    let moved = folder.path().join("moved and renamed.tif");
    std::fs::rename(&path, &moved).unwrap();
    let mut encoder = QuarterColours::new();
    let source = slide::open(&moved, None).unwrap();
    embed(source.as_ref(), &store, &mut encoder, &EmbedControl::default(), |_| {}).unwrap();
    assert_eq!(encoder.encoded, 0);
}

/// A slide of which one square cannot be read.
struct Scratched {
    good: Arc<dyn SlideSource>,
}

impl SlideSource for Scratched {
    fn info(&self) -> &SlideInfo {
        self.good.info()
    }

    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        if region.level == 0 && region.width == 64 && (region.x, region.y) == (128, 64) {
            let path = self.info().path.clone();
            return Err(SlideError::Read { path, region: *region, reason: "a scratch".to_owned() });
        }
        self.good.read(region)
    }

    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError> {
        self.good.associated(name)
    }
}

#[test]
fn a_tile_that_cannot_be_read_is_counted_and_never_indexed() {
    let folder = tempfile::tempdir().unwrap();
    let good = slide::open(&tissue_slide(folder.path()), None).unwrap();
    let whole = embedded(good.as_ref(), &DescriptorStore::new(folder.path().join("whole")));
    let scratched = Scratched { good };
    let set = embedded(&scratched, &DescriptorStore::new(folder.path().join("scratched")));
    assert_eq!(set.tiles_failed, 1);
    assert_eq!(set.len(), whole.len() - 1);
    assert_eq!(set.row_at(histokin::geometry::Level0Point::new(160.0, 96.0)), None);
}

/// A slide that counts the tiles that were read of it.
struct Counted {
    slide: Arc<dyn SlideSource>,
    tiles: AtomicUsize,
}

impl SlideSource for Counted {
    fn info(&self) -> &SlideInfo {
        self.slide.info()
    }

    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        if region.level == 0 && region.width == 64 {
            self.tiles.fetch_add(1, Ordering::SeqCst);
        }
        self.slide.read(region)
    }

    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError> {
        self.slide.associated(name)
    }
}

/// An encoder that gives those who read tiles time to get ahead, and notes how far they got.
struct Slow<'a> {
    colours: QuarterColours,
    slide: &'a Counted,
    ahead: Vec<usize>,
}

impl Encoder for Slow<'_> {
    fn spec(&self) -> &EncoderSpec {
        self.colours.spec()
    }

    fn device(&self) -> String {
        self.colours.device()
    }

    fn encode(&mut self, tiles: &[RgbImage]) -> Result<DescriptorBatch, EncoderError> {
        std::thread::sleep(Duration::from_millis(20));
        self.ahead.push(self.slide.tiles.load(Ordering::SeqCst) - self.colours.encoded);
        self.colours.encode(tiles)
    }
}

#[test]
fn reading_keeps_to_the_pace_of_a_slow_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let slide = slide::open(&tissue_slide(folder.path()), None).unwrap();
    let slide = Counted { slide, tiles: AtomicUsize::new(0) };
    let store = DescriptorStore::new(folder.path().join("descriptors"));
    let (selection, recipe) = (TileSelection::default(), recipe());
    let mut encoder = Slow { colours: QuarterColours::new(), slide: &slide, ahead: Vec::new() };
    let request = request(&slide, &selection, &recipe, &store);
    embed_slide(&request, &mut encoder, &EmbedControl::default(), &mut |_| {}).unwrap();
    // The batch that is encoded, two that wait, and one tile in the hands of each thread.
    let most = 3 * SETTINGS.batch + SETTINGS.decode_threads;
    let furthest = *encoder.ahead.iter().max().unwrap();
    assert!(furthest <= most && most < encoder.colours.encoded / 2, "{furthest} tiles ahead, of {most}");
    assert_eq!(slide.tiles.load(Ordering::SeqCst), encoder.colours.encoded, "each tile is read once");
}

#[test]
fn a_slide_without_pixel_size_is_refused_until_the_user_gives_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain.png");
    RgbImage::from_pixel(300, 200, Rgb([200, 80, 160])).save(&path).unwrap();
    let store = DescriptorStore::new(folder.path().join("descriptors"));
    let unknown = slide::open(&path, None).unwrap();
    let error = embed(unknown.as_ref(), &store, &mut QuarterColours::new(), &EmbedControl::default(), |_| {})
        .err()
        .expect("nothing physical is guessed");
    assert!(error.to_string().contains("--slide-mpp"), "{error}");
    let known = slide::open(&path, Some(MicronsPerPixel::square(2.0).unwrap())).unwrap();
    assert_eq!(embedded(known.as_ref(), &store).rect(Row(0)).width, 64);
}

#[test]
fn folders_are_searched_for_slides_to_any_depth() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b");
    std::fs::create_dir_all(&deep).unwrap();
    for name in ["a/one.SVS", "a/b/two.tiff", "a/notes.txt", "a/b/project.toml"] {
        std::fs::write(folder.path().join(name), b"").unwrap();
    }
    let found = find_slides(&[folder.path().to_owned()]);
    assert_eq!(found, [folder.path().join("a/b/two.tiff"), folder.path().join("a/one.SVS")]);
    assert_eq!(find_slides(&[found[0].clone(), found[0].clone()]), [found[0].clone()], "each slide once");
}

#[test]
fn every_kind_of_slide_file_is_found_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let slides =
        ["A.TIFF", "B.JPG", "big.btf", "c.ome.tif", "d.ome.tiff", "e.qptiff", "f.tf8", "g.tf2", "slide.vms"];
    let others = [
        "._A.TIFF",
        ".DS_Store",
        "slide(1,0).jpg",
        "slide_macro.jpg",
        "@eaDir/A.TIFF",
        "noending",
        "1.2.840",
    ];
    for name in slides.iter().chain(&others) {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"").unwrap();
    }
    let expected: Vec<PathBuf> = slides.iter().map(|name| folder.path().join(name)).collect();
    assert_eq!(find_slides(&[folder.path().to_owned()]), expected);
}

/// Tiles within a rectangle of the slide.
fn within(x: f64, y: f64, width: f64, height: f64) -> TileSelection {
    let corner = |x, y| histokin::geometry::Level0Point::new(x, y);
    let bounds = Bounds::between(corner(x, y), corner(x + width, y + height));
    let marks = AnnotationSet::new(vec![Annotation::new(Shape::Rectangle(bounds), None)]);
    let settings = TissueSettings { within: Some(Within::Annotated), ..TissueSettings::default() };
    TileSelection::new(settings, Some(&marks))
}

fn selected(
    slide: &dyn SlideSource,
    selection: &TileSelection,
    store: &DescriptorStore,
    encoder: &mut QuarterColours,
) -> (Arc<DescriptorSet>, EmbedSummary) {
    let recipe = recipe();
    let request = request(slide, selection, &recipe, store);
    match embed_slide(&request, encoder, &EmbedControl::default(), &mut |_| {}).unwrap() {
        EmbedOutcome::Finished { set, summary } => (set, summary),
        EmbedOutcome::Interrupted => panic!("nobody interrupted"),
    }
}

#[test]
fn another_selection_adds_and_takes_away_tiles_and_embeds_none_again() {
    let folder = tempfile::tempdir().unwrap();
    let source = slide::open(&tissue_slide(folder.path()), None).unwrap();
    let whole = embedded(source.as_ref(), &DescriptorStore::new(folder.path().join("whole")));
    let store = DescriptorStore::new(folder.path().join("descriptors"));
    let mut encoder = QuarterColours::new();

    let (left, everywhere) = (within(0.0, 0.0, 256.0, 512.0), TileSelection::default());
    let (half, _) = selected(source.as_ref(), &left, &store, &mut encoder);
    assert_eq!((half.len(), encoder.encoded), (32, 32));
    assert!(half.coords().iter().all(|[x, _]| *x < 256));
    let (all, summary) = selected(source.as_ref(), &everywhere, &store, &mut encoder);
    assert_eq!((summary.tiles_kept, encoder.encoded), (32, whole.len()), "only the others are embedded");
    assert_eq!((all.coords(), all.features()), (whole.coords(), whole.features()));
    assert_eq!(all.header, whole.header, "as if there had never been another selection");
    let (again, _) = selected(source.as_ref(), &left, &store, &mut encoder);
    assert_eq!((again.coords(), again.features()), (half.coords(), half.features()));
    let small = within(70.0, 70.0, 10.0, 10.0);
    let (one, _) = selected(source.as_ref(), &small, &store, &mut encoder);
    assert_eq!(one.coords(), [[64, 64]], "an area that holds no tile's centre counts for the tile under it");
    let (all, summary) = selected(source.as_ref(), &everywhere, &store, &mut encoder);
    assert_eq!((all.coords(), all.features()), (whole.coords(), whole.features()));
    assert_eq!((encoder.encoded, summary.tiles_kept), (whole.len(), whole.len() as u32), "none again");
    let left = std::fs::read_dir(folder.path().join("descriptors")).unwrap().count();
    assert_eq!(left, 1, "nothing is kept beside once every tile is selected");
}

#[test]
fn a_slide_without_a_tile_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let source = slide::open(&tissue_slide(folder.path()), None).unwrap();
    let store = DescriptorStore::new(folder.path().join("descriptors"));
    let mut encoder = QuarterColours::new();
    let mut why = |selection: TileSelection| {
        let (set, summary) = selected(source.as_ref(), &selection, &store, &mut encoder);
        assert!(set.is_empty());
        summary.no_tiles.expect("there is no tile")
    };
    let second_encoder = why(within(600.0, 0.0, 30.0, 30.0));
    assert!(matches!(second_encoder.cause, Cause::OutsideAnnotations(_)), "{second_encoder:?}");
    // 1 × 1 mm of tissue.
    assert!((0.9e6..1.2e6).contains(&second_encoder.tissue_um2.unwrap()), "{second_encoder:?}");
    let none = TissueSettings { smallest_piece_um2: 9e6, ..TissueSettings::default() };
    let small = why(TileSelection::new(none, None));
    assert!(
        matches!(small.cause, Cause::SmallPieces { largest_um2, .. } if (0.9e6..1.2e6).contains(&largest_um2)),
        "{small:?}"
    );
}
