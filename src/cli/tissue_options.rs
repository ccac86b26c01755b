//! Options of `embed` and `tissue` that decide what counts as tissue and which tiles are embedded.

use clap::{Args, ValueEnum};
use uuid::Uuid;

use crate::tissue::{Detection, SMALLEST_PIECE_UM2, TissueSettings, Within};

/// Tissue options. They are saved in the project; options that are not given keep the project's value.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tissue (saved in the project)")]
pub struct TissueOptions {
    /// Tissue detection. With off, for smears and other cytology, every tile is embedded unless it is plain
    /// glass or outside the scanned area [default: the project's, else auto].
    #[arg(long, value_name = "auto|off")]
    tissue: Option<DetectionArg>,
    /// Minimum area of a piece of tissue; smaller pieces are ignored. An area in um2 or mm2, such as 8000um2
    /// or 0.008mm2, or default [default: the project's, else 8000um2].
    #[arg(long, value_name = "AREA", value_parser = parse_area)]
    smallest_piece: Option<f64>,
    /// Minimum share of tissue in a tile: a percentage such as 30%, or auto. auto means half, and less on
    /// slides whose tissue is narrower than a tile, such as core needle biopsies and other small biopsies [default: the
    /// project's, else auto].
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    tile_share: Option<Share>,
    /// Embed only tiles inside annotations: of a class (its name, or class:NAME), one annotation (its ID), or
    /// any (annotations). everywhere removes the restriction [default: the project's, else everywhere].
    #[arg(long, value_name = "ANNOTATIONS", value_parser = parse_within)]
    within: Option<Restriction>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DetectionArg {
    Auto,
    Off,
}

/// Share of tissue in a tile; `None` is automatic.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Share(Option<f64>);

/// Restriction to annotations; `None` is everywhere.
#[derive(Debug, Clone, PartialEq)]
struct Restriction(Option<Within>);

impl TissueOptions {
    /// Returns the settings in `kept`, changed by the options that were given.
    pub fn apply(&self, kept: &TissueSettings) -> TissueSettings {
        TissueSettings {
            detection: match self.tissue {
                Some(DetectionArg::Auto) => Detection::Auto,
                Some(DetectionArg::Off) => Detection::Off,
                None => kept.detection,
            },
            smallest_piece_um2: self.smallest_piece.unwrap_or(kept.smallest_piece_um2),
            tile_share: self.tile_share.map_or(kept.tile_share, |share| share.0),
            within: self.within.clone().map_or_else(|| kept.within.clone(), |restriction| restriction.0),
        }
    }
}

fn parse_area(text: &str) -> Result<f64, String> {
    let advice = || format!("{text:?}: give an area with its unit, such as 8000um2 or 0.008mm2, or default");
    if text == "default" {
        return Ok(SMALLEST_PIECE_UM2);
    }
    let text = text.trim();
    let units = [("mm2", 1e6), ("mm²", 1e6), ("um2", 1.0), ("µm2", 1.0), ("µm²", 1.0), ("um²", 1.0)];
    let (number, unit) = units
        .iter()
        .find_map(|(name, um2)| Some((text.strip_suffix(name)?.trim(), um2)))
        .ok_or_else(advice)?;
    let um2 = number.parse::<f64>().map_err(|_| advice())? * unit;
    let settings = TissueSettings { smallest_piece_um2: um2, ..TissueSettings::default() };
    settings.problem().map_or(Ok(um2), Err)
}

fn parse_share(text: &str) -> Result<Share, String> {
    if text == "auto" {
        return Ok(Share(None));
    }
    let advice = |_| format!("{text:?}: give a percentage such as 30%, a share such as 0.3, or auto");
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map_err(advice)? / 100.0,
        None => text.parse::<f64>().map_err(advice)?,
    };
    let settings = TissueSettings { tile_share: Some(share), ..TissueSettings::default() };
    settings.problem().map_or(Ok(Share(Some(share))), Err)
}

fn parse_within(text: &str) -> Result<Restriction, String> {
    Ok(Restriction(match text {
        "" => return Err("give the name of a class, annotations, or everywhere".to_owned()),
        "everywhere" => None,
        "annotations" => Some(Within::Annotated),
        _ => Some(match (text.strip_prefix("class:"), text.parse::<Uuid>()) {
            (Some(class), _) => Within::Class(class.to_owned()),
            (None, Ok(id)) => Within::Annotation(id),
            (None, Err(_)) => Within::Class(text.to_owned()),
        }),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_have_units() {
        for (text, um2) in
            [("8000um2", 8000.0), ("0.5 mm2", 5e5), ("2e-3mm²", 2000.0), ("0µm²", 0.0), ("default", 8000.0)]
        {
            assert!((parse_area(text).unwrap() - um2).abs() < 1e-9, "{text}");
        }
        for wrong in ["8000", "mm2", "-1mm2", "NaNmm2", "1e9mm2", "5 cm2"] {
            assert!(parse_area(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_are_percentages_or_fractions() {
        assert_eq!(parse_share("auto"), Ok(Share(None)));
        assert_eq!((parse_share("30%"), parse_share("0.3")), (Ok(Share(Some(0.3))), Ok(Share(Some(0.3)))));
        for wrong in ["0", "101%", "half", "", "%", "nan"] {
            assert!(parse_share(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn annotations_are_named_by_class_or_id() {
        let within = |text: &str| parse_within(text).unwrap().0;
        assert_eq!(within("everywhere"), None);
        assert_eq!(within("annotations"), Some(Within::Annotated));
        assert_eq!(within("Tumour"), Some(Within::Class("Tumour".to_owned())));
        assert_eq!(within("class:annotations"), Some(Within::Class("annotations".to_owned())));
        assert_eq!(within(&Uuid::nil().to_string()), Some(Within::Annotation(Uuid::nil())));
        assert!(parse_within("").is_err());
    }

    #[test]
    fn what_is_not_given_stays() {
        let kept = TissueSettings {
            detection: Detection::Off,
            smallest_piece_um2: 5.0,
            tile_share: Some(0.2),
            within: Some(Within::Annotated),
        };
        let none = TissueOptions { tissue: None, smallest_piece: None, tile_share: None, within: None };
        assert_eq!(none.apply(&kept), kept);
        let reset = TissueOptions {
            tissue: Some(DetectionArg::Auto),
            smallest_piece: Some(SMALLEST_PIECE_UM2),
            tile_share: Some(Share(None)),
            within: Some(Restriction(None)),
        };
        assert!(reset.apply(&kept).is_default());
    }
}
