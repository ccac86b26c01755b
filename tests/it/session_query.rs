//! Queries in the session: examples, answers, matches and the history.

use std::sync::Arc;

use histokin::annotation::{Annotation, AnnotationClass, AnnotationSet, Bounds, Edit, Shape};
use histokin::encoder::{Encoder, EncoderId};
use histokin::geometry::{Level0Point, Level0Rect, MicronsPerPixel};
use histokin::index::Snapshot;
use histokin::query::{
    self, AnnotationFilter, Example, Judgement, PatientList, Patients, QueryHistory, Region, Scope,
    ShownExample, TilePosition,
};
use histokin::session::{
    AnnotationCommand, AnnotationEvent, ArchiveCommand, ArchiveJob, Command, EmbeddingCommand,
    EmbeddingEvent, EmbeddingJob, HistoryJob, IndexEvent, Job, LoadJob, MatchCommand, OpenJob, PictureJob,
    PictureQuery, PictureRequest, QueryCommand, QueryEvent, SearchRequest, SlideCommand, SlideEvent,
    SlideStatus, ViewCommand,
};
use histokin::slide::{self, SlideId};
use histokin::tissue::TissueMask;

use crate::made::QuarterColours;
use crate::session::TestSession;

fn search(jobs: &[Job]) -> SearchRequest {
    let search = |job: &Job| match job {
        Job::Search(request) => Some(request.clone()),
        _ => None,
    };
    jobs.iter().find_map(search).expect("a search is requested")
}

/// Answers the query as the workers would.
fn answer(test: &mut TestSession, jobs: &[Job]) -> Vec<Job> {
    let SearchRequest { generation, index, query, annotations, second_encoder } = search(jobs);
    let answer = query::ask(&index, &query, &annotations);
    let second_encoder = second_encoder.map(|index| query::ask(&index, &query, &annotations));
    test.session.absorb(QueryEvent::Answered { generation, answer, second_encoder })
}

/// Tiles whose descriptors are so many times `factor`, on a slide.
fn rows(count: usize, factor: f32) -> Vec<Vec<f32>> {
    (0..count).map(|tile| vec![tile as f32 * factor; 12]).collect()
}

fn matches(test: &TestSession) -> Vec<(SlideId, i64)> {
    let answer = test.session.query().unwrap().answer.as_ref().unwrap();
    answer
        .matches
        .iter()
        .map(|found| (found.slide.clone(), found.rect.x / 224 + found.rect.y / 224 * 4))
        .collect()
}

/// Two slides of five tiles, annotations read, and the first tile of the first slide asked for.
fn asked() -> TestSession {
    let mut test = TestSession::with_slides(2);
    test.index(vec![test.set(0, &rows(5, 1.0)), test.set(1, &rows(5, 1.1))]);
    for number in 0..2 {
        let loaded = Ok(AnnotationSet::default());
        test.session.absorb(AnnotationEvent::Loaded { slide: test.id(number), loaded });
    }
    let mut settings = test.session.query_settings().clone();
    settings.exclude_um = 0.0;
    test.session.handle(QueryCommand::SetSettings(settings));
    let jobs =
        test.session.handle(QueryCommand::At { slide: test.id(0), point: Level0Point::new(10.0, 10.0) });
    answer(&mut test, &jobs);
    test
}

fn add_rectangle(
    test: &mut TestSession,
    number: usize,
    (left, right): (f64, f64),
    class: &str,
) -> uuid::Uuid {
    let bounds = Bounds::between(Level0Point::new(left, 0.0), Level0Point::new(right, 224.0));
    let annotation = Annotation::new(Shape::Rectangle(bounds), Some(AnnotationClass::named(class)));
    let id = annotation.id;
    let edit = Edit::Add(vec![annotation]);
    test.session.handle(AnnotationCommand::Edit { slide: test.id(number), edit });
    id
}

#[test]
fn a_click_finds_matches_a_row_goes_there_and_back_returns() {
    let mut test = TestSession::with_slides(2);
    let rows: Vec<Vec<f32>> = (0..4).map(|n| vec![n as f32; 12]).collect();
    test.index((0..2).map(|number| test.set(number, &rows)).collect());

    let point = Level0Point::new(230.0, 10.0);
    let jobs = test.session.handle(QueryCommand::At { slide: test.id(0), point });
    let request = search(&jobs);
    let answer = query::ask(&request.index, &request.query, &request.annotations).unwrap();
    let stale = request.generation - 1;
    assert!(
        test.session
            .absorb(QueryEvent::Answered {
                generation: stale,
                answer: Ok(answer.clone()),
                second_encoder: None
            })
            .is_empty()
    );
    assert!(test.session.query().unwrap().answer.is_none(), "answers to older queries are dropped");
    test.session.absorb(QueryEvent::Answered {
        generation: stale + 1,
        answer: Ok(answer),
        second_encoder: None,
    });

    let best = test.session.query().unwrap().answer.as_ref().unwrap().matches[0].clone();
    assert_eq!(best.slide, test.id(1), "the same descriptor stands on the other slide");
    assert_eq!(best.distance, 0.0);
    let from = Level0Rect::new(0, 0, 300, 200);
    test.session.handle(MatchCommand::GoTo { rank: 0, from: Some((test.id(0), from)) });
    assert_eq!(*test.session.active().unwrap().id(), test.id(1));
    assert_eq!(test.session.take_destination().unwrap().field, best.rect);
    assert!(test.session.query().is_some(), "the query is kept");
    test.session.handle(ViewCommand::Back);
    assert_eq!(*test.session.active().unwrap().id(), test.id(0));
    assert_eq!(test.session.take_destination().unwrap().field, from);
    assert!(!test.session.can_go_back());
}

#[test]
fn examples_are_added_and_removed_and_queries_are_kept() {
    let mut test = TestSession::with_slides(2);
    let (slide, point) = (test.id(0), Level0Point::new(230.0, 10.0));
    test.session.absorb(test.history(QueryHistory::default()));
    let add = |is_positive: bool, x: f64| {
        Command::Query(QueryCommand::AddExample {
            slide: slide.clone(),
            point: Level0Point::new(x, 10.0),
            is_positive,
        })
    };
    test.session.handle(QueryCommand::At { slide: slide.clone(), point });
    test.session.handle(add(true, 10.0));
    let jobs = test.session.handle(add(false, 500.0));
    let [Job::Search(request), Job::History(HistoryJob::SaveHistory { query_history, .. })] = &jobs[..]
    else {
        panic!("a search, and the history saved")
    };
    assert_eq!((request.query.positives.len(), request.query.negatives.len()), (2, 1));
    assert_eq!(query_history.history().len(), 1, "one query, as it is now");
    test.session.handle(add(true, 10.0));
    assert_eq!(test.session.query().unwrap().positives.len(), 1, "a second click removes it");
    test.session.handle(add(true, 500.0));
    let query = test.session.query().unwrap();
    assert_eq!(
        (query.positives.len(), query.negatives.len()),
        (2, 0),
        "a tile is either a positive or a negative example"
    );
    test.session.handle(QueryCommand::At { slide: slide.clone(), point: Level0Point::new(10.0, 10.0) });
    test.session.handle(QueryCommand::Repeat(1));
    assert_eq!(test.session.query().unwrap().positives.len(), 2);
    test.session.handle(QueryCommand::RemoveExample { is_positive: true, index: 0 });
    test.session.handle(QueryCommand::RemoveExample { is_positive: true, index: 0 });
    assert!(test.session.query().is_none(), "no positive example is left");
}

#[test]
fn earlier_queries_get_their_pictures_when_their_slide_is_opened() {
    let mut before = TestSession::with_slides(1);
    before.session.absorb(before.history(QueryHistory::default()));
    before.session.handle(QueryCommand::At { slide: before.id(0), point: Level0Point::new(10.0, 10.0) });
    let query_history = before.session.query_history().clone();

    let mut test = TestSession::with_slides(0);
    let reads =
        |jobs: &[Job]| jobs.iter().any(|job| matches!(job, Job::Picture(PictureJob::ReadTilePicture { .. })));
    assert!(!reads(&test.session.absorb(test.history(query_history))), "the slide is not there yet");
    let slide = test.picture(0, Some(MicronsPerPixel::square(1.0).unwrap()));
    assert!(reads(&test.session.absorb(SlideEvent::Opened(slide))));
}

#[test]
fn matches_are_judged_and_judgements_taken_back() {
    let mut test = TestSession::with_slides(1);
    let rows: Vec<Vec<f32>> = (0..4).map(|n| vec![n as f32; 12]).collect();
    test.index(vec![test.set(0, &rows)]);
    test.session.absorb(test.history(QueryHistory::default()));
    let mut settings = test.session.query_settings().clone();
    settings.exclude_um = 0.0;
    test.session.handle(QueryCommand::SetSettings(settings));
    let jobs =
        test.session.handle(QueryCommand::At { slide: test.id(0), point: Level0Point::new(10.0, 10.0) });
    let Job::Search(request) = &jobs[0] else { panic!("a click is a search") };
    let answer = query::ask(&request.index, &request.query, &request.annotations);
    test.session.absorb(QueryEvent::Answered {
        generation: request.generation,
        answer: answer.clone(),
        second_encoder: None,
    });
    let answer = answer.unwrap();
    let precision = |test: &TestSession| test.session.query_history().precision(&answer);
    let judge = |rank, judgement| Command::Matches(MatchCommand::Judge { rank, judgement: Some(judgement) });
    test.session.handle(judge(0, Judgement::Same));
    let jobs = test.session.handle(judge(1, Judgement::Different));
    let saved = |job: &Job| match job {
        Job::History(HistoryJob::SaveHistory { query_history, .. }) => Some(query_history.judgements().len()),
        _ => None,
    };
    assert_eq!(jobs.iter().find_map(saved), Some(2));
    test.session.handle(judge(0, Judgement::Unsure));
    assert_eq!(precision(&test).share(), Some(0.0));
    test.session.handle(MatchCommand::UndoJudgement);
    assert_eq!(precision(&test).share(), Some(0.5));
    test.session.handle(MatchCommand::UndoJudgement);
    test.session.handle(MatchCommand::UndoJudgement);
    assert!(test.session.query_history().judgements().is_empty() && !test.session.can_undo_judgement());
}

#[test]
fn tissue_that_is_not_embedded_is_described_on_the_spot() {
    let mut test = TestSession::with_slides(2);
    test.index(vec![test.set(1, &[vec![0.5; 12]])]);
    let jobs =
        test.session.handle(QueryCommand::At { slide: test.id(0), point: Level0Point::new(10.0, 10.0) });
    let Job::Search(request) = &jobs[0] else { panic!("a click is a search") };
    let (generation, answer) =
        (request.generation, query::ask(&request.index, &request.query, &request.annotations));
    let jobs = test.session.absorb(QueryEvent::Answered { generation, answer, second_encoder: None });
    let Some(Job::Embedding(EmbeddingJob::Tiles(request))) =
        jobs.iter().find(|job| matches!(job, Job::Embedding(EmbeddingJob::Tiles(_))))
    else {
        panic!("the tile is described")
    };
    let descriptors = Ok(vec![vec![0.5; 12]]);
    let jobs = test.session.absorb(QueryEvent::TilesEmbedded {
        slide: test.id(0),
        rects: request.rects.clone(),
        recipe: request.recipe.clone(),
        descriptors,
    });
    let Job::Search(request) = &jobs[0] else { panic!("and looked for") };
    assert_eq!(
        query::ask(&request.index, &request.query, &request.annotations).unwrap().matches[0].distance,
        0.0
    );
}

#[test]
fn visited_and_chosen_matches_stay_the_same_tiles_while_others_are_embedded() {
    let mut test = asked();
    let listed = matches(&test);
    test.session.handle(MatchCommand::GoTo { rank: 1, from: None });
    test.session.handle(MatchCommand::ChooseExactly(vec![1, 3]));
    // Nearer tiles are embedded on the other slide, and come first.
    let nearer: Vec<Vec<f32>> = (0..5).map(|tile| vec![tile as f32 * 0.01; 12]).collect();
    test.index(vec![test.set(0, &rows(5, 1.0)), test.set(1, &nearer)]);
    let settings = test.session.query_settings().clone();
    let jobs = test.session.handle(QueryCommand::SetSettings(settings));
    answer(&mut test, &jobs);
    let now = matches(&test);
    assert_ne!(listed, now);
    let place = |tile: &(SlideId, i64)| now.iter().position(|found| found == tile);
    let query = test.session.query().unwrap();
    assert_eq!(query.visited, place(&listed[1]));
    assert_eq!(query.chosen.iter().copied().collect::<Vec<_>>(), {
        let mut places: Vec<usize> = [1, 3].iter().filter_map(|rank| place(&listed[*rank])).collect();
        places.sort_unstable();
        places
    });
    // What is no longer among the matches is neither visited nor chosen.
    let visited = query.visited.expect("it is still a match");
    let mut settings = test.session.query_settings().clone();
    settings.count = visited;
    let jobs = test.session.handle(QueryCommand::SetSettings(settings));
    answer(&mut test, &jobs);
    let query = test.session.query().unwrap();
    assert_eq!((query.visited, query.answer.as_ref().unwrap().matches.len()), (None, visited));
    assert!(!query.chosen.contains(&visited));
}

#[test]
fn a_click_beside_the_tissue_keeps_an_answer() {
    let mut test = asked();
    let mut glass = TissueMask::of(test.slides[1].as_ref()).unwrap();
    glass.mask.fill(0);
    test.session.absorb(SlideEvent::TissueFound { slide: test.id(1), tissue: Arc::new(glass) });
    let beside = Level0Point::new(500.0, 600.0);
    let before = (matches(&test), test.session.generation());
    for command in [
        QueryCommand::At { slide: test.id(1), point: beside },
        QueryCommand::AddExample { slide: test.id(1), point: beside, is_positive: true },
    ] {
        assert!(test.session.handle(command).is_empty());
        assert_eq!((matches(&test), test.session.generation()), before);
        assert_eq!(test.session.query().unwrap().positives.len(), 1);
    }
    let told: Vec<&str> = test.session.messages().iter().map(|message| message.text.as_str()).collect();
    assert!(told.len() == 1 && told[0].starts_with("No tissue was detected here"), "{told:?}");
    // What was embedded there before the mask changed can be searched with.
    let jobs =
        test.session.handle(QueryCommand::At { slide: test.id(1), point: Level0Point::new(10.0, 10.0) });
    answer(&mut test, &jobs);
    assert_eq!(test.session.query().unwrap().target().unwrap().slide, test.id(1));
}

#[test]
fn chosen_matches_become_annotations_on_their_slides_and_back() {
    let mut test = asked();
    let class = AnnotationClass::named("Tumour");
    test.session.handle(MatchCommand::ChooseExactly(vec![0, 1, 2, 99]));
    test.session.handle(MatchCommand::Choose(2));
    test.session.handle(MatchCommand::Choose(3));
    assert_eq!(test.session.query().unwrap().chosen.iter().copied().collect::<Vec<_>>(), [0, 1, 3]);
    let found = test.session.query().unwrap().answer.as_ref().unwrap().matches.clone();
    test.session.handle(MatchCommand::Classify(Some(class.clone())));
    assert!(test.session.query().unwrap().chosen.is_empty());
    let drawn = |test: &TestSession| -> Vec<(SlideId, Level0Rect, String)> {
        let of_slide = |number: usize| {
            let id = test.id(number);
            let set = test.session.annotations(&id).unwrap().set().clone();
            set.iter()
                .map(|one| {
                    let bounds = one.bounds().unwrap();
                    let (x, y) = (bounds.min.x as i64, bounds.min.y as i64);
                    let rect = Level0Rect::new(x, y, bounds.width() as u32, bounds.height() as u32);
                    (id.clone(), rect, one.class.as_ref().unwrap().name.clone())
                })
                .collect::<Vec<_>>()
        };
        (0..2).flat_map(of_slide).collect()
    };
    let mut wanted: Vec<_> =
        [0, 1, 3].map(|rank| (found[rank].slide.clone(), found[rank].rect, "Tumour".to_owned())).to_vec();
    let first = test.id(0);
    let order = |one: &(SlideId, Level0Rect, String)| (one.0 != first, one.1.x);
    wanted.sort_by_key(order);
    let mut now = drawn(&test);
    now.sort_by_key(order);
    assert_eq!(now, wanted);
    // The same match with another class stays one annotation.
    test.session.handle(MatchCommand::ChooseExactly(vec![1]));
    test.session.handle(MatchCommand::Classify(Some(AnnotationClass::named("Stroma"))));
    assert_eq!(drawn(&test).len(), 3);
    assert_eq!(drawn(&test).iter().filter(|one| one.2 == "Stroma").count(), 1);
    test.session.handle(MatchCommand::UndoClassification);
    let mut now = drawn(&test);
    now.sort_by_key(order);
    assert_eq!(now, wanted);
    test.session.handle(MatchCommand::UndoClassification);
    assert!(drawn(&test).is_empty() && !test.session.can_undo_classification());
}

#[test]
fn annotations_and_classes_are_asked_for_and_decide_where() {
    let mut test = asked();
    let drawn = add_rectangle(&mut test, 0, (0.0, 448.0), "Tumour");
    // Smaller than a tile: the tile that it lies on.
    add_rectangle(&mut test, 1, (460.0, 480.0), "Tumour");
    let jobs = test.session.handle(QueryCommand::Annotations { slide: test.id(0), ids: vec![drawn] });
    let [Example::Region { region: Region::Areas(_), .. }] = &search(&jobs).query.positives[..] else {
        panic!("the areas of the annotations")
    };
    answer(&mut test, &jobs);
    assert_eq!(test.session.query().unwrap().answer.as_ref().unwrap().tiles.len(), 2);
    let jobs = test.session.handle(QueryCommand::Class("Tumour".to_owned()));
    answer(&mut test, &jobs);
    assert_eq!(test.session.query().unwrap().answer.as_ref().unwrap().tiles.len(), 3);
    assert!(test.session.handle(QueryCommand::Class("Fat".to_owned())).is_empty());
    assert!(test.session.messages().last().unwrap().text.contains("Fat"));

    let mut settings = test.session.query_settings().clone();
    settings.annotation_filter = AnnotationFilter::Class("Stroma".to_owned());
    let jobs = test.session.handle(QueryCommand::SetSettings(settings));
    answer(&mut test, &jobs);
    assert!(matches(&test).is_empty());
    // What is drawn counts at once.
    let bounds = Bounds::between(Level0Point::new(600.0, 0.0), Level0Point::new(900.0, 224.0));
    let stroma = Annotation::new(Shape::Rectangle(bounds), Some(AnnotationClass::named("Stroma")));
    let edit = Edit::Add(vec![stroma]);
    let jobs = test.session.handle(AnnotationCommand::Edit { slide: test.id(1), edit });
    answer(&mut test, &jobs);
    assert_eq!(matches(&test), [(test.id(1), 3)]);
}

#[test]
fn a_whole_slide_ranks_the_others_and_pictures_are_asked_with() {
    let mut test = asked();
    let jobs = test.session.handle(QueryCommand::Slide(test.id(0)));
    let request = search(&jobs);
    assert!(request.query.settings.rank_slides);
    assert!(matches!(&request.query.positives[..], [Example::Region { region: Region::Rect(_), .. }]));
    answer(&mut test, &jobs);
    let ranked = &test.session.query().unwrap().answer.as_ref().unwrap().slides;
    assert!(ranked.iter().any(|slide| slide.slide == test.id(1)));

    let path = test.folder.path().join("picture.png");
    test.picture(7, None);
    std::fs::rename(test.folder.path().join("slide-7.png"), &path).unwrap();
    let picture = PictureQuery::File(path.clone());
    let jobs = test.session.handle(QueryCommand::Picture(picture));
    assert!(matches!(&jobs[..], [Job::Embedding(EmbeddingJob::Picture(_))]));
    let info = slide::open(&path, None).unwrap().info().clone();
    let position = TilePosition { slide: info.id.clone(), rect: info.extent() };
    let example = Example::Descriptors {
        name: "picture.png".to_owned(),
        position: Some(position.clone()),
        descriptors: vec![vec![3.0; 12]],
        recipe: Some(test.session.recipe().unwrap().short_id()),
        file: Some(path),
    };
    let example = ShownExample { example, position: Some(position.clone()) };
    let jobs = test.session.absorb(QueryEvent::PictureEmbedded(Ok(Box::new(example))));
    let jobs = answer(&mut test, &jobs);
    assert_eq!(matches(&test)[0], (test.id(0), 3));
    assert!(
        jobs.iter().any(|job| matches!(job, Job::Picture(PictureJob::ReadQueryPicture { .. }))),
        "it is shown"
    );
    assert!(test.session.handle(QueryCommand::GoToExample { position, from: None }).is_empty());
    assert!(test.session.take_destination().is_none(), "a picture lies on no slide");
    test.session.absorb(QueryEvent::PictureEmbedded(Err("photo.png: no picture".to_owned())));
    assert_eq!(test.session.messages().last().unwrap().text, "photo.png: no picture");
}

#[test]
fn a_slide_that_is_taken_off_or_cut_anew_is_found_no_more_at_once() {
    let mut test = asked();
    let late = Arc::new(Snapshot::build(test.session.index().sets().to_vec(), None, None));
    assert!(matches(&test).iter().any(|(slide, _)| *slide == test.id(1)));
    let gone = test.id(1);
    let jobs = test.session.handle(SlideCommand::Remove(gone.clone()));
    assert!(matches(&test).iter().all(|(slide, _)| *slide != gone), "gone from the answer in hand");
    assert!(search(&jobs).index.set_index(&gone).is_none());
    // A build that was under way knows it still.
    test.session.absorb(IndexEvent::Built(late));
    assert!(test.session.index().set_index(&gone).is_none());
    assert_eq!(test.session.index().len(), 5);

    let path = test.slides[0].info().path.clone();
    let late = Arc::new(Snapshot::build(test.session.index().sets().to_vec(), None, None));
    let stale = test.session.index().sets()[0].clone();
    let mpp = MicronsPerPixel::square(0.5).unwrap();
    test.session.handle(SlideCommand::SetMpp { slide: test.id(0), mpp });
    test.session.absorb(SlideEvent::Opened(slide::open(&path, Some(mpp)).unwrap()));
    assert_eq!(test.session.index().len(), 0, "its tiles are others now");
    test.session.absorb(IndexEvent::Built(late));
    assert_eq!(test.session.index().len(), 0);
    // Neither does the file of before come back.
    let jobs = test.session.absorb(EmbeddingEvent::DescriptorsReady { set: stale, finished: true });
    assert!(matches!(test.session.slide(&test.id(0)).unwrap().status, SlideStatus::Waiting(_)));
    assert!(
        jobs.iter()
            .any(|job| matches!(job, Job::Embedding(EmbeddingJob::Plan(plan)) if plan.targets.len() == 1))
    );
}

#[test]
fn two_encoders_answer_the_same_question() {
    let mut test = asked();
    let other = test.set(1, &rows(5, -2.0));
    let mut header = other.header.clone();
    header.recipe.encoder_name = "other".to_owned();
    let recipe = header.recipe.clone();
    test.session.absorb(QueryEvent::RecipesFound(vec![recipe.clone()]));
    assert_eq!(test.session.recipes(), std::slice::from_ref(&recipe));
    let jobs = test.session.handle(QueryCommand::CompareWith(Some(recipe.clone())));
    assert!(matches!(&jobs[..], [Job::Load(LoadJob::OpenSecondEncoder { slides, .. })] if slides.len() == 2));
    let sets = vec![test.set(0, &rows(5, 7.0)), other];
    let index = Arc::new(Snapshot::build(sets, None, None));
    let jobs = test.session.absorb(QueryEvent::SecondEncoderOpened { recipe: recipe.clone(), index });
    answer(&mut test, &jobs);
    let query = test.session.query().unwrap();
    let distances =
        |answer: &query::Answer| answer.matches.iter().map(|found| found.distance).collect::<Vec<_>>();
    let second_encoder = query.second_encoder.as_ref().unwrap().as_ref().unwrap();
    assert_eq!(second_encoder.matches.len(), query.answer.as_ref().unwrap().matches.len());
    assert_ne!(distances(second_encoder), distances(query.answer.as_ref().unwrap()));
    test.session.handle(QueryCommand::CompareWith(None));
    assert!(
        test.session.query().unwrap().second_encoder.is_none() && test.session.second_encoder().is_none()
    );
    // Nothing was described by it.
    test.session.handle(QueryCommand::CompareWith(Some(recipe.clone())));
    test.session.absorb(QueryEvent::SecondEncoderOpened { recipe, index: Arc::new(Snapshot::empty()) });
    assert!(test.session.second_encoder().is_none());
    assert!(test.session.messages().last().unwrap().text.contains("other"));
}

#[test]
fn nothing_is_compared_with_descriptors_of_another_encoder() {
    let mut test = asked();
    let former = test.session.recipe().unwrap();
    let path = test.folder.path().join("picture.png");
    std::fs::copy(test.slides[0].info().path.as_path(), &path).unwrap();
    let image = ShownExample {
        example: Example::Descriptors {
            name: "picture.png".to_owned(),
            position: None,
            descriptors: vec![vec![3.0; 12]],
            recipe: Some(former.short_id()),
            file: Some(path.clone()),
        },
        position: None,
    };
    let jobs = test.session.absorb(QueryEvent::PictureEmbedded(Ok(Box::new(image.clone()))));
    answer(&mut test, &jobs);
    assert_eq!(matches(&test)[0], (test.id(0), 3));

    // Another encoder, whose descriptors are as long; what the former one has embedded is searched until it is done.
    test.session.handle(EmbeddingCommand::ChooseEncoder("other".to_owned()));
    let mut spec = QuarterColours::new().spec().clone();
    spec.id = EncoderId("another-encoder".repeat(4));
    let (which, spec) = ("other".to_owned(), Box::new(spec));
    test.session.absorb(EmbeddingEvent::EncoderKnown { which, spec });
    assert_ne!(test.session.recipe(), Some(former.clone()));
    let picture = QueryCommand::Picture(PictureQuery::File(path.clone()));
    assert!(test.session.handle(picture.clone()).is_empty());
    assert!(test.session.messages().last().unwrap().text.contains("embedded again"));
    let unembedded = Level0Point::new(800.0, 600.0);
    let jobs = test.session.handle(QueryCommand::At { slide: test.id(0), point: unembedded });
    let jobs = answer(&mut test, &jobs);
    assert!(!jobs.iter().any(|job| matches!(job, Job::Embedding(_))), "by the new encoder it would be");
    assert!(!test.session.query().unwrap().waiting);
    let url = Some("postgresql://reader@example.org/archive".parse().unwrap());
    let jobs = test.session.handle(ArchiveCommand::Set { url, password: None });
    let in_archive = |job: &Job| match job {
        Job::Archive(ArchiveJob::Search(request)) => Some(request.recipe.clone()),
        _ => None,
    };
    assert_eq!(jobs.iter().find_map(in_archive), Some(former));
    test.session.handle(ArchiveCommand::Set { url: None, password: None });

    // All slides have descriptors of the new one.
    test.index(vec![test.set(0, &rows(5, 1.0)), test.set(1, &rows(5, 1.1))]);
    let of_image =
        test.session.query_history().history().iter().position(|past| past.positives == [image.clone()]);
    let jobs = test.session.handle(QueryCommand::Repeat(of_image.unwrap()));
    let is_of_image = |request: &PictureRequest| request.picture == PictureQuery::File(path.clone());
    assert!(matches!(&jobs[..], [Job::Embedding(EmbeddingJob::Picture(request))] if is_of_image(request)));
    // What the former encoder said of the image arrives late.
    let jobs = test.session.absorb(QueryEvent::PictureEmbedded(Ok(Box::new(image))));
    answer(&mut test, &jobs);
    let query = test.session.query().unwrap();
    assert!(query.answer.is_none() && query.problem.as_ref().unwrap().contains("another encoder"));
}

#[test]
fn a_list_of_slides_tells_whose_they_are() {
    let mut test = asked();
    // A table that is dropped on the window is one.
    let jobs = test.session.handle(SlideCommand::Open(vec!["list.CSV".into(), "slide.tif".into()]));
    assert!(
        matches!(&jobs[..], [Job::Load(LoadJob::ReadPatients(list)), Job::Open(OpenJob::FindPaths { paths: others, .. })]
            if list.ends_with("list.CSV") && others.len() == 1)
    );
    test.session.handle(QueryCommand::SetPatients(Patients::Same));
    let mut settings = test.session.query_settings().clone();
    settings.scope = Scope::All;
    let jobs = test.session.handle(QueryCommand::SetSettings(settings.clone()));
    answer(&mut test, &jobs);
    assert!(!matches(&test).is_empty(), "all are called slide-N: of one patient");
    let patients = vec![("slide-0".to_owned(), "A".to_owned()), ("Slide-1.PNG".to_owned(), "B".to_owned())];
    let patients = Ok(PatientList { patients, note: Some("It was read as Windows-1252.".to_owned()) });
    let jobs = test.session.absorb(QueryEvent::PatientsRead { path: "list.csv".into(), patients });
    let told = &test.session.messages().last().unwrap().text;
    assert!(told.contains("It names 2 of 2 open slides. It was read as Windows-1252."), "{told}");
    assert!(jobs.iter().any(|job| matches!(job, Job::SaveProject(_))), "the project keeps it");
    answer(&mut test, &jobs);
    assert!(matches(&test).iter().all(|(slide, _)| *slide == test.id(0)));
    // Chosen slides and patients narrow each other.
    settings.among = Some(vec![test.id(1)]);
    let jobs = test.session.handle(QueryCommand::SetSettings(settings));
    answer(&mut test, &jobs);
    assert!(matches(&test).is_empty());
}
