//! The window's data for each slide of the session: pyramid, textures, marks.

use std::collections::HashMap;
use std::sync::Arc;

use egui::{ColorImage, Context, TextureHandle, TextureOptions, Vec2};
use image::RgbaImage;

use super::slide_view::{Mark, MarkSet, ProfileTexture, SlideRenderer, mark_color};
use super::theme;
use crate::geometry::Level0Rect;
use crate::query::{Answer, Example, ShownExample};
use crate::session::{Profile, Session, TilePicture};
use crate::slide::SlideId;
use crate::slide::channel::display_id;
use crate::slide::pyramid::{DisplayPyramid, SlideKey, TileKey};
use crate::tissue::TissueMask;
use crate::workers::tile_loader::TileLoader;

/// Width of the outlines of examples, in physical pixels.
const OUTLINE_PX: f32 = 2.0;
/// Width of the outlines of the best and of the last match, in physical pixels. Ranks are told by it as well as by
/// colour.
const BEST_OUTLINE_PX: f32 = 4.0;
const LAST_OUTLINE_PX: f32 = 1.5;

/// The window's data for all slides of the session.
#[derive(Default)]
pub struct ShownSlides {
    slides: HashMap<SlideId, Shown>,
    keys_given: u32,
    /// The answer and the examples that the current marks show.
    marked: Option<Arc<Answer>>,
    examples: Vec<(bool, ShownExample)>,
    pictures: HashMap<(SlideId, Level0Rect), TextureHandle>,
    /// Associated images, by slide and name.
    associated: HashMap<(SlideId, String), TextureHandle>,
}

/// What has changed among the slides since the last frame.
#[derive(Default)]
pub struct Followed {
    /// Keys of slides that were closed.
    pub closed: Vec<SlideKey>,
    /// Old and new keys of slides whose pixels are shown in another way.
    pub renamed: Vec<(SlideKey, SlideKey)>,
}

/// The window's data for one slide.
pub struct Shown {
    /// The slide, as a pyramid of display tiles.
    pub pyramid: Arc<DisplayPyramid>,
    /// The slide's thumbnail, once it has been read.
    pub thumbnail: Option<TextureHandle>,
    /// The shade outside the tissue mask, and the mask that it was made from.
    tissue: Option<(Arc<TissueMask>, TextureHandle)>,
    /// Highlighted matches and examples, once they are uploaded.
    pub marks: Option<MarkSet>,
    profile: Option<ProfileTexture>,
    /// Whether the slide cannot be read at present.
    unavailable: bool,
}

impl Shown {
    /// The slide's colour profile, once it has been read.
    pub fn profile(&self) -> Option<&ProfileTexture> {
        self.profile.as_ref()
    }
}

impl ShownSlides {
    /// The data of a slide.
    pub fn get(&self, id: &SlideId) -> Option<&Shown> {
        self.slides.get(id)
    }

    /// The slide with this key.
    pub fn id_of(&self, key: SlideKey) -> Option<&SlideId> {
        self.slides.iter().find(|(_, shown)| shown.pyramid.key() == key).map(|(id, _)| id)
    }

    /// Whether a tile is the one that shows its whole slide.
    pub fn is_root(&self, tile: TileKey) -> bool {
        self.slides.values().any(|shown| shown.pyramid.root() == tile)
    }

    /// Follows the session.
    pub fn follow(
        &mut self,
        session: &Session,
        context: &Context,
        loader: &TileLoader,
        renderer: &mut SlideRenderer,
    ) -> Followed {
        let mut followed = Followed::default();
        for state in session.slides() {
            let shown = self.slides.entry(state.id().clone());
            let shown = match shown {
                std::collections::hash_map::Entry::Occupied(known) => {
                    let known = known.into_mut();
                    let (before, now) = (known.pyramid.source(), state.shown());
                    if !Arc::ptr_eq(before, now) {
                        if display_id(&before.info().channels) == display_id(&now.info().channels) {
                            // Reopened: the same pixels under the same key, which may be readable now.
                            known.pyramid = Arc::new(DisplayPyramid::new(known.pyramid.key(), now.clone()));
                            renderer.atlas.forget_gaps(known.pyramid.key());
                        } else {
                            // Other pixels, so a new key: tiles of the old ones may still arrive.
                            self.keys_given += 1;
                            let (old, key) = (known.pyramid.key(), SlideKey(self.keys_given));
                            loader.remove_slide(old);
                            renderer.atlas.remove_slide(old);
                            known.pyramid = Arc::new(DisplayPyramid::new(key, now.clone()));
                            known.thumbnail = None;
                            followed.renamed.push((old, key));
                        }
                        loader.add_slide(known.pyramid.clone());
                    }
                    known
                }
                std::collections::hash_map::Entry::Vacant(vacant) => {
                    self.keys_given += 1;
                    let key = SlideKey(self.keys_given);
                    let pyramid = Arc::new(DisplayPyramid::new(key, state.shown().clone()));
                    loader.add_slide(pyramid.clone());
                    vacant.insert(Shown {
                        pyramid,
                        thumbnail: None,
                        tissue: None,
                        marks: None,
                        profile: None,
                        unavailable: false,
                    })
                }
            };
            if std::mem::replace(&mut shown.unavailable, state.unavailable.is_some()) && !shown.unavailable {
                renderer.atlas.forget_gaps(shown.pyramid.key());
            }
            if shown.thumbnail.is_none()
                && let Some(thumbnail) = &state.thumbnail
            {
                shown.thumbnail = Some(texture(context, "thumbnail", thumbnail));
            }
            if shown.profile.is_none()
                && let Profile::Known(table) = &state.profile
            {
                shown.profile = Some(renderer.profile(table));
            }
        }
        self.follow_answer(session, renderer);
        followed.closed = self.drop_closed(session, loader, renderer);
        followed
    }

    fn drop_closed(
        &mut self,
        session: &Session,
        loader: &TileLoader,
        renderer: &mut SlideRenderer,
    ) -> Vec<SlideKey> {
        let ids: Vec<SlideId> =
            self.slides.keys().filter(|id| session.slide(id).is_none()).cloned().collect();
        self.associated.retain(|(slide, _), _| !ids.contains(slide));
        let closed: Vec<SlideKey> =
            ids.iter().filter_map(|id| self.slides.remove(id)).map(|shown| shown.pyramid.key()).collect();
        for key in &closed {
            loader.remove_slide(*key);
            renderer.atlas.remove_slide(*key);
        }
        closed
    }

    /// Highlights the matches of a new answer on every slide, and outlines the examples of the query.
    fn follow_answer(&mut self, session: &Session, renderer: &SlideRenderer) {
        let query = session.query();
        let answer = query.and_then(|query| query.answer.as_ref());
        let examples = || query.iter().flat_map(|query| query.examples());
        // Runs in every frame, so answers are compared by pointer only.
        let is_same = self.marked.as_ref().map(Arc::as_ptr) == answer.map(Arc::as_ptr)
            && examples().eq(self.examples.iter().map(|(is_positive, shown)| (*is_positive, shown)));
        if is_same && !self.slides.values().any(|shown| shown.marks.is_none()) {
            return;
        }
        self.examples = examples().map(|(is_positive, shown)| (is_positive, shown.clone())).collect();
        self.marked = answer.cloned();
        let matches = answer.map(|answer| answer.matches.as_slice()).unwrap_or_default();
        let mut marks: HashMap<&SlideId, Vec<Mark>> = HashMap::new();
        // The best matches are drawn last, over the others.
        for found in matches.iter().rev() {
            marks.entry(&found.slide).or_default().push(match_mark(found.rect, found.rank, matches.len()));
        }
        for (id, shown) in &mut self.slides {
            let mut marks = marks.remove(id).unwrap_or_default();
            for (is_positive, shown) in &self.examples {
                marks.extend(example_marks(id, *is_positive, shown, answer.map(Arc::as_ref)));
            }
            shown.marks = Some(renderer.mark_set(&marks));
        }
        // Drop the textures of tile pictures that the session no longer keeps.
        self.pictures.retain(|(slide, rect), _| session.tile_picture(slide, rect).is_some());
    }

    /// Returns the picture of a tile, once it has been read.
    pub fn picture(
        &mut self,
        session: &Session,
        context: &Context,
        slide: &SlideId,
        rect: Level0Rect,
    ) -> Option<TextureHandle> {
        let key = (slide.clone(), rect);
        if let Some(known) = self.pictures.get(&key) {
            return Some(known.clone());
        }
        let Some(TilePicture::Read(picture)) = session.tile_picture(slide, &rect) else { return None };
        let texture = texture(context, "tile", picture);
        self.pictures.insert(key, texture.clone());
        Some(texture)
    }

    /// Returns an associated image of a slide, once it has been read.
    pub fn associated(
        &mut self,
        session: &Session,
        context: &Context,
        slide: &SlideId,
        name: &str,
    ) -> Option<TextureHandle> {
        let key = (slide.clone(), name.to_owned());
        if let Some(known) = self.associated.get(&key) {
            return Some(known.clone());
        }
        let Some(TilePicture::Read(picture)) = session.associated(slide, name) else { return None };
        let texture = texture(context, name, picture);
        self.associated.insert(key, texture.clone());
        Some(texture)
    }

    /// Returns the shade outside the tissue mask, and the level-0 pixels that it spans.
    pub fn tissue(
        &mut self,
        session: &Session,
        context: &Context,
        id: &SlideId,
    ) -> Option<(TextureHandle, (f64, f64))> {
        let mask = session.slide(id)?.tissue.as_ref()?;
        let shown = self.slides.get_mut(id)?;
        let span =
            (f64::from(mask.mask.width()) * mask.scale.0, f64::from(mask.mask.height()) * mask.scale.1);
        if let Some((known, texture)) = &shown.tissue
            && Arc::ptr_eq(known, mask)
        {
            return Some((texture.clone(), span));
        }
        let shade =
            |is_tissue: &u8| if *is_tissue > 127 { egui::Color32::TRANSPARENT } else { theme::NOT_TISSUE };
        let size = [mask.mask.width() as usize, mask.mask.height() as usize];
        let pixels = mask.mask.as_raw().iter().map(shade).collect();
        let image = ColorImage { size, source_size: Vec2::new(size[0] as f32, size[1] as f32), pixels };
        let texture = context.load_texture("tissue", image, TextureOptions::LINEAR);
        shown.tissue = Some((mask.clone(), texture.clone()));
        Some((texture, span))
    }
}

fn texture(context: &Context, name: &str, picture: &RgbaImage) -> TextureHandle {
    let size = [picture.width() as usize, picture.height() as usize];
    let image = ColorImage::from_rgba_unmultiplied(size, picture.as_raw());
    context.load_texture(name, image, TextureOptions::LINEAR)
}

/// Outlines of an example on a slide: of its tile, or of all tiles of its region.
fn example_marks(
    id: &SlideId,
    is_positive: bool,
    shown: &ShownExample,
    answer: Option<&Answer>,
) -> Vec<Mark> {
    if shown.example.slide() != Some(id) {
        return Vec::new();
    }
    let color = if is_positive { theme::EXAMPLE } else { theme::NEGATIVE_EXAMPLE };
    let mark = |rect: Level0Rect, fill: f32| {
        Mark::new(rect, mark_color(color, fill), mark_color(color, 1.0), OUTLINE_PX)
    };
    match &shown.example {
        Example::Region { region, .. } => {
            let tiles = answer.iter().flat_map(|answer| answer.tiles.iter().flatten());
            tiles
                .filter(|tile| tile.slide == *id && region.contains(tile.rect.center()))
                .map(|tile| mark(tile.rect, 0.15))
                .collect()
        }
        _ => shown.position.iter().map(|position| mark(position.rect, 0.0)).collect(),
    }
}

/// Tint and outline of a match by rank: the better, the stronger and wider.
fn match_mark(rect: Level0Rect, rank: usize, count: usize) -> Mark {
    let color = theme::rank_color(rank, count);
    let share = (rank - 1) as f32 / count.max(2) as f32;
    let width = egui::lerp(BEST_OUTLINE_PX..=LAST_OUTLINE_PX, share);
    Mark::new(rect, mark_color(color, 0.42 - 0.22 * share), mark_color(color, 1.0), width)
}
