//! All settings of a training run in one struct, which is filled from a TOML file, command-line options or
//! the panel.

use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage, EnumString};

use super::TrainingError;
use super::fields::{FIELDS, help_of};
use histokin_core::number_format::{grouped, plain};
use histokin_core::stain::StainSetting;
use histokin_core::tiling::TileSettings;
use histokin_encoder::trainable::{Depth, HeadKind};
use histokin_encoder::{self as encoder, backbones::BackboneKind};

/// What the network learns.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, EnumIter, EnumMessage, EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Method {
    /// Tiles near each other are similar, tiles far apart are not (Gildenblat and Klaiman 2019).
    #[default]
    Siamese,
    /// Every tile is its own class (Wu et al. 2018).
    Npid,
}

/// Loss of the siamese method.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, EnumIter, EnumMessage, EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum LossKind {
    /// Distances of near pairs, and what far pairs lack to the margin, as in the paper.
    #[default]
    Contrastive,
    /// Squared distances (Hadsell et al. 2006).
    ContrastiveSquared,
    /// A near tile must be closer than a far one by the margin.
    Triplet,
    /// The near tile must be the most similar of a batch (Chen et al. 2020); needs no far pairs.
    NtXent,
}

impl LossKind {
    /// All losses.
    pub const ALL: [Self; 4] = [Self::Contrastive, Self::ContrastiveSquared, Self::Triplet, Self::NtXent];

    /// Name in the TOML file and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Contrastive => "contrastive",
            Self::ContrastiveSquared => "contrastive_squared",
            Self::Triplet => "triplet",
            Self::NtXent => "nt_xent",
        }
    }

    /// Number of tiles that the loss compares at once. They are drawn and read together.
    pub fn group_size(self) -> usize {
        match self {
            Self::Contrastive | Self::ContrastiveSquared | Self::NtXent => 2,
            Self::Triplet => 3,
        }
    }

    /// Whether the loss uses far pairs.
    pub fn needs_far(self) -> bool {
        self != Self::NtXent
    }
}

/// Largest number of views of a tile whose features are kept.
const MOST_VIEWS: usize = 64;

/// How slides without far pairs are used.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, EnumIter, EnumMessage, EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum SlidesWithoutFarPairs {
    /// They are not used.
    #[default]
    LeaveOut,
    /// They give near pairs; far pairs come from the other slides.
    NearOnly,
}

/// How often tiles are drawn from a slide.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, EnumIter, EnumMessage, EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum SlideWeighting {
    /// Equally often from each slide.
    Equal,
    /// By the square root of its number of tissue tiles: a slide ten times as large counts three times.
    #[default]
    SquareRoot,
    /// By its number of tissue tiles.
    Tiles,
}

/// Which measure on the validation slides decides which step is kept and when to stop early.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, EnumIter, EnumMessage, EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum JudgedBy {
    /// Precision at 5, averaged over classes; ADDR if no tile is labelled.
    #[default]
    Retrieval,
    /// ADDR.
    Addr,
}

/// Random changes to tiles before the network sees them. The two tiles of a pair are changed independently.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Whether tiles are mirrored.
    pub flips: bool,
    /// Whether tiles are rotated by multiples of 90°.
    pub rotations: bool,
    /// Largest relative change of the amount of each stain; 0 for none.
    pub stain_jitter: f64,
    /// Share of tiles that are blurred, with a Gaussian of at most 1 px.
    pub blur: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self { flips: true, rotations: true, stain_jitter: 0.15, blur: 0.1 }
    }
}

/// Settings of a run. [`FIELDS`] explains each for the user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// What the network learns.
    pub method: Method,
    /// Loss of the siamese method.
    pub loss: LossKind,
    /// Margin of the contrastive and triplet losses, as a descriptor distance.
    pub margin: f64,
    /// Weight of the anti-collapse loss; 0 for none.
    #[serde(alias = "spread")]
    pub anti_collapse: f64,
    /// Weight of the anchor loss; 0 for none.
    #[serde(alias = "keep")]
    pub anchor: f64,
    /// Temperature of NT-Xent and NPID.
    pub temperature: f64,
    /// Number of tiles each tile is compared with in NPID; 0 for all.
    pub npid_noise: usize,
    /// Share (0 to 1) of the old entry that stays in the memory bank of NPID.
    pub npid_momentum: f64,

    /// Architecture of the network.
    pub backbone: BackboneKind,
    /// Starting weights: `imagenet`, `random`, or the name or file of an encoder.
    pub init: String,
    /// Kind of head.
    pub head: HeadKind,
    /// Number of values in a descriptor.
    pub width: usize,
    /// Which layers are trained.
    pub depth: Depth,
    /// Whether trained blocks normalise by the statistics of the batch.
    pub batch_statistics: bool,

    /// Edge of a tile in pixels.
    pub tile_px: u32,
    /// Spacing of the tiles in µm per pixel.
    pub mpp: f64,
    /// Whether colours are normalised.
    pub stain: StainSetting,
    /// Near limit in mm.
    pub near_mm: f64,
    /// Far limit in mm.
    pub far_mm: f64,
    /// How slides without far pairs are used.
    pub without_far: SlidesWithoutFarPairs,
    /// How often tiles are drawn from each slide.
    pub slide_weighting: SlideWeighting,
    /// Number of slides in a batch; 0 for any.
    pub slides_per_batch: usize,
    /// Share (0 to 1) of pairs drawn from the user's relevance judgements and the marks of concepts.
    #[serde(alias = "marks_share")]
    pub judged_pairs_share: f64,

    /// Number of training steps.
    pub steps: u64,
    /// Number of groups (pairs, triplets or tiles) in a batch.
    pub batch: usize,
    /// Highest learning rate.
    pub lr: f64,
    /// Steps over which the learning rate rises.
    pub warmup_steps: u64,
    /// Weight decay of AdamW.
    pub weight_decay: f64,
    /// Gradient norm above which gradients are scaled down; 0 for no limit.
    pub clip_norm: f64,
    /// Seed of all random choices.
    pub seed: u64,

    /// Steps between validations.
    pub validate_every: u64,
    /// Number of tiles used of each validation slide.
    pub validation_tiles: usize,
    /// File or folder with labels of the validation slides; empty for the project's own.
    pub labels: String,
    /// Measure that decides which step is best.
    pub judged_by: JudgedBy,
    /// Number of validations without improvement after which the run stops; 0 for never.
    #[serde(alias = "patience")]
    pub early_stopping: usize,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Size of the tile cache on disk in MiB; 0 for no cache.
    pub tile_cache_mb: u64,
    /// Number of augmented views of each tile whose features are computed once and kept; 0 to run the network at every
    /// step. Only for training the head alone.
    pub kept_views: usize,
    /// Largest size of all kept features of the project on disk, in MiB.
    pub kept_features_mb: u64,

    /// Random changes to tiles.
    pub augmentation: Augmentation,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Preset::ThisComputer.config()
    }
}

/// A set of settings to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, EnumMessage, EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum Preset {
    /// ResNet-50 and contrastive learning as published; needs a CUDA device.
    Paper,
    /// The light backbone, trained in an evening on a CPU.
    ThisComputer,
    /// Continues from `tissue-prototypes` with near pairs only.
    NearPairs,
    /// Trains the head of the default encoder with near pairs, from kept features, in minutes.
    HeadAlone,
}

impl Preset {
    /// All presets, the default first.
    pub const ALL: [Self; 4] = [Self::ThisComputer, Self::NearPairs, Self::HeadAlone, Self::Paper];

    /// Name shown to the user.
    pub fn label(self) -> &'static str {
        match self {
            Self::Paper => "Paper (ResNet-50, CUDA)",
            Self::ThisComputer => "This computer (light backbone, CPU)",
            Self::NearPairs => "Continue from tissue-prototypes (near pairs, CPU)",
            Self::HeadAlone => "Head alone, from kept features (minutes, CPU)",
        }
    }

    /// Settings of the preset.
    pub fn config(self) -> TrainingConfig {
        let tiles = TileSettings::default();
        let light = TrainingConfig {
            method: Method::Siamese,
            loss: LossKind::Contrastive,
            margin: 10.0,
            anti_collapse: 0.0,
            anchor: 50.0,
            temperature: 0.07,
            npid_noise: 0,
            npid_momentum: 0.5,
            backbone: BackboneKind::MobilenetV2,
            init: "imagenet".into(),
            head: HeadKind::Init,
            width: 128,
            depth: Depth::Last(12),
            batch_statistics: true,
            tile_px: tiles.tile_px,
            mpp: tiles.mpp,
            stain: StainSetting::Lab,
            near_mm: 2.0,
            far_mm: 10.0,
            without_far: SlidesWithoutFarPairs::LeaveOut,
            slide_weighting: SlideWeighting::SquareRoot,
            slides_per_batch: 0,
            judged_pairs_share: 0.25,
            steps: 600,
            batch: 16,
            lr: 5e-4,
            warmup_steps: 50,
            weight_decay: 1e-4,
            clip_norm: 5.0,
            seed: 0,
            validate_every: 100,
            validation_tiles: 150,
            labels: String::new(),
            judged_by: JudgedBy::Retrieval,
            early_stopping: 0,
            checkpoint_every: 50,
            tile_cache_mb: 2048,
            kept_views: 0,
            kept_features_mb: 2048,
            augmentation: Augmentation::default(),
        };
        match self {
            Self::ThisComputer => light,
            // Only tiles of one slide are compared, so that stains and scanners have no influence. There are
            // too few tiles for batch statistics. Near pairs do not need the anchor loss to keep tissues
            // apart.
            Self::NearPairs => TrainingConfig {
                loss: LossKind::NtXent,
                temperature: 0.2,
                anchor: 0.0,
                init: encoder::LEARNING_REFERENCE.into(),
                depth: Depth::Last(10),
                batch_statistics: false,
                slides_per_batch: 1,
                steps: 300,
                batch: 24,
                lr: 4e-4,
                ..light
            },
            // Steps take milliseconds, so that batches can be large. The head begins as that of the default encoder,
            // which was fitted on neighbours within 0.5 mm.
            Self::HeadAlone => TrainingConfig {
                loss: LossKind::NtXent,
                temperature: 0.2,
                anchor: 0.0,
                init: encoder::DEFAULT.into(),
                depth: Depth::Head,
                batch_statistics: false,
                stain: StainSetting::None,
                near_mm: 0.5,
                slides_per_batch: 1,
                steps: 1000,
                batch: 128,
                lr: 3e-4,
                validate_every: 200,
                checkpoint_every: 200,
                tile_cache_mb: 0,
                kept_views: 4,
                ..light
            },
            Self::Paper => TrainingConfig {
                backbone: BackboneKind::Resnet50,
                depth: Depth::All,
                steps: 20_000,
                batch: 64,
                lr: 1e-4,
                warmup_steps: 500,
                validate_every: 1000,
                validation_tiles: 500,
                checkpoint_every: 500,
                npid_noise: 4096,
                anchor: 0.0,
                ..light
            },
        }
    }
}

impl TrainingConfig {
    /// Reads a TOML file. Fields that are missing have the values of [`Preset::ThisComputer`].
    ///
    /// # Errors
    /// Returns [`TrainingError::File`] if the file cannot be read, has an unknown field, or an invalid value.
    pub fn read(path: &std::path::Path) -> Result<Self, TrainingError> {
        let failed = |reason: String| TrainingError::File { path: path.to_owned(), reason };
        let text =
            histokin_core::untrusted::read_text(path, 1 << 20).map_err(|error| failed(error.to_string()))?;
        let config: Self = toml::from_str(&text).map_err(|error| failed(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// Returns the settings as a TOML file with an explanation above each field.
    pub fn to_toml(&self) -> String {
        let plain = toml::to_string(self).expect("a flat struct of numbers and names becomes TOML");
        let mut text = String::new();
        for line in plain.lines() {
            let name = line.trim_matches(['[', ']']).split(" =").next().unwrap_or_default();
            if let Some(field) = FIELDS.iter().find(|field| field.name == name) {
                text.push_str("# ");
                text.push_str(field.help);
                text.push('\n');
            }
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Size and spacing of the tiles.
    pub fn tiles(&self) -> TileSettings {
        TileSettings { tile_px: self.tile_px, mpp: self.mpp }
    }

    /// Whether descriptors are compared by angle; the finished encoder then scales them to length 1.
    pub fn compares_angles(&self) -> bool {
        self.method == Method::Npid || self.loss == LossKind::NtXent
    }

    /// Whether the run needs far pairs.
    pub fn needs_far(&self) -> bool {
        self.method == Method::Siamese && self.loss.needs_far()
    }

    /// Checks all values.
    ///
    /// # Errors
    /// Returns [`TrainingError::Config`] with the first field that has an invalid value.
    pub fn check(&self) -> Result<(), TrainingError> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let refuse = |name: &str, found: String, wanted: &str| {
            Err(TrainingError::Config(format!("{name} is {found}; give {wanted}. {}", help_of(name))))
        };
        for (name, value) in [
            ("margin", self.margin),
            ("temperature", self.temperature),
            ("mpp", self.mpp),
            ("near_mm", self.near_mm),
            ("far_mm", self.far_mm),
            ("lr", self.lr),
        ] {
            if !positive(value) {
                return refuse(name, plain(value), "a positive number");
            }
        }
        for (name, value) in [
            ("npid_momentum", self.npid_momentum),
            ("judged_pairs_share", self.judged_pairs_share),
            ("augmentation", self.augmentation.stain_jitter),
            ("augmentation", self.augmentation.blur),
        ] {
            if !share(value) {
                return refuse(name, plain(value), "a number from 0 to 1");
            }
        }
        for (name, value) in [
            ("anti_collapse", self.anti_collapse),
            ("anchor", self.anchor),
            ("weight_decay", self.weight_decay),
            ("clip_norm", self.clip_norm),
        ] {
            if !value.is_finite() || value < 0.0 {
                return refuse(name, plain(value), "0 or a positive number");
            }
        }
        for (name, value, most) in [
            ("tile_px", self.tile_px as usize, 4096),
            ("width", self.width, 65_536),
            ("batch", self.batch, 65_536),
            ("validation_tiles", self.validation_tiles, 1_000_000),
        ] {
            let least = if name == "tile_px" { 16 } else { 2 };
            if !(least..=most).contains(&value) {
                let wanted = format!("a number from {least} to {}", grouped(most as u64));
                return refuse(name, plain(value), &wanted);
            }
        }
        for (name, value) in [
            ("steps", self.steps),
            ("validate_every", self.validate_every),
            ("checkpoint_every", self.checkpoint_every),
        ] {
            if value == 0 {
                return refuse(name, value.to_string(), "at least 1");
            }
        }
        if self.kept_views > MOST_VIEWS {
            return refuse(
                "kept_views",
                self.kept_views.to_string(),
                &format!("a number from 0 to {MOST_VIEWS}"),
            );
        }
        if self.kept_views > 0 && self.depth != Depth::Head {
            return refuse("kept_views", self.kept_views.to_string(), "0, or head as depth");
        }
        if self.kept_views > 0 && self.method == Method::Siamese && self.anchor > 0.0 {
            return refuse("anchor", self.anchor.to_string(), "0 where features are kept");
        }
        if self.head == HeadKind::Prototypes && self.kept_views == 0 {
            let wanted =
                "at least 1 for new prototypes, which are found among kept features, or init as head";
            return refuse("kept_views", "0".into(), wanted);
        }
        if self.near_mm >= self.far_mm {
            return refuse("near_mm", self.near_mm.to_string(), "less than far_mm");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_sound_and_read_back_as_written() {
        for preset in Preset::ALL {
            let config = preset.config();
            config.check().unwrap();
            let text = config.to_toml();
            assert_eq!(toml::from_str::<TrainingConfig>(&text).unwrap(), config, "{text}");
        }
    }

    #[test]
    fn every_field_has_its_help_and_every_help_its_field() {
        let table: toml::Table = toml::to_string(&TrainingConfig::default()).unwrap().parse().unwrap();
        let mut fields: Vec<&str> = table.keys().map(String::as_str).collect();
        let mut helped: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
        fields.sort();
        helped.sort();
        assert_eq!(fields, helped);
        assert_eq!(TrainingConfig::default().to_toml().matches("# ").count(), FIELDS.len());
    }

    #[test]
    fn names_of_earlier_versions_are_read() {
        let text = "spread = 0.25\nkeep = 3.0\npatience = 7\nmarks_share = 0.75\n";
        let config: TrainingConfig = toml::from_str(text).unwrap();
        assert_eq!((config.anti_collapse, config.anchor, config.early_stopping), (0.25, 3.0, 7));
        assert_eq!(config.judged_pairs_share, 0.75);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let refused = |change: &dyn Fn(&mut TrainingConfig)| {
            let mut config = TrainingConfig::default();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert!(refused(&|config| config.near_mm = 12.0).contains("near_mm is 12; give less than far_mm"));
        assert!(refused(&|config| config.lr = f64::NAN).contains("lr is NaN"));
        assert!(refused(&|config| config.steps = 0).contains("steps is 0"));
        assert!(refused(&|config| config.kept_views = 2).contains("head as depth"));
        let head = |config: &mut TrainingConfig| (config.depth, config.kept_views) = (Depth::Head, 2);
        assert!(refused(&head).contains("anchor is 50"));
        assert!(toml::from_str::<TrainingConfig>("margn = 3.0").unwrap_err().to_string().contains("margn"));
    }
}
