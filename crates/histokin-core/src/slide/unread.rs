//! The names of formats that are not read, to say what a file is instead of what it is not.

use std::io::Read;
use std::path::Path;

use crate::untrusted;

/// Bytes that are looked at.
const HEAD: u64 = 64;

/// What the file is, where it is something known that is not read, with what to do about it.
pub(super) fn named(path: &Path) -> Option<String> {
    let mut head = Vec::new();
    untrusted::open(path).ok()?.take(HEAD).read_to_end(&mut head).ok()?;
    let (kind, remedy) = kind(&head)?;
    Some(format!("it is {kind}, which histokin does not read; {remedy}"))
}

const SAVE: &str = "save it as PNG or TIFF with another program";
const EXPORT: &str = "export it as a pyramidal tiled TIFF from its own program or QuPath";

fn kind(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let brand = || head.get(8..12).filter(|_| head.get(4..8) == Some(b"ftyp"));
    let table: [(&[u8], &str, &str); 13] = [
        (b"GIF8", "a GIF picture", SAVE),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture", EXPORT),
        (b"\xff\x4f\xff\x51", "a JPEG 2000 picture", EXPORT),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture", SAVE),
        (b"\xff\x0a", "a JPEG XL picture", SAVE),
        (b"II\xbc", "a JPEG XR picture", SAVE),
        (b"8BPS", "a Photoshop picture", SAVE),
        (b"%PDF", "a PDF document", "export the picture in it as PNG or TIFF"),
        (b"\x89HDF", "an HDF5 file", "features are taken in with “histokin import”"),
        (b"PK\x03\x04", "a ZIP archive", "unpack it first"),
        (b"\x1f\x8b", "a packed file (gzip)", "unpack it first"),
        (b"7z\xbc\xaf", "a 7-Zip archive", "unpack it first"),
        (b"\xd0\xcf\x11\xe0", "an OLE file (Zeiss ZVI, Olympus OIB, Microsoft Office)", EXPORT),
    ];
    let known = table.iter().find(|(magic, ..)| head.starts_with(magic));
    known.map(|(_, kind, remedy)| (*kind, *remedy)).or_else(|| match brand()? {
        b"avif" | b"avis" => Some(("an AVIF picture", SAVE)),
        b"heic" | b"heix" | b"hevc" | b"mif1" | b"msf1" => Some(("a HEIC picture", SAVE)),
        _ => None,
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
        ] {
            assert!(kind(head).is_some_and(|(kind, _)| kind.contains(name)), "{name}");
        }
        assert!(kind(b"\x89PNG\r\n").is_none() && kind(b"").is_none());
    }
}
