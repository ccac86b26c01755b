//! The tools.

/// What the left button does on the canvas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tool {
    /// Moves the slide and asks for similar tissue.
    Hand,
    /// Selects, moves and reshapes annotations.
    Select,
    Point,
    Rectangle,
    Ellipse,
    Polygon,
    Brush,
    Eraser,
    /// Measures a distance.
    Distance,
    /// Measures an area.
    Area,
}

impl Tool {
    /// Whether what it draws is a measurement: without a class, and always with its number.
    pub(super) fn measures(self) -> bool {
        matches!(self, Self::Distance | Self::Area)
    }
}
