//! The panel with the list of annotations, actions on the selected ones, and the project's classes.

use std::sync::Arc;

use egui::text::{LayoutJob, TextWrapping};
use egui::{Align2, Color32, FontId, Frame, Margin, Rect, RichText, ScrollArea, Sense, TextEdit, Ui, Vec2};
use egui_material_icons::{MaterialIcon, icons};
use uuid::Uuid;

use super::colour_picker::colour_ui;
use super::detections::detections_ui;
use super::{action_icon_ui, header_ui, icon_button, row_ui};
use crate::annotation::{Annotation, AnnotationClass, AnnotationSet, Edit, area_label, length_label};
use crate::geometry::MicronsPerPixel;
use crate::number_format::grouped;
use crate::query::Judgement;
use crate::session::{AnnotationCommand, Command, FileWork, QueryCommand, Session, SlideAnnotations};
use crate::slide::SlideId;
use crate::ui::actions::{AnnotationAction, SearchAction};
use crate::ui::app::Requests;
use crate::ui::theme::{PANEL_MARGIN, Palette};

/// Height of a row of the list in points.
const ROW_HEIGHT: f32 = 40.0;

/// Height in points that the classes and the selection leave to the list of annotations.
const LIST_HEIGHT: f32 = 100.0;

/// Input in the panel that has not been applied yet.
#[derive(Default)]
pub struct AnnotationsPanel {
    /// The annotation that is being renamed, with its new name.
    name: Option<(Uuid, String)>,
    /// The class that is being changed: its name, and its new values.
    class: Option<(String, AnnotationClass)>,
    /// Name typed for a new class.
    new_class: String,
    /// What the selected annotations have in common.
    common: Option<Common>,
}

/// What selected annotations have in common.
struct Common {
    set: Arc<AnnotationSet>,
    ids: Vec<Uuid>,
    /// Their class, if all have the same one.
    class: Option<AnnotationClass>,
    /// Whether all are locked.
    locked: bool,
}

impl AnnotationsPanel {
    /// Draws the panel for the active slide.
    pub fn ui(&mut self, ui: &mut Ui, session: &Session, palette: &Palette, requests: &mut Requests) {
        let Some(active) = session.active() else { return };
        let Some(annotations) = session.annotations(active.id()) else { return };
        let (slide, mpp) = (active.id(), active.source.info().mpp);
        header_ui(ui, palette, "Annotations", |ui| {
            ui.spacing_mut().item_spacing.x = 0.0;
            action_icon_ui(ui, AnnotationAction::Export, icons::ICON_UPLOAD, None, palette, requests);
            action_icon_ui(ui, AnnotationAction::Import, icons::ICON_DOWNLOAD, None, palette, requests);
            ui.add_enabled_ui(annotations.redo_title().is_some(), |ui| {
                action_icon_ui(ui, AnnotationAction::Redo, icons::ICON_REDO, None, palette, requests);
            });
            let can_undo = annotations.undo_title().is_some() || requests.undoes_judgement;
            ui.add_enabled_ui(can_undo, |ui| {
                action_icon_ui(ui, AnnotationAction::Undo, icons::ICON_UNDO, None, palette, requests);
            });
            if !annotations.set().is_empty() {
                ui.add_space(6.0);
                ui.label(RichText::new(grouped(annotations.set().len() as u64)).color(palette.weak));
            }
        });
        if let Some((work, share)) = annotations.file_work() {
            let (doing, stop) = match work {
                FileWork::Reading => ("Reading annotations", "Stop reading"),
                FileWork::Writing => ("Exporting annotations", "Stop exporting"),
                FileWork::Saving => ("Saving annotations", "Stop importing"),
            };
            Frame::new().inner_margin(Margin::symmetric(PANEL_MARGIN, 4)).show(ui, |ui| {
                let percent = (share * 100.0).round();
                ui.horizontal(|ui| {
                    let width = ui.available_width() - 40.0;
                    let bar = egui::ProgressBar::new(share).desired_width(width);
                    ui.add(bar.text(format!("{doing}: {percent} %")));
                    let can_stop = annotations.can_stop_file();
                    if can_stop && icon_button(ui, icons::ICON_CLOSE, stop, stop, palette.text).clicked() {
                        requests.command(AnnotationCommand::StopFile(slide.clone()));
                    }
                });
                let count: usize = annotations.parts().iter().map(|part| part.len()).sum();
                if count > 0 {
                    let text = format!("{} detections so far", grouped(count as u64));
                    ui.label(RichText::new(text).color(palette.weak));
                }
            });
        }
        let details = Frame::new().inner_margin(Margin::symmetric(PANEL_MARGIN, 8));
        // Some of the list stays in view below.
        let room = (ui.available_height() - LIST_HEIGHT).max(80.0);
        let area = ScrollArea::vertical().id_salt("annotation details").max_height(room);
        area.auto_shrink([false, true]).show(ui, |ui| {
            details.show(ui, |ui| {
                if !annotations.selection().is_empty() {
                    self.selected_ui(ui, session, slide, annotations, palette, requests);
                    ui.add_space(6.0);
                }
                self.classes_ui(ui, session, room, palette, requests);
                detections_ui(ui, slide, annotations, palette, requests);
            });
        });
        if annotations.set().is_empty() {
            if !annotations.parts().is_empty() {
                return;
            }
            Frame::new().inner_margin(Margin::symmetric(PANEL_MARGIN, 4)).show(ui, |ui| {
                let text = "No annotations yet. Choose a tool beside the slide, or import a file from QuPath or ASAP.";
                ui.label(RichText::new(text).color(palette.weak));
            });
            return;
        }
        let area = ScrollArea::vertical().id_salt("annotations").auto_shrink(false);
        ui.spacing_mut().item_spacing.y = 4.0;
        area.show_rows(ui, ROW_HEIGHT, annotations.set().len(), |ui, rows| {
            Frame::new().inner_margin(Margin::symmetric(8, 0)).show(ui, |ui| {
                ui.spacing_mut().item_spacing.y = 4.0;
                for annotation in rows.filter_map(|row| annotations.set().at(row)) {
                    row(ui, slide, annotations, &annotation, mpp, palette, requests);
                }
            });
        });
    }

    /// Returns what the selected annotations have in common; determined anew only when they change, since
    /// there may be very many.
    fn common_of(&mut self, annotations: &SlideAnnotations) -> &Common {
        let (set, ids) = (annotations.set(), annotations.selection());
        let known = self.common.take().filter(|known| Arc::ptr_eq(&known.set, set) && known.ids == ids);
        let make = || {
            let all = || ids.iter().filter_map(|id| set.described(*id));
            let first = all().next().and_then(|one| one.class.as_ref());
            Common {
                set: set.clone(),
                ids: ids.to_vec(),
                class: first.filter(|_| all().all(|one| one.class.as_ref() == first)).cloned(),
                locked: all().all(|one| one.locked),
            }
        };
        self.common.insert(known.unwrap_or_else(make))
    }

    /// Draws name, class and actions of the selected annotations.
    fn selected_ui(
        &mut self,
        ui: &mut Ui,
        session: &Session,
        slide: &SlideId,
        annotations: &SlideAnnotations,
        palette: &Palette,
        requests: &mut Requests,
    ) {
        let ids = annotations.selection();
        let Some(first) = annotations.selected().next() else { return };
        let mut edits = Vec::new();
        if let [id] = *ids {
            if self.name.as_ref().is_none_or(|(of, _)| *of != id) {
                self.name = Some((id, first.name.clone().unwrap_or_default()));
            }
            if let Some((_, name)) = &mut self.name {
                let field = TextEdit::singleline(name).hint_text("Name").desired_width(f32::INFINITY);
                let response =
                    ui.add(field.margin(Margin::symmetric(8, 5))).accessible_name("Name of the annotation");
                if response.lost_focus() && first.name.clone().unwrap_or_default() != *name {
                    edits.push(Edit::Rename {
                        id,
                        name: Some(name.trim().to_owned()).filter(|name| !name.is_empty()),
                    });
                } else if !response.has_focus() {
                    *name = first.name.clone().unwrap_or_default();
                }
            }
        } else {
            ui.label(RichText::new(format!("{} selected", grouped(ids.len() as u64))).color(palette.strong));
        }
        ui.add_space(4.0);
        ui.horizontal(|ui| {
            let common = self.common_of(annotations);
            let class = common.class.as_ref();
            let label = class.map_or("No class", |class| class.name.as_str());
            let combo =
                egui::ComboBox::from_id_salt("class of the selection").selected_text(RichText::new(label));
            let shown = combo.width((ui.available_width() - 116.0).max(0.0)).show_ui(ui, |ui| {
                if let Some(chosen) = class_choice_ui(ui, session, class) {
                    edits.push(Edit::Classify { ids: ids.to_vec(), class: chosen });
                }
            });
            shown.response.accessible_name(format!("Class: {label}"));
            let locked = common.locked;
            let (icon, name) =
                if locked { (icons::ICON_LOCK, "Unlock") } else { (icons::ICON_LOCK_OPEN, "Lock") };
            let hint = format!("{name}. Locked annotations cannot be moved, reshaped or deleted");
            if icon_button(ui, icon, name, &hint, palette.text).clicked() {
                edits.push(Edit::Lock { ids: ids.to_vec(), locked: !locked });
            }
            action_icon_ui(ui, AnnotationAction::Delete, icons::ICON_DELETE, None, palette, requests);
            action_icon_ui(
                ui,
                SearchAction::ByAnnotations,
                icons::ICON_IMAGE_SEARCH,
                None,
                palette,
                requests,
            );
        });
        if session.query().is_some() {
            ui.horizontal(|ui| {
                ui.label(RichText::new("Mark as").color(palette.weak));
                for (judgement, icon) in
                    [(Judgement::Same, icons::ICON_CHECK_CIRCLE), (Judgement::Different, icons::ICON_CANCEL)]
                {
                    let mark = SearchAction::MarkAnnotations(judgement);
                    action_icon_ui(ui, mark, icon, None, palette, requests);
                }
            });
        }
        for edit in edits {
            requests.command(AnnotationCommand::Edit { slide: slide.clone(), edit });
        }
    }

    /// Draws the section of the project's classes in `room` points of height, where they can be renamed, recoloured,
    /// added and removed.
    fn classes_ui(
        &mut self,
        ui: &mut Ui,
        session: &Session,
        room: f32,
        palette: &Palette,
        requests: &mut Requests,
    ) {
        let title = RichText::new("Classes").color(palette.weak);
        let header = egui::CollapsingHeader::new(title).id_salt("annotation classes");
        // The field for a new class stays in view below the list.
        let height = (room - 100.0).clamp(64.0, 190.0);
        header.show(ui, |ui| self.class_list_ui(ui, session, height, palette, requests));
    }

    fn class_list_ui(
        &mut self,
        ui: &mut Ui,
        session: &Session,
        height: f32,
        palette: &Palette,
        requests: &mut Requests,
    ) {
        let mut queried = None;
        let mut annotate = |command: AnnotationCommand| requests.command(command);
        ScrollArea::vertical().id_salt("classes").max_height(height).show(ui, |ui| {
            for class in session.project().classes() {
                ui.horizontal(|ui| {
                    let pending = self.class.as_ref().filter(|(name, _)| *name == class.name);
                    let mut changed = pending.map_or_else(|| class.clone(), |(_, to)| to.clone());
                    let name = format!("Colour of {}", class.name);
                    let color = colour_ui(ui, &mut changed.color, &name, palette);
                    let width = (ui.available_width() - 78.0).max(0.0);
                    let field = ui
                        .add(TextEdit::singleline(&mut changed.name).desired_width(width))
                        .accessible_name(format!("Name of class {}", class.name));
                    let find = format!("Find tissue similar to {}", class.name);
                    let hint = "Find tissue similar to all annotations of this class, on all slides";
                    if icon_button(ui, icons::ICON_IMAGE_SEARCH, &find, hint, palette.weak).clicked() {
                        queried = Some(class.name.clone());
                    }
                    let remove = format!("Remove {}", class.name);
                    let hint = "Remove this class from the list; its annotations keep it";
                    if icon_button(ui, icons::ICON_DELETE, &remove, hint, palette.weak).clicked() {
                        annotate(AnnotationCommand::RemoveClass(class.name.clone()));
                    }
                    // Applied when the field or the button is released, so that one change is one undo step.
                    let busy = field.has_focus() || ui.input(|input| input.pointer.any_down());
                    if changed == class {
                        if pending.is_some() {
                            self.class = None;
                        }
                    } else if busy || color.has_focus() && ui.input(|input| input.pointer.any_down()) {
                        self.class = Some((class.name.clone(), changed));
                    } else {
                        self.class = None;
                        annotate(AnnotationCommand::ChangeClass { name: class.name.clone(), to: changed });
                    }
                });
            }
        });
        ui.horizontal(|ui| {
            let width = (ui.available_width() - 40.0).max(0.0);
            let field = TextEdit::singleline(&mut self.new_class).hint_text("New class").desired_width(width);
            let field = ui.add(field).accessible_name("New class");
            let entered = field.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
            let hint = "Add a class of this name (Enter)";
            let added = icon_button(ui, icons::ICON_ADD, "Add class", hint, palette.text).clicked();
            if (entered || added) && !self.new_class.trim().is_empty() {
                let class = AnnotationClass::among(self.new_class.trim(), &session.project().classes());
                annotate(AnnotationCommand::AddClass(class));
                self.new_class.clear();
            }
        });
        requests.commands.extend(queried.map(|class| Command::Query(QueryCommand::Class(class))));
    }
}

/// Draws one annotation: colour, title, class, size, and a button to show or hide it.
fn row(
    ui: &mut Ui,
    slide: &SlideId,
    annotations: &SlideAnnotations,
    annotation: &Arc<Annotation>,
    mpp: Option<MicronsPerPixel>,
    palette: &Palette,
    requests: &mut Requests,
) {
    let is_selected = annotations.selection().contains(&annotation.id);
    let is_hidden = annotations.hidden().contains(&annotation.id);
    let title = format!("annotation {}", annotation.title());
    let (rect, response) = row_ui(ui, ROW_HEIGHT, is_selected, &title, palette);
    let text = if is_hidden { palette.weak } else { palette.strong };
    let painter = ui.painter().with_clip_rect(rect.intersect(ui.clip_rect()));
    let dot = rect.left_center() + Vec2::new(16.0, 0.0);
    painter.circle_filled(dot, 6.0, color_of(annotation.drawn_color()));
    // The text ends before the icons on the right.
    let icons = if annotation.locked { 62.0 } else { 36.0 };
    let left = rect.left() + 32.0;
    let room = (rect.right() - icons - left).max(0.0);
    let line = |at: Align2, y: f32, text: &str, size: f32, color: Color32| {
        let mut job = LayoutJob::simple_singleline(text.to_owned(), FontId::proportional(size), color);
        job.wrap = TextWrapping::truncate_at_width(room);
        let galley = painter.layout_job(job);
        let shown = at.anchor_size(egui::pos2(left, y), galley.size());
        let is_cut = galley.elided;
        painter.galley(shown.min, galley, color);
        is_cut
    };
    let is_title_cut = line(Align2::LEFT_BOTTOM, rect.center().y + 2.0, annotation.title(), 14.0, text);
    let size = area_label(annotation.shape(), mpp).or_else(|| length_label(annotation.shape(), mpp));
    let class = annotation.class.as_ref().map(|class| class.name.as_str());
    let details: Vec<&str> =
        [class.filter(|class| *class != annotation.title()), size.as_deref()].into_iter().flatten().collect();
    let details =
        if details.is_empty() { annotation.shape().noun().to_owned() } else { details.join(" · ") };
    let are_details_cut = line(Align2::LEFT_TOP, rect.center().y + 2.0, &details, 12.0, palette.weak);

    let eye_rect = Rect::from_center_size(rect.right_center() - Vec2::new(20.0, 0.0), Vec2::splat(28.0));
    let eye = ui.interact(eye_rect, response.id.with("shown"), Sense::click());
    let (icon, hint) =
        if is_hidden { (icons::ICON_VISIBILITY_OFF, "Show") } else { (icons::ICON_VISIBILITY, "Hide") };
    eye.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, format!("{hint} {title}")));
    if is_hidden || response.hovered() || eye.hovered() {
        icon_at(&painter, eye_rect, icon, if eye.hovered() { palette.strong } else { palette.weak });
    }
    if annotation.locked {
        icon_at(&painter, eye_rect.translate(Vec2::new(-26.0, 0.0)), icons::ICON_LOCK, palette.weak);
    }
    let mut annotate = |command: AnnotationCommand| requests.command(command);
    let id = annotation.id;
    if eye.on_hover_text(hint).clicked() {
        annotate(AnnotationCommand::Show { slide: slide.clone(), ids: vec![id], shown: is_hidden });
    } else if response.double_clicked() {
        annotate(AnnotationCommand::GoTo { slide: slide.clone(), id });
    } else if response.clicked() {
        let mut ids = vec![id];
        if ui.input(|input| input.modifiers.command || input.modifiers.shift) {
            ids = annotations.selection().to_vec();
            match ids.iter().position(|known| *known == id) {
                Some(index) => _ = ids.remove(index),
                None => ids.push(id),
            }
        }
        annotate(AnnotationCommand::Select { slide: slide.clone(), ids });
    }
    let cut = [(is_title_cut, annotation.title()), (are_details_cut, details.as_str())];
    let cut = cut.into_iter().filter(|(is_cut, _)| *is_cut).map(|(_, text)| text);
    let hint: Vec<&str> = cut.chain(["Click to select, double-click to go there"]).collect();
    response.on_hover_text(hint.join("\n"));
}

fn icon_at(painter: &egui::Painter, rect: Rect, icon: MaterialIcon, color: Color32) {
    let font = FontId::new(17.0, icon.font_family());
    painter.text(rect.center(), Align2::CENTER_CENTER, icon.codepoint, font, color);
}

fn color_of([r, g, b]: [u8; 3]) -> Color32 {
    Color32::from_rgb(r, g, b)
}

/// Draws a choice of the project's classes and no class. Returns the choice once the user clicks:
/// `Some(None)` is no class.
pub fn class_choice_ui(
    ui: &mut Ui,
    session: &Session,
    current: Option<&AnnotationClass>,
) -> Option<Option<AnnotationClass>> {
    let mut chosen = None;
    ui.set_min_width(170.0);
    let classes = session.project().classes();
    for class in std::iter::once(None).chain(classes.iter().map(Some)) {
        let color = color_of(class.map_or(crate::annotation::UNCLASSIFIED, |class| class.color));
        let name = class.map_or("No class", |class| class.name.as_str());
        ui.horizontal(|ui| {
            let (dot, _) = ui.allocate_exact_size(Vec2::splat(16.0), Sense::hover());
            ui.painter().circle_filled(dot.center(), 6.0, color);
            if ui.selectable_label(class == current, name).clicked() {
                chosen = Some(class.cloned());
                ui.close();
            }
        });
    }
    chosen
}
