//! Every choice of a training run in one struct: a TOML file, command-line flags and the panel all fill it.

use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage, EnumString};

use super::TrainingError;
use super::fields::{FIELDS, help_of};
use histokin_core::stain::StainSetting;
use histokin_core::tiling::TileSettings;
use histokin_encoder::trainable::Depth;
use histokin_encoder::{self as encoder, backbones::BackboneKind};

/// What is learned.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, EnumIter, EnumMessage, EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Method {
    /// Tiles near each other are alike, tiles far apart are not (Gildenblat and Klaiman 2019).
    #[default]
    Siamese,
    /// Every tile is its own class (Wu et al. 2018).
    Npid,
}

/// How near and far pairs are weighed; of the siamese method only.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, EnumIter, EnumMessage, EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum LossKind {
    /// The paper's: distances of near pairs, and what far pairs lack to the margin.
    #[default]
    Contrastive,
    /// Squared distances (Hadsell et al. 2006).
    ContrastiveSquared,
    /// A near tile has to be nearer than a far one by the margin.
    Triplet,
    /// Among all tiles of a batch, the near one has to be the most alike (Chen et al. 2020); needs no far pairs.
    NtXent,
}

impl LossKind {
    pub const ALL: [Self; 4] = [Self::Contrastive, Self::ContrastiveSquared, Self::Triplet, Self::NtXent];

    /// As in the TOML file and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Contrastive => "contrastive",
            Self::ContrastiveSquared => "contrastive_squared",
            Self::Triplet => "triplet",
            Self::NtXent => "nt_xent",
        }
    }

    /// Number of tiles that it compares at once, which are drawn and read together.
    pub fn group_size(self) -> usize {
        match self {
            Self::Contrastive | Self::ContrastiveSquared | Self::NtXent => 2,
            Self::Triplet => 3,
        }
    }

    /// Whether it learns from far pairs too.
    pub fn needs_far(self) -> bool {
        self != Self::NtXent
    }
}

/// What becomes of slides on which no two tiles are far apart.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, EnumIter, EnumMessage, EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum WithoutFar {
    #[default]
    LeaveOut,
    /// They give near pairs; far pairs come from the others.
    NearOnly,
}

/// How often a slide is drawn from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, EnumIter, EnumMessage, EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum SlideWeighting {
    /// All alike.
    Equal,
    /// By the square root of its tissue tiles: a slide ten times as large counts three times.
    #[default]
    SquareRoot,
    /// By its tissue tiles.
    Tiles,
}

/// Which figure on the validation slides decides what is kept and when there is no getting better.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, EnumIter, EnumMessage, EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum JudgedBy {
    /// Precision of the first five answers, in the mean over classes; ADDR where nothing is labelled.
    #[default]
    Retrieval,
    Addr,
}

/// How tiles are changed before the network sees them, each tile of a pair on its own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    pub flips: bool,
    pub rotations: bool,
    /// Largest relative change of each stain's amount; 0 for none.
    pub stain_jitter: f64,
    /// Share of tiles that are blurred, by a Gaussian of at most 1 px.
    pub blur: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self { flips: true, rotations: true, stain_jitter: 0.15, blur: 0.1 }
    }
}

/// All choices of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    pub method: Method,
    pub loss: LossKind,
    pub margin: f64,
    #[serde(alias = "spread")]
    pub anti_collapse: f64,
    #[serde(alias = "keep")]
    pub anchor: f64,
    pub temperature: f64,
    pub npid_noise: usize,
    pub npid_momentum: f64,

    pub backbone: BackboneKind,
    pub init: String,
    pub width: usize,
    pub depth: Depth,
    pub batch_statistics: bool,

    pub tile_px: u32,
    pub mpp: f64,
    pub stain: StainSetting,
    pub near_mm: f64,
    pub far_mm: f64,
    pub without_far: WithoutFar,
    pub slide_weighting: SlideWeighting,
    pub slides_per_batch: usize,
    pub marks_share: f64,

    pub steps: u64,
    pub batch: usize,
    pub lr: f64,
    pub warmup_steps: u64,
    pub weight_decay: f64,
    pub clip_norm: f64,
    pub seed: u64,

    pub validate_every: u64,
    pub validation_tiles: usize,
    pub labels: String,
    pub judged_by: JudgedBy,
    #[serde(alias = "patience")]
    pub early_stopping: usize,
    pub checkpoint_every: u64,
    pub tile_cache_mb: u64,

    pub augmentation: Augmentation,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Preset::ThisComputer.config()
    }
}

/// A set of choices to begin from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, EnumMessage, EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum Preset {
    /// ResNet-50 and contrastive learning as published; needs a CUDA device.
    Paper,
    /// The light backbone, in an evening on a CPU.
    ThisComputer,
    /// From `tissue-prototypes`, by near pairs alone.
    NearPairs,
}

impl Preset {
    pub const ALL: [Self; 3] = [Self::ThisComputer, Self::NearPairs, Self::Paper];

    pub fn label(self) -> &'static str {
        match self {
            Self::Paper => "Paper (ResNet-50, CUDA)",
            Self::ThisComputer => "This computer (light backbone, CPU)",
            Self::NearPairs => "Go on from tissue-prototypes (near pairs, CPU)",
        }
    }

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
            width: 128,
            depth: Depth::Last(12),
            batch_statistics: true,
            tile_px: tiles.tile_px,
            mpp: tiles.mpp,
            stain: StainSetting::Lab,
            near_mm: 2.0,
            far_mm: 10.0,
            without_far: WithoutFar::LeaveOut,
            slide_weighting: SlideWeighting::SquareRoot,
            slides_per_batch: 0,
            marks_share: 0.25,
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
            augmentation: Augmentation::default(),
        };
        match self {
            Self::ThisComputer => light,
            // Tiles of one slide alone are told apart, so that stains and scanners teach nothing; few tiles are too little
            // for batch statistics; and near pairs need no help to keep kinds of tissue apart.
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
    /// Read a TOML file; what it leaves out has the defaults of "this computer".
    ///
    /// # Errors
    /// [`TrainingError::File`] when it cannot be read or holds something unknown or impossible.
    pub fn read(path: &std::path::Path) -> Result<Self, TrainingError> {
        let failed = |reason: String| TrainingError::File { path: path.to_owned(), reason };
        let text =
            histokin_core::untrusted::read_text(path, 1 << 20).map_err(|error| failed(error.to_string()))?;
        let config: Self = toml::from_str(&text).map_err(|error| failed(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// As a TOML file with each field's help above it.
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

    pub fn tiles(&self) -> TileSettings {
        TileSettings { tile_px: self.tile_px, mpp: self.mpp }
    }

    /// Whether descriptors are compared by angle, so that the finished encoder scales them to length 1.
    pub fn compares_angles(&self) -> bool {
        self.method == Method::Npid || self.loss == LossKind::NtXent
    }

    /// Whether the run cannot do without far pairs.
    pub fn needs_far(&self) -> bool {
        self.method == Method::Siamese && self.loss.needs_far()
    }

    /// # Errors
    /// [`TrainingError::Config`] with the first field that makes no sense.
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
                return refuse(name, value.to_string(), "a positive number");
            }
        }
        for (name, value) in [
            ("npid_momentum", self.npid_momentum),
            ("marks_share", self.marks_share),
            ("augmentation", self.augmentation.stain_jitter),
            ("augmentation", self.augmentation.blur),
        ] {
            if !share(value) {
                return refuse(name, value.to_string(), "a number from 0 to 1");
            }
        }
        for (name, value) in [
            ("anti_collapse", self.anti_collapse),
            ("anchor", self.anchor),
            ("weight_decay", self.weight_decay),
            ("clip_norm", self.clip_norm),
        ] {
            if !value.is_finite() || value < 0.0 {
                return refuse(name, value.to_string(), "0 or a positive number");
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
                return refuse(name, value.to_string(), &format!("a number from {least} to {most}"));
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
        let config: TrainingConfig = toml::from_str("spread = 0.25\nkeep = 3.0\npatience = 7\n").unwrap();
        assert_eq!((config.anti_collapse, config.anchor, config.early_stopping), (0.25, 3.0, 7));
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
        assert!(toml::from_str::<TrainingConfig>("margn = 3.0").unwrap_err().to_string().contains("margn"));
    }
}
