//! The window and the command line build the same question of the same words, and so give the same answer.

use std::sync::Arc;

use histokin::annotation::{Annotation, AnnotationClass, AnnotationSet, Bounds, Shape};
use histokin::encoder;
use histokin::geometry::{Level0Point, Level0Rect};
use histokin::index::Snapshot;
use histokin::project::Project;
use histokin::query::{self, QuerySettings, Region};
use histokin::session::{AnnotationEvent, Command, QueryCommand, Event, IndexEvent, EmbeddingEvent, SlideEvent, Job, Session};
use histokin::slide::{self, SlideId};
use serde_json::Value;

use crate::evaluate::Study;

/// A project of three embedded slides with annotations, as the command line and the window see it.
struct Both {
    study: Study,
    session: Session,
    slides: Vec<SlideId>,
    annotations: Vec<Annotation>,
}

/// Matches as slide, place and distance.
type Found = Vec<(String, i64, i64, f32)>;

fn rectangle(x: f64, y: f64, width: f64, height: f64, class: &str) -> Annotation {
    let bounds = Bounds::between(Level0Point::new(x, y), Level0Point::new(x + width, y + height));
    Annotation::new(Shape::Rectangle(bounds), Some(AnnotationClass::named(class)))
}

impl Both {
    fn new() -> Self {
        let study = Study::new();
        // Imported features need no network.
        study.json(&[]);
        let export = ["export", "project", "--encoder", "hsv-histogram", "--format", "clam", "--to", "clam"];
        study.histokin(&export).assert().success();
        study.histokin(&["import", "project", "clam", "--name", "elsewhere", "--use"]).assert().success();
        let project = Project::open(&study.project()).unwrap();
        let slides: Vec<SlideId> = project.slides().iter().map(|entry| entry.id.clone()).collect();
        // An area of several tiles, one smaller than a tile that holds no tile's centre, and a point.
        let point = Shape::Points(vec![Level0Point::new(1120.0, 880.0)]);
        let annotations = vec![
            rectangle(100.0, 100.0, 420.0, 300.0, "Tumour"),
            rectangle(710.0, 610.0, 30.0, 25.0, "Tumour"),
            Annotation::new(point, Some(AnnotationClass::named("Stroma"))),
        ];
        let set = AnnotationSet::new(annotations.clone());
        project.annotations().save(&slides[0], &set).unwrap();
        let other = vec![rectangle(610.0, 310.0, 20.0, 20.0, "Tumour")];
        project.annotations().save(&slides[1], &AnnotationSet::new(other)).unwrap();
        let session = opened(&study);
        Self { study, session, slides, annotations }
    }

    /// What the command line finds.
    fn told(&self, arguments: &[&str]) -> Found {
        let usual = ["query", "project", "-k", "40", "--device", "cpu", "--json"];
        let arguments = [&usual[..], arguments].concat();
        let output = self.study.histokin(&arguments).assert().success().get_output().stdout.clone();
        let answer: Value = serde_json::from_slice(&output).unwrap();
        let found = |found: &Value| {
            let number = |key: &str| found[key].as_i64().unwrap();
            let slide = found["slide"].as_str().unwrap().to_owned();
            (slide, number("x"), number("y"), found["distance"].as_f64().unwrap() as f32)
        };
        answer["matches"].as_array().unwrap().iter().map(found).collect()
    }

    /// What the window finds after these commands.
    fn shown(&mut self, commands: Vec<Command>) -> Found {
        let settings = QuerySettings { count: 40, ..QuerySettings::default() };
        self.session.handle(QueryCommand::SetSettings(settings));
        let jobs: Vec<Job> =
            commands.into_iter().flat_map(|command| self.session.handle(command)).collect();
        let mut requests = jobs.into_iter().filter_map(|job| match job {
            Job::Search(request) => Some(request),
            _ => None,
        });
        let request = requests.next_back().expect("a search is requested");
        let answer = query::ask(&request.index, &request.query, &request.annotations).unwrap();
        let found = |found: &query::Match| {
            (found.slide.0.clone(), found.rect.x, found.rect.y, found.distance)
        };
        self.session.handle(QueryCommand::Clear);
        answer.matches.iter().map(found).collect()
    }

    fn check(&mut self, arguments: &[&str], commands: Vec<Command>) {
        let (told, shown) = (self.told(arguments), self.shown(commands));
        assert_eq!(told, shown, "{arguments:?}");
        assert_eq!(told.len(), 40, "{arguments:?}");
    }
}

/// The project in the window, all of its slides open and indexed.
fn opened(study: &Study) -> Session {
    let project = Project::open(&study.project()).unwrap();
    let spec = encoder::spec(&project.encoder_name()).unwrap();
    let (recipe, store) = (project.recipe(&spec), project.descriptors());
    let mut session = Session::new(project.clone());
    let which = session.project().encoder_name();
    session.absorb(EmbeddingEvent::EncoderKnown { which, spec: Box::new(spec) });
    let mut sets = Vec::new();
    for entry in project.slides() {
        let source = slide::open(&project.slide_path(entry), None).unwrap();
        session.absorb(SlideEvent::Opened(source));
        let loaded = Ok(project.annotations().load(&entry.id).unwrap().set);
        let loaded = AnnotationEvent::Loaded { slide: entry.id.clone(), loaded };
        session.absorb(Event::Annotations(loaded));
        let set = Arc::new(store.open(&entry.id, &recipe).unwrap().unwrap());
        session.absorb(EmbeddingEvent::DescriptorsReady { set: set.clone(), finished: true });
        sets.push(set);
    }
    session.absorb(IndexEvent::Built(Arc::new(Snapshot::build(sets, None, None))));
    session
}

#[test]
fn the_window_and_the_command_line_answer_alike() {
    let mut both = Both::new();
    let slide = both.slides[0].clone();
    let at = |x: f64, y: f64| Level0Point::new(x, y);
    let click = |x, y| Command::Query(QueryCommand::At { slide: slide.clone(), point: at(x, y) });
    let add = |x, y, positives| Command::Query(QueryCommand::AddExample { slide: slide.clone(), point: at(x, y), positives });
    let region = |rect| Command::Query(QueryCommand::Region { slide: slide.clone(), region: Region::Rect(rect) });
    let ids: Vec<_> = both.annotations.iter().map(|one| one.id).collect();
    let annotation = |number: usize| Command::Query(QueryCommand::Annotations { slide: slide.clone(), ids: vec![ids[number]] });
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();

    both.check(&["--slide", "alpha", "--at", "250,650"], vec![click(250.0, 650.0)]);
    let large = Level0Rect::new(600, 200, 400, 350);
    both.check(&["--slide", "alpha", "--rect", "600,200,400,350"], vec![region(large)]);
    // Smaller than a tile, beside any tile's centre.
    let small = Level0Rect::new(705, 205, 20, 20);
    both.check(&["--slide", "alpha", "--rect", "705,205,20,20"], vec![region(small)]);
    for (number, name) in names.iter().enumerate() {
        both.check(&["--slide", "alpha", "--annotation", name], vec![annotation(number)]);
    }
    both.check(&["--like-class", "Tumour"], vec![Command::Query(QueryCommand::Class("Tumour".to_owned()))]);
    both.check(&["--slide", "alpha", "--whole"], vec![Command::Query(QueryCommand::Slide(slide.clone()))]);
    both.check(
        &["--slide", "alpha", "--at", "250,650", "--at", "850,650", "--not-at", "1250,350"],
        vec![click(250.0, 650.0), add(850.0, 650.0, true), add(1250.0, 350.0, false)],
    );
    // What was said last of a tile counts.
    both.check(
        &["--slide", "alpha", "--at", "250,650", "--at", "850,650", "--not-at", "850,650"],
        vec![click(250.0, 650.0), add(850.0, 650.0, true), add(850.0, 650.0, false)],
    );
}

#[test]
fn what_holds_no_tile_is_refused_in_the_same_words() {
    let mut both = Both::new();
    let refused = |arguments: &[&str]| {
        let arguments = [&["query", "project", "--json"], arguments].concat();
        let output = both.study.histokin(&arguments).assert().failure().get_output().stderr.clone();
        String::from_utf8(output).unwrap()
    };
    let told = refused(&["--like-class", "Necrosis"]);
    assert!(both.session.handle(QueryCommand::Class("Necrosis".to_owned())).is_empty());
    let shown = both.session.messages().last().unwrap().text.clone();
    assert!(told.contains(&shown), "{told:?} and {shown:?}");
}
