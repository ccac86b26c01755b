//! Save the view as a picture: where to, how large, with a scale bar or without.

use std::path::PathBuf;

use egui::{Align, Button, Layout, Margin, RichText, TextEdit, Ui};

use crate::ui::actions::Action;
use crate::ui::app::Asked;
use crate::ui::export::{LARGEST_PX, objection};
use crate::ui::theme::{self, Palette};

/// What is typed and chosen.
#[derive(Debug, Clone)]
pub struct SaveForm {
    pub path: String,
    /// Pixels of the picture for each pixel of the view.
    pub scale: f64,
    pub scale_bar: bool,
    /// Extent of the view in pixels.
    view: (f64, f64),
    /// The scale at which the picture has the slide's own pixels.
    own_pixels: f64,
}

/// A picture of the view that the user asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct SaveWish {
    pub path: PathBuf,
    pub scale: f64,
    pub scale_bar: bool,
}

impl SaveForm {
    /// For a view of `view` pixels with `zoom` of them to a slide pixel; `name` is the slide's.
    pub fn new(name: &str, view: (f64, f64), zoom: f64) -> Self {
        let folders = directories::UserDirs::new();
        let folder = folders.as_ref().map(|dirs| dirs.picture_dir().unwrap_or(dirs.home_dir()));
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let path = folder.map(|folder| folder.join(format!("{stem} view.png"))).unwrap_or_default();
        Self { path: path.display().to_string(), scale: 1.0, scale_bar: true, view, own_pixels: 1.0 / zoom }
    }

    fn size(&self, scale: f64) -> (u32, u32) {
        let px = |length: f64| (length * scale).round().max(1.0) as u32;
        (px(self.view.0), px(self.view.1))
    }
}

/// The dialog; whether it is done.
pub fn save_view_ui(ui: &mut Ui, form: &mut SaveForm, palette: &Palette, asked: &mut Asked) -> bool {
    ui.set_width(560.0_f32.min(ui.ctx().content_rect().width() - 60.0));
    ui.label(RichText::new("Save the view").family(theme::bold()).size(18.0).color(palette.strong));
    ui.add_space(6.0);
    ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if ui.button("Browse…").clicked() {
                asked.action(Action::ChoosePicture);
            }
            let edit = TextEdit::singleline(&mut form.path).desired_width(f32::INFINITY);
            let path = ui.add(edit.hint_text("/home/you/view.png").margin(Margin::symmetric(10, 8)));
            if ui.memory(|memory| memory.focused().is_none()) {
                path.request_focus();
            }
        });
    });
    ui.add_space(8.0);
    for (name, scale) in
        [("As on the screen", 1.0), ("Twice as large", 2.0), ("Slide pixels 1:1", form.own_pixels)]
    {
        let (width, height) = form.size(scale);
        let fits = width.max(height) <= LARGEST_PX;
        let text = format!("{name}: {width} × {height} px");
        ui.add_enabled_ui(fits, |ui| ui.radio_value(&mut form.scale, scale, text));
    }
    ui.add_space(4.0);
    ui.checkbox(&mut form.scale_bar, "With scale bar");
    ui.add_space(6.0);
    let path = PathBuf::from(form.path.trim());
    let (width, height) = form.size(form.scale);
    let objection = objection(&path)
        .or_else(|| (width.max(height) > LARGEST_PX).then(|| format!("At most {LARGEST_PX} pixels a side")));
    let hint = objection
        .clone()
        .unwrap_or_else(|| "The picture holds neither the slide's label nor its properties.".to_owned());
    ui.label(RichText::new(hint).small().color(palette.weak));
    ui.add_space(10.0);
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        let text = RichText::new("Save").color(palette.on_accent);
        let save = ui.add_enabled(objection.is_none(), Button::new(text).fill(palette.accent));
        if save.clicked() {
            asked.saves.push(SaveWish { path, scale: form.scale, scale_bar: form.scale_bar });
        }
        save.clicked() || ui.button("Cancel").clicked()
    })
    .inner
}
