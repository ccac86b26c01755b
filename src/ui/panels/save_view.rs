//! The dialog that saves or copies the view or a region as an image: file, size, scale bar.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError, bounded};
use egui::{Align, Button, Event, Key, Layout, Response, RichText, Ui, Vec2};

use super::{chip_ui, dialog_width, number_field, path_edit_ui};
use crate::number_format::{grouped, plain};
use crate::paths::portable_stem;
use crate::slide::SlideId;
use crate::ui::actions::ViewAction;
use crate::ui::app::Requests;
use crate::ui::export::{Destination, LARGEST_PX, PictureArea, objection};
use crate::ui::slide_view::Magnification;
use crate::ui::theme::{self, Palette};

/// Magnifications offered for an image.
const POWERS: [f64; 5] = [2.5, 5.0, 10.0, 20.0, 40.0];

/// Formats: name and file extension.
const FORMATS: [(&str, &str); 3] = [("PNG", "png"), ("JPEG", "jpg"), ("TIFF", "tif")];

/// Size of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    /// As on the screen.
    Screen,
    /// One image pixel per level-0 pixel.
    SlidePixels,
    /// At this magnification.
    Power(f64),
    /// This many pixels wide.
    Width(u32),
}

/// Interval between checks for an answer from the file system.
const SOON: Duration = Duration::from_millis(30);

/// Input of the dialog.
#[derive(Debug, Clone)]
pub struct SaveForm {
    /// Path of the image file as typed.
    pub path: String,
    /// The initially suggested path, and the pending path of an unused file name to replace it.
    free: Option<(String, Receiver<PathBuf>)>,
    /// The path that was last checked, and the pending answer whether a file exists there.
    taken: Option<(String, Receiver<bool>)>,
    /// Whether a file exists at `path`, as far as known.
    is_taken: bool,
    /// Whether the path was set by the program since the last frame.
    is_path_new: bool,
    scale: Scale,
    scale_bar: bool,
    overlays: bool,
    slide: SlideId,
    area: PictureArea,
    /// Magnification at one level-0 pixel per image pixel.
    magnification: Magnification,
}

/// A request to save or copy an image.
#[derive(Debug, Clone, PartialEq)]
pub struct SaveRequest {
    /// The slide.
    pub slide: SlideId,
    /// Part of the slide.
    pub area: PictureArea,
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Whether a scale bar is drawn.
    pub scale_bar: bool,
    /// Whether matches and annotations are drawn.
    pub overlays: bool,
    /// File or clipboard.
    pub destination: Destination,
}

impl SaveRequest {
    /// Returns a request to copy `area` as shown on the screen, with a scale bar.
    pub fn copy_of(slide: SlideId, area: PictureArea, overlays: bool) -> Self {
        let size = size(&area, area.camera.zoom);
        Self { slide, area, size, scale_bar: true, overlays, destination: Destination::Clipboard }
    }
}

/// Width and height in pixels of an image of `area` with `zoom` image pixels per pixel of the area.
fn size(area: &PictureArea, zoom: f64) -> (u32, u32) {
    let px = |span: f64| (span * zoom).round().clamp(1.0, f64::from(u32::MAX)) as u32;
    (px(area.span.0), px(area.span.1))
}

impl SaveForm {
    /// Returns the form for a part of the slide `name`, with its magnification at 1:1; `folder` is where an image was last
    /// saved.
    pub fn new(
        slide: SlideId,
        name: &str,
        (area, magnification): (PictureArea, Magnification),
        overlays: bool,
        folder: Option<&Path>,
    ) -> Self {
        let stem = portable_stem(name.rsplit_once('.').map_or(name, |(stem, _)| stem));
        let last = folder.map(Path::to_owned);
        let suggested = last.clone().unwrap_or_default().join(format!("{stem}.png"));
        let path = suggested.display().to_string();
        let free = in_background(move || free_name(last, &stem)).map(|answer| (path.clone(), answer));
        Self {
            path,
            free,
            taken: None,
            is_taken: false,
            is_path_new: true,
            scale: Scale::Screen,
            scale_bar: true,
            overlays,
            slide,
            area,
            magnification,
        }
    }

    /// Takes answers from the file system; returns whether one is still pending.
    fn poll(&mut self) -> bool {
        if let Some((suggested, answer)) = &self.free {
            match answer.try_recv() {
                Ok(free) if self.path == *suggested => {
                    self.path = free.display().to_string();
                    self.free = None;
                    self.is_path_new = true;
                }
                Err(TryRecvError::Empty) => {}
                Ok(_) | Err(TryRecvError::Disconnected) => self.free = None,
            }
        }
        if self.taken.as_ref().is_none_or(|(path, _)| *path != self.path) {
            let path = PathBuf::from(self.path.trim());
            self.is_taken = false;
            self.taken = in_background(move || path.exists()).map(|answer| (self.path.clone(), answer));
        }
        let mut is_pending = self.free.is_some();
        if let Some((_, answer)) = &self.taken {
            match answer.try_recv() {
                Ok(is_taken) => self.is_taken = is_taken,
                Err(TryRecvError::Empty) => is_pending = true,
                Err(TryRecvError::Disconnected) => {}
            }
        }
        is_pending
    }

    /// Image pixels per pixel of the area.
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

    fn request(&self, destination: Destination) -> SaveRequest {
        let size = self.size(self.scale);
        let Self { slide, area, scale_bar, overlays, .. } = self;
        let (slide, area) = (slide.clone(), *area);
        SaveRequest { slide, area, size, scale_bar: *scale_bar, overlays: *overlays, destination }
    }
}

/// Queries the file system on a separate thread, because a network drive may answer late or never. Returns
/// `None` if no thread could be started.
fn in_background<T: Send + 'static>(query: impl FnOnce() -> T + Send + 'static) -> Option<Receiver<T>> {
    let (sender, receiver) = bounded(1);
    let thread = std::thread::Builder::new().name("picture-name".to_owned()).spawn(move || {
        // Fails if the dialog has been closed.
        sender.send(query()).ok();
    });
    thread.inspect_err(|error| tracing::warn!("no thread could be started: {error}")).ok().map(|_| receiver)
}

/// Returns the first unused file name in the folder used last, or else in the user's pictures folder, so that
/// the suggested name never replaces an existing image.
fn free_name(last: Option<PathBuf>, stem: &str) -> PathBuf {
    let default = || {
        let folders = directories::UserDirs::new()?;
        Some(folders.picture_dir().unwrap_or(folders.home_dir()).to_owned())
    };
    let Some(folder) = last.filter(|folder| folder.is_dir()).or_else(default) else { return PathBuf::new() };
    let names = (1..1000).map(|number| match number {
        1 => format!("{stem}.png"),
        number => format!("{stem} {number}.png"),
    });
    names.map(|name| folder.join(name)).find(|path| !path.exists()).unwrap_or_default()
}

/// Draws the dialog; returns whether to close it.
pub fn save_view_ui(ui: &mut Ui, form: &mut SaveForm, palette: &Palette, requests: &mut Requests) -> bool {
    if form.poll() {
        ui.ctx().request_repaint_after(SOON);
    }
    dialog_width(ui, 560.0);
    ui.label(RichText::new("Save as image").family(theme::bold()).size(18.0).color(palette.strong));
    ui.add_space(6.0);
    let mut entered = false;
    ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if ui.button("Browse…").clicked() {
                requests.action(ViewAction::ChoosePictureFile);
            }
            let is_new = std::mem::take(&mut form.is_path_new);
            let path = path_edit_ui(ui, &mut form.path, is_new);
            if !is_new && is_edited(ui, &path) {
                form.free = None;
            }
            entered = path.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        });
    });
    ui.add_space(8.0);
    line_ui(ui, "Format", palette, |ui| format_ui(ui, form, palette));
    line_ui(ui, "Size", palette, |ui| {
        scale_choice_ui(ui, form, Scale::Screen, "As displayed", palette);
        scale_choice_ui(ui, form, Scale::SlidePixels, "Actual pixels (1:1)", palette);
    });
    if form.magnification.is_calibrated() {
        line_ui(ui, "", palette, |ui| {
            for power in POWERS {
                scale_choice_ui(ui, form, Scale::Power(power), &format!("{}×", plain(power)), palette);
            }
        });
    }
    line_ui(ui, "", palette, |ui| width_ui(ui, form, palette));
    ui.add_space(4.0);
    ui.checkbox(&mut form.scale_bar, "Include scale bar");
    ui.checkbox(&mut form.overlays, "Include matches and annotations");
    ui.add_space(6.0);
    let path = PathBuf::from(form.path.trim());
    let too_large = (!form.fits(form.scale))
        .then(|| format!("Too large: at most {} pixels per side", grouped(LARGEST_PX.into())));
    let objection = too_large.clone().or_else(|| objection(&path));
    let (hint, color) = match &objection {
        Some(objection) => (objection.clone(), palette.query),
        None if form.is_taken => {
            ("A file with this name exists; saving replaces it.".to_owned(), palette.query)
        }
        None => ("The image contains neither the slide's label nor its metadata.".to_owned(), palette.weak),
    };
    ui.label(RichText::new(hint).small().color(color));
    ui.add_space(10.0);
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        let text = RichText::new("Save").color(palette.on_accent);
        let button = ui.add_enabled(objection.is_none(), Button::new(text).fill(palette.accent));
        let is_clicked = button.on_disabled_hover_text(objection.as_deref().unwrap_or_default()).clicked();
        let save = is_clicked || entered && objection.is_none();
        if save {
            requests.saves.push(form.request(Destination::File(path)));
        }
        let copy = ui.add_enabled(too_large.is_none(), Button::new("Copy"));
        let copy = copy.on_disabled_hover_text(too_large.as_deref().unwrap_or_default());
        let copied = copy.on_hover_text("Copy to the clipboard").clicked();
        if copied {
            requests.saves.push(form.request(Destination::Clipboard));
        }
        save || copied || ui.button("Cancel").clicked()
    })
    .inner
}

/// Whether the user has begun to select or type in the field `path`: from then on a file name that is found late
/// would mix with what is typed.
fn is_edited(ui: &Ui, path: &Response) -> bool {
    let is_typing = |event: &Event| {
        matches!(
            event,
            Event::Key { pressed: true, .. } | Event::Text(_) | Event::Paste(_) | Event::Ime(_) | Event::Cut
        )
    };
    path.is_pointer_button_down_on()
        || path.has_focus() && ui.input(|input| input.events.iter().any(is_typing))
}

/// Draws the choice of format, which always corresponds to the file extension.
fn format_ui(ui: &mut Ui, form: &mut SaveForm, palette: &Palette) {
    let path = PathBuf::from(form.path.trim());
    let extension =
        path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default();
    for (name, format) in FORMATS {
        let is_chosen = extension == format
            || format == "jpg" && extension == "jpeg"
            || format == "tif" && extension == "tiff";
        if chip_ui(ui, name, is_chosen, palette).clicked() && !is_chosen {
            form.path = path.with_extension(format).display().to_string();
        }
    }
}

/// Draws one line of the form: a name and its fields.
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

/// Draws one of the offered sizes.
fn scale_choice_ui(ui: &mut Ui, form: &mut SaveForm, scale: Scale, name: &str, palette: &Palette) {
    let (width, height) = form.size(scale);
    let hint = format!("{} × {} px", grouped(width.into()), grouped(height.into()));
    let fits = form.fits(scale);
    let chip = ui.add_enabled_ui(fits, |ui| chip_ui(ui, name, form.scale == scale, palette)).inner;
    if chip.on_hover_text(&hint).on_disabled_hover_text(format!("{hint}: too large")).clicked() {
        form.scale = scale;
    }
}

/// Draws the width, which can be changed, with the resulting height and magnification.
fn width_ui(ui: &mut Ui, form: &mut SaveForm, palette: &Palette) {
    let (mut width, height) = form.size(form.scale);
    let value = number_field(&mut width).range(16..=LARGEST_PX).speed(4.0).suffix(" px");
    let value = ui.add(value).on_hover_text("Width of the image; drag, or click and type");
    if value.accessible_name("Width of the image").changed() {
        form.scale = Scale::Width(width);
    }
    let magnification = form.magnification.at_zoom(form.zoom(form.scale));
    let text = format!(" wide, {} px high · {}", grouped(height.into()), magnification.short_label());
    ui.label(RichText::new(text).color(palette.weak));
}

#[cfg(test)]
mod tests {
    use egui::Modifiers;
    use egui_kittest::Harness;

    use super::*;
    use crate::geometry::{Level0Point, MicronsPerPixel};
    use crate::ui::slide_view::camera::Camera;

    fn form() -> SaveForm {
        let camera = Camera { zoom: 0.25, ..Camera::upright(Level0Point::new(5000.0, 4000.0)) };
        let magnification = Magnification::of(1.0, Some(MicronsPerPixel::square(0.5).unwrap()), None);
        let area = PictureArea { camera, span: (8000.0, 4000.0) };
        SaveForm::new(SlideId("a".to_owned()), "slide.svs", (area, magnification), true, None)
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
    fn a_file_name_that_is_found_late_does_not_mix_with_what_is_typed() {
        let (sender, answer) = bounded(1);
        let form =
            SaveForm { free: Some(("slide.png".to_owned(), answer)), path: "slide.png".to_owned(), ..form() };
        let mut is_installed = false;
        let draw = move |ui: &mut Ui, form: &mut SaveForm| {
            // Fonts are there from the frame after the one that installs them.
            if std::mem::replace(&mut is_installed, true) {
                save_view_ui(ui, form, &Palette::of(egui::Theme::Dark), &mut Requests::default());
            } else {
                theme::install(ui.ctx());
            }
        };
        let mut harness = Harness::builder().build_ui_state(draw, form);
        harness.run_steps(4);
        harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
        harness.run_steps(2);
        // Fails if nothing waits for the name any more.
        sender.send(PathBuf::from("pictures/slide.png")).ok();
        harness.run_steps(2);
        harness.event(Event::Text("figures/mine.png".to_owned()));
        harness.run_steps(2);
        assert_eq!(harness.state().path, "figures/mine.png");
    }

    #[test]
    fn a_name_that_is_taken_is_not_offered() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("slide.png"), "").unwrap();
        let SaveForm { slide, area, magnification, .. } = form();
        let mut form = SaveForm::new(slide, "slide.svs", (area, magnification), true, Some(folder.path()));
        while form.poll() {
            std::thread::sleep(SOON);
        }
        assert!(!form.is_taken);
        assert_eq!(form.path, folder.path().join("slide 2.png").display().to_string());
        form.path = folder.path().join("slide.png").display().to_string();
        while form.poll() {
            std::thread::sleep(SOON);
        }
        assert!(form.is_taken, "a typed path is checked, too");
    }
}
