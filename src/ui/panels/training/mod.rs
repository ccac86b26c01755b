//! The training panel: what to learn from and how, the run under way, and the runs there are.

mod plots;
mod running;
mod runs;
mod setup;

use std::collections::{BTreeSet, HashMap};

use egui::{Context, Frame, Margin, RichText, Ui, Vec2};

use running::{PairPictures, relation_style};

use crate::encoder::DeviceChoice;
use crate::session::{Command, RunView, Session, TrainingCommand};
use crate::slide::SlideId;
use crate::training::config::{Preset, TrainingConfig};
use crate::ui::app::Asked;
use crate::ui::slide_view::PairOnSlide;
use crate::ui::theme::{self, Palette};

/// What a slide is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Learn,
    Validate,
    LeftOut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tab {
    SetUp,
    Run,
    Runs,
}

/// What the user has set, and what the panel needs to draw itself.
pub struct TrainingPanel {
    tab: Tab,
    config: TrainingConfig,
    device: DeviceChoice,
    roles: HashMap<SlideId, Role>,
    /// Names of models to begin from, looked up when the panel is opened.
    models: Vec<String>,
    /// Runs whose curves are drawn beside those of the one under way.
    compared: BTreeSet<String>,
    /// The run that is about to be deleted, until that is confirmed.
    deleting: Option<String>,
    /// Of the current pairs, and of those drawn to look at.
    pictures: PairPictures,
    previewed: PairPictures,
    /// The look at the validation slides whose distances are shown; the newest where it is none.
    look: Option<usize>,
    /// Number of the settings that were last taken from a file.
    settings_taken: u64,
}

impl TrainingPanel {
    pub fn new(device: DeviceChoice) -> Self {
        Self {
            tab: Tab::SetUp,
            config: Preset::ThisComputer.config(),
            device,
            roles: HashMap::new(),
            models: Vec::new(),
            compared: BTreeSet::new(),
            deleting: None,
            pictures: PairPictures::default(),
            previewed: PairPictures::default(),
            look: None,
            settings_taken: 0,
        }
    }

    /// Let go of pictures on a graphics card; they are brought onto it again when they are shown.
    pub fn drop_pictures(&mut self) {
        self.pictures = PairPictures::default();
        self.previewed = PairPictures::default();
    }

    /// The settings as they stand in the panel.
    pub fn config(&self) -> &TrainingConfig {
        &self.config
    }

    /// The pairs that the panel shows now, as far as they lie on `slide`.
    pub fn pairs_on(&self, session: &Session, slide: &SlideId, palette: &Palette) -> Vec<PairOnSlide> {
        let pairs = match self.tab {
            Tab::SetUp => &session.training().preview().pairs,
            Tab::Run => &session.training().running().pairs,
            Tab::Runs => return Vec::new(),
        };
        let shown = pairs.iter().map(|pair| {
            let here = pair.places.iter().filter(|(of, _)| of == slide).map(|(_, rect)| *rect);
            PairOnSlide { tiles: here.collect(), color: relation_style(pair.relation, palette).1 }
        });
        shown.filter(|pair| !pair.tiles.is_empty()).collect()
    }

    /// Take over the settings and slides of a run, to begin another one.
    fn take_over(&mut self, run: &RunView, session: &Session) {
        self.config = run.config.clone();
        for slide in session.slides() {
            let used = run.card.slides.iter().find(|used| used.id == *slide.id());
            let role = match used {
                Some(used) if used.validation => Role::Validate,
                Some(_) => Role::Learn,
                None => Role::LeftOut,
            };
            self.roles.insert(slide.id().clone(), role);
        }
        self.tab = Tab::SetUp;
    }

    /// The panel comes into view: look at what there is.
    pub fn opened(&mut self, session: &Session) {
        self.models = crate::encoder::available().into_iter().map(|model| model.name).collect();
        if session.training().running().active {
            self.tab = Tab::Run;
        }
    }

    /// Slides that no one has decided about learn, the last of several validates.
    fn role(&self, session: &Session, slide: &SlideId) -> Role {
        let calibrated = || session.slides().iter().filter(|state| state.source.info().mpp.is_some());
        let is_last =
            || calibrated().count() > 1 && calibrated().next_back().is_some_and(|last| last.id() == slide);
        match self.roles.get(slide) {
            Some(role) => *role,
            None if is_last() => Role::Validate,
            None => Role::Learn,
        }
    }
}

/// Draw the panel over the window; whether it stays open.
pub fn training_ui(
    context: &Context,
    panel: &mut TrainingPanel,
    session: &Session,
    palette: &Palette,
    asked: &mut Asked,
) -> bool {
    let mut open = true;
    let screen = context.content_rect().size();
    let frame = Frame::window(&context.global_style()).inner_margin(Margin::symmetric(16, 12));
    egui::Window::new(RichText::new("Training").family(theme::bold()))
        .open(&mut open)
        .collapsible(true)
        .resizable(true)
        .default_pos(egui::pos2(300.0_f32.min(screen.x / 5.0), 60.0))
        .default_size(Vec2::new(980.0_f32.min(screen.x - 60.0), 720.0_f32.min(screen.y - 140.0)))
        .min_width(560.0)
        .frame(frame)
        .show(context, |ui| contents_ui(ui, panel, session, palette, asked));
    open
}

fn contents_ui(
    ui: &mut Ui,
    panel: &mut TrainingPanel,
    session: &Session,
    palette: &Palette,
    asked: &mut Asked,
) {
    if let Some((number, config)) = session.training().settings_read()
        && *number != panel.settings_taken
    {
        panel.settings_taken = *number;
        panel.config = config.clone();
        panel.tab = Tab::SetUp;
    }
    if !session.training().is_listed() {
        asked.command(Command::Train(TrainingCommand::ListRuns));
    }
    let runs = format!("Runs ({})", session.training().runs().len());
    ui.horizontal(|ui| {
        for (tab, name, hint) in [
            (Tab::SetUp, "Set up", "What to learn from, and how"),
            (Tab::Run, "This run", "Curves, pairs and log of the run under way"),
            (Tab::Runs, runs.as_str(), "All runs of this project, with what came of them"),
        ] {
            if ui.selectable_label(panel.tab == tab, name).on_hover_text(hint).clicked() {
                panel.tab = tab;
            }
        }
    });
    ui.separator();
    match panel.tab {
        Tab::SetUp => setup::setup_ui(ui, panel, session, palette, asked),
        Tab::Run => running::running_ui(ui, panel, session, palette, asked),
        Tab::Runs => runs::runs_ui(ui, panel, session, palette, asked),
    }
}

/// A heading inside the panel.
fn heading_ui(ui: &mut Ui, text: &str, palette: &Palette) {
    ui.label(RichText::new(text).family(theme::bold()).color(palette.strong));
}
