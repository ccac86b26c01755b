//! `histokin encoders`: lists encoders, shows what is known of one, adds, renames and removes the user's, and exports
//! them as ONNX.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::encoder::backbones::BackboneKind;
use crate::encoder::backbones::vit::{VitActivation, VitOutput};
use crate::encoder::facts::{examine, summary};
use crate::encoder::model::{About, FurtherNetwork, ModelFile};
use crate::encoder::onnx::{self, Exported};
use crate::encoder::vit_settings::RecognisedVit;
use crate::encoder::{self, Described, ModelSummary, user_models};
use crate::paths;
use crate::tiling::TileSettings;

/// Options of `histokin encoders`.
#[derive(Debug, Args)]
pub struct EncodersArgs {
    #[command(subcommand)]
    command: EncodersCommand,
}

#[derive(Debug, Subcommand)]
enum EncodersCommand {
    /// List the encoders that ship with the program and those that you added.
    List(ListArgs),
    /// Show an encoder: its network, tiles and descriptors and, where it is known, its source and licence.
    Show(ShowArgs),
    /// Add an encoder: weights of a vision transformer or of another supported network. The file stays where it is.
    Add(Box<AddArgs>),
    /// Rename an encoder that you added. Its descriptors are kept; projects that use it have to be switched to the
    /// new name.
    Rename(RenameArgs),
    /// Remove an encoder that you added. Its weights and descriptors are kept.
    Remove(RemoveArgs),
    /// Write an encoder as an ONNX model for other programs. It takes tiles as bytes [N, S, S, 3] and returns
    /// descriptors; stain normalisation is not part of it.
    Export(ExportArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Name of an encoder, or path of its weights or folder.
    #[arg(value_parser = super::shown_name())]
    encoder: String,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct AddArgs {
    /// Weights (.safetensors, .bin, .pth, or the index of their parts), or the folder in which they lie.
    file: PathBuf,
    /// Name of the encoder [default: its published name if it is recognised, else the file's name].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Number of attention heads of a vision transformer.
    #[arg(long, value_name = "NUMBER")]
    heads: Option<usize>,
    /// Activation of a vision transformer: gelu, gelu_tanh, quick_gelu, silu or relu.
    #[arg(long)]
    activation: Option<VitActivation>,
    /// Output of a vision transformer: class, class_and_mean, mean or projection.
    #[arg(long)]
    output: Option<VitOutput>,
    /// Mean of red, green and blue that the encoder expects, from 0 to 1: R,G,B.
    #[arg(long, value_name = "R,G,B", value_parser = super::parse_colours)]
    mean: Option<[f32; 3]>,
    /// Standard deviation of red, green and blue that the encoder expects: R,G,B.
    #[arg(long, value_name = "R,G,B", value_parser = super::parse_colours)]
    std: Option<[f32; 3]>,
    /// Edge length of a tile in pixels.
    #[arg(long, value_name = "PX")]
    tile_px: Option<u32>,
    /// Spacing of tiles in µm per pixel.
    #[arg(long, value_name = "UM")]
    mpp: Option<f64>,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RenameArgs {
    /// Name of the encoder.
    #[arg(value_name = "NAME")]
    from: String,
    /// Its new name.
    #[arg(value_name = "NEW")]
    to: String,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// Name of the encoder.
    name: String,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// Name of an encoder, or path of its weights or folder.
    #[arg(value_parser = super::shown_name())]
    encoder: String,
    /// ONNX file to write. Weights of more than 1.9 GB are written beside it, as FILE.data.
    #[arg(long, value_name = "FILE")]
    onnx: PathBuf,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

/// Carries out the subcommand.
///
/// # Errors
/// When an encoder cannot be read, added, removed or exported.
pub fn run(args: &EncodersArgs) -> anyhow::Result<()> {
    match &args.command {
        EncodersCommand::List(args) => list(args),
        EncodersCommand::Show(args) => show(args),
        EncodersCommand::Add(args) => add(args),
        EncodersCommand::Rename(RenameArgs { from, to, json }) => {
            require_own(from)?;
            user_models::rename(from, to)?;
            if *json {
                return super::print_json(&json!({ "renamed": from, "to": to }));
            }
            outln!("{from} is now {to}; its weights and descriptors are kept");
            Ok(())
        }
        EncodersCommand::Remove(args) => {
            require_own(&args.name)?;
            user_models::remove(&args.name)?;
            if args.json {
                return super::print_json(&json!({ "removed": args.name }));
            }
            outln!("{} was removed; its weights and descriptors are kept", args.name);
            Ok(())
        }
        EncodersCommand::Export(args) => export(args),
    }
}

/// Refuses an encoder that the user has not added, with those that the user has.
fn require_own(name: &str) -> anyhow::Result<()> {
    let all = encoder::available();
    let own: Vec<&str> = all.iter().filter(|model| model.is_own()).map(|model| model.name.as_str()).collect();
    if own.contains(&name) {
        return Ok(());
    }
    match own.as_slice() {
        [] => anyhow::bail!("you have added no encoder {name:?}, nor any other; see histokin encoders add"),
        own => anyhow::bail!("you have added no encoder {name:?}; added are: {}", own.join(", ")),
    }
}

fn export(args: &ExportArgs) -> anyhow::Result<()> {
    let Exported { spec, files, bytes, properties } = onnx::export(&args.encoder, &args.onnx)?;
    if args.json {
        let properties: serde_json::Map<String, Value> =
            properties.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        let mut written =
            json!({ "encoder_id": spec.id.to_string(), "bytes": bytes, "properties": properties });
        paths::put(&mut written, "onnx", &args.onnx);
        if let Some(weights) = files.get(1) {
            paths::put(&mut written, "weights", weights);
        }
        return super::print_json(&written);
    }
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    outln!("{} written, {:.1} MB", names.join(" and "), bytes as f64 / 1e6);
    let TileSettings { tile_px, mpp } = spec.tiles;
    outln!(
        "takes tiles of {tile_px} px at {mpp} µm/px as bytes [N, {tile_px}, {tile_px}, 3], returns descriptors of {} numbers",
        spec.width
    );
    if spec.stain.is_lab() {
        outln!("tiles have to be stain-normalised before; the model's properties hold the reference colours");
    }
    Ok(())
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let models = encoder::available();
    if args.json {
        return super::print_json(&models.iter().map(listed).collect());
    }
    for model in &models {
        let default = if model.name == encoder::DEFAULT { " (default)" } else { "" };
        outln!("{}{default}: {}; {}", model.name, summary(model), origin(model));
    }
    Ok(())
}

fn listed(model: &ModelSummary) -> Value {
    let mut entry = json!({
        "name": model.name,
        "origin": origin(model),
        "default": model.name == encoder::DEFAULT,
        "problem": model.problem,
    });
    paths::put(&mut entry, "folder", &model.folder);
    if let Some(file) = &model.file {
        put_about(&mut entry, &file.about);
        entry["network"] = network_key(file).into();
        if !file.further_networks.is_empty() {
            let further = file.further_networks.iter();
            entry["further_networks"] = further.map(|network| network.backbone.name()).collect();
        }
        entry["features"] = file.feature_width().into();
        entry["tile_px"] = file.preprocessing.tile_px.into();
        entry["mpp"] = file.preprocessing.mpp.into();
    }
    entry
}

/// Returns the network for programs: by the name of `model.toml`, and of a vision transformer its size.
fn network_key(file: &ModelFile) -> String {
    match file.backbone {
        BackboneKind::Vit(architecture) => architecture.in_words(),
        other => other.name().to_owned(),
    }
}

fn origin(model: &ModelSummary) -> &'static str {
    if model.is_own() { "added by you" } else { "ships with histokin" }
}

fn show(args: &ShowArgs) -> anyhow::Result<()> {
    if !args.json {
        return print(&args.encoder);
    }
    let Described { file, spec, recognised } = encoder::describe(&args.encoder)?;
    let mut shown = described(&file, recognised.as_ref());
    shown["encoder_id"] = spec.id.to_string().into();
    shown["width"] = spec.width.into();
    super::print_json(&shown)
}

fn add(args: &AddArgs) -> anyhow::Result<()> {
    let which = args.file.to_string_lossy();
    let Described { mut file, recognised, .. } = encoder::describe(&which)?;
    if let BackboneKind::Vit(architecture) = &mut file.backbone {
        architecture.heads = args.heads.unwrap_or(architecture.heads);
        architecture.activation = args.activation.unwrap_or(architecture.activation);
        architecture.output = args.output.unwrap_or(architecture.output);
    } else if args.heads.is_some() || args.activation.is_some() || args.output.is_some() {
        anyhow::bail!(
            "--heads, --activation and --output are for vision transformers; {which} is {}",
            file.backbone.shown_name()
        );
    }
    let settings = &mut file.preprocessing;
    settings.input_mean = args.mean.unwrap_or(settings.input_mean);
    settings.input_std = args.std.unwrap_or(settings.input_std);
    settings.tile_px = args.tile_px.unwrap_or(settings.tile_px);
    settings.mpp = args.mpp.unwrap_or(settings.mpp);
    file.name = match &args.name {
        Some(name) => name.clone(),
        None => user_models::plain_name(&file.name),
    };
    let folder = user_models::add(&file)?;
    let mut shown = described(&file, recognised.as_ref());
    paths::put(&mut shown, "folder", &folder);
    if args.json {
        return super::print_json(&shown);
    }
    print(&file.name)?;
    outln!("\nAdded. To use it: histokin embed PROJECT SLIDE… --encoder {}", file.name);
    Ok(())
}

/// Everything that is known of an encoder.
fn described(file: &ModelFile, recognised: Option<&RecognisedVit>) -> Value {
    let settings = &file.preprocessing;
    let mut shown = json!({
        "name": file.name,
        "network": network_key(file),
        "features": file.feature_width(),
        "tile_px": settings.tile_px,
        "mpp": settings.mpp,
        "mean": settings.input_mean,
        "std": settings.input_std,
        "l2_normalise": settings.l2_normalise,
    });
    paths::put(&mut shown, "weights", &file.weights);
    if let BackboneKind::Vit(architecture) = file.backbone {
        shown["architecture"] = json!(architecture);
    }
    if let Some(crops) = &file.crops {
        shown["crops"] = json!(crops);
    }
    if !file.further_networks.is_empty() {
        shown["further_networks"] = file.further_networks.iter().map(further).collect();
    }
    put_about(&mut shown, &file.about);
    if let Some(found) = recognised {
        shown["naming"] = found.naming.into();
        shown["assumed"] = json!(found.assumed);
        shown["settings_from"] = json!(found.settings);
        shown["same_shapes"] = json!(found.similar);
        if let Some(known) = found.known {
            shown["is_published_file"] = found.is_published_file.into();
            shown["unconfirmed"] = json!(known.unconfirmed);
        }
    }
    shown
}

/// What is known of a further network of an encoder.
fn further(network: &FurtherNetwork) -> Value {
    let FurtherNetwork { backbone, weights, blocks, um_per_px, input_mean, input_std } = network;
    let mut shown = json!({
        "network": backbone.name(),
        "blocks": blocks,
        "um_per_px": um_per_px,
        "mean": input_mean,
        "std": input_std,
    });
    paths::put(&mut shown, "weights", weights);
    shown
}

/// Adds what an encoder is for, where it comes from and what its licence asks, as far as it is known.
fn put_about(entry: &mut Value, about: &About) {
    let About { purpose, known_as, source, licence, commercial } = about;
    let texts = [("made_for", purpose), ("known_as", known_as), ("source", source), ("licence", licence)];
    for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        entry[key] = text.as_str().into();
    }
    if let Some(commercial) = commercial {
        entry["commercial_use"] = commercial.to_string().into();
    }
}

/// Prints what is known of an encoder, one line each.
fn print(which: &str) -> anyhow::Result<()> {
    for (label, text) in examine(which)?.facts {
        outln!("{label:<24}{text}");
    }
    Ok(())
}
