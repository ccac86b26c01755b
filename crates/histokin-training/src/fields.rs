//! What each field of the training's settings means, for the panel and for whoever writes a TOML file.

/// A field's name in the TOML file and what it means, for people.
#[derive(Debug)]
pub struct FieldHelp {
    pub name: &'static str,
    pub help: &'static str,
}

/// Help of every field, in the order of the file.
pub const FIELDS: &[FieldHelp] = &[
    help(
        "method",
        "siamese learns from near and far pairs; npid, the paper's second baseline, tells every tile from all others.",
    ),
    help(
        "loss",
        "Of the siamese method: contrastive (the paper's), contrastive_squared, triplet, or nt_xent, which needs near pairs only.",
    ),
    help(
        "margin",
        "Distance beyond which far pairs count as apart; for triplets, by how much the far tile has to be further away. The paper's descriptors are not scaled, and 10 suits them.",
    ),
    help(
        "anti_collapse",
        "Of the siamese method: how strongly descriptors are kept spread over many dimensions. With 0, as in the paper, they may end on one line: near and far pairs are told apart, kinds of tissue no more.",
    ),
    help(
        "anchor",
        "Of the siamese method: how strongly distances are kept like those of the encoder tissue-prototypes, so that what it tells apart is not forgotten. 0, as in the paper, is quicker and follows the slides alone.",
    ),
    help(
        "temperature",
        "Of nt_xent and npid: the smaller, the more the hardest tiles count. 0.07 in the literature.",
    ),
    help(
        "npid_noise",
        "Of npid: how many other tiles each is compared with; 0 compares with all, right for up to some 10,000 tiles.",
    ),
    help("npid_momentum", "Of npid: share (0 to 1) of a tile's old entry that stays in the memory bank."),
    help(
        "backbone",
        "The network: mobilenet_v2 and efficientnet_lite0 learn on a CPU, resnet50 wants a CUDA device.",
    ),
    help(
        "init",
        "Starting weights: imagenet, random, or the name or file of a model to go on from, with its head and the blocks that make up its features. One of prototypes gives descriptors of length 1: with contrastive losses a margin of 1 suits it.",
    ),
    help("width", "Numbers in a descriptor; 128 in the paper."),
    help(
        "depth",
        "What learns: head (the last layer alone), last-N (also the last N of the blocks that are used), or all.",
    ),
    help(
        "batch_statistics",
        "Whether learning blocks normalise by the batch at hand; off, they keep the statistics that they came with, which is steadier with small batches.",
    ),
    help("tile_px", "Edge of a tile in pixels."),
    help("mpp", "Resolution of the tiles in µm per pixel."),
    help("stain", "Normalise each slide's colours (lab) or leave them (none)."),
    help("near_mm", "Tiles closer than this, in mm, count as alike; 2 in the paper."),
    help(
        "far_mm",
        "Tiles further apart than this, in mm, count as different; 10 in the paper. Lower it for small sections.",
    ),
    help(
        "without_far",
        "Slides on which no tiles are that far apart: leave_out, or near_only to use their near pairs.",
    ),
    help(
        "slide_weighting",
        "How often each slide is drawn from: equal, square_root of its tissue, or tiles.",
    ),
    help(
        "slides_per_batch",
        "Draw each batch from so many slides, so that a slide's colours do not tell tiles apart; 0 for any.",
    ),
    help(
        "marks_share",
        "Share (0 to 1) of pairs drawn from your marks “same” and “different”, where there are any.",
    ),
    help("steps", "Learning steps; each sees one batch."),
    help("batch", "Pairs (or triplets, or for npid tiles) in a step."),
    help("lr", "Learning rate at its highest."),
    help("warmup_steps", "Steps over which the learning rate rises, before it falls along a cosine."),
    help("weight_decay", "How strongly kernels are pulled towards zero (AdamW)."),
    help(
        "clip_norm",
        "Longest gradient that is followed as it is; longer ones are shortened. 0 for no limit.",
    ),
    help("seed", "Decides all that is random: the same seed on the same data gives the same encoder."),
    help("validate_every", "Steps between validations on the validation slides."),
    help("validation_tiles", "Tiles of each validation slide that are looked at."),
    help(
        "labels",
        "File or folder of labels of the validation slides; empty for the project's own folder labels and annotations.",
    ),
    help(
        "judged_by",
        "Which step's encoder is the best: retrieval (of labelled tiles on other validation slides; ADDR where there are no labels) or addr.",
    ),
    help("early_stopping", "Stop after so many validations without a better figure; 0 goes on to the end."),
    help("checkpoint_every", "Steps between checkpoints, from which a stopped run goes on."),
    help(
        "tile_cache_mb",
        "Room on the disk, in MB, for tiles that were read before; it is given back at the end. 0 keeps none.",
    ),
    help(
        "augmentation",
        "How tiles are changed before the network sees them: flips, rotations, stain_jitter (0 to 1), blur (share of tiles).",
    ),
];

const fn help(name: &'static str, help: &'static str) -> FieldHelp {
    FieldHelp { name, help }
}

/// The help of one field; empty for a name that is none.
pub fn help_of(name: &str) -> &'static str {
    FIELDS.iter().find(|field| field.name == name).map_or("", |field| field.help)
}
