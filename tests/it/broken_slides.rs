//! Slides broken in every way that was thought of, made from good ones. Each is opened and read in a process
//! whose memory and time are bounded; none may crash, hang or take more, and what is refused is refused in one
//! line that names the file and says why.
//!
//! `HISTOKIN_BROKEN_SLIDES` sets how many slides of each kind have random bytes changed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use histokin::geometry::LevelRect;
use histokin::pipeline;
use histokin::slide;
use image::{Rgb, RgbImage};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::tiff_bones::{directories, put, tag};
use crate::support::{asset, write_pyramid};

/// Most memory that the process may map for a broken slide: ten times what a good one of this size takes.
const MOST_BYTES: u64 = 6 << 30;

/// Longest that one broken slide may take. Generous: machines that test are busy with other things.
const TIMEOUT: Duration = Duration::from_secs(180);

/// What has to come of a broken slide.
enum Expected {
    /// Refused, with these words.
    Refused(&'static str),
    /// It opens and all can be read: what is broken does not matter, or is not believed.
    Opens,
    /// It opens and its pixel size is unknown, as what the file says of it is nonsense.
    OpensUncalibrated,
    /// Read or refused, as its reader finds.
    Handled,
}
use Expected::{Handled, Opens, OpensUncalibrated, Refused};

struct Corpus {
    folder: PathBuf,
    cases: Vec<(PathBuf, Expected)>,
}

impl Corpus {
    fn path(&self, name: &str) -> PathBuf {
        // A folder each: readers look for companions beside a slide.
        let folder = self.folder.join(format!("{:04}", self.cases.len()));
        fs::create_dir(&folder).unwrap();
        folder.join(name)
    }

    fn add(&mut self, name: &str, bytes: &[u8], expected: Expected) {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        self.cases.push((path, expected));
    }
}

fn colours(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x % 251) as u8, (y % 241) as u8, ((x + y) / 7) as u8]))
}

/// Good slides: a pyramid without compression, one of JPEG tiles, and a scanner's own.
fn good_tiffs(folder: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let plain = folder.join("plain.tif");
    write_pyramid(&plain, &colours(600, 420), 2, Some(0.5));
    vec![
        ("plain.tif", fs::read(&plain).unwrap()),
        ("jpeg.tif", fs::read(asset("slides/CMU-1-Small-Region-rotated-cut.tif")).unwrap()),
        ("scanner.svs", fs::read(asset("slides/CMU-1-Small-Region.svs")).unwrap()),
    ]
}

fn good_pictures() -> Vec<(&'static str, Vec<u8>)> {
    use image::ImageFormat::{Bmp, Jpeg, Png, WebP};
    let picture = colours(90, 70);
    let formats = [("a.png", Png), ("a.jpg", Jpeg), ("a.bmp", Bmp), ("a.webp", WebP)];
    let encoded = formats.map(|(name, format)| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        (name, bytes.into_inner())
    });
    encoded.into()
}

fn random_cases() -> usize {
    std::env::var("HISTOKIN_BROKEN_SLIDES").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// Cut off before, within and after every structure of the file.
fn truncations(corpus: &mut Corpus, name: &str, file: &[u8]) {
    let mut places = vec![1, 4, 7, 8, file.len() - 1];
    for directory in directories(file) {
        places.extend([directory.start, directory.start + 1, directory.start + 15, directory.next + 2]);
        let behind = directory.fields.iter().filter(|field| field.values.len() > 4);
        places.extend(behind.flat_map(|field| [field.values.start + 1, field.values.end - 1]));
        if let Some(offsets) = directory.field(tag::TILE_OFFSETS) {
            let first = &file[offsets.values.start..offsets.values.start + 4];
            let first = u32::from_le_bytes(first.try_into().unwrap()) as usize;
            places.extend([first.min(file.len() - 1), (first + 100).min(file.len() - 1)]);
        }
    }
    places.sort_unstable();
    places.dedup();
    for place in places {
        let expected = if place < 4 { Refused("neither OpenSlide nor the image formats") } else { Handled };
        corpus.add(name, &file[..place], expected);
    }
}

/// Every number that says where something lies or how large it is, made wrong.
fn wrong_numbers(corpus: &mut Corpus, name: &str, file: &[u8]) {
    let all = directories(file);
    let first = &all[0];
    for wrong in [0, 1, 7, u64::from(u32::MAX), file.len() as u64, i32::MAX as u64] {
        for tag in [
            tag::IMAGE_WIDTH,
            tag::IMAGE_LENGTH,
            tag::TILE_WIDTH,
            tag::TILE_LENGTH,
            tag::SAMPLES_PER_PIXEL,
            tag::BITS_PER_SAMPLE,
            tag::COMPRESSION,
            tag::PHOTOMETRIC,
            tag::TILE_OFFSETS,
            tag::TILE_BYTE_COUNTS,
            tag::JPEG_TABLES,
        ] {
            let Some(field) = first.field(tag) else { continue };
            // The first of its values, and the last.
            let last = field.values.end.saturating_sub(field.bytes_each);
            for place in [field.values.start, last] {
                let mut broken = file.to_vec();
                put(&mut broken, place, field.bytes_each, wrong);
                corpus.add(name, &broken, Handled);
                if field.values.len() == field.bytes_each {
                    break;
                }
            }
        }
    }
    // How many values there are, and where.
    for tag in [tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS, tag::BITS_PER_SAMPLE] {
        let Some(field) = first.field(tag) else { continue };
        let count = (field.values.len() / field.bytes_each) as u64;
        for (offset, wrong) in [
            (4, 0),
            (4, count - 1),
            (4, count + 1),
            (4, u64::from(u32::MAX)),
            (8, u64::from(u32::MAX - 3)),
            (8, file.len() as u64 - 1),
        ] {
            let mut broken = file.to_vec();
            put(&mut broken, field.entry + offset, 4, wrong);
            corpus.add(name, &broken, Handled);
        }
        let mut broken = file.to_vec();
        put(&mut broken, field.entry + 2, 2, 99);
        corpus.add(name, &broken, Handled);
    }
    // Larger than all memory, with tiles large enough that their number is not: no tile can be that large.
    let mut huge = file.to_vec();
    for tag in [tag::IMAGE_WIDTH, tag::IMAGE_LENGTH, tag::TILE_WIDTH, tag::TILE_LENGTH] {
        let field = first.field(tag).unwrap();
        // As LONG, whatever it was.
        put(&mut huge, field.entry + 2, 2, 4);
        put(&mut huge, field.entry + 8, 4, 1 << 30);
    }
    corpus.add(name, &huge, Handled);
    // No tiles: all lengths 0.
    let mut empty = file.to_vec();
    for directory in &all {
        if let Some(lengths) = directory.field(tag::TILE_BYTE_COUNTS) {
            empty[lengths.values.clone()].fill(0);
        }
    }
    corpus.add(name, &empty, Handled);
    // Directories in a circle: the last leads to the first, or each to itself.
    let mut circle = file.to_vec();
    put(&mut circle, all.last().unwrap().next, 4, first.start as u64);
    corpus.add(name, &circle, Handled);
    let mut knot = file.to_vec();
    put(&mut knot, first.next, 4, first.start as u64);
    corpus.add(name, &knot, Handled);
    for next in [3, file.len() as u64 + 9, u64::from(u32::MAX)] {
        let mut astray = file.to_vec();
        put(&mut astray, first.next, 4, next);
        corpus.add(name, &astray, Handled);
    }
    // More tags than there are bytes.
    let mut many = file.to_vec();
    put(&mut many, first.start, 2, 0xffff);
    corpus.add(name, &many, Handled);
}

/// Pixel sizes that no scanner writes.
fn absurd_pixel_sizes(corpus: &mut Corpus, tiffs: &[(&str, Vec<u8>)]) {
    let (name, scanner) = &tiffs[2];
    let field = directories(scanner)[0].field(tag::DESCRIPTION).unwrap().values.clone();
    let stated = b"MPP = 0.4990";
    let place = scanner.windows(stated.len()).position(|window| window == stated).unwrap();
    assert!(field.contains(&place));
    for absurd in
        ["MPP = -0.499", "MPP = 0.0000", "MPP = NaN   ", "MPP = inf   ", "MPP = 1e-300", "MPP = 99999 "]
    {
        let mut broken = scanner.clone();
        broken[place..place + stated.len()].copy_from_slice(absurd.as_bytes());
        corpus.add(name, &broken, OpensUncalibrated);
    }
    let (name, plain) = &tiffs[0];
    let directory = &directories(plain)[0];
    for (numerator, denominator) in [(0, 0), (1, 0), (0, 1), (u32::MAX, 1), (1, u32::MAX)] {
        let mut broken = plain.clone();
        for tag in [tag::X_RESOLUTION, tag::Y_RESOLUTION] {
            let place = directory.field(tag).unwrap().values.start;
            put(&mut broken, place, 4, numerator.into());
            put(&mut broken, place + 4, 4, denominator.into());
        }
        corpus.add(name, &broken, OpensUncalibrated);
    }
}

/// Random bytes changed, many of them where the structure is.
fn random_changes(corpus: &mut Corpus, name: &str, file: &[u8], structure: &[usize]) {
    let mut random = ChaCha8Rng::seed_from_u64(file.len() as u64);
    for _ in 0..random_cases() {
        let mut broken = file.to_vec();
        for _ in 0..random.random_range(1..24) {
            let near = structure.get(random.random_range(0..structure.len().max(1)));
            let place = match near {
                Some(near) if random.random_bool(0.8) => near + random.random_range(0..200),
                _ => random.random_range(0..broken.len()),
            };
            if let Some(byte) = broken.get_mut(place) {
                *byte ^= 1 << random.random_range(0..8);
            }
        }
        if random.random_bool(0.2) {
            broken.truncate(random.random_range(1..broken.len()));
        }
        corpus.add(name, &broken, Handled);
    }
}

/// What is no slide at all, or lacks what it needs beside it.
fn no_slides(corpus: &mut Corpus, tiffs: &[(&str, Vec<u8>)]) {
    const UNKNOWN: Expected = Refused("neither OpenSlide nor the image formats");
    corpus.add("empty.svs", b"", Refused("the file is empty; copy it again"));
    corpus.add("zeros.svs", &[0; 4096], UNKNOWN);
    corpus.add("letter.svs", b"Dear colleague, here is the slide.", UNKNOWN);
    corpus.add("page.tif", b"<!DOCTYPE html><html><body>404</body></html>", UNKNOWN);
    corpus.add("packed.svs", b"PK\x03\x04\x14\0\0\0\0\0", UNKNOWN);
    corpus.add("head.czi", &[b"ZISRAWFILE".as_slice(), &[0; 600]].concat(), Handled);
    corpus.add("head.zvi", &[b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".as_slice(), &[0; 600]].concat(), Handled);
    corpus.add("head.dcm", &[&[0; 128][..], b"DICM", &[0xff; 300]].concat(), Handled);
    corpus.add("big.tif", &[b"II\x2b\0\x08\0\0\0".as_slice(), &[0xff; 8]].concat(), Handled);
    // Companions are missing.
    let jpeg = &good_pictures()[1].1;
    corpus.add("alone.mrxs", jpeg, Refused("alone.mrxs"));
    corpus.add(
        "alone.vms",
        b"[Virtual Microscope Specimen]\r\nNoLayers=1\r\nNoJpegColumns=1\r\nNoJpegRows=1\r\nImageFile=gone.jpg\r\n\
          MapFile=gone.map.jpg\r\nOptimisationFile=gone.opt\r\nMacroImage=gone.macro.jpg\r\n",
        Refused("cannot be opened"),
    );
    let path = corpus.path("empty-companion.mrxs");
    fs::write(&path, jpeg).unwrap();
    fs::create_dir(path.with_extension("")).unwrap();
    fs::write(path.with_extension("").join("Slidedat.ini"), "[GENERAL]\nSLIDE_VERSION = 1.9\n").unwrap();
    corpus.cases.push((path, Refused("empty-companion.mrxs")));
    // Good slides under other endings: the content decides.
    for name in ["slide.png", "slide.jpg", "slide.ndpi", "slide.dcm", "slide.txt", "slide"] {
        corpus.add(name, &tiffs[0].1, Opens);
    }
    for (name, picture) in good_pictures() {
        corpus.add(&format!("{name}.svs"), &picture, OpensUncalibrated);
    }
    // Names in every script, with signs that shells and formats take for more than letters.
    for name in [
        "тонкий срез.tif",
        "組織切片.tif",
        "شريحة.tif",
        "ชิ้นเนื้อ.tif",
        "ऊतक.tif",
        "🔬 e\u{301}\u{200f}.tif",
        "it's \"one\" & %s {} \\n.tif",
        "-rf.tif",
        " leading and trailing .tif ",
        "new\nline.tif",
    ] {
        corpus.add(name, &tiffs[0].1, Opens);
    }
    corpus.add(&format!("{}.tif", "long".repeat(60)), &tiffs[0].1, Opens);
    let missing = corpus.path("gone.svs");
    corpus.cases.push((missing, Refused("there is no such file")));
    let folder = corpus.path("folder.svs");
    fs::create_dir(&folder).unwrap();
    corpus.cases.push((folder, Refused("it is a folder; name a file in it")));
}

#[cfg(unix)]
fn no_files(corpus: &mut Corpus, tiffs: &[(&str, Vec<u8>)]) {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    let pipe = corpus.path("pipe.svs");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    corpus.cases.push((pipe, Refused("it is a pipe or a device")));
    let socket = corpus.path("socket.svs");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    corpus.cases.push((socket, Refused("it is a pipe or a device")));
    drop(listener);
    let device = corpus.path("device.svs");
    symlink("/dev/zero", &device).unwrap();
    corpus.cases.push((device, Refused("it is a pipe or a device")));
    let circle = corpus.path("circle.svs");
    symlink(&circle, &circle).unwrap();
    corpus.cases.push((circle, Refused("cannot be opened")));
    let dangling = corpus.path("dangling.svs");
    symlink("nowhere", &dangling).unwrap();
    corpus.cases.push((dangling, Refused("there is no such file")));
    let link = corpus.path("link.svs");
    fs::write(link.with_extension("target"), &tiffs[0].1).unwrap();
    symlink(link.with_extension("target"), &link).unwrap();
    corpus.cases.push((link, Opens));
    // A name that is no text.
    let unwritable = corpus.path("x").with_file_name(std::ffi::OsStr::from_bytes(b"\xff\xfe.tif"));
    fs::write(&unwritable, &tiffs[0].1).unwrap();
    corpus.cases.push((unwritable, Handled));
}

fn build(folder: &Path) -> Corpus {
    let mut corpus = Corpus { folder: folder.join("corpus"), cases: Vec::new() };
    fs::create_dir(&corpus.folder).unwrap();
    let tiffs = good_tiffs(folder);
    for (name, file) in &tiffs {
        corpus.add(name, file, Opens);
        truncations(&mut corpus, name, file);
        let structure: Vec<usize> = directories(file).iter().map(|directory| directory.start).collect();
        random_changes(&mut corpus, name, file, &structure);
    }
    // The second time for those who have it: the readers are the same but for the decoder.
    for (name, file) in &tiffs[..if random_cases() > 10 { 2 } else { 1 }] {
        wrong_numbers(&mut corpus, name, file);
    }
    absurd_pixel_sizes(&mut corpus, &tiffs);
    for (name, picture) in good_pictures() {
        let mut places = vec![2, 8, 12, 20, 33, picture.len() / 2, picture.len() - 1];
        places.retain(|place| *place < picture.len());
        for place in places {
            corpus.add(name, &picture[..place], Handled);
        }
        random_changes(&mut corpus, name, &picture, &[0]);
    }
    no_slides(&mut corpus, &tiffs);
    #[cfg(unix)]
    no_files(&mut corpus, &tiffs);
    corpus
}

/// Open a slide and look at all of it, as a window and an embedding would; what came of it in one line.
fn look_at(path: &Path) -> String {
    let source = match slide::open(path, None) {
        Ok(source) => source,
        Err(error) => return format!("refused {error}"),
    };
    let info = source.info();
    let mut failures = Vec::new();
    for (index, level) in info.levels.iter().enumerate() {
        let far = i64::from(level.width.min(level.height)) - 200;
        for place in [0, far] {
            let region = LevelRect { level: index as u32, x: place, y: place, width: 300, height: 300 };
            failures.extend(source.read(&region).err().map(|error| error.to_string()));
        }
    }
    let associated = info.associated.iter().map(|name| source.associated(name).map(drop));
    failures.extend(associated.filter_map(Result::err).map(|error| error.to_string()));
    failures.extend(source.icc_profile().err().map(|error| error.to_string()));
    // The whole of a small slide; that of a large one takes long however sound it is.
    if u64::from(info.width()) * u64::from(info.height()) < 4 << 20 {
        failures.extend(pipeline::thumbnail(source.as_ref(), 128).err().map(|error| error.to_string()));
    }
    match failures.into_iter().find(|message| !is_a_good_message(message, path)) {
        Some(message) => format!("bad message {message:?}"),
        None if info.mpp.is_none() => "opens uncalibrated".to_owned(),
        None => "opens".to_owned(),
    }
}

/// The file, then the reason, in one line.
fn is_a_good_message(message: &str, path: &Path) -> bool {
    let named = message.strip_prefix(&format!("{}: ", path.display()));
    named.is_some_and(|reason| reason.len() > 8 && !reason.contains('\n') && !reason.contains("panicked"))
}

/// The process that opens broken slides: it is told where they lie, and which to begin with.
#[test]
#[ignore = "started by the test below, with a bound on its memory"]
fn in_a_process_of_its_own() {
    let Some(list) = std::env::var_os("HISTOKIN_BROKEN_LIST") else { return };
    for path in fs::read(list).unwrap().split(|byte| *byte == 0).filter(|path| !path.is_empty()) {
        #[cfg(unix)]
        let path = Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path));
        #[cfg(not(unix))]
        let path = Path::new(std::str::from_utf8(path).unwrap());
        println!("\n@ {}", look_at(path).replace('\n', "\u{2424}"));
    }
}

/// Look at `paths` one after the other in a process of bounded memory; the outcome of each. A process that dies
/// or hangs is begun anew behind the slide that it was at.
fn outcomes(folder: &Path, paths: &[PathBuf]) -> Vec<String> {
    let mut outcomes: Vec<String> = Vec::new();
    while outcomes.len() < paths.len() {
        let list = folder.join("list");
        let left = paths[outcomes.len()..].iter().map(|path| path.as_os_str().as_encoded_bytes());
        fs::write(&list, left.collect::<Vec<_>>().join(&0)).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["broken_slides::in_a_process_of_its_own", "--exact", "--ignored", "--nocapture"])
            .env("HISTOKIN_BROKEN_LIST", &list)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        #[cfg(unix)]
        bound_memory(&mut command);
        let mut child = command.spawn().unwrap();
        let (sender, receiver) = mpsc::channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reader = std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| {
                let _ = sender.send(line);
            });
        });
        let ended = loop {
            match receiver.recv_timeout(TIMEOUT) {
                Ok(line) => outcomes.extend(line.strip_prefix("@ ").map(str::to_owned)),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    child.kill().unwrap();
                    break "hangs";
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break "crashes",
            }
        };
        let status = child.wait().unwrap();
        reader.join().unwrap();
        if outcomes.len() < paths.len() {
            println!("{}: {ended}", paths[outcomes.len()].display());
            outcomes.push(format!("{ended} ({status})"));
        }
    }
    outcomes
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "limits are set between fork and exec")]
fn bound_memory(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let bound = || {
        let limit = libc::rlimit { rlim_cur: MOST_BYTES, rlim_max: MOST_BYTES };
        // SAFETY: the call takes a pointer to a limit that lives until it returns, and may be made between fork
        // and exec.
        match unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: the closure does nothing but the one system call above, which is safe after a fork.
    unsafe { command.pre_exec(bound) };
}

/// What such files claim would take all memory, or all day.
#[test]
fn claims_that_no_slide_makes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_, good) = good_tiffs(folder.path()).swap_remove(0);
    let fields = directories(&good);
    for (tag, wrong, words) in [
        (tag::TILE_WIDTH, i32::MAX as u64, "tiles of 2147483647 × 256 px"),
        (tag::IMAGE_WIDTH, 1_573_276, "but it lists"),
    ] {
        let mut broken = good.clone();
        let field = fields[0].field(tag).unwrap();
        put(&mut broken, field.values.start, field.bytes_each, wrong);
        let path = folder.path().join("broken.tif");
        fs::write(&path, &broken).unwrap();
        let message = slide::open(&path, None).err().expect("it is refused").to_string();
        assert!(message.contains(words) && is_a_good_message(&message, &path), "{message}");
    }
}

#[test]
#[ignore = "takes minutes: `make torture` does it"]
fn broken_slides_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let corpus = build(folder.path());
    let paths: Vec<PathBuf> = corpus.cases.iter().map(|(path, _)| path.clone()).collect();
    let mut wrong = Vec::new();
    let (mut refused, mut opened) = (0, 0);
    for ((path, expected), outcome) in corpus.cases.iter().zip(outcomes(folder.path(), &paths)) {
        let message = outcome.strip_prefix("refused ").map(|message| message.replace('\u{2424}', "\n"));
        let is_good = message.as_ref().is_none_or(|message| is_a_good_message(message, path));
        let opens = outcome.starts_with("opens");
        let fits = match expected {
            Refused(words) => message.as_ref().is_some_and(|message| message.contains(words)),
            Opens => opens,
            OpensUncalibrated => outcome == "opens uncalibrated",
            Handled => opens || message.is_some(),
        };
        refused += usize::from(message.is_some());
        opened += usize::from(opens);
        if !(fits && is_good) {
            wrong.push(format!("{}: {outcome}", path.display()));
        }
    }
    println!(
        "broken slides: {} tried, {refused} refused, {opened} read, {} wrong, in {:.0} s",
        paths.len(),
        wrong.len(),
        started.elapsed().as_secs_f64()
    );
    if !wrong.is_empty() {
        // For looking at.
        let kept = folder.keep();
        panic!("kept in {}:\n{}", kept.display(), wrong.join("\n"));
    }
}
