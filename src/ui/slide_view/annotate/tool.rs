//! The annotation tools.

/// What the left button does on the canvas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tool {
    /// Pans the slide, and selects annotations on a click.
    Hand,
    /// Selects, moves and reshapes annotations.
    Select,
    /// Adds a point.
    Point,
    /// Draws a rectangle between two corners.
    Rectangle,
    /// Draws an ellipse in the rectangle between two corners.
    Ellipse,
    /// Draws a line from end to end.
    Line,
    /// Draws a polygon, vertex by vertex or freehand.
    Polygon,
    /// Draws a line of several points, or a freehand line.
    Polyline,
    /// Paints an area or extends a selected one.
    Brush,
    /// As the brush, with the region around the pointer that has a similar colour.
    Wand,
    /// Removes parts of areas.
    Eraser,
    /// Measures a distance along a line.
    Distance,
    /// Measures the area of a polygon.
    Area,
}

impl Tool {
    /// Whether the tool draws measurements, which have no class and always show their value.
    pub(super) fn measures(self) -> bool {
        matches!(self, Self::Distance | Self::Area)
    }

    /// Whether what the tool draws is a line, not an area.
    pub(super) fn draws_line(self) -> bool {
        matches!(self, Self::Distance | Self::Line | Self::Polyline)
    }

    /// Whether the tool draws a path of clicks, or freehand.
    pub(super) fn draws_path(self) -> bool {
        matches!(self, Self::Polygon | Self::Polyline | Self::Distance | Self::Area)
    }
}
