//! The choice of a colour: swatches, a square of saturation and brightness beside a strip of hues, and the colour's hexadecimal
//! form.

use egui::{
    Color32, CornerRadius, Margin, Mesh, Popup, PopupCloseBehavior, Pos2, Rect, Response, Role, Sense, Shape,
    Stroke, StrokeKind, TextEdit, Ui, Vec2, WidgetInfo,
};

use crate::ui::theme::Palette;

/// Colours to choose from: those of Okabe and Ito (2008), which are told apart with colour vision deficiency, and those of light,
/// for channels.
const SWATCHES: [(&str, [u8; 3]); 16] = [
    ("Vermilion", [213, 94, 0]),
    ("Orange", [230, 159, 0]),
    ("Yellow", [240, 228, 66]),
    ("Bluish green", [0, 158, 115]),
    ("Sky blue", [86, 180, 233]),
    ("Blue", [0, 114, 178]),
    ("Reddish purple", [204, 121, 167]),
    ("Dark grey", [50, 50, 50]),
    ("Pure red", [255, 0, 0]),
    ("Pure yellow", [255, 255, 0]),
    ("Pure green", [0, 255, 0]),
    ("Pure cyan", [0, 255, 255]),
    ("Pure blue", [0, 0, 255]),
    ("Pure magenta", [255, 0, 255]),
    ("White", [255, 255, 255]),
    ("Grey", [128, 128, 128]),
];

/// Swatches in a row.
const IN_ROW: usize = 8;
/// Side of a swatch and gap between swatches, in points.
const SWATCH: f32 = 24.0;
const GAP: f32 = 4.0;
/// Width of the picker and height of the square in points.
const WIDTH: f32 = IN_ROW as f32 * (SWATCH + GAP) - GAP;
const SQUARE_HEIGHT: f32 = 120.0;
/// Height of the strip of hues in points.
const STRIP_HEIGHT: f32 = 18.0;

/// A colour by hue, saturation and value of its sRGB values, 0 to 1 each.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Hsv {
    hue: f32,
    saturation: f32,
    value: f32,
}

impl Hsv {
    /// Converts sRGB; greys have the hue and black has the saturation of `before`, which they do not have themselves.
    fn of(rgb: [u8; 3], before: Self) -> Self {
        let [r, g, b] = rgb.map(|channel| f32::from(channel) / 255.0);
        let (most, least) = (r.max(g).max(b), r.min(g).min(b));
        let span = most - least;
        let sixths = match span {
            0.0 => before.hue * 6.0,
            _ if most == r => ((g - b) / span).rem_euclid(6.0),
            _ if most == g => (b - r) / span + 2.0,
            _ => (r - g) / span + 4.0,
        };
        let saturation = if most > 0.0 { span / most } else { before.saturation };
        Self { hue: sixths / 6.0, saturation, value: most }
    }

    fn rgb(self) -> [u8; 3] {
        std::array::from_fn(|channel| {
            let place = ([5.0, 3.0, 1.0][channel] + self.hue * 6.0) % 6.0;
            let below = place.min(4.0 - place).clamp(0.0, 1.0);
            (255.0 * self.value * (1.0 - self.saturation * below)).round() as u8
        })
    }

    fn color(self) -> Color32 {
        color_of(self.rgb())
    }
}

/// Draws a button with a colour, which opens a picker for it; its response says whether the colour was changed. `name` is for
/// screen readers.
pub(super) fn colour_ui(ui: &mut Ui, colour: &mut [u8; 3], name: &str, palette: &Palette) -> Response {
    let (rect, mut response) = ui.allocate_exact_size(ui.spacing().interact_size, Sense::click());
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ColorWell, true, name);
        info.current_text_value = Some(hex(*colour));
        info
    });
    let line = if response.hovered() || response.has_focus() { palette.strong } else { palette.line };
    let radius = CornerRadius::same(4);
    ui.painter().rect(rect, radius, color_of(*colour), Stroke::new(1.0, line), StrokeKind::Inside);
    let before = *colour;
    Popup::menu(&response).close_behavior(PopupCloseBehavior::CloseOnClickOutside).show(|ui| {
        ui.set_width(WIDTH);
        ui.spacing_mut().item_spacing = Vec2::splat(GAP);
        swatches_ui(ui, colour, palette);
        ui.add_space(GAP);
        square_ui(ui, colour, palette);
        ui.add_space(GAP);
        hex_ui(ui, colour);
    });
    if *colour != before {
        response.mark_changed();
    }
    response
}

fn swatches_ui(ui: &mut Ui, colour: &mut [u8; 3], palette: &Palette) {
    for row in SWATCHES.chunks(IN_ROW) {
        ui.horizontal(|ui| {
            for (name, swatch) in row {
                let (rect, response) = ui.allocate_exact_size(Vec2::splat(SWATCH), Sense::click());
                let is_chosen = colour == swatch;
                response.widget_info(|| WidgetInfo::selected(Role::Button, true, is_chosen, *name));
                let line = if is_chosen || response.hovered() { palette.strong } else { palette.line };
                let stroke = Stroke::new(if is_chosen { 2.0 } else { 1.0 }, line);
                ui.painter().rect(rect, 4.0, color_of(*swatch), stroke, StrokeKind::Inside);
                if response.on_hover_text(*name).clicked() {
                    *colour = *swatch;
                }
            }
        });
    }
}

/// Draws the square and the strip, which are dragged or clicked.
fn square_ui(ui: &mut Ui, colour: &mut [u8; 3], palette: &Palette) {
    // What was chosen here is more exact than what the rounded colour tells, and a grey keeps its hue.
    let kept = ui.scope_id().with("hue, saturation and value");
    let before = ui.data(|data| data.get_temp(kept)).unwrap_or(Hsv { hue: 0.0, saturation: 0.0, value: 0.0 });
    let mut hsv = if before.rgb() == *colour { before } else { Hsv::of(*colour, before) };
    let (square, response) = area_ui(ui, SQUARE_HEIGHT, "Saturation and brightness");
    let in_square = response.interact_pointer_pos();
    if let Some(at) = in_square {
        hsv.saturation = share(at.x, square.left(), square.right());
        hsv.value = 1.0 - share(at.y, square.top(), square.bottom());
    }
    gradient_ui(ui, square, [16, 16], |x, y| Hsv { saturation: x, value: 1.0 - y, ..hsv }.color());
    let at = square.lerp_inside(Vec2::new(hsv.saturation, 1.0 - hsv.value));
    let ring = if hsv.value > 0.6 && hsv.saturation < 0.6 { Color32::BLACK } else { Color32::WHITE };
    ui.painter().circle(at, 6.0, hsv.color(), Stroke::new(1.5, ring));
    let (strip, response) = area_ui(ui, STRIP_HEIGHT, "Hue");
    let in_strip = response.interact_pointer_pos();
    if let Some(at) = in_strip {
        // The right end is the hue of the left one.
        hsv.hue = share(at.x, strip.left(), strip.right()).min(0.999);
    }
    gradient_ui(ui, strip, [24, 1], |x, _| Hsv { hue: x, saturation: 1.0, value: 1.0 }.color());
    let at = strip.left() + hsv.hue * strip.width();
    let marker = Rect::from_center_size(Pos2::new(at, strip.center().y), Vec2::new(5.0, STRIP_HEIGHT + 4.0));
    ui.painter().rect(marker, 2.0, palette.strong, Stroke::new(1.0, palette.panel), StrokeKind::Inside);
    if in_square.or(in_strip).is_some() {
        ui.data_mut(|data| data.insert_temp(kept, hsv));
        *colour = hsv.rgb();
    }
}

fn area_ui(ui: &mut Ui, height: f32, name: &str) -> (Rect, Response) {
    let (rect, response) = ui.allocate_exact_size(Vec2::new(WIDTH, height), Sense::click_and_drag());
    response.widget_info(|| WidgetInfo::labeled(Role::Slider, true, name));
    (rect, response.on_hover_text(name))
}

/// Fills `rect` with the colours at the corners of `cells`, and what lies between them.
fn gradient_ui(ui: &Ui, rect: Rect, cells: [u32; 2], color_at: impl Fn(f32, f32) -> Color32) {
    let mut mesh = Mesh::default();
    let [columns, rows] = cells;
    for row in 0..=rows {
        for column in 0..=columns {
            let (x, y) = (column as f32 / columns as f32, row as f32 / rows as f32);
            mesh.colored_vertex(rect.lerp_inside(Vec2::new(x, y)), color_at(x, y));
            if row < rows && column < columns {
                let corner = row * (columns + 1) + column;
                let below = corner + columns + 1;
                mesh.add_triangle(corner, corner + 1, below);
                mesh.add_triangle(corner + 1, below + 1, below);
            }
        }
    }
    ui.painter().add(Shape::mesh(mesh));
}

/// Draws the field with the hexadecimal form, which is taken over once it is a colour.
fn hex_ui(ui: &mut Ui, colour: &mut [u8; 3]) {
    let slot = ui.scope_id().with("typed colour");
    let mut typed = ui.data(|data| data.get_temp(slot)).unwrap_or_else(|| hex(*colour));
    let field = TextEdit::singleline(&mut typed).desired_width(f32::INFINITY).char_limit(7);
    let field = field.margin(Margin::symmetric(8, 5));
    let field = ui.add(field).accessible_name("Colour as #RRGGBB");
    // Asked before: within, the context is locked.
    let is_typing = field.has_focus();
    ui.data_mut(|data| match is_typing {
        true => _ = data.insert_temp(slot, typed.clone()),
        false => data.remove::<String>(slot),
    });
    if field.changed()
        && let Some(read) = read_hex(&typed)
    {
        *colour = read;
    }
}

/// Where `at` is between `from` (0) and `to` (1).
fn share(at: f32, from: f32, to: f32) -> f32 {
    ((at - from) / (to - from)).clamp(0.0, 1.0)
}

fn color_of([r, g, b]: [u8; 3]) -> Color32 {
    Color32::from_rgb(r, g, b)
}

fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02X}{g:02X}{b:02X}")
}

/// Reads `#RRGGBB`, also without `#`.
fn read_hex(typed: &str) -> Option<[u8; 3]> {
    let digits = typed.trim().trim_start_matches('#');
    let is_whole = digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let value = u32::from_str_radix(digits, 16).ok().filter(|_| is_whole)?;
    let [_, r, g, b] = value.to_be_bytes();
    Some([r, g, b])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Hsv = Hsv { hue: 0.25, saturation: 0.5, value: 0.0 };

    #[test]
    fn colours_survive_hue_saturation_and_value() {
        for (name, rgb) in SWATCHES {
            assert_eq!(Hsv::of(rgb, NONE).rgb(), rgb, "{name}");
        }
        for code in (0..1 << 24).step_by(4099) {
            let [_, r, g, b] = u32::to_be_bytes(code);
            assert_eq!(Hsv::of([r, g, b], NONE).rgb(), [r, g, b]);
        }
    }

    #[test]
    fn greys_keep_the_hue_and_black_the_saturation() {
        assert_eq!(Hsv::of([90, 90, 90], NONE).hue, NONE.hue);
        assert_eq!(Hsv::of([0, 0, 0], NONE), NONE);
    }

    #[test]
    fn hexadecimal_colours_are_read_and_others_left() {
        assert_eq!(read_hex(&hex([1, 0xAB, 255])), Some([1, 0xAB, 255]));
        assert_eq!(read_hex("d55e00"), Some([213, 94, 0]));
        for wrong in ["", "#12345", "#1234567", "#12345G", "+12345"] {
            assert_eq!(read_hex(wrong), None, "{wrong}");
        }
    }
}
