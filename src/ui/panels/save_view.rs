//! Save or copy the view or a region as a picture: where to, how large, with a scale bar or without.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError, bounded};
use egui::{Align, Button, DragValue, Key, Layout, RichText, Ui, Vec2};

use super::{chip_ui, dialog_width, path_edit_ui};
use crate::number_format::grouped;
use crate::ui::actions::Action;
use crate::ui::app::Asked;
use crate::ui::export::{Destination, LARGEST_PX, PictureArea, objection};
use crate::ui::slide_view::Magnification;
use crate::ui::theme::{self, Palette};

/// Magnifications that are offered for a picture.
const POWERS: [f64; 5] = [2.5, 5.0, 10.0, 20.0, 40.0];

/// Formats by the ending of the file's name.
const FORMATS: [(&str, &str); 3] = [("PNG", "png"), ("JPEG", "jpg"), ("TIFF", "tif")];

/// How large a picture is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    Screen,
    SlidePixels,
    Power(f64),
    /// Pixels across.
    Width(u32),
}

/// How soon an answer of the file system is looked for again.
const SOON: Duration = Duration::from_millis(30);

/// What is typed and chosen.
#[derive(Debug, Clone)]
pub struct SaveForm {
    pub path: String,
    /// A name that is free, in the place of the first one, which was offered unasked.
    free: Option<(String, Receiver<PathBuf>)>,
    /// The path about which the file system was asked last, and whether it is taken.
    taken: Option<(String, Receiver<bool>)>,
    is_taken: bool,
    /// Whether the name has been offered just now.
    is_named_anew: bool,
    scale: Scale,
    scale_bar: bool,
    area: PictureArea,
    /// Of the slide, at one of its pixels to a pixel of the picture.
    magnification: Magnification,
}

/// A picture that the user asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct SaveWish {
    pub area: PictureArea,
    /// Extent in pixels.
    pub size: (u32, u32),
    pub scale_bar: bool,
    pub destination: Destination,
}

impl SaveWish {
    /// A copy as it is on the screen, with a scale bar.
    pub fn copy_of(area: PictureArea) -> Self {
        let size = size(&area, area.camera.zoom);
        Self { area, size, scale_bar: true, destination: Destination::Clipboard }
    }
}

/// Extent of a picture of `area` with `zoom` pixels to a drawn pixel.
fn size(area: &PictureArea, zoom: f64) -> (u32, u32) {
    let px = |span: f64| (span * zoom).round().clamp(1.0, f64::from(u32::MAX)) as u32;
    (px(area.span.0), px(area.span.1))
}

impl SaveForm {
    /// For a part of the slide `name`, whose `magnification` is that at 1:1; `folder` is where a picture was saved
    /// last.
    pub fn new(name: &str, area: PictureArea, magnification: Magnification, folder: Option<&Path>) -> Self {
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned();
        let last = folder.map(Path::to_owned);
        let offered = last.clone().unwrap_or_default().join(format!("{stem}.png"));
        let path = offered.display().to_string();
        let free = ask(move || free_name(last, &stem)).map(|answer| (path.clone(), answer));
        Self {
            path,
            free,
            taken: None,
            is_taken: false,
            is_named_anew: true,
            scale: Scale::Screen,
            scale_bar: true,
            area,
            magnification,
        }
    }

    /// Take what the file system has answered; whether an answer is still to come.
    fn listen(&mut self) -> bool {
        if let Some((offered, answer)) = &self.free {
            match answer.try_recv() {
                Ok(free) if self.path == *offered => {
                    self.path = free.display().to_string();
                    self.free = None;
                    self.is_named_anew = true;
                }
                Err(TryRecvError::Empty) => {}
                Ok(_) | Err(TryRecvError::Disconnected) => self.free = None,
            }
        }
        if self.taken.as_ref().is_none_or(|(path, _)| *path != self.path) {
            let path = PathBuf::from(self.path.trim());
            self.is_taken = false;
            self.taken = ask(move || path.exists()).map(|answer| (self.path.clone(), answer));
        }
        let mut waits = self.free.is_some();
        if let Some((_, answer)) = &self.taken {
            match answer.try_recv() {
                Ok(is_taken) => self.is_taken = is_taken,
                Err(TryRecvError::Empty) => waits = true,
                Err(TryRecvError::Disconnected) => {}
            }
        }
        waits
    }

    /// Pixels of the picture to a drawn pixel.
    fn zoom(&self, scale: Scale) -> f64 {
        match scale {
            Scale::Screen => self.area.camera.zoom,
            Scale::SlidePixels => 1.0,
            Scale::Power(power) => self.magnification.zoom_for(power).unwrap_or(1.0),
            Scale::Width(width) => f64::from(width) / self.area.span.0,
        }
    }

    fn size(&self, scale: Scale) -> (u32, u32) {
        size(&self.area, self.zoom(scale))
    }

    fn fits(&self, scale: Scale) -> bool {
        let (width, height) = self.size(scale);
        width.max(height) <= LARGEST_PX
    }

    fn wish(&self, destination: Destination) -> SaveWish {
        let size = self.size(self.scale);
        SaveWish { area: self.area, size, scale_bar: self.scale_bar, destination }
    }
}

/// Ask the file system on a thread of its own: a drive may take its time, or never answer.
fn ask<T: Send + 'static>(question: impl FnOnce() -> T + Send + 'static) -> Option<Receiver<T>> {
    let (tell, told) = bounded(1);
    let thread = std::thread::Builder::new().name("picture-name".to_owned()).spawn(move || {
        // Nobody listens any more when the dialog is closed.
        tell.send(question()).ok();
    });
    thread.inspect_err(|error| tracing::warn!("the system gives no thread: {error}")).ok().map(|_| told)
}

/// The first name that is free in the folder used last, else in the usual one: a picture never takes the place of
/// another unasked.
fn free_name(last: Option<PathBuf>, stem: &str) -> PathBuf {
    let usual = || {
        let folders = directories::UserDirs::new()?;
        Some(folders.picture_dir().unwrap_or(folders.home_dir()).to_owned())
    };
    let Some(folder) = last.filter(|folder| folder.is_dir()).or_else(usual) else { return PathBuf::new() };
    let names = (1..1000).map(|number| match number {
        1 => format!("{stem}.png"),
        number => format!("{stem} {number}.png"),
    });
    names.map(|name| folder.join(name)).find(|path| !path.exists()).unwrap_or_default()
}

/// The dialog; whether it is done.
pub fn save_view_ui(ui: &mut Ui, form: &mut SaveForm, palette: &Palette, asked: &mut Asked) -> bool {
    if form.listen() {
        ui.ctx().request_repaint_after(SOON);
    }
    dialog_width(ui, 560.0);
    ui.label(RichText::new("Save as a picture").family(theme::bold()).size(18.0).color(palette.strong));
    ui.add_space(6.0);
    let mut entered = false;
    ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if ui.button("Browse…").clicked() {
                asked.action(Action::ChoosePicture);
            }
            let is_new = std::mem::take(&mut form.is_named_anew);
            let path = path_edit_ui(ui, &mut form.path, is_new);
            entered = path.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        });
    });
    ui.add_space(8.0);
    line_ui(ui, "Format", palette, |ui| format_ui(ui, form, palette));
    line_ui(ui, "Size", palette, |ui| {
        scale_choice_ui(ui, form, Scale::Screen, "As on the screen", palette);
        scale_choice_ui(ui, form, Scale::SlidePixels, "Slide pixels 1:1", palette);
    });
    if form.magnification.is_calibrated() {
        line_ui(ui, "", palette, |ui| {
            for power in POWERS {
                scale_choice_ui(ui, form, Scale::Power(power), &format!("{power}×"), palette);
            }
        });
    }
    line_ui(ui, "", palette, |ui| width_ui(ui, form, palette));
    ui.add_space(4.0);
    ui.checkbox(&mut form.scale_bar, "With scale bar");
    ui.add_space(6.0);
    let path = PathBuf::from(form.path.trim());
    let too_large = (!form.fits(form.scale))
        .then(|| format!("At most {} pixels a side: choose a smaller size", grouped(LARGEST_PX.into())));
    let objection = too_large.clone().or_else(|| objection(&path));
    let (hint, color) = match &objection {
        Some(objection) => (objection.clone(), palette.query),
        None if form.is_taken => {
            ("There is such a file already; saving replaces it.".to_owned(), palette.query)
        }
        None => ("The picture holds neither the slide's label nor its properties.".to_owned(), palette.weak),
    };
    ui.label(RichText::new(hint).small().color(color));
    ui.add_space(10.0);
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        let text = RichText::new("Save").color(palette.on_accent);
        let is_clicked =
            ui.add_enabled(objection.is_none(), Button::new(text).fill(palette.accent)).clicked();
        let save = is_clicked || entered && objection.is_none();
        if save {
            asked.saves.push(form.wish(Destination::File(path)));
        }
        let copy = ui.add_enabled(too_large.is_none(), Button::new("Copy")).on_hover_text("To the clipboard");
        let copied = copy.clicked();
        if copied {
            asked.saves.push(form.wish(Destination::Clipboard));
        }
        save || copied || ui.button("Cancel").clicked()
    })
    .inner
}

/// The format follows the ending of the name, and the other way round.
fn format_ui(ui: &mut Ui, form: &mut SaveForm, palette: &Palette) {
    let path = PathBuf::from(form.path.trim());
    let shutdown =
        path.extension().map(|shutdown| shutdown.to_string_lossy().to_lowercase()).unwrap_or_default();
    for (name, format) in FORMATS {
        let is_chosen = shutdown == format
            || format == "jpg" && shutdown == "jpeg"
            || format == "tif" && shutdown == "tiff";
        if chip_ui(ui, name, is_chosen, palette).clicked() && !is_chosen {
            form.path = path.with_extension(format).display().to_string();
        }
    }
}

/// One line of the form, with what it is about in front.
fn line_ui(ui: &mut Ui, name: &str, palette: &Palette, add: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        ui.allocate_ui_with_layout(Vec2::new(64.0, 28.0), Layout::left_to_right(Align::Center), |ui| {
            ui.set_min_width(64.0);
            ui.label(RichText::new(name).color(palette.weak));
        });
        ui.spacing_mut().item_spacing.x = 4.0;
        add(ui);
    });
}

/// One of the sizes that are offered.
fn scale_choice_ui(ui: &mut Ui, form: &mut SaveForm, scale: Scale, name: &str, palette: &Palette) {
    let (width, height) = form.size(scale);
    let hint = format!("{} × {} px", grouped(width.into()), grouped(height.into()));
    let fits = form.fits(scale);
    let chip = ui.add_enabled_ui(fits, |ui| chip_ui(ui, name, form.scale == scale, palette)).inner;
    if chip.on_hover_text(&hint).on_disabled_hover_text(format!("{hint}: too large")).clicked() {
        form.scale = scale;
    }
}

/// How large the picture is, to be changed, and what that means.
fn width_ui(ui: &mut Ui, form: &mut SaveForm, palette: &Palette) {
    let (mut width, height) = form.size(form.scale);
    let value = DragValue::new(&mut width).range(16..=LARGEST_PX).speed(4.0).suffix(" px");
    if ui.add(value).on_hover_text("Width of the picture; drag, or click and type").changed() {
        form.scale = Scale::Width(width);
    }
    let magnification = form.magnification.at_zoom(form.zoom(form.scale));
    let text = format!(" wide, {} px high · {}", grouped(height.into()), magnification.short_label());
    ui.label(RichText::new(text).color(palette.weak));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Level0Point, MicronsPerPixel};
    use crate::ui::slide_view::camera::Camera;

    fn form() -> SaveForm {
        let camera = Camera { zoom: 0.25, ..Camera::upright(Level0Point::new(5000.0, 4000.0)) };
        let magnification = Magnification::of(1.0, Some(MicronsPerPixel::square(0.5)), None);
        let area = PictureArea { camera, span: (8000.0, 4000.0) };
        SaveForm::new("slide.svs", area, magnification, None)
    }

    #[test]
    fn a_picture_is_as_large_as_its_scale_says() {
        let form = form();
        assert_eq!(form.size(Scale::Screen), (2000, 1000));
        assert_eq!(form.size(Scale::SlidePixels), (8000, 4000));
        assert_eq!(form.size(Scale::Power(10.0)), (4000, 2000));
        assert_eq!(form.size(Scale::Width(100)), (100, 50));
        assert!(form.fits(Scale::Power(40.0)) && !form.fits(Scale::Power(80.0)));
    }

    #[test]
    fn a_name_that_is_taken_is_not_offered() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("slide.png"), "").unwrap();
        let SaveForm { area, magnification, .. } = form();
        let mut form = SaveForm::new("slide.svs", area, magnification, Some(folder.path()));
        while form.listen() {
            std::thread::sleep(SOON);
        }
        assert!(!form.is_taken);
        assert_eq!(form.path, folder.path().join("slide 2.png").display().to_string());
        form.path = folder.path().join("slide.png").display().to_string();
        while form.listen() {
            std::thread::sleep(SOON);
        }
        assert!(form.is_taken, "what is typed is looked for, too");
    }
}
