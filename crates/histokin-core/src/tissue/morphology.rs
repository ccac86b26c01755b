//! Black-and-white pictures and what grows, shrinks and falls apart in them.

use image::GrayImage;

/// A picture of yes and no, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bitmap {
    width: usize,
    height: usize,
    bits: Vec<bool>,
}

impl Bitmap {
    /// `is_set` is asked with the index of each pixel, row by row.
    pub(super) fn from_fn(width: u32, height: u32, is_set: impl Fn(usize) -> bool) -> Self {
        let (width, height) = (width as usize, height as usize);
        Self { width, height, bits: (0..width * height).map(is_set).collect() }
    }

    /// Width and height.
    pub(super) fn dimensions(&self) -> (u32, u32) {
        (self.width as u32, self.height as u32)
    }

    pub(super) fn get(&self, index: usize) -> bool {
        self.bits[index]
    }

    /// Whether each pixel is set, row by row.
    pub(super) fn into_bits(self) -> Vec<bool> {
        self.bits
    }

    pub(super) fn into_image(self) -> GrayImage {
        let (width, height) = (self.width as u32, self.height as u32);
        let values = self.bits.into_iter().map(|bit| if bit { 255 } else { 0 }).collect();
        GrayImage::from_vec(width, height, values).expect("there is one bit for each pixel")
    }

    /// Set what is set in `other`.
    pub(super) fn add(&mut self, other: &Self) {
        for (bit, added) in self.bits.iter_mut().zip(&other.bits) {
            *bit |= added;
        }
    }

    /// Clear what is set in `other`.
    pub(super) fn remove(&mut self, other: &Self) {
        for (bit, removed) in self.bits.iter_mut().zip(&other.bits) {
            *bit &= !removed;
        }
    }

    /// Set everything that is at most `radius` pixels away from a set pixel.
    pub(super) fn dilate(&mut self, radius: f64) {
        let reach = (radius * f64::from(STEP)) as u16;
        self.bits = self.distances().into_iter().map(|distance| distance <= reach).collect();
    }

    /// Clear everything that is at most `radius` pixels away from a clear pixel. Outside the picture
    /// nothing is clear.
    pub(super) fn erode(&mut self, radius: f64) {
        self.invert();
        self.dilate(radius);
        self.invert();
    }

    /// Close gaps up to `2 * radius` wide (dilation, then erosion).
    pub(super) fn close(&mut self, radius: f64) {
        self.dilate(radius);
        self.erode(radius);
    }

    /// Drop what is less than `2 * radius` wide (erosion, then dilation).
    pub(super) fn open(&mut self, radius: f64) {
        self.erode(radius);
        self.dilate(radius);
    }

    /// Clear connected pieces of fewer than `pixels` pixels; gives the size of the largest of them.
    pub(super) fn remove_pieces_below(&mut self, pixels: usize) -> usize {
        let mut largest = 0;
        self.flip_pieces(true, |piece, _| {
            let is_small = piece.len() < pixels;
            largest = largest.max(if is_small { piece.len() } else { 0 });
            is_small
        });
        largest
    }

    /// Of pieces of fewer than `pixels` pixels of which less than `share` is set in `core`, leave what is set there.
    pub(super) fn thin_loose_pieces(&mut self, core: &Self, pixels: usize, share: f64) {
        let mut solid = self.clone();
        solid.flip_pieces(true, |piece, _| {
            let inside = || piece.iter().filter(|index| core.bits[**index]).count() as f64;
            piece.len() < pixels && inside() < share * piece.len() as f64
        });
        for ((bit, solid), core) in self.bits.iter_mut().zip(&solid.bits).zip(&core.bits) {
            *bit &= *solid || *core;
        }
    }

    /// Clear the pieces that reach over less than `pixels` pixels along both axes.
    pub(super) fn keep_long_pieces(&mut self, pixels: usize) {
        let width = self.width;
        let extent = |piece: &[usize], of: &dyn Fn(usize) -> usize| {
            let least = piece.iter().map(|index| of(*index)).min().unwrap_or(0);
            piece.iter().map(|index| of(*index)).max().unwrap_or(0) - least
        };
        self.flip_pieces(true, |piece, _| {
            extent(piece, &|index| index % width) < pixels && extent(piece, &|index| index / width) < pixels
        });
    }

    /// The pieces that hold a pixel of `seeds` and of which at least `share` is set in `of`.
    pub(super) fn pieces_mostly(&self, of: &Self, seeds: &Self, share: f64) -> Self {
        let mut pieces = self.clone();
        pieces.flip_pieces(true, |piece, _| {
            let inside = piece.iter().filter(|index| of.bits[**index]).count() as f64;
            inside < share * piece.len() as f64 || !piece.iter().any(|index| seeds.bits[*index])
        });
        pieces
    }

    /// Set enclosed holes of at most `pixels` pixels. What reaches the picture's edge is no hole.
    pub(super) fn fill_holes_up_to(&mut self, pixels: usize) {
        self.flip_pieces(false, |piece, touches_edge| piece.len() <= pixels && !touches_edge);
    }

    /// Clear the pieces that hold no pixel of `seeds`.
    pub(super) fn keep_pieces_with(&mut self, seeds: &Self) {
        self.flip_pieces(true, |piece, _| !piece.iter().any(|index| seeds.bits[*index]));
    }

    /// The pixels of each connected piece.
    pub(super) fn pieces(&self) -> Vec<Vec<usize>> {
        let mut pieces = Vec::new();
        self.clone().flip_pieces(true, |piece, _| {
            pieces.push(piece.to_vec());
            false
        });
        pieces
    }

    fn invert(&mut self) {
        for bit in &mut self.bits {
            *bit = !*bit;
        }
    }

    /// Flip each 4-connected piece of pixels equal to `value` for which `wanted` holds; it is told the
    /// piece's pixels and whether one of them lies at the picture's edge.
    fn flip_pieces(&mut self, value: bool, mut wanted: impl FnMut(&[usize], bool) -> bool) {
        let mut seen = vec![false; self.bits.len()];
        let mut piece = Vec::new();
        for start in 0..self.bits.len() {
            if seen[start] || self.bits[start] != value {
                continue;
            }
            piece.clear();
            piece.push(start);
            seen[start] = true;
            let mut touches_edge = false;
            let mut next = 0;
            while let Some(&index) = piece.get(next) {
                next += 1;
                let (x, y) = (index % self.width, index / self.width);
                let mut visit = |neighbour: usize| {
                    if !seen[neighbour] && self.bits[neighbour] == value {
                        seen[neighbour] = true;
                        piece.push(neighbour);
                    }
                };
                if x > 0 {
                    visit(index - 1);
                }
                if x + 1 < self.width {
                    visit(index + 1);
                }
                if y > 0 {
                    visit(index - self.width);
                }
                if y + 1 < self.height {
                    visit(index + self.width);
                }
                touches_edge |= x == 0 || y == 0 || x + 1 == self.width || y + 1 == self.height;
            }
            if wanted(&piece, touches_edge) {
                for &index in &piece {
                    self.bits[index] = !value;
                }
            }
        }
    }

    /// Distance of every pixel to the nearest set one, in [`STEP`]ths of a pixel, by two passes with steps
    /// of 3 straight and 4 diagonally (Borgefors 1986), at most 8 % off the Euclidean distance.
    fn distances(&self) -> Vec<u16> {
        let (width, height) = (self.width, self.height);
        let mut distances: Vec<u16> = self.bits.iter().map(|bit| if *bit { 0 } else { u16::MAX }).collect();
        let mut relax = |x: usize, y: usize, ahead: bool| {
            let index = y * width + x;
            let mut best = distances[index];
            let mut by_way_of = |neighbour: usize, step: u16| {
                best = best.min(distances[neighbour].saturating_add(step));
            };
            let (straight, diagonal) = (STEP, STEP + 1);
            let (row, is_inside) =
                if ahead { (index.wrapping_sub(width), y > 0) } else { (index + width, y + 1 < height) };
            if is_inside {
                by_way_of(row, straight);
                if x > 0 {
                    by_way_of(row - 1, diagonal);
                }
                if x + 1 < width {
                    by_way_of(row + 1, diagonal);
                }
            }
            if ahead && x > 0 {
                by_way_of(index - 1, straight);
            }
            if !ahead && x + 1 < width {
                by_way_of(index + 1, straight);
            }
            distances[index] = best;
        };
        for y in 0..height {
            for x in 0..width {
                relax(x, y, true);
            }
        }
        for y in (0..height).rev() {
            for x in (0..width).rev() {
                relax(x, y, false);
            }
        }
        distances
    }
}

/// Units of distance in one pixel.
const STEP: u16 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bitmap(rows: &[&str]) -> Bitmap {
        let bits: Vec<bool> = rows.concat().bytes().map(|byte| byte == b'#').collect();
        Bitmap::from_fn(rows[0].len() as u32, rows.len() as u32, |index| bits[index])
    }

    #[test]
    fn dilation_grows_a_disc() {
        let mut dot = bitmap(&[".......", ".......", ".......", "...#...", ".......", ".......", "......."]);
        dot.dilate(2.4);
        let disc = [".......", "..###..", ".#####.", ".#####.", ".#####.", "..###..", "......."];
        assert_eq!(dot, bitmap(&disc));
    }

    #[test]
    fn holes_are_filled_up_to_their_limit_and_bays_are_not() {
        let mut ring = bitmap(&["#####.", "#.#...", "###.##", "#..###", "######"]);
        ring.fill_holes_up_to(1);
        assert_eq!(ring, bitmap(&["#####.", "###...", "###.##", "#..###", "######"]));
        ring.fill_holes_up_to(2);
        assert_eq!(ring, bitmap(&["#####.", "###...", "###.##", "######", "######"]));
    }

    #[test]
    fn small_pieces_go() {
        let mut pieces = bitmap(&["##..#", "#...."]);
        pieces.remove_pieces_below(2);
        assert_eq!(pieces, bitmap(&["##...", "#...."]));
    }

    #[test]
    fn pieces_go_by_their_length_and_by_what_they_hold() {
        let mut pieces = bitmap(&["####.#", ".....#", "##...."]);
        pieces.keep_long_pieces(2);
        assert_eq!(pieces, bitmap(&["####..", "......", "......"]));
        let all = bitmap(&["##.###", "##.#.#"]);
        let core = bitmap(&["##....", "##.#.."]);
        let mut thinned = all.clone();
        thinned.thin_loose_pieces(&core, 6, 0.5);
        assert_eq!(thinned, bitmap(&["##....", "##.#.."]));
        assert_eq!(all.pieces_mostly(&core, &core, 0.9), bitmap(&["##....", "##...."]));
        assert_eq!(thinned.remove_pieces_below(4), 1);
    }

    proptest! {
        /// The laws of mathematical morphology, up to the picture's edge.
        #[test]
        fn closing_adds_and_opening_takes_away(
            bits in proptest::collection::vec(any::<bool>(), 15 * 11),
            radius in 1.0..4.0f64,
        ) {
            let original = Bitmap::from_fn(15, 11, |index| bits[index]);
            let mut closed = original.clone();
            closed.close(radius);
            let mut opened = original.clone();
            opened.open(radius);
            for (index, bit) in bits.iter().enumerate() {
                prop_assert!(closed.get(index) || !bit);
                prop_assert!(!opened.get(index) || *bit);
            }
            let mut twice = closed.clone();
            twice.close(radius);
            prop_assert_eq!(twice, closed);
        }
    }
}
