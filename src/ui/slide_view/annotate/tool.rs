//! The annotation tools.

/// What the left button does on the canvas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tool {
    /// Pans the slide, and searches for similar tissue on a click.
    Hand,
    /// Selects, moves and reshapes annotations.
    Select,
    /// Adds a point.
    Point,
    /// Draws a rectangle between two corners.
    Rectangle,
    /// Draws an ellipse in the rectangle between two corners.
    Ellipse,
    /// Draws a polygon, vertex by vertex or freehand.
    Polygon,
    /// Paints an area or extends a selected one.
    Brush,
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
}
