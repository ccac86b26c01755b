//! Values of options: positions, sizes, distances and shares. Each message says what is expected, with an example.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{OsStringValueParser, PathBufValueParser, RangedU64ValueParser, TypedValueParser};
use tracing_subscriber::filter::LevelFilter;

use crate::geometry::{Level0Point, Level0Rect, MicronsPerPixel};

/// The file by which a folder is known as a project.
const PROJECT_FILE: &str = "project.toml";

/// Parses the name or path of a slide; bytes that are not UTF-8 are replaced.
pub fn shown_name() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().map(|name| name.to_string_lossy().into_owned())
}

/// Parses the folder of a project, or its `project.toml`. Any other file is refused: it is a slide before which the project
/// was forgotten.
pub fn project_folder() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path.parent() {
        Some(folder) if path.file_name().is_some_and(|name| name == PROJECT_FILE) && path.is_file() => {
            Ok(if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() })
        }
        _ if path.is_file() => Err("it is a file; the project's folder comes first".to_owned()),
        _ => Ok(path),
    })
}

/// Parses the path of an image file to write.
pub fn image_file() -> impl TypedValueParser<Value = PathBuf> {
    file_ending_in(&["png", "jpg", "jpeg", "tif", "tiff", "bmp", "webp"])
}

/// Parses the path of a contact sheet to write.
pub fn sheet_file() -> impl TypedValueParser<Value = PathBuf> {
    file_ending_in(&["pdf", "png", "jpg", "jpeg", "tif", "tiff", "bmp", "webp"])
}

fn file_ending_in(endings: &'static [&'static str]) -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(move |path| {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match endings.contains(&ending.as_str()) {
            true => Ok(path),
            false => Err(format!("name a file that ends in .{}", endings.join(", ."))),
        }
    })
}

/// Parses a number of things, from `least` to `most`.
pub fn count(least: u64, most: u64) -> impl TypedValueParser<Value = usize> {
    RangedU64ValueParser::<usize>::new().range(least..=most)
}

/// Parses `X,Y` in level-0 pixels.
pub fn parse_point(text: &str) -> Result<Level0Point, String> {
    match numbers(text, ',')?[..] {
        [x, y] => Ok(Level0Point::new(x, y)),
        _ => Err("give X,Y in level-0 pixels, such as 1200,800".to_owned()),
    }
}

/// Parses `X,Y,W,H` in level-0 pixels.
pub fn parse_rect(text: &str) -> Result<Level0Rect, String> {
    match numbers(text, ',')?[..] {
        [x, y, width, height] if (1.0..=4e9).contains(&width) && (1.0..=4e9).contains(&height) => {
            Ok(Level0Rect::new(x as i64, y as i64, width as u32, height as u32))
        }
        _ => Err("give X,Y,WIDTH,HEIGHT in level-0 pixels, such as 0,0,1000,800".to_owned()),
    }
}

/// Parses `WxH` in pixels of the output image.
pub fn parse_size(text: &str) -> Result<(u32, u32), String> {
    match numbers(text, 'x')?[..] {
        [width, height] if (1.0..=32_768.0).contains(&width) && (1.0..=32_768.0).contains(&height) => {
            Ok((width as u32, height as u32))
        }
        _ => Err("give WIDTHxHEIGHT in pixels, such as 1000x800, at most 32768 each".to_owned()),
    }
}

/// Parses `M` or `MX,MY` in µm per pixel.
pub fn parse_mpp(text: &str) -> Result<MicronsPerPixel, String> {
    /// Largest ratio of a pixel's sides.
    const MOST_OBLONG: f64 = 4.0;
    let mpp = match numbers(text, ',')?[..] {
        [um] => MicronsPerPixel::square(um),
        // A decimal comma.
        [x, y] if !text.contains('.') && !(1.0 / MOST_OBLONG..=MOST_OBLONG).contains(&(x / y)) => {
            return Err(format!(
                "{text} means {x} µm across and {y} µm down; write a decimal point, such as 0.25, or 0.5,0.25 for both"
            ));
        }
        [x, y] => MicronsPerPixel::new(x, y),
        _ => return Err("give µm per pixel, such as 0.25".to_owned()),
    };
    mpp.map_err(|error| error.to_string())
}

/// Parses a distance on a slide in µm.
pub fn parse_um(text: &str) -> Result<f64, String> {
    at_least_0(text).ok_or_else(|| "give a distance in µm, 0 or more, such as 200".to_owned())
}

/// Parses a distance between descriptors.
pub fn parse_distance(text: &str) -> Result<f32, String> {
    at_least_0(text).ok_or_else(|| "give a distance between descriptors, 0 or more, such as 0.7".to_owned())
}

/// Parses a share from 0 to 1.
pub fn parse_share(text: &str) -> Result<f32, String> {
    let share = at_least_0(text).filter(|share| *share <= 1.0);
    share.ok_or_else(|| "give a number from 0 to 1, such as 0.3".to_owned())
}

/// Parses `R,G,B`.
pub fn parse_colours(text: &str) -> Result<[f32; 3], String> {
    match numbers(text, ',')?[..] {
        [red, green, blue] => Ok([red as f32, green as f32, blue as f32]),
        _ => Err("give R,G,B, such as 0.5,0.5,0.5".to_owned()),
    }
}

/// Parses a level of messages, or a filter for parts of the program, such as `histokin_session::workers=debug`.
pub fn parse_log(text: &str) -> Result<String, String> {
    let is_filter = text.contains('=');
    // Nothing at all is read as the level `error`.
    let is_level = |level: &str| !level.is_empty() && LevelFilter::from_str(level).is_ok();
    if is_filter || text.split(',').all(is_level) {
        return Ok(text.to_owned());
    }
    Err("give error, warn, info, debug or trace".to_owned())
}

/// Returns the name among `known` that is most like `given`, if one is so alike that the other may be a slip.
pub fn similar<'a>(given: &OsStr, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// The least similarity (Jaro) that clap asks for in its own suggestions.
    const LEAST: f64 = 0.7;

    let given = given.to_str()?;
    known
        .map(|name| (strsim::jaro(given, name), name))
        .filter(|(likeness, _)| *likeness > LEAST)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}

fn numbers(text: &str, separator: char) -> Result<Vec<f64>, String> {
    text.split(separator)
        .map(|part| part.trim().parse::<f64>().ok().filter(|number| number.is_finite()))
        .collect::<Option<_>>()
        .ok_or_else(|| format!("{text:?} contains something that is not a number"))
}

fn at_least_0<T: FromStr + PartialOrd + Default + Into<f64> + Copy>(text: &str) -> Option<T> {
    text.parse::<T>().ok().filter(|number| *number >= T::default() && (*number).into().is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_and_shares_are_in_their_range() {
        assert_eq!((parse_um("0"), parse_um("250.5")), (Ok(0.0), Ok(250.5)));
        assert_eq!((parse_distance("0.7"), parse_share("1")), (Ok(0.7), Ok(1.0)));
        for wrong in ["-1", "nan", "inf", "", "5um", "1e60000"] {
            assert!(parse_um(wrong).is_err() && parse_distance(wrong).is_err(), "{wrong}");
            assert!(parse_share(wrong).is_err(), "{wrong}");
        }
        assert!(parse_share("1.1").is_err());
    }

    #[test]
    fn a_decimal_comma_is_not_taken_for_two_pixel_sizes() {
        for wrong in ["0,25", "1,024", "0,5"] {
            let message = parse_mpp(wrong).unwrap_err();
            assert!(message.contains("decimal point"), "{message}");
        }
        for (good, x, y) in
            [("0.25", 0.25, 0.25), ("0.5,0.25", 0.5, 0.25), ("1,2", 1.0, 2.0), ("0.1,1.0", 0.1, 1.0)]
        {
            assert_eq!(parse_mpp(good).map(|mpp| (mpp.x(), mpp.y())), Ok((x, y)));
        }
    }

    #[test]
    fn levels_of_messages_are_known_ones_or_filters() {
        for good in ["debug", "WARN", "off", "warn,histokin_core=trace", "histokin_session::workers=debug"] {
            assert_eq!(parse_log(good).as_deref(), Ok(good));
        }
        for wrong in ["loud", "", "debgu", "warn,loud"] {
            assert!(parse_log(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn slips_are_told_from_other_names() {
        let known = || ["embed", "encoders", "evaluate", "query", "fit-model"].into_iter();
        assert_eq!(similar(OsStr::new("quary"), known()), Some("query"));
        assert_eq!(similar(OsStr::new("fitmodel"), known()), Some("fit-model"));
        assert_eq!(similar(OsStr::new("liver-1.svs"), known()), None);
    }
}
