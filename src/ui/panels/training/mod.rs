//! The training window: slides and settings, the current run, and the list of runs.

mod advanced;
mod plots;
mod running;
mod runs;
mod setup;
mod trial;

use std::collections::{BTreeSet, HashMap};

use egui::{Align, Context, Frame, Layout, Margin, RichText, Ui, Vec2};
use egui_material_icons::icons;

use running::{PairPictures, relation_style};

use crate::encoder::DeviceChoice;
use crate::session::{RunView, Session, TrainingCommand};
use crate::slide::SlideId;
use crate::training::config::{Preset, TrainingConfig};
use crate::ui::app::Requests;
use crate::ui::panels::comparison::TrialPictures;
use crate::ui::panels::{header_ui, icon_button};
use crate::ui::slide_view::PairOnSlide;
use crate::ui::theme::{self, PANEL_MARGIN, Palette};

/// Role of a slide in a training run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Trained on.
    Learn,
    /// Validated on.
    Validate,
    /// Not used.
    LeftOut,
}

/// How long a training lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duration {
    TenMinutes,
    Hour,
    Night,
    /// As many steps as the settings say.
    Steps,
}

impl Duration {
    const ALL: [Self; 4] = [Self::TenMinutes, Self::Hour, Self::Night, Self::Steps];

    fn name(self) -> &'static str {
        match self {
            Self::TenMinutes => "10 minutes",
            Self::Hour => "1 hour",
            Self::Night => "8 hours (overnight)",
            Self::Steps => "By steps",
        }
    }

    /// Returns its length in seconds; `None` if it is given by steps.
    fn seconds(self) -> Option<f64> {
        match self {
            Self::TenMinutes => Some(600.0),
            Self::Hour => Some(3600.0),
            Self::Night => Some(8.0 * 3600.0),
            Self::Steps => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tab {
    SetUp,
    Run,
    Runs,
}

/// State of the training window.
pub struct TrainingPanel {
    /// Whether it is a panel at the right edge of the window rather than a window over the slide.
    pub is_docked: bool,
    tab: Tab,
    config: TrainingConfig,
    duration: Duration,
    device: DeviceChoice,
    roles: HashMap<SlideId, Role>,
    /// Names of models to start from, listed when the window is opened.
    models: Vec<String>,
    /// Runs whose curves are drawn with those of the current run.
    compared: BTreeSet<String>,
    /// The run whose deletion awaits confirmation.
    deleting: Option<String>,
    /// Images of the current run's pairs.
    pictures: PairPictures,
    /// Images of the preview pairs.
    previewed: PairPictures,
    /// Images of the comparison of a new encoder with the current one.
    trial: TrialPictures,
    /// Index of the validation whose distances are shown; `None` for the latest.
    validation: Option<usize>,
    /// Number of the settings last loaded from a file.
    settings_taken: u64,
}

impl TrainingPanel {
    /// Returns the panel with the settings of the default preset.
    pub fn new(device: DeviceChoice, is_docked: bool) -> Self {
        Self {
            is_docked,
            tab: Tab::SetUp,
            config: Preset::ThisComputer.config(),
            duration: Duration::TenMinutes,
            device,
            roles: HashMap::new(),
            models: Vec::new(),
            compared: BTreeSet::new(),
            deleting: None,
            pictures: PairPictures::default(),
            previewed: PairPictures::default(),
            trial: TrialPictures::default(),
            validation: None,
            settings_taken: 0,
        }
    }

    /// Drops images on the GPU; they are uploaded again when they are drawn.
    pub fn drop_pictures(&mut self) {
        self.pictures = PairPictures::default();
        self.previewed = PairPictures::default();
        self.trial = TrialPictures::default();
    }

    /// Returns the current settings in the window.
    pub fn config(&self) -> &TrainingConfig {
        &self.config
    }

    /// Returns the displayed pairs that are on `slide`.
    pub fn pairs_on(&self, session: &Session, slide: &SlideId, palette: &Palette) -> Vec<PairOnSlide> {
        let pairs = match self.tab {
            Tab::SetUp => &session.training().preview().pairs,
            Tab::Run => &session.training().running().pairs,
            Tab::Runs => return Vec::new(),
        };
        let shown = pairs.iter().map(|pair| {
            let here = pair.tiles.iter().filter(|(of, _)| of == slide).map(|(_, rect)| *rect);
            PairOnSlide { tiles: here.collect(), color: relation_style(pair.relation, palette).1 }
        });
        shown.filter(|pair| !pair.tiles.is_empty()).collect()
    }

    /// Copies the settings and slides of a run, to start a new one.
    fn copy_from(&mut self, run: &RunView, session: &Session) {
        self.config = run.config.clone();
        self.duration = Duration::Steps;
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

    /// Called when the window is opened: lists the models, and selects the tab of a running training.
    pub fn opened(&mut self, session: &Session) {
        self.models = crate::encoder::available().into_iter().map(|model| model.name).collect();
        if session.training().running().active {
            self.tab = Tab::Run;
        }
    }

    /// Returns the role of a slide. By default slides are trained on, except the last of several, which is
    /// validated on.
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

/// Draws the training window; returns whether it stays open.
pub fn training_ui(
    context: &Context,
    panel: &mut TrainingPanel,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
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
        .show(context, |ui| contents_ui(ui, panel, session, palette, requests));
    open
}

/// Draws the training panel at the right edge of the window; returns whether it stays open.
pub fn docked_training_ui(
    ui: &mut Ui,
    panel: &mut TrainingPanel,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) -> bool {
    let mut open = true;
    header_ui(ui, palette, "Training", |ui| {
        let hint = "Close this panel; a run in progress continues";
        if icon_button(ui, icons::ICON_CLOSE, "close training", hint, palette.weak).clicked() {
            open = false;
        }
    });
    Frame::new().inner_margin(Margin { left: PANEL_MARGIN, right: PANEL_MARGIN, top: 0, bottom: 8 }).show(
        ui,
        |ui| {
            contents_ui(ui, panel, session, palette, requests);
        },
    );
    open
}

fn contents_ui(
    ui: &mut Ui,
    panel: &mut TrainingPanel,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    if let Some((number, config)) = session.training().settings_read()
        && *number != panel.settings_taken
    {
        panel.settings_taken = *number;
        panel.config = config.clone();
        panel.duration = Duration::Steps;
        panel.tab = Tab::SetUp;
    }
    if !session.training().is_listed() {
        requests.command(TrainingCommand::ListRuns);
    }
    let runs = format!("All runs ({})", session.training().runs().len());
    ui.horizontal(|ui| {
        for (tab, name, hint) in [
            (Tab::SetUp, "Setup", "Slides and settings for a new run"),
            (Tab::Run, "Current run", "Curves, pairs and log of the current run"),
            (Tab::Runs, runs.as_str(), "All runs of this project and their results"),
        ] {
            if ui.selectable_label(panel.tab == tab, name).on_hover_text(hint).clicked() {
                panel.tab = tab;
            }
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let (name, hint) = match panel.is_docked {
                true => ("Undock", "Show training in a window over the slide"),
                false => ("Dock", "Show training beside the slide, so that it covers none of it"),
            };
            if ui.button(name).on_hover_text(hint).clicked() {
                panel.is_docked ^= true;
            }
        });
    });
    ui.separator();
    match panel.tab {
        Tab::SetUp => setup::setup_ui(ui, panel, session, palette, requests),
        Tab::Run => running::running_ui(ui, panel, session, palette, requests),
        Tab::Runs => runs::runs_ui(ui, panel, session, palette, requests),
    }
}

/// Draws a heading.
fn heading_ui(ui: &mut Ui, text: &str, palette: &Palette) {
    ui.label(RichText::new(text).family(theme::bold()).color(palette.strong));
}
