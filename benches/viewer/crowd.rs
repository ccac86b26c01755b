//! Fills the view with highlighted tiles and annotations.

use std::time::{Duration, Instant};

use histokin::annotation::{Annotation, AnnotationClass, AnnotationSet, Edit, ObjectKind, Shape};
use histokin::geometry::{Level0Point, Level0Rect};
use histokin::query::{Answer, Match};
use histokin::session::{AnnotationCommand, QueryCommand, QueryEvent};

use crate::support;
use crate::window::{Drawn, Window};

/// Number of highlighted tiles: the most that the window shows.
pub const HIGHLIGHTED: usize = 1000;
/// Number of annotations.
pub const ANNOTATIONS: usize = 10_000;
/// Number of detections: a usual one, and a very large one.
pub const DETECTIONS: [u32; 2] = [200_000, 1_000_000];

/// Makes the tiles of a grid over the view the matches of a query.
pub fn highlight(window: &mut Window) {
    const COLUMNS: usize = 40;

    let field = window.app.field().expect("a view");
    let slide = window.app.session().active().expect("a slide").id().clone();
    window.app.command(QueryCommand::At { slide: slide.clone(), point: field.center() });
    // Wait for the real answer first, from a project without embedded tiles.
    let mut frames_at_rest = 0;
    while frames_at_rest < 200 {
        window.step(Drawn::Recorded);
        let waits = window.app.session().query().is_none_or(|query| query.waiting);
        frames_at_rest = if waits { 0 } else { frames_at_rest + 1 };
    }
    let (across, down) = (field.width / COLUMNS as u32, field.height / (HIGHLIGHTED / COLUMNS) as u32);
    let matches = (0..HIGHLIGHTED).map(|index| {
        let (x, y) =
            ((index % COLUMNS) as i64 * i64::from(across), (index / COLUMNS) as i64 * i64::from(down));
        let rect = Level0Rect::new(field.x + x, field.y + y, across.max(1), down.max(1));
        Match { rank: index + 1, slide: slide.clone(), rect, distance: index as f32, example: 0 }
    });
    let answer = Answer {
        tiles: vec![None],
        direction: None,
        matches: matches.collect(),
        slides: Vec::new(),
        exact: true,
        searched: HIGHLIGHTED,
        elapsed: Duration::ZERO,
        archive: None,
    };
    // Only the answer with the generation of the current query is accepted.
    for generation in 1..=64 {
        window.app.absorb(QueryEvent::Answered {
            generation,
            answer: Ok(answer.clone()),
            second_encoder: None,
        });
    }
    let (cpu, _) = window.step(Drawn::Recorded);
    let answer = window.app.session().query().and_then(|query| query.answer.as_ref());
    assert_eq!(answer.map(|answer| answer.matches.len()), Some(HIGHLIGHTED), "tiles are highlighted");
    println!(
        "  the frame in which {HIGHLIGHTED} matches arrive: {:.1} ms of CPU, once",
        cpu.as_secs_f64() * 1000.0
    );
}

/// Adds annotations of forty vertices each over the view, as an import would.
pub fn annotate(window: &mut Window) {
    let field = window.app.field().expect("a view");
    let step = (f64::from(field.width) / 125.0, f64::from(field.height) / 80.0);
    let annotations = (0..ANNOTATIONS).map(|number| {
        let (column, row) = ((number % 125) as f64, (number / 125) as f64);
        let (x, y) = (field.x as f64 + column * step.0, field.y as f64 + row * step.1);
        let corner = |corner: u32| {
            let angle = f64::from(corner) / 40.0 * std::f64::consts::TAU;
            Level0Point::new(x + 0.4 * step.0 * angle.cos(), y + 0.4 * step.1 * angle.sin())
        };
        Annotation::new(Shape::polygon((0..40).map(corner).collect()), None)
    });
    let slide = window.app.session().active().expect("a slide").id().clone();
    let edit = Edit::Add(annotations.collect());
    window.app.command(AnnotationCommand::Edit { slide: slide.clone(), edit });
    let drawn = window.app.session().annotations(&slide).map(|annotations| annotations.set().len());
    assert_eq!(drawn, Some(ANNOTATIONS), "annotations are drawn");
    window.app.command(AnnotationCommand::Select { slide, ids: Vec::new() });
    // A separate thread prepares their buffers; it finishes well within these frames.
    for _ in 0..120 {
        window.step(Drawn::Recorded);
    }
}

/// Undoes the latest edit of the annotations.
pub fn undo(window: &mut Window) {
    let slide = window.app.session().active().expect("a slide").id().clone();
    window.app.command(AnnotationCommand::Undo(slide));
}

/// Fills the slide with detections of 16 corners each, as an import would, and waits until they are drawn.
pub fn detect(window: &mut Window, count: u32) {
    let slide = window.app.session().active().expect("a slide");
    let (id, info) = (slide.id().clone(), slide.source.info());
    let (width, height) = (f64::from(info.width()), f64::from(info.height()));
    let columns = (f64::from(count) * width / height).sqrt().ceil();
    let step = width / columns;
    let detections = (0..count).map(|number| {
        let (column, row) = (f64::from(number) % columns, (f64::from(number) / columns).floor());
        let corner = |corner: u32| {
            let angle = f64::from(corner) / 16.0 * std::f64::consts::TAU;
            let (x, y) = (column + 0.5 + 0.4 * angle.cos(), row + 0.5 + 0.4 * angle.sin());
            Level0Point::new((x * step * 100.0).round() / 100.0, (y * step * 100.0).round() / 100.0)
        };
        let class = AnnotationClass::named(["Tumour", "Stroma", "Immune cells"][number as usize % 3]);
        let mut one = Annotation::new(Shape::polygon((0..16).map(corner).collect()), Some(class));
        one.kind = ObjectKind::Detection;
        one
    });
    let resident = support::resident_mib();
    let set = AnnotationSet::packed(detections);
    assert_eq!(set.detections().len(), count as usize);
    let begun = Instant::now();
    window.app.command(AnnotationCommand::Edit { slide: id, edit: Edit::Import(Box::new(set)) });
    window.step(Drawn::Recorded);
    println!("  {count} detections: the edit and its frame {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    // A separate thread prepares their tiles.
    for _ in 0..600 {
        window.step(Drawn::Recorded);
    }
    let bytes = (support::resident_mib() - resident) * f64::from(1 << 20) / f64::from(count);
    println!("  {bytes:.0} bytes of resident memory more for each, with what is drawn of them");
}
