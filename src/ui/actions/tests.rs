//! Tests of the table and of pressed keys.

use super::*;
use std::collections::HashSet;

#[test]
fn names_are_unique_and_every_command_says_what_it_does() {
    let names: HashSet<_> = table().map(|entry| entry.name).collect();
    assert_eq!(names.len(), table().count());
    assert!(table().all(|entry| !entry.tooltip.is_empty()));
}

/// The actions of keys pressed one after the other.
fn actions_of(keys: &[(Modifiers, Key, bool)], busy: Busy) -> Vec<Action> {
    actions_in(&Context::default(), keys, busy)
}

fn actions_in(context: &Context, keys: &[(Modifiers, Key, bool)], busy: Busy) -> Vec<Action> {
    let press =
        |&(modifiers, key, repeat)| Event::Key { key, physical_key: None, pressed: true, repeat, modifiers };
    let input = egui::RawInput { events: keys.iter().map(press).collect(), ..Default::default() };
    let mut requests = Vec::new();
    let mut output = context.run_ui(input, |ui| requests = pressed(ui.ctx(), busy));
    // egui panics if texture updates are dropped unhandled.
    output.textures_delta.clear();
    requests
}

#[test]
fn keys_are_letters_while_text_is_typed() {
    let typing = Busy { typing: true, ..Busy::default() };
    let keys = [Key::A, Key::S, Key::Num7, Key::ArrowLeft, Key::Delete, Key::Escape, Key::Space];
    let letters: Vec<_> = keys.map(|key| (Modifiers::NONE, key, false)).into();
    assert_eq!(actions_of(&letters, typing), []);
    let undo = [(Modifiers::COMMAND, Key::Z, false)];
    assert_eq!(actions_of(&undo, typing), [], "this undoes typing, not the last annotation");
    assert_eq!(actions_of(&undo, Busy::default()), [Action::Annotations(AnnotationAction::Undo)]);
    let others = [(Modifiers::COMMAND, Key::K, false), (Modifiers::NONE, Key::F1, false)];
    assert_eq!(
        actions_of(&others, typing),
        [Action::Window(WindowAction::TogglePalette), Action::Window(WindowAction::ToggleHelp)]
    );
}

#[test]
fn a_dialog_keeps_all_keys_but_those_of_the_whole_window_and_its_own() {
    let over = |action| Busy { dialog: Some(action), ..Busy::default() };
    let keys = [Key::I, Key::T, Key::Num7, Key::ArrowLeft].map(|key| (Modifiers::NONE, key, false));
    assert_eq!(actions_of(&keys, over(None)), []);
    assert_eq!(
        actions_of(&keys, over(Some(Action::Slides(SlideAction::Properties)))),
        [Action::Slides(SlideAction::Properties)]
    );
    let close = [(Modifiers::NONE, Key::Escape, false), (Modifiers::NONE, Key::F1, false)];
    assert_eq!(
        actions_of(&close, over(None)),
        [Action::Search(SearchAction::Clear), Action::Window(WindowAction::ToggleHelp)]
    );
}

#[test]
fn a_held_key_moves_on_but_switches_nothing_to_and_fro() {
    let held = [(Modifiers::NONE, Key::T, false), (Modifiers::NONE, Key::T, true)];
    assert_eq!(actions_of(&held, Busy::default()), [Action::View(ViewAction::ToggleTissue)]);
    let held = [(Modifiers::NONE, Key::ArrowLeft, false), (Modifiers::NONE, Key::ArrowLeft, true)];
    assert_eq!(actions_of(&held, Busy::default()), [Action::View(ViewAction::Move(-1, 0)); 2]);
}

#[test]
fn more_modifiers_are_another_action() {
    let keys = [(Modifiers::SHIFT, Key::N, false), (Modifiers::NONE, Key::N, false)];
    assert_eq!(
        actions_of(&keys, Busy::default()),
        [Action::Search(SearchAction::PreviousMatch), Action::Search(SearchAction::NextMatch)]
    );
    let nothing = [(Modifiers::SHIFT, Key::F, false), (Modifiers::COMMAND, Key::M, false)];
    assert_eq!(actions_of(&nothing, Busy::default()), [], "nor are they the action of the plain key");
    let signs = [(Modifiers::SHIFT, Key::Plus, false), (Modifiers::SHIFT, Key::Num0, false)];
    assert_eq!(
        actions_of(&signs, Busy::default()),
        [Action::View(ViewAction::Fit), Action::View(ViewAction::ZoomIn)],
        "signs and digits may need Shift to be typed"
    );
}

#[test]
fn keys_in_force_are_those_of_the_user() {
    let r = [(Modifiers::NONE, Key::R, false)];
    // Each in a window of its own, where the key is not held down already.
    let pressed_with = |keys: &Keys, busy| {
        let context = Context::default();
        keys.install(&context);
        actions_in(&context, &r, busy)
    };
    let rectangle = Action::Annotations(AnnotationAction::Tool(crate::ui::slide_view::Tool::Rectangle));
    assert_eq!(actions_of(&r, Busy::default()), [rectangle]);
    let mut keys = Keys::of_preset(Preset::Classic);
    assert_eq!(pressed_with(&keys, Busy::default()), [Action::View(ViewAction::Turn(90))]);
    keys.assign(entry(ViewAction::Fit), None, KeyboardShortcut::new(Modifiers::NONE, Key::R));
    assert_eq!(pressed_with(&keys, Busy::default()), [Action::View(ViewAction::Fit)]);
    let context = Context::default();
    keys.install(&context);
    assert_eq!(entry(ViewAction::Turn(90)).shortcut_label(&context), None);
    let assigning = Busy { assigning: true, ..Busy::default() };
    assert_eq!(pressed_with(&keys, assigning), [], "the key is the answer to a question");
}

#[test]
fn keys_are_written_as_they_look() {
    let context = Context::default();
    let label = |action| entry(action).shortcut_label(&context);
    assert_eq!(label(Action::Annotations(AnnotationAction::ResizeBrush(false))).as_deref(), Some("["));
    assert_eq!(label(Action::Window(WindowAction::TextLarger)).as_deref(), Some("Ctrl++"));
    assert_eq!(label(Action::Slides(SlideAction::Next)).as_deref(), Some("PageDown"));
    assert_eq!(label(Action::View(ViewAction::ClearViewHistory)), None);
}

#[test]
fn the_palette_finds_by_words_of_name_or_tooltip() {
    assert_eq!(matching("whole")[0].action, Action::View(ViewAction::Fit));
    assert_eq!(matching("zoom 10")[0].action, Action::View(ViewAction::ZoomTo(10.0)));
    assert!(matching("no such thing").is_empty());
    assert_eq!(matching("").len(), table().count());
}
