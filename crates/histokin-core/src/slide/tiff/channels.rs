//! Rendering of fluorescence channels as the sum of one colour per channel.

use super::colours::Range;
use super::ome::Channel;
use super::samples::Samples;
use crate::slide::channel::ChannelDisplay;

/// Number of channels that are shown until the user chooses others: with more, colours can hardly be told apart, and reading a
/// tile takes longer.
pub(in crate::slide) const SHOWN: usize = 8;

/// Colours for channels without a colour in the file, in this order.
const COLOURS: [[u8; 3]; SHOWN] = [
    [0, 0, 255],
    [0, 255, 0],
    [255, 0, 0],
    [0, 255, 255],
    [255, 0, 255],
    [255, 255, 0],
    [255, 128, 0],
    [255, 255, 255],
];

/// Colours for channels that are the samples of one image, which usually are red, green and blue.
const SAMPLE_COLOURS: [[u8; 3]; 3] = [[255, 0, 0], [0, 255, 0], [0, 0, 255]];

/// Stains by parts of their names, with their usual colours.
const STAINS: [(&[&str], [u8; 3]); 4] = [
    (&["dapi", "hoechst", "nuclei"], [0, 0, 255]),
    (&["fitc", "gfp", "488", "opal 520", "cy2"], [0, 255, 0]),
    (&["cy3", "tritc", "rhodamine", "txred", "texas", "568", "594", "570"], [255, 0, 0]),
    (&["cy5", "647", "690"], [255, 0, 255]),
];

/// Quantiles of the values that are shown as black and as full brightness.
const BLACK_BELOW: f64 = 0.01;
const FULL_BELOW: f64 = 0.998;

/// Returns a colour for each of `channels`: the stated ones if they differ, otherwise by stain names.
pub(in crate::slide) fn colours(channels: &[Channel], are_samples: bool) -> Vec<[u8; 3]> {
    let stated: Vec<Option<[u8; 3]>> =
        channels.iter().map(|channel| channel.colour.filter(|stated| *stated != [0; 3])).collect();
    // Writers that do not support colours make all channels white.
    let is_distinct =
        stated.iter().any(|colour| colour.is_some_and(|colour| colour != stated[0].unwrap_or_default()))
            || (channels.len() == 1 && stated[0].is_some());
    if is_distinct {
        return stated.iter().map(|colour| colour.unwrap_or([255; 3])).collect();
    }
    if are_samples
        && channels.len() == SAMPLE_COLOURS.len()
        && channels.iter().all(|channel| channel.name.is_none())
    {
        return SAMPLE_COLOURS.to_vec();
    }
    let by_name = |channel: &Channel| {
        let name = channel.name.as_ref()?.to_lowercase();
        STAINS
            .iter()
            .find(|(parts, _)| parts.iter().any(|part| name.contains(part)))
            .map(|(_, colour)| *colour)
    };
    let mut chosen: Vec<Option<[u8; 3]>> = channels.iter().map(by_name).collect();
    for index in 0..chosen.len() {
        let is_free = |colour: &&[u8; 3]| !chosen.contains(&Some(**colour));
        let colour = chosen[index].or(COLOURS.iter().find(is_free).copied()).unwrap_or([255; 3]);
        chosen[index] = Some(colour);
    }
    chosen.into_iter().map(Option::unwrap_or_default).collect()
}

/// Returns the values between which a channel is shown, from the background to just below the brightest
/// pixels, and its smallest and largest value.
pub(in crate::slide) fn window(numbers: &mut Vec<f32>) -> ([f32; 2], [f32; 2]) {
    numbers.retain(|number| number.is_finite());
    if numbers.is_empty() {
        return ([0.0, 1.0], [0.0, 1.0]);
    }
    numbers.sort_unstable_by(f32::total_cmp);
    let at = |share: f64| numbers[((numbers.len() - 1) as f64 * share) as usize];
    let last = numbers[numbers.len() - 1];
    let (low, high) = (at(BLACK_BELOW), at(FULL_BELOW));
    let window = if high > low {
        [low, high]
    } else if last > low {
        [low, last]
    } else {
        [low, low + 1.0]
    };
    (window, [numbers[0], last])
}

/// The sum of channels.
pub(in crate::slide) struct Sum(Vec<[u16; 3]>);

impl Sum {
    /// A black image of `pixels` pixels.
    pub fn new(pixels: usize) -> Self {
        Self(vec![[0; 3]; pixels])
    }

    /// Adds the values of one channel.
    pub fn add(&mut self, numbers: &Samples, shown: &ChannelDisplay) {
        let range = Range::Window(shown.window[0], shown.window[1]);
        let light = |shade: u8| shown.colour.map(|part| u16::from(part) * u16::from(shade) / 255);
        match numbers {
            Samples::U8(all) => {
                let table: Vec<[u16; 3]> = (0..256).map(|number| light(range.shade(number as f32))).collect();
                self.each(all.iter().map(|number| table[usize::from(*number)]));
            }
            Samples::U16(all) => self.each(all.iter().map(|number| light(range.shade(f32::from(*number))))),
            Samples::F32(all) => self.each(all.iter().map(|number| light(range.shade(*number)))),
        }
    }

    fn each(&mut self, lights: impl Iterator<Item = [u16; 3]>) {
        for (sum, light) in self.0.iter_mut().zip(lights) {
            *sum = [0, 1, 2].map(|part| sum[part].saturating_add(light[part]));
        }
    }

    /// Returns the sum as opaque RGBA, clipped at 255.
    pub fn rgba(self) -> Vec<u8> {
        let channel = |sum: u16| sum.min(255) as u8;
        self.0.into_iter().flat_map(|[r, g, b]| [channel(r), channel(g), channel(b), 255]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, colour: Option<[u8; 3]>) -> Channel {
        Channel { name: Some(name.to_owned()), colour, samples: 1 }
    }

    #[test]
    fn channels_have_their_own_colours_or_usual_ones() {
        let white = Some([255; 3]);
        assert_eq!(
            colours(&[named("CY5", white), named("DAPI", white), named("x", white)], false),
            [[255, 0, 255], [0, 0, 255], [0, 255, 0]]
        );
        assert_eq!(colours(&[named("a", Some([9, 8, 7])), named("b", white)], false), [[9, 8, 7], [255; 3]]);
        assert_eq!(colours(&vec![Channel::default(); 3], true), SAMPLE_COLOURS);
    }

    #[test]
    fn a_window_leaves_out_the_background_and_a_few_hot_pixels() {
        let mut numbers: Vec<f32> = (0..1000).map(|n| if n < 900 { 100.0 } else { n as f32 }).collect();
        numbers[999] = 60_000.0;
        assert_eq!(window(&mut numbers), ([100.0, 997.0], [100.0, 60_000.0]));
        assert_eq!(window(&mut vec![5.0; 9]), ([5.0, 6.0], [5.0, 5.0]));
        assert_eq!(window(&mut vec![f32::NAN]), ([0.0, 1.0], [0.0, 1.0]));
    }

    #[test]
    fn channels_add_up() {
        let shown = |colour, window| ChannelDisplay { name: String::new(), colour, visible: true, window };
        let mut sum = Sum::new(2);
        sum.add(&Samples::U16(vec![0, 4095]), &shown([0, 0, 255], [0.0, 4095.0]));
        sum.add(&Samples::U8(vec![255, 51]), &shown([255, 0, 100], [0.0, 255.0]));
        assert_eq!(sum.rgba(), [255, 0, 100, 255, 51, 0, 255, 255]);
    }
}
