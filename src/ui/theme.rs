//! Colours, fonts and spacing of the window.

use std::sync::Arc;

use egui::epaint::text::{FontData, FontDefinitions, FontTweak, VariationCoords};
use egui::style::{NumberFormatter, Selection, WidgetVisuals, Widgets};
use egui::{
    Color32, Context, CornerRadius, FontFamily, FontId, Margin, Shadow, Stroke, TextStyle, Theme, Vec2,
    Visuals,
};

use crate::number_format::number_style;

/// Inner margin of panels, in points.
pub const PANEL_MARGIN: i8 = 12;
/// Corner radius of cards and pictures.
pub const RADIUS: u8 = 6;

/// Shade over areas outside the tissue mask.
pub const NOT_TISSUE: Color32 = Color32::from_rgba_premultiplied(16, 34, 48, 110);

/// Outline of positive examples; the same in both themes, since it is drawn over the slide.
pub const EXAMPLE: Color32 = Color32::from_rgb(0xFF, 0xC1, 0x45);
/// Outline of negative examples.
pub const NEGATIVE_EXAMPLE: Color32 = Color32::from_rgb(0xF0, 0x55, 0x4C);

/// The colours of one theme: neutral greys and one accent. Colours drawn over tissue differ from the pinks
/// and purples of common stains.
#[derive(Debug, Clone, PartialEq)]
pub struct Palette {
    /// Background of the canvas, around the slide.
    pub canvas: Color32,
    /// Areas of the slide that were not scanned.
    pub glass: Color32,
    /// Background of panels.
    pub panel: Color32,
    /// Background of cards, fields and menus on a panel.
    pub raised: Color32,
    /// Background of a control under the pointer.
    pub hovered: Color32,
    /// Background of a pressed control.
    pub pressed: Color32,
    /// Borders and separators.
    pub line: Color32,
    /// Normal text.
    pub text: Color32,
    /// Emphasised text.
    pub strong: Color32,
    /// Secondary text.
    pub weak: Color32,
    /// Accent colour: links, active controls, selections.
    pub accent: Color32,
    /// Text on the accent colour.
    pub on_accent: Color32,
    /// Background of selected items.
    pub selected: Color32,
    /// Warnings, and the query in lists. Over the slide the query is outlined in [`EXAMPLE`].
    pub query: Color32,
    /// The visited match.
    pub visited: Color32,
    /// Casing under thin lines over tissue, which separates them from any colour.
    pub casing: Color32,
    /// Errors.
    pub error: Color32,
    /// Success.
    pub good: Color32,
    /// Background of small labels on the slide.
    pub chip: Color32,
    /// Text of small labels on the slide.
    pub on_chip: Color32,
    /// Shadow of windows and cards.
    pub shadow: Shadow,
}

impl Palette {
    /// Returns the palette of a theme.
    pub fn of(theme: Theme) -> Self {
        let rgb = |hex: u32| Color32::from_rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8);
        let shadow =
            |alpha| Shadow { offset: [0, 3], blur: 14, spread: 0, color: Color32::from_black_alpha(alpha) };
        match theme {
            Theme::Dark => Self {
                canvas: rgb(0x121416),
                glass: rgb(0xF3F2F4),
                panel: rgb(0x1B1E22),
                raised: rgb(0x25292E),
                hovered: rgb(0x2E3339),
                pressed: rgb(0x383E45),
                line: rgb(0x2F343A),
                text: rgb(0xD3D7DC),
                strong: rgb(0xF2F4F6),
                weak: rgb(0xA0A9B4),
                accent: rgb(0x2EC4B6),
                on_accent: rgb(0x06211E),
                selected: rgb(0x1D3B3B),
                query: rgb(0xFFC145),
                visited: Color32::WHITE,
                casing: Color32::from_black_alpha(170),
                error: rgb(0xF58B85),
                good: rgb(0x6CC18A),
                chip: Color32::from_rgba_unmultiplied(18, 20, 23, 205),
                on_chip: rgb(0xF2F4F6),
                shadow: shadow(110),
            },
            Theme::Light => Self {
                canvas: rgb(0xDDE0E3),
                glass: rgb(0xF6F5F7),
                panel: rgb(0xF7F8F9),
                raised: rgb(0xFFFFFF),
                hovered: rgb(0xECEFF1),
                pressed: rgb(0xE0E4E7),
                line: rgb(0xDADEE2),
                text: rgb(0x333A41),
                strong: rgb(0x14181C),
                weak: rgb(0x545E68),
                accent: rgb(0x076B61),
                on_accent: rgb(0xFFFFFF),
                selected: rgb(0xD9EFEC),
                query: rgb(0x875400),
                visited: Color32::WHITE,
                casing: Color32::from_black_alpha(150),
                error: rgb(0xB3261E),
                good: rgb(0x1E6E3F),
                chip: Color32::from_rgba_unmultiplied(255, 255, 255, 225),
                on_chip: rgb(0x14181C),
                shadow: shadow(40),
            },
        }
    }

    /// Returns the palette of the current theme of `ctx`.
    pub fn current(ctx: &Context) -> Self {
        Self::of(ctx.theme())
    }
}

/// Returns the colour of a match by its rank among `count`: from vivid green for the best through teal to
/// blue for the last. None of these occurs in H&E.
pub fn rank_color(rank: usize, count: usize) -> Color32 {
    let stops = [[0x00, 0xC8, 0x6B], [0x12, 0xB5, 0xC9], [0x3F, 0x7C, 0xE8]];
    let share = (rank.saturating_sub(1)) as f32 / (count.saturating_sub(1)).max(1) as f32;
    let along = share.clamp(0.0, 1.0) * (stops.len() - 1) as f32;
    let first = (along as usize).min(stops.len() - 2);
    let fraction = along - first as f32;
    let mix = |channel: usize| {
        let (from, to) = (stops[first][channel] as f32, stops[first + 1][channel] as f32);
        (from + (to - from) * fraction).round() as u8
    };
    Color32::from_rgb(mix(0), mix(1), mix(2))
}

/// Bold font, for headings and emphasis.
pub fn bold() -> FontFamily {
    FontFamily::Name("bold".into())
}

/// Installs the fonts and both themes in `ctx`.
pub fn install(ctx: &Context) {
    ctx.set_fonts(fonts());
    egui_material_icons::initialize(ctx);
    let numbers = NumberFormatter::new(|value, decimals| {
        number_style().written(&egui::emath::format_with_decimals_in_range(value, decimals))
    });
    for theme in [Theme::Dark, Theme::Light] {
        let palette = Palette::of(theme);
        ctx.style_mut_of(theme, |style| {
            style.visuals = visuals(theme, &palette);
            style.number_formatter = numbers.clone();
            style.text_styles = [
                (TextStyle::Small, FontId::proportional(12.0)),
                (TextStyle::Body, FontId::proportional(14.0)),
                (TextStyle::Button, FontId::proportional(14.0)),
                (TextStyle::Monospace, FontId::monospace(13.0)),
                (TextStyle::Heading, FontId::new(16.0, bold())),
            ]
            .into();
            let spacing = &mut style.spacing;
            spacing.item_spacing = Vec2::new(8.0, 6.0);
            spacing.button_padding = Vec2::new(10.0, 5.0);
            spacing.interact_size = Vec2::new(28.0, 28.0);
            spacing.window_margin = Margin::same(16);
            spacing.menu_margin = Margin::same(6);
            spacing.icon_width = 16.0;
            spacing.scroll.floating = true;
            style.interaction.selectable_labels = false;
        });
    }
}

fn fonts() -> FontDefinitions {
    let plex = |weight: f32| {
        let mut data = FontData::from_static(include_bytes!("../../assets/fonts/IBMPlexSans.ttf"));
        data.tweak = FontTweak { coords: VariationCoords::new([(b"wght", weight)]), ..Default::default() };
        Arc::new(data)
    };
    let mut fonts = FontDefinitions::default();
    fonts.font_data.insert("plex".into(), plex(420.0));
    fonts.font_data.insert("plex-bold".into(), plex(600.0));
    let fallbacks = fonts.families.get(&FontFamily::Proportional).cloned().unwrap_or_default();
    let before = |name: &str| [vec![name.to_owned()], fallbacks.clone()].concat();
    fonts.families.insert(FontFamily::Proportional, before("plex"));
    fonts.families.insert(bold(), before("plex-bold"));
    fonts
}

fn visuals(theme: Theme, palette: &Palette) -> Visuals {
    let base = if theme == Theme::Dark { Visuals::dark() } else { Visuals::light() };
    let widget = |fill: Color32, line: Color32, text: Color32| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: Stroke::new(1.0, line),
        corner_radius: CornerRadius::same(RADIUS),
        fg_stroke: Stroke::new(1.0, text),
        expansion: 0.0,
    };
    Visuals {
        widgets: Widgets {
            noninteractive: widget(palette.panel, palette.line, palette.text),
            inactive: widget(palette.raised, palette.line, palette.text),
            hovered: widget(palette.hovered, palette.line, palette.strong),
            active: widget(palette.pressed, palette.accent, palette.strong),
            open: widget(palette.pressed, palette.line, palette.strong),
        },
        selection: Selection { bg_fill: palette.selected, stroke: Stroke::new(1.0, palette.accent) },
        weak_text_color: Some(palette.weak),
        hyperlink_color: palette.accent,
        faint_bg_color: palette.raised,
        extreme_bg_color: palette.canvas,
        text_edit_bg_color: Some(palette.raised),
        code_bg_color: palette.raised,
        warn_fg_color: palette.query,
        error_fg_color: palette.error,
        window_corner_radius: CornerRadius::same(10),
        window_shadow: palette.shadow,
        window_fill: palette.panel,
        window_stroke: Stroke::new(1.0, palette.line),
        menu_corner_radius: CornerRadius::same(8),
        panel_fill: palette.panel,
        popup_shadow: palette.shadow,
        slider_trailing_fill: true,
        ..base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contrast as WCAG 2.1 defines it: (lighter + 0.05) / (darker + 0.05) of relative luminances.
    fn contrast(a: Color32, b: Color32) -> f32 {
        let luminance = |color: Color32| {
            let [r, g, b, _] = egui::Rgba::from(color).to_array();
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
        a.max(b) / a.min(b)
    }

    #[test]
    fn text_is_readable_in_both_themes() {
        for theme in [Theme::Dark, Theme::Light] {
            let palette = Palette::of(theme);
            let grounds = [
                ("canvas", palette.canvas),
                ("panel", palette.panel),
                ("raised", palette.raised),
                ("hovered", palette.hovered),
                ("pressed", palette.pressed),
                ("selected", palette.selected),
            ];
            let texts = [
                ("text", palette.text),
                ("strong", palette.strong),
                ("weak", palette.weak),
                ("accent", palette.accent),
                ("query", palette.query),
                ("error", palette.error),
                ("good", palette.good),
            ];
            for (on, ground) in grounds {
                for (name, text) in texts {
                    let ratio = contrast(text, ground);
                    let least = if ["text", "strong"].contains(&name) { 7.0 } else { 4.5 };
                    assert!(ratio >= least, "{theme:?}: {name} on {on} has a contrast of {ratio:.2}");
                }
            }
            assert!(contrast(palette.on_accent, palette.accent) >= 4.5);
            // Labels on the slide lie on any colour.
            for below in [Color32::BLACK, Color32::WHITE, Color32::from_rgb(170, 90, 160)] {
                let ground = below.blend(palette.chip);
                assert!(contrast(palette.on_chip, ground) >= 4.5, "{theme:?} label over {below:?}");
                let faint = ground.blend(palette.on_chip.gamma_multiply(0.8));
                assert!(contrast(faint, ground) >= 4.5, "{theme:?} label of another pane over {below:?}");
            }
        }
    }

    #[test]
    fn ranks_run_from_green_to_blue() {
        assert_eq!(rank_color(1, 24), Color32::from_rgb(0x00, 0xC8, 0x6B));
        assert_eq!(rank_color(24, 24), Color32::from_rgb(0x3F, 0x7C, 0xE8));
        assert_eq!(rank_color(1, 1), rank_color(1, 24));
    }

    /// How a colour looks without one kind of cones (Machado, Oliveira and Fernandes 2009, "A physiologically-based model
    /// for simulation of color vision deficiency", severity 1), or with all of them.
    fn seen(color: Color32, matrix: [[f32; 3]; 3]) -> [f32; 3] {
        let [r, g, b, _] = egui::Rgba::from(color).to_array();
        let mixed = matrix.map(|row| (row[0] * r + row[1] * g + row[2] * b).clamp(0.0, 1.0));
        let [r, g, b, _] = Color32::from(egui::Rgba::from_rgb(mixed[0], mixed[1], mixed[2])).to_array();
        crate::stain::lab_from_srgb([r, g, b])
    }

    const VISION: [(&str, [[f32; 3]; 3]); 4] = [
        ("normal", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        (
            "protanopia",
            [
                [0.152_286, 1.052_583, -0.204_868],
                [0.114_503, 0.786_281, 0.099_216],
                [-0.003_882, -0.048_116, 1.051_998],
            ],
        ),
        (
            "deuteranopia",
            [
                [0.367_322, 0.860_646, -0.227_968],
                [0.280_085, 0.672_501, 0.047_413],
                [-0.011_820, 0.042_940, 0.968_881],
            ],
        ),
        (
            "tritanopia",
            [
                [1.255_528, -0.076_749, -0.178_779],
                [-0.078_411, 0.930_809, 0.147_602],
                [0.004_733, 0.691_367, 0.303_900],
            ],
        ),
    ];

    #[test]
    fn classes_and_series_are_told_apart_with_every_colour_vision() {
        let classes = crate::annotation::AnnotationClass::defaults();
        let classes: Vec<Color32> = classes
            .iter()
            .map(|class| Color32::from_rgb(class.color[0], class.color[1], class.color[2]))
            .collect();
        let series = crate::ui::panels::report::SERIES_COLORS;
        for (colors, least) in [(classes.as_slice(), 20.0), (&series, 12.0)] {
            for (vision, matrix) in VISION {
                for (index, a) in colors.iter().enumerate() {
                    for b in &colors[..index] {
                        let apart = seen(*a, matrix).into_iter().zip(seen(*b, matrix));
                        let apart = apart.map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
                        assert!(apart >= least, "{vision}: {a:?} and {b:?} are {apart:.1} apart");
                    }
                }
            }
        }
    }
}
