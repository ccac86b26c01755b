//! Annotations as bytes: measured values and geometries, without loss. A number with few decimals takes two to
//! four bytes, any other eight more than its mark.

use crate::annotation::{Bounds, Polygon, Ring, Shape};
use crate::geometry::Level0Point;

/// Factors that turn numbers with up to six decimals into integers.
const SCALES: [f64; 7] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];
/// Stands in place of a scale for numbers that are stored as they are.
const EXACT: u8 = SCALES.len() as u8;
/// Number of values that a scale, or `EXACT`, can take.
const MARKS: u64 = 8;

/// Returns the integer `value × scale`, if dividing it by `scale` gives `value` again.
fn scaled(value: f64, scale: f64) -> Option<i64> {
    /// Integers below this limit are exact as f64.
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    let whole = (value * scale).round();
    (whole.abs() < LIMIT && ((whole as i64) as f64 / scale).to_bits() == value.to_bits())
        .then_some(whole as i64)
}

/// Returns the index of the first scale that turns all values into integers, or [`EXACT`].
fn scale_of(values: impl Iterator<Item = f64> + Clone) -> u8 {
    let fits = |scale: &f64| values.clone().all(|value| scaled(value, *scale).is_some());
    SCALES.iter().position(fits).map_or(EXACT, |index| index as u8)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Appends one number.
pub fn put_number(bytes: &mut Vec<u8>, value: f64) {
    match scale_of(std::iter::once(value)) {
        EXACT => {
            put(bytes, u64::from(EXACT));
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        mark => {
            let whole = scaled(value, SCALES[usize::from(mark)]).unwrap_or_default();
            put(bytes, zigzag(whole) * MARKS + u64::from(mark));
        }
    }
}

/// Returns whether [`put_shape`] can store a shape.
pub fn can_store(shape: &Shape) -> bool {
    matches!(shape, Shape::Points(_) | Shape::Rectangle(_) | Shape::Polygons(_))
}

/// Kinds of shapes, as stored.
pub(super) const POINTS: u64 = 0;
pub(super) const RECTANGLE: u64 = 1;
pub(super) const POLYGONS: u64 = 2;

/// Appends a shape for which [`can_store`] is true; any other is stored as having no points.
pub fn put_shape(bytes: &mut Vec<u8>, shape: &Shape) {
    let corners;
    let (kind, points): (u64, Vec<&[Level0Point]>) = match shape {
        Shape::Points(points) => (POINTS, vec![points]),
        Shape::Rectangle(bounds) => {
            corners = [bounds.min, bounds.max];
            (RECTANGLE, vec![&corners])
        }
        Shape::Polygons(polygons) => {
            (POLYGONS, polygons.iter().flat_map(Polygon::rings).map(Vec::as_slice).collect())
        }
        Shape::Lines(_) | Shape::Ellipse(_) => (POINTS, vec![&[]]),
    };
    let mark = scale_of(points.iter().copied().flatten().flat_map(|point| [point.x, point.y]));
    put(bytes, kind * MARKS + u64::from(mark));
    if let Shape::Polygons(polygons) = shape {
        put(bytes, polygons.len() as u64);
    }
    let mut last = [0; 2];
    let mut of_ring = |bytes: &mut Vec<u8>, ring: &[Level0Point]| {
        for point in ring {
            let at = [point.x, point.y];
            if mark == EXACT {
                at.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
                continue;
            }
            for (value, last) in at.into_iter().zip(&mut last) {
                let whole = scaled(value, SCALES[usize::from(mark)]).unwrap_or_default();
                put(bytes, zigzag(whole - *last));
                *last = whole;
            }
        }
    };
    match shape {
        Shape::Polygons(polygons) => {
            for polygon in polygons {
                put(bytes, 1 + polygon.holes.len() as u64);
                for ring in polygon.rings() {
                    put(bytes, ring.len() as u64);
                    of_ring(bytes, ring);
                }
            }
        }
        Shape::Rectangle(_) => of_ring(bytes, points[0]),
        _ => {
            put(bytes, points[0].len() as u64);
            of_ring(bytes, points[0]);
        }
    }
}

/// Reads what was appended, in the same order. Beyond the end, everything is zero.
#[derive(Clone)]
pub struct RecordReader<'a>(pub &'a [u8]);

impl RecordReader<'_> {
    pub(super) fn take(&mut self) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let Some((byte, rest)) = self.0.split_first() else { return 0 };
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }

    fn take_signed(&mut self) -> i64 {
        unzigzag(self.take())
    }

    pub(super) fn take_exact(&mut self) -> f64 {
        let Some((bytes, rest)) = self.0.split_first_chunk::<8>() else { return 0.0 };
        self.0 = rest;
        f64::from_le_bytes(*bytes)
    }

    /// Reads one number.
    pub fn number(&mut self) -> f64 {
        let value = self.take();
        let (whole, mark) = (value / MARKS, value % MARKS);
        match SCALES.get(mark as usize) {
            Some(scale) => unzigzag(whole) as f64 / scale,
            None => self.take_exact(),
        }
    }

    /// Reads one number as an integer and the number of its decimals, if it is stored so.
    pub(super) fn decimal(&mut self) -> Result<(i64, usize), f64> {
        let value = self.take();
        let (whole, mark) = (value / MARKS, (value % MARKS) as usize);
        if mark < SCALES.len() { Ok((unzigzag(whole), mark)) } else { Err(self.take_exact()) }
    }

    /// Reads a shape.
    pub fn shape(&mut self) -> Shape {
        let mut positions = Positions::new(self.take());
        match positions.kind {
            RECTANGLE => {
                let (min, max) = (positions.next(self), positions.next(self));
                Shape::Rectangle(Bounds { min, max })
            }
            POLYGONS => {
                let count = self.take();
                let polygon = |_| {
                    let holes = self.take().saturating_sub(1);
                    let exterior = positions.ring(self);
                    Polygon { exterior, holes: (0..holes).map(|_| positions.ring(self)).collect() }
                };
                Shape::Polygons((0..count).map(polygon).collect())
            }
            _ => Shape::Points(positions.ring(self)),
        }
    }

    /// Reads the outlines of a shape into `ring`, one after the other, and passes each to `draw` with whether
    /// it encloses an area. Makes no other allocations.
    pub fn each_outline(&mut self, ring: &mut Ring, mut draw: impl FnMut(&[Level0Point], bool)) {
        let mut positions = Positions::new(self.take());
        match positions.kind {
            RECTANGLE => {
                let (min, max) = (positions.next(self), positions.next(self));
                draw(&Bounds { min, max }.corners(), true);
            }
            POLYGONS => {
                for _ in 0..self.take() {
                    for _ in 0..self.take() {
                        positions.fill_ring(self, ring);
                        draw(ring, true);
                    }
                }
            }
            _ => {
                positions.fill_ring(self, ring);
                draw(ring, false);
            }
        }
    }
}

/// The positions of one shape, each stored as its difference to the one before.
pub(super) struct Positions {
    pub kind: u64,
    mark: usize,
    last: [i64; 2],
}

impl Positions {
    pub fn new(head: u64) -> Self {
        Self { kind: head / MARKS, mark: (head % MARKS) as usize, last: [0; 2] }
    }

    /// Reads the next position as integers, and the number of their decimals; or as it is, if it is stored so.
    pub fn next_decimal(&mut self, reader: &mut RecordReader<'_>) -> Result<([i64; 2], usize), [f64; 2]> {
        if self.mark >= SCALES.len() {
            return Err([reader.take_exact(), reader.take_exact()]);
        }
        for last in &mut self.last {
            *last = last.wrapping_add(reader.take_signed());
        }
        Ok((self.last, self.mark))
    }

    fn next(&mut self, reader: &mut RecordReader<'_>) -> Level0Point {
        match self.next_decimal(reader) {
            Ok(([x, y], mark)) => Level0Point::new(x as f64 / SCALES[mark], y as f64 / SCALES[mark]),
            Err([x, y]) => Level0Point::new(x, y),
        }
    }

    fn ring(&mut self, reader: &mut RecordReader<'_>) -> Ring {
        let mut ring = Ring::new();
        self.fill_ring(reader, &mut ring);
        ring.shrink_to_fit();
        ring
    }

    fn fill_ring(&mut self, reader: &mut RecordReader<'_>, ring: &mut Ring) {
        ring.clear();
        for _ in 0..reader.take() {
            ring.push(self.next(reader));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_again(shape: &Shape) -> Shape {
        let mut bytes = Vec::new();
        put_shape(&mut bytes, shape);
        let mut reader = RecordReader(&bytes);
        let again = reader.shape();
        assert!(reader.0.is_empty());
        again
    }

    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![
            (-9e8..9e8_f64).prop_map(|one| (one * 100.0).round() / 100.0),
            (-100_000..100_000_i32).prop_map(f64::from),
            -1e9..1e9_f64,
            Just(-0.0),
        ]
    }

    proptest! {
        #[test]
        fn shapes_come_back_bit_for_bit(
            polygons in prop::collection::vec(
                prop::collection::vec(prop::collection::vec((number(), number()), 1..9), 1..4), 1..4
            ),
        ) {
            let ring = |ring: &Vec<(f64, f64)>| -> Ring {
                ring.iter().map(|&(x, y)| Level0Point::new(x, y)).collect()
            };
            let polygons: Vec<Polygon> = polygons
                .iter()
                .map(|rings| Polygon { exterior: ring(&rings[0]), holes: rings[1..].iter().map(ring).collect() })
                .collect();
            let exterior = polygons[0].exterior.clone();
            for shape in [
                Shape::Rectangle(Bounds { min: exterior[0], max: exterior[exterior.len() - 1] }),
                Shape::Points(exterior),
                Shape::Polygons(polygons),
            ] {
                let bits = |shape: &Shape| {
                    let mut bits = Vec::new();
                    shape.clone().each_point_mut(|at| bits.push((at.x.to_bits(), at.y.to_bits())));
                    bits
                };
                let again = read_again(&shape);
                prop_assert_eq!(bits(&again), bits(&shape));
                prop_assert_eq!(again, shape);
            }
        }
    }

    #[test]
    fn numbers_come_back_whatever_they_are() {
        let values =
            [0.0, -0.0, 0.42, 31.734, -5.0, 1e300, 0.1 + 0.2, f64::INFINITY, 9_007_199_254_740_991.0];
        let mut bytes = Vec::new();
        values.iter().for_each(|value| put_number(&mut bytes, *value));
        put_number(&mut bytes, f64::NAN);
        let mut reader = RecordReader(&bytes);
        for value in values {
            assert_eq!(reader.number().to_bits(), value.to_bits(), "{value}");
        }
        assert!(reader.number().is_nan() && reader.0.is_empty());
        let mut short = Vec::new();
        put_number(&mut short, 31.73);
        assert!(short.len() <= 3, "few decimals take few bytes");
    }
}
