//! Explanations of all training settings, for the panel, the command line and TOML files.

/// Explanation of one setting.
#[derive(Debug)]
pub struct FieldHelp {
    /// Name of the field in the TOML file.
    pub name: &'static str,
    /// Text for the user.
    pub help: &'static str,
}

/// Explanations of all fields, in the order of [`TrainingConfig`](super::TrainingConfig).
pub const FIELDS: &[FieldHelp] = &[
    help(
        "method",
        "siamese trains on near and far pairs; npid, the paper's second baseline, separates every tile from all others.",
    ),
    help(
        "loss",
        "Loss of the siamese method: contrastive (the paper's), contrastive_squared, triplet, or nt_xent, which needs near pairs only.",
    ),
    help(
        "margin",
        "Distance beyond which far pairs no longer count; for triplets, by how much the far tile must be farther away. The paper's descriptors are not scaled, and 10 suits them.",
    ),
    help(
        "anti_collapse",
        "Siamese method: weight of the anti-collapse loss, which keeps descriptors spread over many dimensions. With 0, as in the paper, descriptors may end up on one line, where near and far pairs can be separated but tissues no longer.",
    ),
    help(
        "anchor",
        "Siamese method: weight of the anchor loss, which keeps distances like those of the encoder tissue-prototypes, so that differences known to it are not lost. 0, as in the paper, is faster and follows the slides alone.",
    ),
    help(
        "temperature",
        "nt_xent and npid: the smaller, the more the hardest tiles count. 0.07 in the literature.",
    ),
    help(
        "npid_noise",
        "npid: number of other tiles each tile is compared with; 0 compares with all, which suits up to about 10,000 tiles.",
    ),
    help("npid_momentum", "npid: share (0 to 1) of a tile's old entry that stays in the memory bank."),
    help(
        "backbone",
        "The network: MobileNetV2 and EfficientNet-Lite0 to Lite2 can be trained on a CPU, ResNet-50 needs a CUDA device. If training starts from a vision transformer, that is the network.",
    ),
    help(
        "init",
        "Starting weights: imagenet, random, or the name or file of an encoder to continue from, including its head and the blocks that make up its features. An encoder with prototypes gives descriptors of length 1, for which a margin of 1 suits the contrastive losses.",
    ),
    help(
        "head",
        "The last layer: init (that of the encoder to start from, else linear), linear, two_layers (with a ReLU between them), or prototypes (memberships, found among kept features).",
    ),
    help("width", "Number of values in a descriptor; 128 in the paper."),
    help(
        "depth",
        "What is trained: head (the last layer only), last-N (also the last N of the blocks that are used), all, or, of vision transformers, lora-RANK (the head and adapters of rank 4 to 16 in the attention of every block).",
    ),
    help(
        "batch_statistics",
        "Whether trained blocks normalise by the statistics of the batch; if off, they keep their original statistics, which is more stable with small batches.",
    ),
    help("tile_px", "Edge of a tile in pixels."),
    help("mpp", "Spacing of the tiles in µm per pixel."),
    help("stain", "Whether each slide's colours are normalised (lab) or left as they are (none)."),
    help("near_mm", "Tiles closer than this, in mm, count as similar; 2 in the paper."),
    help(
        "far_mm",
        "Tiles farther apart than this, in mm, count as different; 10 in the paper. Lower it for small sections.",
    ),
    help(
        "without_far",
        "Use of slides on which no tiles are that far apart: leave_out, or near_only to use their near pairs.",
    ),
    help(
        "slide_weighting",
        "How often tiles are drawn from each slide: equal, square_root of its number of tissue tiles, or tiles.",
    ),
    help(
        "slides_per_batch",
        "Number of slides from which a batch is drawn; with few, tiles cannot be separated by the colours of their slides. 0 for any.",
    ),
    help(
        "judged_pairs_share",
        "Share (0 to 1) of pairs drawn from your relevance judgements “same” and “different” and from the marks of concepts, if there are any.",
    ),
    help("steps", "Number of training steps; each uses one batch."),
    help("batch", "Number of pairs (or triplets, or tiles with npid) in a batch."),
    help("lr", "Highest learning rate."),
    help("warmup_steps", "Steps over which the learning rate rises, before it falls along a cosine."),
    help("weight_decay", "Weight decay of AdamW, applied to kernels."),
    help("clip_norm", "Largest gradient norm; longer gradients are scaled down to it. 0 for no limit."),
    help("seed", "Seed of all random choices: the same seed on the same data gives the same encoder."),
    help("validate_every", "Steps between validations on the validation slides."),
    help("validation_tiles", "Number of tiles used of each validation slide."),
    help(
        "labels",
        "File or folder with labels of the validation slides; empty for the project's own folder of labels and annotations.",
    ),
    help(
        "judged_by",
        "Measure that decides which step's encoder is best: retrieval (of labelled tiles on other validation slides; ADDR if there are no labels) or addr.",
    ),
    help(
        "early_stopping",
        "Number of validations without improvement after which the run stops; 0 runs all steps.",
    ),
    help("checkpoint_every", "Steps between checkpoints, from which a stopped run can be continued."),
    help(
        "tile_cache_mb",
        "Space on disk, in MB, for caching tiles that were read; it is freed at the end. 0 for no cache.",
    ),
    help(
        "kept_views",
        "Where only the head is trained: number of augmented views of each tile whose features are computed once and kept in the project, so that steps take milliseconds. 0 reads tiles and runs the network at every step.",
    ),
    help(
        "kept_features_mb",
        "Largest size on disk, in MB, of all features that the project keeps; those of other networks and slides are removed first.",
    ),
    help(
        "augmentation",
        "Random changes to tiles before the network sees them: flips, rotations, stain_jitter (0 to 1), blur (share of tiles).",
    ),
];

const fn help(name: &'static str, help: &'static str) -> FieldHelp {
    FieldHelp { name, help }
}

/// Returns the explanation of a field; empty for an unknown name.
pub fn help_of(name: &str) -> &'static str {
    FIELDS.iter().find(|field| field.name == name).map_or("", |field| field.help)
}
