//! The channels of a fluorescence slide, and how each is shown.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How a channel is shown: its values from the lower to the upper end of the window as black to full colour. The colours
/// of all visible channels add up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelDisplay {
    /// Name of the channel.
    pub name: String,
    /// Red, green and blue at full brightness.
    pub colour: [u8; 3],
    /// Whether it is shown.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub visible: bool,
    /// Values that are shown as black and as full brightness.
    pub window: [f32; 2],
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_true(value: &bool) -> bool {
    *value
}

/// Most characters of a name in labels and messages.
const SHOWN_NAME: usize = 40;

impl ChannelDisplay {
    /// Its name for labels and messages. Names in files have any length; of one of more than 40 characters, the end is left
    /// out.
    pub fn short_name(&self) -> String {
        match self.name.char_indices().nth(SHOWN_NAME) {
            Some(_) => self.name.chars().take(SHOWN_NAME - 1).chain(['…']).collect(),
            None => self.name.clone(),
        }
    }

    /// Whether its window is one: two finite numbers, the second larger.
    fn has_window(&self) -> bool {
        let [low, high] = self.window;
        low.is_finite() && high.is_finite() && low < high
    }
}

/// One channel of a slide.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlideChannel {
    /// How it is shown.
    pub shown: ChannelDisplay,
    /// How it is shown if nobody has set anything: name and colour of the file, or usual ones, and a window from the
    /// background to just below the brightest pixels.
    pub automatic: ChannelDisplay,
    /// Smallest and largest value among sampled pixels.
    pub values: [f32; 2],
}

/// Whether `set` fits a slide with these channels: one for each of them, with a window.
pub fn fits(set: &[ChannelDisplay], channels: &[SlideChannel]) -> bool {
    !set.is_empty() && set.len() == channels.len() && set.iter().all(ChannelDisplay::has_window)
}

/// Returns eight characters that identify how `channels` are shown; `None` if all are shown as by default. Caches of
/// pixels are named by it.
pub fn display_id(channels: &[SlideChannel]) -> Option<String> {
    if channels.iter().all(|channel| channel.shown == channel.automatic) {
        return None;
    }
    let mut hash = Sha256::new();
    for channel in channels {
        hash.update(channel.shown.colour);
        hash.update([u8::from(channel.shown.visible)]);
        channel.shown.window.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
    Some(hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_shortened() {
        let named =
            |name: String| ChannelDisplay { name, colour: [255; 3], visible: true, window: [0.0, 1.0] };
        assert_eq!(named("µ".repeat(SHOWN_NAME)).short_name(), "µ".repeat(SHOWN_NAME));
        assert_eq!(named("µ".repeat(1000)).short_name(), "µ".repeat(SHOWN_NAME - 1) + "…");
    }

    fn channel(window: [f32; 2]) -> SlideChannel {
        let automatic = ChannelDisplay {
            name: "DAPI".to_owned(),
            colour: [0, 0, 255],
            visible: true,
            window: [10.0, 900.0],
        };
        SlideChannel {
            shown: ChannelDisplay { window, ..automatic.clone() },
            automatic,
            values: [0.0, 4095.0],
        }
    }

    #[test]
    fn only_what_fits_is_taken() {
        let channels = [channel([10.0, 900.0]), channel([0.0, 1.0])];
        let shown: Vec<ChannelDisplay> = channels.iter().map(|channel| channel.shown.clone()).collect();
        assert!(fits(&shown, &channels));
        assert!(!fits(&shown[..1], &channels) && !fits(&[], &[]));
        for window in [[1.0, 1.0], [2.0, 1.0], [f32::NAN, 1.0], [0.0, f32::INFINITY]] {
            assert!(!fits(&[channel(window).shown], &channels[..1]), "{window:?}");
        }
    }

    #[test]
    fn a_display_is_identified_unless_it_is_the_default() {
        assert_eq!(display_id(&[channel([10.0, 900.0])]), None);
        assert_eq!(display_id(&[]), None);
        let one = display_id(&[channel([10.0, 800.0])]);
        assert!(one.as_ref().is_some_and(|id| id.len() == 8));
        assert_ne!(one, display_id(&[channel([10.0, 700.0])]));
    }

    #[test]
    fn a_hidden_channel_is_stored_as_such() {
        let mut shown = channel([10.0, 900.0]).shown;
        assert!(!toml::to_string(&shown).unwrap().contains("visible"));
        shown.visible = false;
        assert_eq!(toml::from_str::<ChannelDisplay>(&toml::to_string(&shown).unwrap()).unwrap(), shown);
    }
}
