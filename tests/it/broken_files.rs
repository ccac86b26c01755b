//! Every other file that the program reads, broken: what is refused names the file and the reason, and costs
//! no more memory than the file's size makes believable.
//!
//! `HISTOKIN_BROKEN_FILES` sets how many files of each kind have random bytes changed.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use histokin::annotation;
use histokin::descriptors::{DescriptorHeader, DescriptorSet, DescriptorStore, Row};
use histokin::encoder;
use histokin::evaluation::labels;
use histokin::index::{IndexCache, Snapshot};
use histokin::interchange;
use histokin::project::Project;
use histokin::query::QueryHistory;
use histokin::slide::{self, SlideInfo};
use histokin::training::TrainingConfig;
use histokin::training::checkpoint::Checkpoint;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, TensorView};

use crate::made;
use crate::support::asset;

/// Reads a file, and answers what is wrong with it.
type Reader = dyn Fn(&Path) -> Result<(), String> + Send;

/// A kind of file: a good one, and its reader.
struct Kind {
    name: &'static str,
    good: Vec<u8>,
    read: Box<Reader>,
}

fn kind<T, E: std::fmt::Display>(
    name: &'static str,
    good: impl Into<Vec<u8>>,
    read: impl Fn(&Path) -> Result<T, E> + Send + 'static,
) -> Kind {
    let read = move |path: &Path| read(path).map(drop).map_err(|error| error.to_string());
    Kind { name, good: good.into(), read: Box::new(read) }
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

const GEOJSON: &str = r#"{"type":"FeatureCollection","features":[
  {"type":"Feature","id":"6a9d1ad4-7a5c-4d7c-9f0e-0a2f4a3f7a11","geometry":{"type":"Polygon","coordinates":
    [[[0,0],[100.5,0],[100,100],[0,100],[0,0]],[[20,20],[50,20],[50,50],[20,20]]]},
   "properties":{"objectType":"annotation","name":"a","classification":{"name":"Tumor","color":[200,0,0]},
    "measurements":{"Area":12.5}}},
  {"type":"Feature","geometry":{"type":"MultiPoint","coordinates":[[1,2],[3,4]]},"properties":{}}]}"#;

const ASAP: &str = r##"<?xml version="1.0"?>
<ASAP_Annotations><Annotations>
  <Annotation Name="a" Type="Polygon" PartOfGroup="_0" Color="#F4FA58"><Coordinates>
    <Coordinate Order="0" X="1.5" Y="2" /><Coordinate Order="1" X="100" Y="2" /><Coordinate Order="2" X="50" Y="90" />
  </Coordinates></Annotation></Annotations>
  <AnnotationGroups><Group Name="_0" PartOfGroup="None" Color="#64FE2E"><Attributes /></Group></AnnotationGroups>
</ASAP_Annotations>"##;

const LABELS: &str = "slide,x,y,width,height,label,is_tumour,patient\n\
                      a.svs,0,0,224,224,tumour,1,P1\nb.svs,224.5,0,224,224,stroma,0,P2\n";

fn nobody(_: &str) -> Option<SlideInfo> {
    None
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(text).unwrap();
    gz.finish().unwrap()
}

fn zipped(parts: &[(&str, &[u8])], method: zip::CompressionMethod) -> Vec<u8> {
    let mut file = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in parts {
        file.start_file(*name, zip::write::FileOptions::default().compression_method(method)).unwrap();
        file.write_all(bytes).unwrap();
    }
    file.finish().unwrap().into_inner()
}

/// A good project's file, with a slide and a class.
fn project_file() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let mut project = Project::open_or_create(folder.path()).unwrap();
    let slide = slide::open(&asset("slides/CMU-1-Small-Region.svs"), None).unwrap();
    project.add_or_update(slide.info());
    project.set_classes(project.classes());
    project.save().unwrap();
    fs::read(folder.path().join("project.toml")).unwrap()
}

fn tiny_weights(text: &str) -> Vec<u8> {
    let values: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![2, 2], &values).unwrap();
    safetensors::serialize([("head.weight", view)], Some([("histokin".to_owned(), text.to_owned())].into()))
        .unwrap()
}

fn kinds() -> Vec<Kind> {
    let annotations = |path: &Path| annotation::read_file(path);
    let labels = |path: &Path| labels::read_labels(path, &nobody);
    let features = |path: &Path| interchange::read_features(path);
    let in_folder = |path: &Path| path.parent().unwrap().to_owned();
    let stored = zip::CompressionMethod::Stored;
    let deflated = zip::CompressionMethod::Deflated;
    vec![
        kind("project.toml", project_file(), move |path: &Path| Project::open(&in_folder(path))),
        kind("a.geojson", GEOJSON, annotations),
        kind("a.xml", ASAP, annotations),
        kind("a.geojson.gz", packed(GEOJSON.as_bytes()), annotations),
        kind(
            "a.zip",
            zipped(&[("a.json", GEOJSON.as_bytes()), ("b.xml", ASAP.as_bytes())], deflated),
            annotations,
        ),
        kind("labels.csv", LABELS, labels),
        kind("labels.geojson", GEOJSON, labels),
        kind("labels.xml", ASAP, labels),
        kind("trident.h5", fixture("evaluation/trident.h5"), features),
        kind("half.h5", fixture("evaluation/trident_half.h5"), features),
        kind("clam.h5", fixture("evaluation/clam.h5"), features),
        kind("features.safetensors", features_file(3, 2), features),
        kind(
            "judgements.csv",
            "query_slide,query_x,query_y,query_width,query_height,slide,x,y,width,height,verdict,distance,encoder\n\
             a,0,0,224,224,b,224,0,224,224,same,0.125,e\n",
            move |path: &Path| QueryHistory::load(&in_folder(path)),
        ),
        kind(
            "queries.json",
            r#"[{"positives":[{"example":{"tile":{"slide":"a","at":{"x":1.0,"y":2.0}}},"place":null}],"negatives":[],
                "settings":{}}]"#,
            move |path: &Path| QueryHistory::load(&in_folder(path)),
        ),
        kind("model.toml", MODEL, move |path: &Path| encoder::spec(in_folder(path).to_str().unwrap())),
        kind("weights.safetensors", tiny_weights("{}"), |path: &Path| encoder::spec(path.to_str().unwrap())),
        kind("weights.pth", zipped(&[("a/data.pkl", b"\x80\x02}.")], stored), |path: &Path| {
            encoder::spec(path.to_str().unwrap())
        }),
        kind("checkpoint.safetensors", tiny_weights("{}"), |path: &Path| Checkpoint::read(path)),
        kind("training.toml", TrainingConfig::default().to_toml(), |path: &Path| TrainingConfig::read(path)),
    ]
}

const MODEL: &str = "name = \"m\"\nbackbone = \"resnet18\"\nweights = \"w.safetensors\"\n\
                     [preprocessing]\ntile_px = 224\nmpp = 1.0\n";

fn features_file(tiles: usize, width: usize) -> Vec<u8> {
    let features = vec![0_u8; tiles * width * 4];
    let coords: Vec<u8> = (0..2 * tiles as i64).flat_map(i64::to_le_bytes).collect();
    let tensors = [
        ("features", TensorView::new(Dtype::F32, vec![tiles, width], &features).unwrap()),
        ("coords", TensorView::new(Dtype::I64, vec![tiles, 2], &coords).unwrap()),
    ];
    safetensors::serialize(tensors, None).unwrap()
}

fn random_cases() -> usize {
    std::env::var("HISTOKIN_BROKEN_FILES").ok().and_then(|text| text.parse().ok()).unwrap_or(40)
}

/// `good`, cut off all along it and with random bytes changed, moved and repeated.
fn broken(good: &[u8], seed: u64) -> Vec<Vec<u8>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let step = (good.len() / 60).max(1);
    let mut all: Vec<Vec<u8>> = (0..good.len()).step_by(step).map(|end| good[..end].to_vec()).collect();
    for _ in 0..random_cases() {
        let mut bytes = good.to_vec();
        for _ in 0..random.random_range(1..9) {
            let place = random.random_range(0..bytes.len());
            match random.random_range(0..4) {
                0 => bytes[place] ^= 1 << random.random_range(0..8),
                1 => bytes[place] = *b"0-9\"{}[],<>\n\0\xff.eE".get(random.random_range(0..17)).unwrap(),
                2 => {
                    let end = (place + random.random_range(1..40)).min(bytes.len());
                    let part = bytes[place..end].to_vec();
                    let at = random.random_range(0..bytes.len());
                    bytes.splice(at..at, part);
                }
                _ => {
                    let end = (place + random.random_range(1..8)).min(bytes.len());
                    bytes.drain(place..end);
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        all.push(bytes);
    }
    all
}

#[test]
fn broken_files_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    let (mut tried, mut refused) = (0, 0);
    for (number, kind) in kinds().into_iter().enumerate() {
        let folder = folder.path().join(number.to_string());
        fs::create_dir(&folder).unwrap();
        let path = folder.join(kind.name);
        for bytes in broken(&kind.good, number as u64) {
            fs::write(&path, &bytes).unwrap();
            tried += 1;
            if let Err(message) = (kind.read)(&path) {
                refused += 1;
                if !message.contains(folder.to_str().unwrap()) || message.contains("panicked") {
                    wrong.push(format!("{}: {message}", kind.name));
                }
            }
        }
        // What is no file of this kind at all.
        for bytes in
            [&b""[..], b"\0", b"\xff\xfe\x00", b"null", b"[]", b"{}", &[b'['; 100_000], &[b'('; 100_000]]
        {
            fs::write(&path, bytes).unwrap();
            tried += 1;
            refused += usize::from((kind.read)(&path).is_err());
        }
    }
    println!("broken files: {tried} tried, {refused} refused, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Readers that wait for a pipe would wait for ever.
#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_at_once() {
    for kind in kinds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(kind.name);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let (sender, receiver) = mpsc::channel();
        let name = kind.name;
        // Not joined if it waits.
        std::thread::spawn(move || {
            let _ = sender.send((kind.read)(&path));
        });
        let outcome = receiver.recv_timeout(Duration::from_secs(60));
        let message = outcome.unwrap_or_else(|_| panic!("{name}: waits")).unwrap_err();
        // What is no file is no model either.
        let is_none = message.contains("there is no encoder");
        assert!(message.contains("a pipe") || is_none, "{name}: {message}");
    }
}

#[test]
fn bombs_are_not_unfolded() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |name: &str, bytes: &[u8], read: &dyn Fn(&Path) -> Result<(), String>| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert!(bytes.len() < 4 << 20, "{name} is small: {} bytes", bytes.len());
        read(&path).expect_err(name)
    };
    let spaces = vec![b' '; 300 << 20];
    let long_list = [b"[".as_slice(), &spaces[..40 << 20], b"]"].concat();
    let read = |path: &Path| annotation::read_file(path).map(drop).map_err(|error| error.to_string());
    for (name, bytes) in [
        ("bomb.geojson.gz", packed(&spaces)),
        ("bomb.zip", zipped(&[("a.json", &spaces)], zip::CompressionMethod::Deflated)),
        // Each below the limit, together beyond.
        (
            "many.zip",
            zipped(
                &["a.json", "b.json", "c.json"].map(|name| (name, &long_list[..])),
                zip::CompressionMethod::Deflated,
            ),
        ),
    ] {
        let message = refusal(name, &bytes, &read);
        assert!(message.contains("expands to far more"), "{message}");
    }
    let pickle = zipped(&[("a/data.pkl", &spaces[..100 << 20])], zip::CompressionMethod::Deflated);
    let message = refusal("bomb.pth", &pickle, &|path| {
        encoder::spec(path.to_str().unwrap()).map(drop).map_err(|error| error.to_string())
    });
    assert!(message.contains("larger than plausible"), "{message}");
    // A dataset that claims terabytes, of which its file holds nothing.
    let mut claims = hdf5_pure::FileBuilder::new();
    claims.create_dataset("features").with_f32_data(&[0.0; 12]).with_shape(&[3, 4]);
    claims.create_dataset("coords").with_i64_data(&[0; 6]).with_shape(&[3, 2]);
    let mut bytes = claims.finish().unwrap();
    let shape: Vec<u8> = [3_u64, 4].iter().flat_map(|extent| extent.to_le_bytes()).collect();
    let place = bytes.windows(16).position(|window| window == shape).expect("the shape of the features");
    bytes[place..place + 8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    refusal("claims.h5", &bytes, &|path| {
        interchange::read_features(path).map(drop).map_err(|error| error.to_string())
    });
    // A picture of stripes, as small as its areas are many.
    let stripes = image::GrayImage::from_fn(6000, 3000, |x, _| image::Luma([u8::from(x % 2 == 0)]));
    let path = folder.path().join("slide_mask.png");
    stripes.save(&path).unwrap();
    let info = slide::open(&asset("slides/CMU-1-Small-Region.svs"), None).unwrap().info().clone();
    let (width, height) = (6000, 3000);
    let found = move |_: &str| {
        let mut info = info.clone();
        info.levels[0] = histokin::slide::Level { width, height, ..info.levels[0] };
        Some(info)
    };
    let message = labels::read_labels(&path, &found).unwrap_err().to_string();
    assert!(message.contains("too many separate areas"), "{message}");
}

#[test]
fn projects_that_lead_astray_are_refused() {
    let good = String::from_utf8(project_file()).unwrap();
    let slide = slide::open(&asset("slides/CMU-1-Small-Region.svs"), None).unwrap();
    let id = &slide.info().id.0;
    for (what, with, words) in [
        (id.as_str(), "../../../etc/cron.d/owned", "is not a slide ID"),
        (id.as_str(), "/etc/owned", "is not a slide ID"),
        (id.as_str(), "", "is not a slide ID"),
        ("tile_px = 224", "tile_px = 0", "tiles of 0 px"),
        ("tile_px = 224", "tile_px = -5", "cannot be read"),
        ("mpp = 1.0", "mpp = nan", "tiles of 224 px at NaN"),
        ("mpp = 1.0", "mpp = -1.0", "tiles of 224 px at -1"),
        ("format = 2", "format = \"one\"", "cannot be read"),
    ] {
        assert!(good.contains(what), "{what} in {good}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("project.toml");
        let text = good.replacen(what, with, 1);
        fs::write(&path, &text).unwrap();
        let message = Project::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains(words) && message.contains("project.toml"), "{with}: {message}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "it was left as it is");
    }
}

/// What a store would refuse to read, it does not write.
#[test]
fn descriptors_that_lead_astray_are_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let store = DescriptorStore::new(folder.path());
    let good = made::set("a", 3, &[vec![1.0, 2.0, 3.0], vec![4.0, 5.0, 6.0]]);
    let (slide, recipe) = (good.header.slide_id.clone(), good.header.recipe.clone());
    let refused: [fn(&mut DescriptorHeader); 3] = [
        |header| header.tile_level0 = 0,
        |header| header.effective_mpp = f64::MAX,
        |header| header.grid = [100, 0],
    ];
    let with = |change: &dyn Fn(&mut DescriptorHeader)| {
        let mut header = good.header.clone();
        change(&mut header);
        let rows: Vec<_> =
            (0..2).map(|row| (histokin::tiling::TileIndex(row), good.descriptor(Row(row)))).collect();
        let set = DescriptorSet::from_rows(header, &rows, 0);
        store.save(&set).map_err(|error| error.to_string())?;
        store.open(&slide, &recipe).map(|set| set.map(|set| set.len())).map_err(|error| error.to_string())
    };
    for change in refused {
        let message = with(&change).unwrap_err();
        assert!(message.contains("the size of its") && message.contains("cannot be stored"), "{message}");
    }
    assert!(matches!(store.open(&slide, &recipe), Ok(None)), "nothing was written");
    assert_eq!(with(&|_| {}), Ok(Some(2)));

    // Nor does it believe a file that says so, though its checksums are right: they are those of its numbers.
    let file = store.path(&slide, &recipe);
    let whole = fs::read(&file).unwrap();
    for change in refused {
        fs::write(&file, with_header(&whole, change)).unwrap();
        let message = store.open(&slide, &recipe).err().expect("it is refused").to_string();
        assert!(message.contains("the size of its"), "{message}");
        assert!(!file.exists(), "it is set aside");
    }
    fs::write(&file, with_header(&whole, |_| {})).unwrap();
    assert_eq!(store.open(&slide, &recipe).unwrap().map(|set| set.len()), Some(2));
}

/// A descriptor file with another header before the same numbers.
fn with_header(file: &[u8], change: fn(&mut DescriptorHeader)) -> Vec<u8> {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let mut json: serde_json::Value = serde_json::from_slice(&file[8..8 + length]).unwrap();
    let text = json["__metadata__"]["header"].as_str().unwrap();
    let mut header: DescriptorHeader = serde_json::from_str(text).unwrap();
    change(&mut header);
    json["__metadata__"]["header"] = serde_json::to_string(&header).unwrap().into();
    let mut json = serde_json::to_string(&json).unwrap();
    // Numbers begin at a multiple of eight.
    json.push_str(&" ".repeat(json.len().next_multiple_of(8) - json.len()));
    [&(json.len() as u64).to_le_bytes(), json.as_bytes(), &file[8 + length..]].concat()
}

#[test]
fn a_broken_index_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = DescriptorStore::new(folder.path().join("descriptors"));
    let cache = IndexCache::new(folder.path().join("index"));
    let rows: Vec<Vec<f32>> =
        (0..20_000).map(|row| (0..8).map(|axis| ((row * 31 + axis * 7) % 97) as f32).collect()).collect();
    let set = made::set("a", 8, &rows);
    store.save(&set).unwrap();
    let set = Arc::new(store.open(&set.header.slide_id, &set.header.recipe).unwrap().unwrap());
    let built = Snapshot::build(vec![set.clone()], None, Some(&cache));
    assert_eq!(built.len(), 20_000);
    let file: PathBuf = fs::read_dir(folder.path().join("index")).unwrap().next().unwrap().unwrap().path();
    let good = fs::read(&file).unwrap();
    // Where the structure is; what follows are numbers.
    let head = good.len().min(2000);
    for mut bytes in broken(&good[..head], 7) {
        bytes.extend_from_slice(&good[head..]);
        // With a right checksum as well, as a crafted file would have.
        let mut crafted = bytes.clone();
        if let Some(body) = crafted.len().checked_sub(4) {
            let crc = crc32fast::hash(&crafted[..body]);
            crafted[body..].copy_from_slice(&crc.to_le_bytes());
        }
        for bytes in [bytes, crafted] {
            fs::write(&file, &bytes).unwrap();
            let _ = cache.check();
            for segment in cache.load(std::slice::from_ref(&set)) {
                assert_eq!(segment.len(), 20_000);
            }
        }
    }
}

/// Annotations that lie nowhere near a slide make trouble wherever they are drawn or measured.
#[test]
fn annotations_beyond_all_slides_are_refused() {
    for far in ["1e300", "-1e300", "123456789012"] {
        let folder = tempfile::tempdir().unwrap();
        let json = folder.path().join("a.geojson");
        fs::write(&json, GEOJSON.replacen("100.5", far, 1)).unwrap();
        let read = annotation::read_file(&json).unwrap();
        assert_eq!((read.set.len(), read.left_out.count), (1, 1));
        let left_out = &read.left_out.first[0];
        assert!(left_out.line == Some(3) && left_out.reason.contains("is not on any slide"), "{left_out:?}");
        let xml = folder.path().join("a.xml");
        fs::write(&xml, ASAP.replacen("1.5", far, 1)).unwrap();
        let message = annotation::read_file(&xml).unwrap_err().to_string();
        assert!(message.contains("line 4") && message.contains("is not on any slide"), "{message}");
    }
}
