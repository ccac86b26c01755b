//! Names of known formats that histokin cannot read, so that the error says what the file or folder is.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::untrusted;

/// Number of bytes that are inspected.
const HEAD: u64 = 1024;

/// Maximum number of entries of a folder that are inspected.
const MOST_ENTRIES: usize = 10_000;

/// Returns a message with the format of the file and a remedy, if the format is known but not supported.
pub(super) fn named(path: &Path) -> Option<String> {
    let mut head = Vec::new();
    untrusted::open(path).ok()?.take(HEAD).read_to_end(&mut head).ok()?;
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let (kind, remedy) = kind(&head).or_else(|| text_kind(&head)).or_else(|| kind_by_ending(&ending))?;
    Some(format!("it is {kind}, which histokin cannot read; {remedy}"))
}

/// Returns why a folder that is not a DICOM slide is no slide, with a remedy.
pub(super) fn folder(path: &Path) -> String {
    match folder_kind(path) {
        Some(kind) => format!("it is {kind}, which histokin cannot read; {EXPORT}"),
        None => "it is a folder; name a file in it".to_owned(),
    }
}

/// Returns what a folder is that as a whole is one image in a format that histokin cannot read; `None` for other folders.
pub fn folder_kind(path: &Path) -> Option<&'static str> {
    let has = |name: &str| path.join(name).exists();
    if has(".zattrs") || has(".zgroup") || has(".zarray") || has("zarr.json") {
        return Some("a Zarr image (OME-Zarr, NGFF)");
    }
    has("ImageProperties.xml").then_some("a Zoomify image")
}

/// Returns why a file is not the slide itself, with a remedy: Olympus's `.vsi` is a TIFF with the overview and the label, and
/// the slide is in the folder `_NAME_` beside it.
pub(super) fn kept_elsewhere(path: &Path) -> Option<String> {
    let folder = folder_of_vsi(path)?;
    let name = folder.file_name()?.to_string_lossy().into_owned();
    folder.is_dir().then(|| {
        format!(
            "it contains the overview of an Olympus slide (VSI), whose pixels are in the folder “{name}” beside it, \
             which histokin cannot read; {EXPORT}"
        )
    })
}

/// Returns a warning about a file that may not be the slide itself, although the folder of the slide is not there.
pub(super) fn may_be_elsewhere(path: &Path) -> Option<String> {
    let name = folder_of_vsi(path)?.file_name()?.to_string_lossy().into_owned();
    Some(format!(
        "an Olympus slide (VSI) keeps its pixels in a folder “{name}” beside it, which is missing: this may be its \
         overview only"
    ))
}

/// The folder beside an Olympus `.vsi` file in which its slide is stored; `None` for other files. Returned as it is spelt on
/// the disk if it is there.
fn folder_of_vsi(path: &Path) -> Option<PathBuf> {
    if !path.extension()?.eq_ignore_ascii_case("vsi") {
        return None;
    }
    let name = format!("_{}_", path.file_stem()?.to_string_lossy());
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(parent).ok().into_iter().flatten().take(MOST_ENTRIES).flatten();
    let is_named =
        |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().to_lowercase() == name.to_lowercase();
    let found = entries.filter(is_named).map(|entry| entry.path()).next();
    Some(found.unwrap_or_else(|| parent.join(name)))
}

/// Returns what kind of JPEG a file is that the decoder of pictures does not know, with a remedy; `None` for all other files.
pub(super) fn odd_jpeg(path: &Path) -> Option<String> {
    let mut head = Vec::new();
    untrusted::open(path).ok()?.take(MOST_JPEG_HEAD).read_to_end(&mut head).ok()?;
    let kind = jpeg_kind(&head)?;
    Some(format!("it is {kind}, which histokin cannot read; {SAVE}"))
}

/// Returns the kind of a JPEG by its frame header (ITU T.81, table B.1), if it is unusual.
fn jpeg_kind(head: &[u8]) -> Option<String> {
    let mut rest = head.strip_prefix(b"\xff\xd8")?;
    loop {
        let [0xff, marker, after @ ..] = rest else { return None };
        match marker {
            // Bytes that fill up, and markers without a segment.
            0xff => rest = &rest[1..],
            0x01 | 0xd0..=0xd8 => rest = after,
            0xc4 | 0xc8 | 0xcc | 0xda => {
                if *marker == 0xda {
                    return None;
                }
                rest = after.get(segment_bytes(after)?..)?;
            }
            0xc0..=0xcf | 0xf7 => {
                let bits = *after.get(2)?;
                return Some(match marker {
                    0xf7 => "a JPEG-LS image".to_owned(),
                    0xc3 | 0xc7 | 0xcb | 0xcf => "a lossless JPEG".to_owned(),
                    0xc5 | 0xc6 | 0xcd | 0xce => "a hierarchical JPEG".to_owned(),
                    _ if bits != 8 => format!("a JPEG of {bits} bits"),
                    0xc9 | 0xca => "a JPEG with arithmetic coding".to_owned(),
                    _ => return None,
                });
            }
            _ => rest = after.get(segment_bytes(after)?..)?,
        }
    }
}

/// Number of bytes of a segment, with its length.
fn segment_bytes(segment: &[u8]) -> Option<usize> {
    let [high, low, ..] = segment else { return None };
    Some(u16::from_be_bytes([*high, *low]).into())
}

/// Maximum number of bytes of a JPEG that are searched for its frame header.
const MOST_JPEG_HEAD: u64 = 1 << 20;

const SAVE: &str = "save it as PNG or TIFF with another program";
const EXPORT: &str = "export it as a pyramidal tiled TIFF from its own program or QuPath";
const COPY_AGAIN: &str = "copy or download the slide again";

fn kind(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let brand = || head.get(8..12).filter(|_| head.get(4..8) == Some(b"ftyp"));
    let table: [(&[u8], &str, &str); 24] = [
        (b"GIF8", "a GIF image", SAVE),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image", EXPORT),
        (b"\xff\x4f\xff\x51", "a JPEG 2000 image", EXPORT),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image", SAVE),
        (b"\xff\x0a", "a JPEG XL image", SAVE),
        (b"II\xbc", "a JPEG XR image", SAVE),
        (b"8BPS", "a Photoshop image", SAVE),
        (b"\x76\x2f\x31\x01", "an OpenEXR image", SAVE),
        (b"%PDF", "a PDF document", "export its image as PNG or TIFF"),
        (b"\x89HDF", "an HDF5 file", "import features with “histokin import”"),
        (b"\x93NUMPY", "a NumPy array", "save it as a TIFF, for example with tifffile"),
        (b"PK\x03\x04", "a ZIP archive", "unpack it first"),
        (b"\x1f\x8b", "a compressed file (gzip)", "unpack it first"),
        (b"BZh", "a compressed file (bzip2)", "unpack it first"),
        (b"\xfd7zXZ\0", "a compressed file (xz)", "unpack it first"),
        (b"\x28\xb5\x2f\xfd", "a compressed file (Zstandard)", "unpack it first"),
        (b"Rar!", "a RAR archive", "unpack it first"),
        (b"7z\xbc\xaf", "a 7-Zip archive", "unpack it first"),
        (b"\xd0\xcf\x11\xe0", "an OLE file (Zeiss ZVI, Olympus OIB, Microsoft Office)", EXPORT),
        (b"SIS\0", "a part of an Olympus slide (ETS)", EXPORT),
        (b"OLYMPUSRAWFORMAT", "an Olympus image (OIR)", EXPORT),
        (b"\xda\xce\xbe\x0a", "a Nikon image (ND2)", EXPORT),
        (b"SQLite format 3", "an SQLite database", "open the slide itself"),
        (b"\xac\xed\0\x05", "a QuPath data file", "open the slide that belongs to it"),
    ];
    let known = table.iter().find(|(magic, ..)| head.starts_with(magic));
    if head.get(128..132) == Some(b"DICM") {
        return Some(("a DICOM file other than a slide, such as annotations", "open the files of the slide"));
    }
    known.map(|(_, kind, remedy)| (*kind, *remedy)).or_else(|| match brand()? {
        b"avif" | b"avis" => Some(("an AVIF image", SAVE)),
        b"heic" | b"heix" | b"hevc" | b"mif1" | b"msf1" => Some(("a HEIC image", SAVE)),
        _ => None,
    })
}

/// Returns the kind of a file that is a text, or begins with one.
fn text_kind(head: &[u8]) -> Option<(&'static str, &'static str)> {
    if head.len() == HEAD as usize && head.iter().all(|byte| *byte == 0) {
        return Some(("a file that begins with nothing but zeros", COPY_AGAIN));
    }
    // The texts looked for have no characters beyond ASCII; UTF-16 is read without its zero bytes.
    let ascii: Vec<u8> = head.iter().copied().filter(|byte| *byte != 0 && byte.is_ascii()).collect();
    let text = String::from_utf8_lossy(&ascii).trim_start().to_lowercase();
    let table = [
        (
            "version https://git-lfs",
            "a Git LFS pointer in the slide's place",
            "fetch the slide with “git lfs pull”",
        ),
        ("<!doctype html", "a web page in the slide's place", COPY_AGAIN),
        ("<html", "a web page in the slide's place", COPY_AGAIN),
        (
            "[nanozoomer digital pathology image set]",
            "a list of NDPI files",
            "open the .ndpi files that it names",
        ),
        ("<svg", "an SVG drawing", SAVE),
    ];
    if let Some((_, kind, remedy)) = table.iter().find(|(start, ..)| text.starts_with(start)) {
        return Some((kind, remedy));
    }
    let contained = [
        ("dpufsimport", "a Philips iSyntax slide", EXPORT),
        ("schemas.microsoft.com/deepzoom", "the description of a Deep Zoom image", EXPORT),
        ("<svg", "an SVG drawing", SAVE),
    ];
    let is_xml = text.starts_with('<');
    let found = contained.iter().find(|(part, ..)| is_xml && text.contains(part));
    found.map(|(_, kind, remedy)| (*kind, *remedy))
}

/// Returns the kind of a file by the ending of its name in lower case, for formats without a known beginning.
fn kind_by_ending(ending: &str) -> Option<(&'static str, &'static str)> {
    Some(match ending {
        "isyntax" | "i2syntax" => ("a Philips iSyntax slide", EXPORT),
        "kfb" | "kfba" => ("a KFBIO slide", EXPORT),
        "sdpc" | "dyqx" => ("a SQRAY slide", EXPORT),
        "tmap" => ("a UNIC slide (TMAP)", EXPORT),
        "mds" | "mdsx" => ("a Motic slide (MDS)", EXPORT),
        "ets" | "vsi" => ("an Olympus slide (VSI)", EXPORT),
        "lif" | "lof" | "xlef" => ("a Leica image (LIF)", EXPORT),
        "nd2" => ("a Nikon image (ND2)", EXPORT),
        "zvi" => ("a Zeiss ZVI image", EXPORT),
        "oib" | "oif" | "oir" => ("an Olympus image", EXPORT),
        "qpproj" => ("a QuPath project", "open its slides"),
        "mha" | "mhd" | "nrrd" | "nhdr" | "nii" => ("a radiology volume", SAVE),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_formats_are_named() {
        for (head, name) in [
            (&b"GIF89a\x10\0"[..], "GIF"),
            (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 ", "JPEG 2000"),
            (b"\0\0\0\x20ftypavif", "AVIF"),
            (b"\0\0\0\x20ftypheic", "HEIC"),
            (b"%PDF-1.7", "PDF"),
            (b"SIS\0\x40", "Olympus"),
        ] {
            assert!(kind(head).is_some_and(|(kind, _)| kind.contains(name)), "{name}");
        }
        assert!(kind(b"\x89PNG\r\n").is_none() && kind(b"").is_none());
    }

    #[test]
    fn files_are_named_by_their_texts_or_endings() {
        let folder = tempfile::tempdir().unwrap();
        let wide: Vec<u8> = "\u{feff}<html>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (name, content, expected) in [
            ("a.svs", &b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"[..], "git lfs pull"),
            ("b.svs", b"\r\n<!DOCTYPE HTML><title>Sign in</title>", "web page"),
            ("c.svs", &wide, "web page"),
            ("d.svs", &[0; HEAD as usize], "zeros"),
            ("e.isyntax", b"<?xml version=\"1.0\"?>\n<DataObject ObjectType=\"DPUfsImport\">", "iSyntax"),
            ("f.ndpis", b"[NanoZoomer Digital Pathology Image Set]\r\nNoImages=2\r\n", ".ndpi files"),
            ("g.dzi", b"<Image xmlns=\"http://schemas.microsoft.com/deepzoom/2008\"/>", "Deep Zoom"),
            ("h.KFB", b"\x01\x02", "KFBIO"),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            let named = named(&path).unwrap_or_default();
            assert!(named.contains(expected), "{name}: {named}");
        }
        for (name, content) in [("i.svs", &b"something"[..]), ("j.json", b"{}"), ("k.tif", &[0; 7])] {
            std::fs::write(folder.path().join(name), content).unwrap();
            assert_eq!(super::named(&folder.path().join(name)), None, "{name}");
        }
    }

    #[test]
    fn jpegs_that_are_not_read_are_named() {
        let jpeg = |marker: u8, bits: u8| {
            [b"\xff\xd8\xff\xe0\0\x04ab\xff\xff", &[marker, 0, 11, bits][..], b"\0\x10\0\x10\x01\x01\x11\0"]
                .concat()
        };
        for (marker, bits, name) in [
            (0xc1, 12, "12 bits"),
            (0xc3, 8, "lossless"),
            (0xf7, 8, "JPEG-LS"),
            (0xc9, 8, "arithmetic"),
            (0xc5, 8, "hierarchical"),
        ] {
            assert!(jpeg_kind(&jpeg(marker, bits)).is_some_and(|kind| kind.contains(name)), "{name}");
        }
        for usual in [0xc0, 0xc1, 0xc2] {
            assert_eq!(jpeg_kind(&jpeg(usual, 8)), None);
        }
        for length in 0..20 {
            assert_eq!(jpeg_kind(&jpeg(0xc4, 8)[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn folders_of_zarr_are_named() {
        let parent = tempfile::tempdir().unwrap();
        assert!(folder(parent.path()).contains("name a file in it"));
        std::fs::write(parent.path().join(".zgroup"), "{}").unwrap();
        assert!(folder(parent.path()).contains("OME-Zarr"));
    }

    #[test]
    fn the_overview_of_a_vsi_slide_is_not_taken_for_the_slide() {
        let folder = tempfile::tempdir().unwrap();
        let (slide, other) = (folder.path().join("Scan.vsi"), folder.path().join("Scan.tif"));
        assert_eq!(kept_elsewhere(&slide), None);
        assert!(may_be_elsewhere(&slide).is_some_and(|warning| warning.contains("“_Scan_”")));
        std::fs::create_dir(folder.path().join("_scan_")).unwrap();
        assert!(kept_elsewhere(&slide).is_some_and(|reason| reason.contains("“_scan_”")));
        assert_eq!((kept_elsewhere(&other), may_be_elsewhere(&other)), (None, None));
    }
}
