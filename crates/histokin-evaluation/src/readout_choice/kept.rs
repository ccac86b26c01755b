//! Features of many slides, kept in a temporary file, so that readouts are fitted to them again and again without more
//! memory than one slide takes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use histokin_encoder::DescriptorBatch;
use histokin_encoder::neighbourhoods::SlideTiles;

/// Pooled features of the tiles of each slide. The file has no name that another program could open, or is removed when
/// this is dropped or the program ends.
#[derive(Debug)]
pub struct KeptFeatures {
    file: File,
    folder: PathBuf,
    width: usize,
    slides: Vec<KeptSlide>,
    /// Where the next slide begins, in bytes.
    end: u64,
}

/// Where the features of a slide lie: those of the tiles to fit to, of each varied view of these, and of the tiles to
/// judge on, one after the other.
#[derive(Debug)]
struct KeptSlide {
    begin: u64,
    middles_um: Vec<[f64; 2]>,
    views: usize,
    judged: usize,
}

/// Features cannot be written or read again.
#[derive(Debug, thiserror::Error)]
#[error(
    "{}: features cannot be kept in a temporary file there: {source}; free some space, or choose another disk",
    folder.display()
)]
pub struct KeepError {
    /// Folder of the file.
    folder: PathBuf,
    /// Cause.
    source: io::Error,
}

impl KeptFeatures {
    /// Creates an empty file in `folder`, for features of this `width`.
    ///
    /// # Errors
    /// [`KeepError`] if no file can be created there.
    pub fn new(folder: &Path, width: usize) -> Result<Self, KeepError> {
        let file = tempfile::tempfile_in(folder)
            .map_err(|source| KeepError { folder: folder.to_owned(), source })?;
        Ok(Self { file, folder: folder.to_owned(), width, slides: Vec::new(), end: 0 })
    }

    /// Adds a slide: the tiles to fit to, and the features of those to judge on, which may be the same.
    ///
    /// # Errors
    /// [`KeepError`] if they cannot be written.
    pub fn add(&mut self, slide: &SlideTiles, judged: &DescriptorBatch) -> Result<(), KeepError> {
        let parts = [&slide.features].into_iter().chain(&slide.varied).chain([judged]);
        let mut end = self.end;
        let write = |file: &mut File| {
            file.seek(SeekFrom::Start(end))?;
            for part in parts {
                let bytes: &[u8] = bytemuck::cast_slice(&part.values);
                file.write_all(bytes)?;
                end += bytes.len() as u64;
            }
            Ok(())
        };
        write(&mut self.file).map_err(|source| self.failed(source))?;
        self.slides.push(KeptSlide {
            begin: self.end,
            middles_um: slide.middles_um.clone(),
            views: slide.varied.len(),
            judged: judged.rows().len(),
        });
        self.end = end;
        Ok(())
    }

    /// Returns the number of slides.
    pub fn len(&self) -> usize {
        self.slides.len()
    }

    /// Returns whether there are no slides.
    pub fn is_empty(&self) -> bool {
        self.slides.is_empty()
    }

    /// Returns the number of features of a tile.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the tiles of a slide to fit to, with at most `views` varied views.
    ///
    /// # Errors
    /// [`KeepError`] if they cannot be read.
    pub fn tiles(&mut self, slide: usize, views: u32) -> Result<SlideTiles, KeepError> {
        let KeptSlide { begin, ref middles_um, views: all, .. } = self.slides[slide];
        let middles_um = middles_um.clone();
        let views = all.min(views as usize);
        let mut values = self.read(begin, middles_um.len() * (1 + views))?;
        let varied = values.split_off(middles_um.len() * self.width);
        let batch = |values: &[f32]| DescriptorBatch { values: values.to_vec(), width: self.width };
        let of_view = (middles_um.len() * self.width).max(1);
        Ok(SlideTiles {
            features: DescriptorBatch { values, width: self.width },
            middles_um,
            varied: varied.chunks(of_view).map(batch).collect(),
        })
    }

    /// Returns the features of the tiles of a slide to judge on.
    ///
    /// # Errors
    /// [`KeepError`] if they cannot be read.
    pub fn judged(&mut self, slide: usize) -> Result<DescriptorBatch, KeepError> {
        let KeptSlide { begin, ref middles_um, views, judged } = self.slides[slide];
        let before = middles_um.len() * (1 + views) * self.width * size_of::<f32>();
        let values = self.read(begin + before as u64, judged)?;
        Ok(DescriptorBatch { values, width: self.width })
    }

    /// Reads `rows` rows from `begin`.
    fn read(&mut self, begin: u64, rows: usize) -> Result<Vec<f32>, KeepError> {
        let mut values = vec![0.0_f32; rows * self.width];
        let mut read = |file: &mut File| {
            file.seek(SeekFrom::Start(begin))?;
            file.read_exact(bytemuck::cast_slice_mut(&mut values))
        };
        read(&mut self.file).map_err(|source| self.failed(source))?;
        Ok(values)
    }

    fn failed(&self, source: io::Error) -> KeepError {
        KeepError { folder: self.folder.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(first: f32, rows: usize) -> DescriptorBatch {
        DescriptorBatch { values: (0..2 * rows).map(|number| first + number as f32).collect(), width: 2 }
    }

    #[test]
    fn features_come_back_slide_by_slide_and_nothing_stays_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = KeptFeatures::new(folder.path(), 2).unwrap();
        let slide = |first: f32, tiles: usize, views: usize| SlideTiles {
            features: batch(first, tiles),
            middles_um: (0..tiles).map(|tile| [tile as f64, f64::from(first)]).collect(),
            varied: (0..views).map(|view| batch(first + 0.25 + view as f32, tiles)).collect(),
        };
        kept.add(&slide(10.0, 3, 2), &batch(50.0, 1)).unwrap();
        kept.add(&slide(20.0, 0, 2), &batch(60.0, 4)).unwrap();
        kept.add(&slide(30.0, 2, 0), &batch(0.0, 0)).unwrap();
        assert_eq!((kept.len(), kept.width()), (3, 2));
        let third = kept.tiles(2, 2).unwrap();
        assert_eq!((third.features.values, third.varied.len()), (batch(30.0, 2).values, 0));
        let first = kept.tiles(0, 1).unwrap();
        assert_eq!(first.features.values, batch(10.0, 3).values);
        assert_eq!(first.middles_um, [[0.0, 10.0], [1.0, 10.0], [2.0, 10.0]]);
        assert_eq!(first.varied.len(), 1, "no more views than asked for");
        assert_eq!(first.varied[0].values, batch(10.25, 3).values);
        assert_eq!(kept.tiles(0, 9).unwrap().varied[1].values, batch(11.25, 3).values);
        assert!(kept.tiles(1, 2).unwrap().features.values.is_empty());
        let judged = [0, 1, 2].map(|slide| kept.judged(slide).unwrap().values);
        assert_eq!(judged, [batch(50.0, 1).values, batch(60.0, 4).values, Vec::new()]);
        drop(kept);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_takes_no_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let error = KeptFeatures::new(&missing, 2).unwrap_err().to_string();
        assert!(error.contains("missing") && error.contains("temporary file"), "{error}");
    }
}
