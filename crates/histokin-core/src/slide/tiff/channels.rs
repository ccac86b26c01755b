//! Fluorescence channels as one picture: each in its colour, all added up.

use super::colours::Range;
use super::ome::Channel;
use super::samples::Samples;

/// Colours of channels that the file gives none, in this order.
const COLOURS: [[u8; 3]; 8] = [
    [0, 0, 255],
    [0, 255, 0],
    [255, 0, 0],
    [0, 255, 255],
    [255, 0, 255],
    [255, 255, 0],
    [255, 128, 0],
    [255, 255, 255],
];

/// The same for samples of one image, which usually are red, green and blue.
const SAMPLE_COLOURS: [[u8; 3]; 3] = [[255, 0, 0], [0, 255, 0], [0, 0, 255]];

/// Stains by parts of their names, and the colours in which they are usually shown.
const STAINS: [(&[&str], [u8; 3]); 4] = [
    (&["dapi", "hoechst", "nuclei"], [0, 0, 255]),
    (&["fitc", "gfp", "488", "opal 520", "cy2"], [0, 255, 0]),
    (&["cy3", "tritc", "rhodamine", "txred", "texas", "568", "594", "570"], [255, 0, 0]),
    (&["cy5", "647", "690"], [255, 0, 255]),
];

/// Shares of the numbers that lie below black and below full brightness.
const BLACK_BELOW: f64 = 0.01;
const FULL_BELOW: f64 = 0.998;

/// How one channel is shown.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::slide) struct Shown {
    pub name: String,
    pub colour: [u8; 3],
    /// Numbers that are black and full.
    pub window: (f32, f32),
}

/// A colour for each of `channels`: the file's own where it tells them apart, else by their names.
pub(in crate::slide) fn colours(channels: &[Channel], are_samples: bool) -> Vec<[u8; 3]> {
    let own: Vec<Option<[u8; 3]>> =
        channels.iter().map(|channel| channel.colour.filter(|own| *own != [0; 3])).collect();
    // Writers that know no colours make all channels white.
    let is_told = own.iter().any(|colour| colour.is_some_and(|colour| colour != own[0].unwrap_or_default()))
        || (channels.len() == 1 && own[0].is_some());
    if is_told {
        return own.iter().map(|colour| colour.unwrap_or([255; 3])).collect();
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

/// The numbers between which a channel is shown: from the background to the brightest but a few.
pub(in crate::slide) fn window(numbers: &mut Vec<f32>) -> (f32, f32) {
    numbers.retain(|number| number.is_finite());
    if numbers.is_empty() {
        return (0.0, 1.0);
    }
    numbers.sort_unstable_by(f32::total_cmp);
    let at = |share: f64| numbers[((numbers.len() - 1) as f64 * share) as usize];
    let last = numbers[numbers.len() - 1];
    let (low, high) = (at(BLACK_BELOW), at(FULL_BELOW));
    if high > low {
        (low, high)
    } else if last > low {
        (low, last)
    } else {
        (low, low + 1.0)
    }
}

/// Adds channels up.
pub(in crate::slide) struct Sum(Vec<[u16; 3]>);

impl Sum {
    pub fn new(pixels: usize) -> Self {
        Self(vec![[0; 3]; pixels])
    }

    /// Add one channel's numbers.
    pub fn add(&mut self, numbers: &Samples, shown: &Shown) {
        let range = Range::Window(shown.window.0, shown.window.1);
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
        assert_eq!(window(&mut numbers), (100.0, 997.0));
        assert_eq!(window(&mut vec![5.0; 9]), (5.0, 6.0));
        assert_eq!(window(&mut vec![f32::NAN]), (0.0, 1.0));
    }

    #[test]
    fn channels_add_up() {
        let shown = |colour, window| Shown { name: String::new(), colour, window };
        let mut sum = Sum::new(2);
        sum.add(&Samples::U16(vec![0, 4095]), &shown([0, 0, 255], (0.0, 4095.0)));
        sum.add(&Samples::U8(vec![255, 51]), &shown([255, 0, 100], (0.0, 255.0)));
        assert_eq!(sum.rgba(), [255, 0, 100, 255, 51, 0, 255, 255]);
    }
}
