//! Pulling descriptors from the archive into a project: slides that were embedded elsewhere need not be
//! embedded again.

use std::path::PathBuf;

use postgres::fallible_iterator::FallibleIterator;

use super::error::During;
use super::tiles::{KnownEncoder, Numbers, Storage};
use super::{Archive, ArchiveError};
use histokin_core::descriptors::{DescriptorSet, Recipe};
use histokin_core::geometry::Level0Point;
use histokin_core::slide::SlideId;
use histokin_core::tiling::TileIndex;
use histokin_project::project::Project;

/// Which slides are pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Slides of the project that have no descriptors.
    Missing,
    /// These slides, each given by its ID, the start of its ID, or its name.
    Named(Vec<String>),
    /// All slides that the archive holds for the project's encoder.
    All,
}

/// Outcome of pulling a slide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullOutcome {
    /// The slide's descriptors were pulled.
    Pulled {
        /// Number of its tiles.
        tiles: usize,
    },
    /// The project already had its descriptors.
    Had,
    /// The archive has no descriptors of the slide by this encoder.
    NotInArchive,
    /// The slide is not in the project, and the archive does not have the location of its file.
    NoPlace,
}

/// A row of the archive's slides.
struct SlideRow {
    number: i32,
    id: SlideId,
    name: String,
    location: Option<PathBuf>,
}

/// Pulls slides into `project`. Slides that are not in the project are added with the file location stored in
/// the archive. `report` receives the name and outcome of each slide.
///
/// # Errors
/// When the archive fails or a file cannot be written; slides before that one are in the project.
pub fn pull(
    archive: &mut Archive,
    project: &mut Project,
    recipe: &Recipe,
    wanted: &Wanted,
    report: &mut dyn FnMut(&str, &PullOutcome),
) -> Result<Vec<PullOutcome>, ArchiveError> {
    let encoder = archive.require_encoder(recipe)?;
    let store = project.descriptors();
    let mut outcomes = Vec::new();
    let mut done = |name: &str, outcome: PullOutcome| {
        report(name, &outcome);
        outcomes.push(outcome);
    };
    let archived = match wanted {
        Wanted::All => archive.embedded_slides(&encoder, None)?,
        Wanted::Named(names) => {
            let named = names.iter().map(|name| archive.find_slide(name));
            let named: Vec<SlideId> = named.collect::<Result<_, _>>()?;
            archive.embedded_slides(&encoder, Some(&named))?
        }
        Wanted::Missing => {
            let mut missing = Vec::new();
            for entry in project.slides() {
                if store.open(&entry.id, recipe)?.is_none() {
                    missing.push(entry.id.clone());
                }
            }
            let former = project.former_ids();
            let former = missing.iter().filter_map(|id| former.get(id)).flatten().cloned();
            let any: Vec<SlideId> = missing.iter().cloned().chain(former).collect();
            let archived = archive.embedded_slides(&encoder, Some(&any))?;
            let is_there = |id: &SlideId| archived.iter().any(|slide| project.current_id(&slide.id) == *id);
            for id in missing.iter().filter(|id| !is_there(id)) {
                done(id.short(), PullOutcome::NotInArchive);
            }
            archived
        }
    };
    for slide in archived {
        let id = project.current_id(&slide.id);
        let is_known = project.slides().iter().any(|entry| entry.id == id);
        let outcome = if store.open(&id, recipe)?.is_some() {
            PullOutcome::Had
        } else if !is_known && slide.location.is_none() {
            PullOutcome::NoPlace
        } else {
            let mut set = archive.read_set(&encoder, slide.number)?;
            set.header.slide_id = id.clone();
            store.save(&set)?;
            PullOutcome::Pulled { tiles: set.len() }
        };
        if let Some(location) = slide.location.filter(|_| !is_known) {
            project.list_slide(&id, &location);
            project.save()?;
        }
        done(&slide.name, outcome);
    }
    Ok(outcomes)
}

impl Archive {
    /// Returns the slides that the archive holds for an encoder, in the order of their first push: all, or
    /// those in `only`.
    fn embedded_slides(
        &mut self,
        encoder: &KnownEncoder,
        only: Option<&[SlideId]>,
    ) -> Result<Vec<SlideRow>, ArchiveError> {
        let (url, doing) = (self.url().clone(), "listing slides");
        let only: Option<Vec<&str>> = only.map(|only| only.iter().map(|slide| slide.0.as_str()).collect());
        let sql = "SELECT s.slide, s.slide_id, s.name, s.location FROM histokin.descriptions d \
                   JOIN histokin.slides s USING (slide) WHERE d.encoder = $1 \
                   AND ($2::text[] IS NULL OR s.slide_id = ANY($2)) ORDER BY s.slide";
        let rows = self.client.query(sql, &[&encoder.id, &only]).during(&url, doing)?;
        let slide = |row: &postgres::Row| {
            let id = SlideId(row.get(1));
            // Files are named after it.
            if !id.is_plain() {
                let what = format!("{:?} is not a slide ID", id.0);
                return Err(ArchiveError::Damaged { url: url.clone(), what });
            }
            let location = row.get::<_, Option<String>>(3).map(PathBuf::from);
            Ok(SlideRow { number: row.get(0), id, name: row.get(2), location })
        };
        rows.iter().map(slide).collect()
    }

    /// Returns the slide with this ID, start of an ID (at least six characters), or name.
    ///
    /// # Errors
    /// When no slide or several match, or the archive fails.
    pub fn find_slide(&mut self, name: &str) -> Result<SlideId, ArchiveError> {
        let url = self.url().clone();
        let sql = "SELECT slide_id FROM histokin.slides WHERE slide_id = $1 OR name = $1 \
                   OR length($1) >= 6 AND starts_with(slide_id, $1)";
        let rows = self.client.query(sql, &[&name]).during(&url, "looking for a slide")?;
        match rows.as_slice() {
            [] => Err(ArchiveError::NoSuchSlide { url, name: name.to_owned() }),
            [row] => Ok(SlideId(row.get(0))),
            several => Err(ArchiveError::Ambiguous { url, name: name.to_owned(), count: several.len() }),
        }
    }

    /// Reads all descriptors of a slide and checks them against the number of tiles and the checksum stored
    /// when they were pushed.
    pub(super) fn read_set(
        &mut self,
        encoder: &KnownEncoder,
        slide: i32,
    ) -> Result<DescriptorSet, ArchiveError> {
        let (url, doing) = (self.url().clone(), "fetching descriptors");
        let damaged = |what: String| ArchiveError::Damaged { url: url.clone(), what };
        let sql = "SELECT header::text, tiles, tiles_failed, checksum FROM histokin.descriptions \
                   WHERE encoder = $1 AND slide = $2";
        let row = self.client.query_one(sql, &[&encoder.id, &slide]).during(&url, doing)?;
        let header = self.header(encoder, row.get(0))?;
        let (tiles, failed, checksum): (i32, i32, String) = (row.get(1), row.get(2), row.get(3));
        let grid = header.tile_grid();
        let mut read: Vec<(TileIndex, Vec<f32>)> = Vec::with_capacity(tiles.max(0) as usize);
        let sql = format!("SELECT x, y, descriptor FROM {} WHERE slide = $1 ORDER BY y, x", encoder.table());
        let mut rows = self.client.query_raw(&sql, [slide]).during(&url, doing)?;
        while let Some(row) = rows.next().during(&url, doing)? {
            let (x, y): (i32, i32) = (row.get(0), row.get(1));
            let corner = Level0Point::new(f64::from(x), f64::from(y));
            let tile = grid.tile_at(header.tile_center(corner));
            let tile =
                tile.ok_or_else(|| damaged(format!("a tile at x {x}, y {y} lies outside its slide")))?;
            read.push((tile, row.get::<_, Numbers>(2).into_f32()));
        }
        let rows: Vec<(TileIndex, &[f32])> = read.iter().map(|(tile, row)| (*tile, row.as_slice())).collect();
        let set = DescriptorSet::from_rows(header, &rows, u32::try_from(failed).unwrap_or(0));
        let name = set.header.slide_id.short();
        if set.len() as i64 != i64::from(tiles) {
            return Err(damaged(format!("slide {name} has {} tiles instead of {tiles}", set.len())));
        }
        // The checksum is of the 32-bit numbers, so 16-bit numbers cannot be checked.
        if encoder.storage == Storage::Vector && set.content_checksum() != checksum {
            return Err(damaged(format!("the descriptors of slide {name} are not those that were pushed")));
        }
        Ok(set)
    }
}
