//! The page of encoders, shown in place of the slide: those that ship, the project's and the user's, what is known of
//! one, and what it would find.

mod details;
mod list;
mod open_settings;
mod preview;

use egui::{Frame, Margin, ScrollArea, Ui, UiBuilder, Vec2};
use egui_material_icons::icons;

use super::comparison::TrialPictures;
use super::{action_icon_ui, header_ui};
use crate::encoder::vit_settings::OpenSettings;
use crate::session::{EncoderChoice, Session};
use crate::ui::actions::EmbeddingAction;
use crate::ui::app::Requests;
use crate::ui::theme::Palette;
use preview::PreviewPictures;

/// Width of the list in points.
const LIST_WIDTH: f32 = 390.0;

/// Gap between the list and the details in points.
const GAP: f32 = 28.0;

/// State of the page.
#[derive(Default)]
pub struct EncodersPage {
    /// A path that is being typed.
    path: String,
    /// What is being done with the encoder that the user looks at, and a name that is being typed for it.
    editing: Editing,
    name: String,
    /// The encoder that `editing` is about: a name or path.
    edited: String,
    /// What the weights of an encoder that is added leave open, as far as the user has corrected it.
    open: Option<OpenSettings>,
    pictures: PreviewPictures,
    trial: TrialPictures,
}

/// What the user is about to do with an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Editing {
    #[default]
    Nothing,
    Adding,
    Renaming,
    Removing,
    EmbeddingAgain,
}

impl EncodersPage {
    /// Forgets all pictures, whose textures were lost with the graphics device.
    pub fn drop_pictures(&mut self) {
        self.pictures = PreviewPictures::default();
        self.trial = TrialPictures::default();
    }

    /// Begins to do something with the encoder `which`, whose current name is `name`.
    fn edit(&mut self, editing: Editing, which: &str, name: String) {
        (self.editing, self.edited, self.name) = (editing, which.to_owned(), name);
        self.open = None;
    }

    /// Ends what was begun with another encoder than `which`.
    fn follow(&mut self, which: &str) {
        if self.edited != which {
            self.editing = Editing::Nothing;
        }
    }
}

/// Draws the page.
pub fn encoders_ui(
    ui: &mut Ui,
    page: &mut EncodersPage,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    header_ui(ui, palette, "Encoders", |ui| {
        action_icon_ui(ui, EmbeddingAction::ToggleEncoders, icons::ICON_CLOSE, None, palette, requests);
    });
    Frame::new().inner_margin(Margin { left: 24, right: 12, top: 4, bottom: 12 }).show(ui, |ui| {
        let whole = ui.available_rect_before_wrap();
        // In a narrow window the list leaves room for the details.
        let width = LIST_WIDTH.min(0.45 * whole.width());
        let mut left = whole;
        left.max.x = left.min.x + width;
        let mut right = whole;
        right.min.x = left.max.x + GAP;
        ui.scope_builder(UiBuilder::new().max_rect(left), |ui| {
            list::list_ui(ui, page, session, palette, requests);
        });
        ui.scope_builder(UiBuilder::new().max_rect(right), |ui| {
            ScrollArea::vertical().id_salt("encoder").auto_shrink(false).show(ui, |ui| {
                ui.set_width((right.width() - 14.0).max(0.0));
                details::details_ui(ui, page, session, palette, requests);
                ui.allocate_space(Vec2::new(0.0, 12.0));
            });
        });
    });
}

/// Name or path of the encoder that the user looks at.
fn looked_at(session: &Session) -> Option<&str> {
    match session.embedding().choice() {
        EncoderChoice::Reading(which) => Some(which),
        EncoderChoice::Offered(offer) => Some(&offer.which),
        EncoderChoice::None | EncoderChoice::Refused(_) => None,
    }
}
