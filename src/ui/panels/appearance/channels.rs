//! The channels of a fluorescence slide: name, colour, and window of each.

use egui::{Button, Checkbox, RichText, TextEdit, Ui};

use super::super::colour_picker::colour_ui;
use super::super::number_field;
use crate::session::{Session, SlideCommand};
use crate::slide::SlideId;
use crate::slide::channel::{ChannelDisplay, SlideChannel};
use crate::ui::app::Requests;
use crate::ui::theme::Palette;

/// Width that the field of a name leaves to the button beside it, in points.
const ONLY: f32 = 60.0;

/// Changes that are not applied yet, since the user is still making them: the slide is read again to apply them.
#[derive(Default)]
pub struct ChannelDraft {
    changed: Option<(SlideId, Vec<ChannelDisplay>)>,
}

/// Draws the channels of the active slide.
pub fn channels_ui(
    ui: &mut Ui,
    draft: &mut ChannelDraft,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    let Some(slide) = session.active() else { return };
    let (id, known) = (slide.id(), &slide.source.info().channels);
    let stored = match session.project().channels(id) {
        stored if stored.len() == known.len() => stored.to_vec(),
        _ => known.iter().map(|channel| channel.automatic.clone()).collect(),
    };
    let mut channels = match draft.changed.take() {
        Some((of, changed)) if of == *id => changed,
        _ => stored.clone(),
    };
    ui.label(RichText::new("Channels").color(palette.weak));
    let mut only = None;
    for (index, (shown, channel)) in channels.iter_mut().zip(known).enumerate() {
        let is_only = ui.push_id(index, |ui| channel_ui(ui, shown, channel, palette)).inner;
        only = is_only.then_some(index).or(only);
    }
    if let Some(only) = only {
        channels.iter_mut().enumerate().for_each(|(index, channel)| channel.visible = index == only);
    }
    ui.horizontal(|ui| {
        let is_automatic = channels.iter().eq(known.iter().map(|channel| &channel.automatic));
        let reset = ui.add_enabled(!is_automatic, Button::new("Reset channels"));
        if reset.on_hover_text("The file's names, colours, windows and choice of channels").clicked() {
            channels = known.iter().map(|channel| channel.automatic.clone()).collect();
        }
        let are_all = channels.iter().all(|channel| channel.visible);
        if ui.add_enabled(!are_all, Button::new("Show all")).clicked() {
            channels.iter_mut().for_each(|channel| channel.visible = true);
        }
    });
    if channels == stored {
        return;
    }
    let is_changing = ui.input(|input| input.pointer.any_down()) || ui.ctx().egui_wants_keyboard_input();
    if is_changing {
        draft.changed = Some((id.clone(), channels));
    } else {
        requests.command(SlideCommand::SetChannels { slide: id.clone(), channels });
    }
}

/// Draws the settings of a channel; returns whether it is to be shown alone.
fn channel_ui(ui: &mut Ui, shown: &mut ChannelDisplay, channel: &SlideChannel, palette: &Palette) -> bool {
    let name = shown.short_name();
    let is_only = ui.horizontal(|ui| {
        ui.add(Checkbox::without_text(&mut shown.visible))
            .on_hover_text("Show this channel")
            .accessible_name(format!("Show {name}"));
        let colour = format!("Colour of {name}");
        colour_ui(ui, &mut shown.colour, &colour, palette).on_hover_text("Colour of this channel");
        let hint = format!("Name of this channel: {}", shown.name);
        let room = (ui.available_width() - ONLY).max(60.0);
        ui.add(TextEdit::singleline(&mut shown.name).desired_width(room))
            .on_hover_text(hint)
            .accessible_name(format!("Name of {name}"));
        let only = ui.add(Button::new("Only").small()).accessible_name(format!("Show only {name}"));
        only.on_hover_text("Show this channel and hide all others").clicked()
    });
    ui.horizontal(|ui| {
        ui.label(RichText::new("Window").small().color(palette.weak));
        let [least, greatest] = channel.values;
        let room = (greatest - least).max(1.0);
        // Most values are whole numbers.
        let (decimals, smallest) = if room > 20.0 { (0, 1.0) } else { (3, room / 1000.0) };
        let step = f64::from(room) / 500.0;
        let [low, high] = &mut shown.window;
        // A window that is narrower, as an automatic one may be, stays until the user changes it.
        let lower = number_field(low).range(least - room..=*high - smallest).clamp_existing_to_range(false);
        ui.add(lower.speed(step).max_decimals(decimals))
            .on_hover_text("Value that is shown as black")
            .accessible_name(format!("Minimum of {name}"));
        ui.label(RichText::new("to").small().color(palette.weak));
        let upper = number_field(high).range(*low + smallest..=greatest + 4.0 * room);
        let upper = upper.clamp_existing_to_range(false);
        ui.add(upper.speed(step).max_decimals(decimals))
            .on_hover_text("Value that is shown in full colour")
            .accessible_name(format!("Maximum of {name}"));
        let is_automatic = shown.window == channel.automatic.window;
        let auto = ui.add_enabled(!is_automatic, Button::new("Auto").small());
        let auto = auto.accessible_name(format!("Automatic window of {name}"));
        if auto.on_hover_text("From the background to just below the brightest pixels").clicked() {
            shown.window = channel.automatic.window;
        }
    });
    is_only.inner
}
