//! What is embedded of one slide with one recipe, and what is left.

use std::collections::BTreeMap;

use histokin_core::descriptors::{
    DescriptorError, DescriptorHeader, DescriptorSet, DescriptorStore, Journal, JournalRecord, Row,
};
use histokin_core::tiling::{TileGrid, TileIndex};

/// The wanted tiles of one slide and recipe, with the results so far.
pub struct Work {
    header: DescriptorHeader,
    wanted: Vec<TileIndex>,
    /// Records of earlier runs, under any selection.
    pool: Vec<JournalRecord>,
    rows: BTreeMap<TileIndex, Vec<f32>>,
    failed: u32,
}

impl Work {
    /// Collects what was embedded before: `earlier`, the set of this recipe under another selection; tiles that
    /// are no longer selected; and the journal of an interrupted run, which is also returned, to be continued.
    /// Tiles that failed are tried again.
    ///
    /// # Errors
    /// [`DescriptorError::Io`].
    pub fn open(
        store: &DescriptorStore,
        header: DescriptorHeader,
        grid: &TileGrid,
        earlier: Option<&DescriptorSet>,
        wanted: Vec<TileIndex>,
    ) -> Result<(Self, Journal), DescriptorError> {
        let mut pool: Vec<JournalRecord> = earlier.into_iter().flat_map(|set| records(set, grid)).collect();
        let unselected = store.open_unselected(&header.slide_id, &header.recipe);
        let unselected =
            unselected.filter(|set| set.header.tile_grid() == *grid && set.width() == header.width);
        pool.extend(unselected.iter().flat_map(|set| records(set, grid)));
        let mut journal = store.journal(&header)?;
        pool.append(&mut journal.earlier);
        let rows = pool
            .iter()
            .filter(|record| wanted.binary_search(&record.tile).is_ok())
            .filter_map(|record| Some((record.tile, record.descriptor.clone()?)))
            .collect();
        Ok((Self { header, wanted, pool, rows, failed: 0 }, journal))
    }

    /// Returns the wanted tiles without a descriptor.
    pub fn left(&self) -> Vec<TileIndex> {
        self.wanted.iter().copied().filter(|tile| !self.rows.contains_key(tile)).collect()
    }

    /// Returns the number of tiles that are embedded or have failed.
    pub fn done(&self) -> u32 {
        self.rows.len() as u32 + self.failed
    }

    /// Returns the number of wanted tiles.
    pub fn total(&self) -> u32 {
        self.wanted.len() as u32
    }

    /// Returns the number of tiles that failed.
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// Adds the result of a tile, `None` if it could not be read. Returns its record for the journal, unless
    /// the tile was embedded before.
    pub fn add(&mut self, tile: TileIndex, descriptor: Option<Vec<f32>>) -> Option<JournalRecord> {
        if self.rows.contains_key(&tile) {
            return None;
        }
        match &descriptor {
            Some(values) => _ = self.rows.insert(tile, values.clone()),
            None => self.failed += 1,
        }
        Some(JournalRecord { tile, descriptor })
    }

    /// Returns the descriptors so far.
    pub fn to_set(&self) -> DescriptorSet {
        let rows: Vec<(TileIndex, &[f32])> =
            self.rows.iter().map(|(tile, values)| (*tile, values.as_slice())).collect();
        DescriptorSet::from_rows(self.header.clone(), &rows, self.failed)
    }

    /// Stores the descriptors if all wanted tiles are done, and removes the journal. Returns whether they are.
    ///
    /// # Errors
    /// [`DescriptorError::Io`].
    pub fn finish(&self, store: &DescriptorStore) -> Result<bool, DescriptorError> {
        if self.done() < self.total() {
            return Ok(false);
        }
        // Saved first, so that no descriptor is lost if the program ends between the two writes.
        store.save_unselected(&self.unselected())?;
        store.save(&self.to_set())?;
        store.remove_journal(&self.header)?;
        Ok(true)
    }

    /// Returns the embedded tiles that are not wanted.
    fn unselected(&self) -> DescriptorSet {
        let rows: BTreeMap<TileIndex, &[f32]> = self
            .pool
            .iter()
            .filter(|record| self.wanted.binary_search(&record.tile).is_err())
            .filter_map(|record| Some((record.tile, record.descriptor.as_deref()?)))
            .collect();
        let rows: Vec<(TileIndex, &[f32])> = rows.into_iter().collect();
        let header = DescriptorHeader { tiles_tissue: rows.len() as u32, ..self.header.clone() };
        DescriptorSet::from_rows(header, &rows, 0)
    }
}

/// Returns the tiles of a set as journal records.
fn records<'a>(set: &'a DescriptorSet, grid: &'a TileGrid) -> impl Iterator<Item = JournalRecord> + 'a {
    (0..set.len() as u32).map(Row).filter_map(move |row| {
        let tile = grid.tile_at(set.rect(row).center())?;
        Some(JournalRecord { tile, descriptor: Some(set.descriptor(row).to_vec()) })
    })
}
