//! The window for those who do not see it, or do not use a mouse: names of controls, and the way of the keyboard to them.

use std::collections::{BTreeMap, BTreeSet};

use egui::accesskit::{Action, Role};
use egui::{Key, Modifiers, Rect};
use egui_kittest::kittest::{NodeT, Queryable};
use egui_kittest::{Harness, Node};
use histokin::ui::App;

use crate::ui::{embedded, picture, wait, window};

/// Roles of controls that do something.
const CONTROLS: [Role; 13] = [
    Role::Button,
    Role::CheckBox,
    Role::ColorWell,
    Role::ComboBox,
    Role::Link,
    Role::MenuItem,
    Role::MultilineTextInput,
    Role::RadioButton,
    Role::SearchInput,
    Role::Slider,
    Role::SpinButton,
    Role::Tab,
    Role::TextInput,
];

fn controls<'a>(harness: &'a Harness<'_, App>) -> impl Iterator<Item = Node<'a>> {
    // The background of a window can be dragged, but is no control.
    let is_control = |node: &Node<'_>| {
        let node = node.accesskit_node();
        let is_focusable = node.data().supports_action(Action::Focus) && node.role() != Role::Unknown;
        CONTROLS.contains(&node.role()) || is_focusable
    };
    harness.root().children_recursive().filter(is_control)
}

/// What identifies a control for the reader of a failure.
fn described(node: &Node<'_>) -> String {
    let shown = node.accesskit_node();
    format!("{:?} {:?} at {:?}", shown.role(), shown.label().unwrap_or_default(), node.rect())
}

/// A name that a screen reader can say: icons are in the private use area of Unicode.
fn is_name(label: &str) -> bool {
    label.chars().any(|letter| !letter.is_whitespace() && !('\u{e000}'..='\u{f8ff}').contains(&letter))
}

fn all_are_named(harness: &Harness<'_, App>, place: &str) {
    let unnamed: Vec<String> = controls(harness)
        .filter(|node| !node.accesskit_node().label().is_some_and(|label| is_name(&label)))
        .map(|node| described(&node))
        .collect();
    assert!(unnamed.is_empty(), "{place}: controls without a name:\n{}", unnamed.join("\n"));
    assert!(controls(harness).count() > 3, "{place}");
}

/// Runs a command by its name, as the keyboard does without its shortcut.
fn run_command(harness: &mut Harness<'_, App>, name: &str) {
    harness.get_by_label_contains("Search commands").click();
    harness.run_steps(3);
    for part in name.split_inclusive(' ') {
        harness.event(egui::Event::Text(part.to_owned()));
    }
    harness.run_steps(3);
    harness.key_press(Key::Enter);
    harness.run_steps(6);
}

#[test]
fn every_control_has_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = window(&folder.path().join("empty"), Vec::new());
    harness.run_steps(6);
    all_are_named(&harness, "the welcome page");
    drop(harness);

    let mut harness = embedded(&folder.path().join("project"));
    all_are_named(&harness, "the slide");
    harness.get_by_label("slide canvas").click();
    wait(&mut harness, "the query is answered", |app| {
        app.session().query().is_some_and(|query| query.answer.is_some() && !query.waiting)
    });
    harness.run_steps(4);
    all_are_named(&harness, "similar tissue");
    for card in
        ["Brightness/contrast…", "Embedding settings…", "Encoders…", "Similarity heat map", "Annotation list"]
    {
        run_command(&mut harness, card);
        all_are_named(&harness, card);
    }
    harness.get_by_label("menu").click();
    harness.run_steps(3);
    all_are_named(&harness, "the menu");
    harness.key_press(Key::Escape);
    harness.run_steps(3);
    for panel in ["Training", "Report"] {
        run_command(&mut harness, panel);
        all_are_named(&harness, panel);
        if panel == "Training" {
            harness.get_by_label("Advanced").click();
            harness.run_steps(20);
            all_are_named(&harness, "the settings of a training");
        }
        run_command(&mut harness, panel);
    }
    for dialog in [
        "Help",
        "About histokin",
        "Slide properties",
        "Save view…",
        "Open path…",
        "Set pixel size…",
        "Open recent…",
    ] {
        run_command(&mut harness, dialog);
        all_are_named(&harness, dialog);
        harness.key_press(Key::Escape);
        harness.run_steps(3);
    }
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Comma);
    harness.run_steps(3);
    for page in ["Keys and mouse", "View", "Embedding and memory", "Folders"] {
        harness.get_by_role_and_label(Role::Button, page).click();
        harness.run_steps(3);
        all_are_named(&harness, page);
    }
}

#[test]
fn the_tab_key_reaches_every_control_and_shows_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = embedded(folder.path());
    run_command(&mut harness, "Brightness/contrast…");
    let enabled = |node: &Node<'_>| !node.accesskit_node().is_disabled();
    // By identity: a number becomes a text field while it has the focus.
    let id = |node: &Node<'_>| format!("{:?}", node.accesskit_node().id());
    let there: BTreeMap<String, String> =
        controls(&harness).filter(enabled).map(|node| (id(&node), described(&node))).collect();
    let focused = |harness: &Harness<'_, App>| -> Option<(String, Rect)> {
        let node = controls(harness).find(|node| node.is_focused())?;
        Some((id(&node), node.rect()))
    };
    let mut reached = BTreeSet::new();
    for _ in 0..there.len() + 10 {
        harness.key_press(Key::Tab);
        harness.run_steps(2);
        reached.extend(focused(&harness).map(|(id, _)| id));
    }
    let missed: Vec<_> =
        there.iter().filter(|(id, _)| !reached.contains(*id)).map(|(_, name)| name).collect();
    assert!(missed.is_empty(), "Tab does not reach:\n{missed:#?}");

    // The ring is drawn around the control, and goes when the pointer is used.
    let accent = |harness: &mut Harness<'_, App>, rect: Rect| {
        let picture = picture(harness);
        let along =
            (rect.left().ceil() as u32 + 4..rect.right() as u32 - 4).map(|x| (x, rect.top() as u32 - 1));
        along.filter(|(x, y)| picture.get_pixel(*x, *y).0[..3] == [0x2E, 0xC4, 0xB6]).count()
    };
    let close = harness.get_by_label("close brightness/contrast");
    close.focus();
    harness.run_steps(2);
    let (focused_id, rect) = focused(&harness).expect("a control is focused");
    assert_eq!(focused_id, id(&harness.get_by_label("close brightness/contrast")));
    assert!(accent(&mut harness, rect) > 10, "no ring is seen");
    harness.get_by_label("slide canvas").click();
    harness.run_steps(3);
    assert_eq!(accent(&mut harness, rect), 0);
}
