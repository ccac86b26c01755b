//! Teaching in the session: marks, what they change, and the concepts that they become.

use std::sync::Arc;

use histokin::annotation::AnnotationClass;
use histokin::concept::{Concept, ConceptStore};
use histokin::geometry::{Level0Point, Level0Rect};
use histokin::query::{
    self, Example, Judgement, Order, QueryHistory, QuerySettings, RankBy, Region, TilePosition,
};
use histokin::session::{
    ConceptCommand, ConceptEvent, ConceptJob, HistoryJob, Job, MarkedTissue, MatchCommand, QueryCommand,
    QueryEvent, SlideCommand,
};

use crate::session::TestSession;

/// Answer the search among the jobs as the worker would; returns whether there was one.
fn answer(test: &mut TestSession, jobs: &[Job]) -> bool {
    let search = jobs.iter().find_map(|job| match job {
        Job::Search(request) => Some(request.clone()),
        _ => None,
    });
    let Some(request) = search else { return false };
    let answer = query::ask(&request.index, &request.query, &request.annotations);
    test.session.absorb(QueryEvent::Answered {
        generation: request.generation,
        answer,
        second_encoder: None,
    });
    true
}

/// Three slides of twelve tiles, unit vectors, with the first tile of the first one asked for.
fn asked(settings: QuerySettings) -> TestSession {
    let mut test = TestSession::with_slides(3);
    let rows = |slide: usize| -> Vec<Vec<f32>> {
        let angle = |tile: usize| (tile as f32 * 0.1 + slide as f32 * 0.013).sin_cos();
        (0..12).map(angle).map(|(sine, cosine)| vec![cosine, sine]).collect()
    };
    test.index((0..3).map(|slide| test.set(slide, &rows(slide))).collect());
    test.session.absorb(test.history(QueryHistory::default()));
    test.session.handle(QueryCommand::SetSettings(settings));
    let jobs =
        test.session.handle(QueryCommand::At { slide: test.id(0), point: Level0Point::new(10.0, 10.0) });
    assert!(answer(&mut test, &jobs));
    test
}

fn plain() -> QuerySettings {
    QuerySettings { count: 10, ..QuerySettings::default() }
}

fn best(test: &TestSession) -> Vec<TilePosition> {
    let answer = test.session.query().unwrap().answer.as_ref().unwrap();
    answer.matches.iter().map(|found| TilePosition { slide: found.slide.clone(), rect: found.rect }).collect()
}

fn judge(test: &mut TestSession, rank: usize, judgement: Judgement) -> bool {
    let jobs = test.session.handle(MatchCommand::Judge { rank, judgement: Some(judgement) });
    answer(test, &jobs)
}

#[test]
fn every_judgement_ranks_anew_and_can_be_undone() {
    let mut test = asked(plain());
    let first = best(&test);
    test.session.handle(MatchCommand::GoTo { rank: 7, from: None });
    assert!(judge(&mut test, 7, Judgement::Same), "a mark is a search");
    let second = best(&test);
    let query = test.session.query().unwrap();
    assert_eq!((query.marks.len(), query.marked(Judgement::Same), query.visited), (1, 1, None));
    assert!(!second.contains(&first[7]), "what was marked leaves the answer");
    assert!(query.answer.as_ref().unwrap().direction.is_some());
    assert_eq!(query.positives.len(), 1, "the query's own examples stay");
    assert_eq!(query.stayed.len(), 1);
    assert!(judge(&mut test, 0, Judgement::Different) && judge(&mut test, 0, Judgement::Unsure));
    let query = test.session.query().unwrap();
    assert_eq!((query.marks.len(), query.stayed.len()), (3, 3));
    assert_eq!(test.session.query_history().history()[0].marks.len(), 3, "marks are kept with the query");

    for left in [2, 1, 0] {
        let jobs = test.session.handle(MatchCommand::UndoJudgement);
        assert!(answer(&mut test, &jobs));
        assert_eq!(test.session.query().unwrap().marks.len(), left);
        assert_eq!(test.session.query_history().judgements().len(), left);
    }
    assert_eq!(best(&test), first);
    assert!(!test.session.can_undo_judgement());
}

#[test]
fn marks_are_removed_one_by_one_and_belong_to_their_query() {
    let mut test = asked(plain());
    assert!(judge(&mut test, 0, Judgement::Same) && judge(&mut test, 0, Judgement::Different));
    let jobs = test.session.handle(QueryCommand::RemoveMark(0));
    assert!(answer(&mut test, &jobs));
    let query = test.session.query().unwrap();
    assert_eq!((query.marked(Judgement::Same), query.marked(Judgement::Different)), (0, 1));
    assert_eq!(test.session.query_history().judgements().len(), 1);
    assert!(test.session.handle(QueryCommand::RemoveMark(7)).is_empty());

    // Another query starts without marks; undoing a judgement of the earlier one leaves it alone.
    let jobs =
        test.session.handle(QueryCommand::At { slide: test.id(1), point: Level0Point::new(10.0, 10.0) });
    answer(&mut test, &jobs);
    assert!(test.session.query().unwrap().marks.is_empty());
    test.session.handle(MatchCommand::UndoJudgement);
    assert!(test.session.query().unwrap().marks.is_empty());
    // Repeating it brings its marks back.
    let jobs = test.session.handle(QueryCommand::Repeat(1));
    answer(&mut test, &jobs);
    assert_eq!(test.session.query().unwrap().marks.len(), 1);
    assert!(test.session.query().unwrap().answer.as_ref().unwrap().direction.is_some());
}

#[test]
fn undoing_brings_back_no_mark_that_was_removed_or_whose_slide_was_closed() {
    let mut test = asked(QuerySettings { rank_by: RankBy::Direction, ..plain() });
    for rank in [0, 0, 0] {
        assert!(judge(&mut test, rank, Judgement::Same));
    }
    let marked = |test: &TestSession| -> Vec<TilePosition> {
        let marks = test.session.query().unwrap().marks.iter();
        marks.map(|mark| mark.shown.position.clone().unwrap()).collect()
    };
    let first = marked(&test);
    let jobs = test.session.handle(QueryCommand::RemoveMark(0));
    assert!(answer(&mut test, &jobs));
    test.session.handle(MatchCommand::UndoJudgement);
    assert_eq!(marked(&test), first[1..2].to_vec());
    let slide = first[1].slide.clone();
    assert_ne!(slide, test.id(0), "the query's slide stays open");
    assert!(judge(&mut test, 0, Judgement::Different));
    test.session.handle(SlideCommand::Remove(slide));
    test.session.handle(MatchCommand::UndoJudgement);
    assert!(marked(&test).is_empty());
}

#[test]
fn annotated_tissue_and_regions_are_marked_and_unmarked() {
    let mut test = asked(plain());
    let first = best(&test);
    let tile = first[4].clone();
    let region = Region::Rect(tile.rect);
    let mark = |tissue: MarkedTissue, judgement: Judgement| QueryCommand::Mark { tissue, judgement };
    let tissue = MarkedTissue::Region { slide: tile.slide.clone(), region };
    let jobs = test.session.handle(mark(tissue, Judgement::Different));
    assert!(answer(&mut test, &jobs));
    assert!(!best(&test).contains(&tile));
    let tiles = MarkedTissue::Tiles(first[..2].to_vec());
    let jobs = test.session.handle(mark(tiles.clone(), Judgement::Same));
    assert!(answer(&mut test, &jobs));
    let query = test.session.query().unwrap();
    assert_eq!((query.marked(Judgement::Same), query.marked(Judgement::Different)), (2, 1));
    assert!(query.answer.as_ref().unwrap().direction.is_some());
    assert!(first[..2].iter().all(|marked| !best(&test).contains(marked)));
    // What was said last counts.
    let jobs = test.session.handle(mark(tiles.clone(), Judgement::Different));
    assert!(answer(&mut test, &jobs));
    let query = test.session.query().unwrap();
    assert_eq!((query.marked(Judgement::Same), query.marked(Judgement::Different)), (0, 3));
    for left in [3, 1, 0] {
        let jobs = test.session.handle(MatchCommand::UndoJudgement);
        assert!(answer(&mut test, &jobs));
        assert_eq!(test.session.query().unwrap().marks.len(), left);
    }
    assert_eq!(best(&test), first);

    let nowhere = Region::Rect(Level0Rect::new(90_000, 90_000, 10, 10));
    let tissue = MarkedTissue::Region { slide: test.id(0), region: nowhere };
    assert!(
        test.session.handle(mark(tissue, Judgement::Same)).is_empty(),
        "without a tile nothing is marked"
    );
    assert!(test.session.query().unwrap().marks.is_empty() && !test.session.can_undo_judgement());

    test.session.handle(QueryCommand::Clear);
    assert!(test.session.handle(mark(tiles.clone(), Judgement::Different)).is_empty());
    let jobs = test.session.handle(mark(tiles, Judgement::Same));
    assert!(answer(&mut test, &jobs), "tissue that is the same begins a query");
    assert_eq!(test.session.query().unwrap().positives.len(), 2);
}

#[test]
fn judgements_change_nothing_when_the_nearest_example_ranks() {
    let mut test = asked(QuerySettings { rank_by: RankBy::Nearest, ..plain() });
    let first = best(&test);
    assert!(!judge(&mut test, 0, Judgement::Same));
    assert_eq!(best(&test), first);
    assert!(test.session.query().unwrap().marks.is_empty());
    assert_eq!(test.session.query_history().judgements().len(), 1);
}

#[test]
fn suggestions_come_from_several_slides() {
    let mut test = asked(plain());
    assert!(judge(&mut test, 0, Judgement::Same) && judge(&mut test, 8, Judgement::Different));
    let settings = QuerySettings { order: Order::ToMark, count: 6, ..plain() };
    let jobs = test.session.handle(QueryCommand::SetSettings(settings));
    assert!(answer(&mut test, &jobs));
    let suggested = best(&test);
    let on = |slide: usize| suggested.iter().filter(|tile| tile.slide == test.id(slide)).count();
    assert_eq!([on(0), on(1), on(2)], [2, 2, 2]);
    let before = test.session.query().unwrap().stayed.len();
    assert!(judge(&mut test, 0, Judgement::Same));
    assert_eq!(test.session.query().unwrap().stayed.len(), before, "suggestions do not tell what stayed");
}

/// Do the job on concepts among `jobs` as the worker would.
fn keep(test: &mut TestSession, jobs: Vec<Job>) {
    for job in jobs {
        let Job::History(HistoryJob::Concepts { store, job }) = job else { continue };
        match *job {
            ConceptJob::Teach { name, class, index, query, known, patients } => {
                let concept = match known {
                    None => Concept::taught(&name, class, &index, &query, &patients).unwrap(),
                    Some(known) => {
                        Concept { name, class, ..known.with_marks(&index, &query, &patients).unwrap() }
                    }
                };
                store.save(&concept).unwrap();
            }
            ConceptJob::SetThreshold { name, distance } => {
                let concept = store.get(&name).unwrap();
                store.save(&Concept { threshold: distance, ..concept }).unwrap();
            }
            ConceptJob::Change { name, to, class } => {
                let concept = store.get(&name).unwrap();
                store.rename(&mut Concept { class, ..concept }, &to).unwrap();
            }
            ConceptJob::Remove(name) => store.remove(&name).unwrap(),
            ConceptJob::Load
            | ConceptJob::Apply { .. }
            | ConceptJob::Export { .. }
            | ConceptJob::ExportClassMap { .. } => {}
        }
        test.session.absorb(ConceptEvent::Loaded(store.load().unwrap().concepts));
    }
}

#[test]
fn a_query_becomes_a_concept_that_is_found_taught_on_changed_and_removed() {
    let mut test = asked(plain());
    assert!(judge(&mut test, 1, Judgement::Same) && judge(&mut test, 8, Judgement::Different));
    let teach =
        || ConceptCommand::Teach { name: "Glands".to_owned(), class: AnnotationClass::named("Glands") };
    let jobs = test.session.handle(teach());
    keep(&mut test, jobs);
    let concept: Arc<Concept> = test.session.concept("Glands").unwrap().clone();
    assert_eq!(concept.counts(), [2, 1]);
    let direction = test.session.query().unwrap().answer.as_ref().unwrap().direction.clone().unwrap();
    assert_eq!(concept.direction[..], direction[..], "what is kept is what ranked");
    let classes = test.session.project().classes();
    assert!(classes.iter().any(|class| class.name == "Glands"), "its class is the project's");

    let jobs = test.session.handle(ConceptCommand::Find("Glands".to_owned()));
    assert!(answer(&mut test, &jobs));
    let query = test.session.query().unwrap();
    assert!(matches!(query.positives[0].example, Example::Descriptors { position: None, .. }));
    // A mark on what was found is added to those that the concept has.
    assert!(judge(&mut test, 9, Judgement::Different));
    assert_eq!(
        test.session.query_history().judgements().len(),
        2,
        "a concept and a match make no pair of tiles"
    );
    let jobs = test.session.handle(teach());
    keep(&mut test, jobs);
    let concept = test.session.concept("Glands").unwrap();
    assert_eq!(concept.counts(), [2, 2]);
    assert!(concept.tiles.iter().all(|tile| tile.slide.is_some()), "the direction is no tile");
    // The query now looks for the concept as it is taught by then, so that a further mark is added to the others.
    assert!(judge(&mut test, 8, Judgement::Different));
    let jobs = test.session.handle(teach());
    keep(&mut test, jobs);
    let concept = test.session.concept("Glands").unwrap();
    assert_eq!(concept.counts(), [2, 3]);
    assert!(concept.tiles.iter().all(|tile| tile.slide.is_some()));
    let jobs = test.session.handle(ConceptCommand::GoOnTeaching("Glands".to_owned()));
    assert!(answer(&mut test, &jobs));
    let query = test.session.query().unwrap();
    assert_eq!((query.positives.len(), query.marks.len()), (1, 4));
    assert!(query.marks.iter().all(|mark| mark.shown.position.is_some()));

    let refused = test.session.handle(ConceptCommand::ExportClassMap);
    assert!(refused.is_empty(), "no concept has a threshold");
    assert!(test.session.messages().iter().any(|message| message.text.contains("no class map")));
    let set = ConceptCommand::SetThreshold { name: "Glands".to_owned(), distance: Some(0.5) };
    let jobs = test.session.handle(set);
    keep(&mut test, jobs);
    assert_eq!(test.session.concept("Glands").unwrap().threshold, Some(0.5));
    let jobs = test.session.handle(ConceptCommand::ExportClassMap);
    let Some(Job::History(HistoryJob::Concepts { job, .. })) = jobs.into_iter().next() else {
        panic!("no job")
    };
    let ConceptJob::ExportClassMap { concepts, .. } = *job else { panic!("another job") };
    assert_eq!(concepts.iter().map(|concept| concept.name.as_str()).collect::<Vec<_>>(), ["Glands"]);
    let jobs = test.session.handle(ConceptCommand::Apply("Glands".to_owned()));
    assert!(matches!(&jobs[..], [Job::History(HistoryJob::Concepts { .. })]));
    let (acinar, serous) = (AnnotationClass::named("Acinar"), AnnotationClass::named("Serous"));
    for (name, class) in [("Glands", &acinar), ("Acini", &serous)] {
        let change =
            ConceptCommand::Change { name: name.to_owned(), to: "Acini".to_owned(), class: class.clone() };
        let jobs = test.session.handle(change);
        assert_eq!(jobs.len(), 2, "the concept and the project's classes are saved");
        keep(&mut test, jobs);
        let changed = test.session.concept("Acini").unwrap();
        assert_eq!((&changed.class, changed.threshold, changed.counts()), (class, Some(0.5), [2, 3]));
        assert!(test.session.project().classes().contains(class));
    }
    assert!(test.session.concept("Glands").is_none());
    let jobs = test.session.handle(ConceptCommand::Remove("Acini".to_owned()));
    keep(&mut test, jobs);
    assert!(test.session.concepts().is_empty());
    let store: ConceptStore = test.session.project().concepts();
    assert!(store.load().unwrap().concepts.is_empty());
    let not_embedded = query::QueryError::NotEmbedded(test.id(0));
    test.session.absorb(ConceptEvent::Failed(not_embedded.into()));
    let told = &test.session.messages().last().unwrap().text;
    assert!(told.starts_with("slide slide-0.png is not embedded yet"), "{told}");
}
