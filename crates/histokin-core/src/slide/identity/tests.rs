use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

/// Bytes that look like compressed ones.
fn noise(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed;
    let step = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(step).take(length).collect()
}

/// A file of `size` bytes of which only these parts are written.
fn sparse(folder: &TempDir, name: &str, size: u64, parts: &[(u64, &[u8])]) -> PathBuf {
    let path = folder.path().join(name);
    let mut file = File::create(&path).unwrap();
    file.set_len(size).unwrap();
    for (start, bytes) in parts {
        file.seek(SeekFrom::Start(*start)).unwrap();
        file.write_all(bytes).unwrap();
    }
    path
}

/// A little-endian directory of LONG entries (tag, values); values outside of it follow it.
fn directory(at: u64, is_big: bool, entries: &[(u16, &[u64])], next: u64) -> Vec<u8> {
    let (count_bytes, each, room) = if is_big { (8, 20, 8) } else { (2, 12, 4) };
    let number = |value: u64, bytes: usize| value.to_le_bytes()[..bytes].to_vec();
    let mut bytes = number(entries.len() as u64, count_bytes);
    let mut far_at = at + (count_bytes + entries.len() * each + room) as u64;
    let mut far = Vec::new();
    for (tag, values) in entries {
        bytes.extend(number(u64::from(*tag), 2));
        bytes.extend(number(4, 2));
        bytes.extend(number(values.len() as u64, room));
        let stored: Vec<u8> = values.iter().flat_map(|value| number(*value, 4)).collect();
        if stored.len() <= room {
            bytes.extend(&stored);
            bytes.resize(bytes.len() + room - stored.len(), 0);
        } else {
            bytes.extend(number(far_at, room));
            far_at += stored.len() as u64;
            far.extend(stored);
        }
    }
    bytes.extend(number(next, room));
    bytes.extend(far);
    bytes
}

/// A TIFF file of `size` bytes with one image whose tiles are so long, and a second one in a sub-directory.
fn tiff(folder: &TempDir, name: &str, size: u64, is_big: bool, lengths: &[u64], compression: u64) -> PathBuf {
    let (first, second) = (1000, 500_000);
    let header = match is_big {
        true => [b"II\x2b\0\x08\0\0\0".as_slice(), &u64::to_le_bytes(first)].concat(),
        false => [b"II\x2a\0".as_slice(), &(first as u32).to_le_bytes()].concat(),
    };
    let main = directory(first, is_big, &[(256, &[4000]), (259, &[compression]), (330, &[second])], 0);
    let sub = directory(second, is_big, &[(259, &[compression]), (325, lengths)], 0);
    sparse(folder, name, size, &[(0, &header), (first, &main), (second, &sub)])
}

const MIB: u64 = 1 << 20;

#[test]
fn ids_of_made_files_are_pinned() {
    let folder = TempDir::new().unwrap();
    let small = sparse(&folder, "small", 5000, &[(100, &noise(1, 1000))]);
    let medium = sparse(&folder, "medium", 20 * MIB, &[(15 * MIB, &noise(2, 1000))]);
    let large = sparse(&folder, "large", 65 * MIB, &[(0, &noise(3, 40_000))]);
    let bitmap = sparse(&folder, "bitmap", 65 * MIB, &[(0, b"BM"), (65 * MIB - 500, &noise(4, 500))]);
    let lengths: Vec<u64> = (100..400).collect();
    let compressed = tiff(&folder, "compressed", 17 * MIB, false, &lengths, 7);
    let big = tiff(&folder, "big", 70 * MIB, true, &lengths, 7);
    let plain = tiff(&folder, "plain", 70 * MIB, false, &[196_608; 300], 1);
    let found: Vec<String> = [small, medium, large, bitmap, compressed, big, plain]
        .iter()
        .map(|path| of(path).unwrap().0)
        .collect();
    assert_eq!(found, GOLDEN);
}

/// Of the definition at the head of `identity.rs`, computed by a second implementation of it.
const GOLDEN: [&str; 7] = [
    "2cda2b3c21fe71a4906a6848bcb52ed3da5e985689f833a90f094b914a158e4e",
    "5d1ad97009462d2cfefac48923e674c3bb3c9339f543e5bdcdc6461be30cae7c",
    "76e2b98a782f24c1ef7fcf8f0961b439bfeec26cc6b7c77ffa69928b3b1e2dd0",
    "57a5a6a30a61f800e50ab33cddbc16ec2c47b9d014536dd6ff6071ba417d5c90",
    "3d66dcc1b24039d04f51ed5b4d86429206a16a1adffa79a30b920546ed61d895",
    "64bf5034e1a3484ed2e504406cc06c690571742f27c6918439c8e868e0f22906",
    "3bc1780da4e911c4205bf761084381eb28e787058dd43fe83bc8d13aef053494",
];

#[test]
fn the_length_of_one_tile_of_a_sub_directory_makes_another_slide() {
    let folder = TempDir::new().unwrap();
    for is_big in [false, true] {
        let lengths: Vec<u64> = (100..400).collect();
        let one = of(&tiff(&folder, "one.tif", 20 * MIB, is_big, &lengths, 7)).unwrap();
        let mut others = lengths.clone();
        others[150] += 1;
        let other = of(&tiff(&folder, "other.tif", 20 * MIB, is_big, &others, 7)).unwrap();
        assert_ne!(one, other);
    }
}

#[test]
fn uncompressed_pixels_between_equal_margins_make_another_slide() {
    let folder = TempDir::new().unwrap();
    let lengths = [65_536; 300];
    for size in [20 * MIB, 80 * MIB] {
        // Tissue in the middle tenth of the file.
        let tissue = |seed: u32| noise(seed, (size / 10) as usize);
        let write = |name: &str, seed: u32| {
            let path = tiff(&folder, name, size, false, &lengths, 1);
            let mut file = File::options().write(true).open(&path).unwrap();
            file.seek(SeekFrom::Start(size / 2)).unwrap();
            file.write_all(&tissue(seed)).unwrap();
            of(&path).unwrap()
        };
        assert_ne!(write("one", 1), write("other", 2));
        assert_eq!(write("one", 1), write("a copy of one", 1));
    }
}

#[test]
fn hostile_directories_are_read_in_bounds() {
    let folder = TempDir::new().unwrap();
    // One that leads to itself, and one that claims more values than the file has bytes.
    let loops = directory(8, false, &[(330, &[8, 8, 8])], 8);
    let claims =
        [b"\x01\0".as_slice(), &[0x45, 1, 4, 0, 0xff, 0xff, 0xff, 0xff, 8, 0, 0, 0], &[0; 4]].concat();
    for (name, body) in [("loops", loops), ("claims", claims), ("cut", vec![0xff; 3])] {
        let path = sparse(&folder, name, 17 * MIB, &[(0, b"II\x2a\0\x08\0\0\0"), (8, &body)]);
        assert!(of(&path).unwrap().is_plain(), "{name}");
    }
    assert!(of(folder.path()).is_err());
    assert!(of(&folder.path().join("none")).is_err());
    assert!(of(&sparse(&folder, "empty", 0, &[])).unwrap().is_plain());
}

/// A MIRAX slide called `name`, with a thing of the operating system in its folder.
fn mirax(folder: &TempDir, name: &str, data: u32) -> PathBuf {
    let inside = folder.path().join(name);
    fs::create_dir_all(&inside).unwrap();
    let slidedat = "[HIERARCHICAL]\r\nINDEXFILE = Index.dat\r\n[DATAFILE]\r\nFILE_COUNT = 1\r\nFILE_0 = Data0000.dat\r\n";
    fs::write(inside.join("Slidedat.ini"), slidedat).unwrap();
    fs::write(inside.join("Index.dat"), "index").unwrap();
    fs::write(inside.join("Data0000.dat"), noise(data, 3000)).unwrap();
    fs::write(inside.join("Thumbs.db"), name).unwrap();
    let path = folder.path().join(name).with_extension("mrxs");
    fs::write(&path, "a picture").unwrap();
    path
}

#[test]
fn companions_of_mirax_and_vms_count_and_their_folder_does_not() {
    let (folder, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let one = of(&mirax(&folder, "one", 1)).unwrap();
    assert_eq!(one, of(&mirax(&folder, "renamed", 1)).unwrap());
    assert_eq!(one, of(&mirax(&elsewhere, "one", 1)).unwrap());
    assert_ne!(one, of(&mirax(&folder, "other", 2)).unwrap());
    fs::remove_file(folder.path().join("one/Data0000.dat")).unwrap();
    assert_ne!(one, of(&folder.path().join("one.mrxs")).unwrap());

    let vms = |folder: &TempDir, name: &str, seed: u32| {
        fs::write(folder.path().join("image.jpg"), noise(seed, 2000)).unwrap();
        let path = folder.path().join(name);
        fs::write(&path, "[Virtual Microscope Specimen]\nImageFile=image.jpg\nMapFile=../image.jpg\n")
            .unwrap();
        of(&path).unwrap()
    };
    assert_eq!(vms(&folder, "a.vms", 1), vms(&elsewhere, "b.VMS", 1));
    assert_ne!(vms(&folder, "a.vms", 1), vms(&folder, "a.vms", 2));
}

/// A DICOM instance, explicit little-endian, with a sequence of undefined length before what matters.
fn dicom(series: &str, uid: &str, kind: &str, columns: u32, pixels: u32) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM");
    let text = |bytes: &mut Vec<u8>, group: u16, element: u16, kind: &[u8; 2], value: &str| {
        let mut value = value.as_bytes().to_vec();
        value.resize(value.len().next_multiple_of(2), if kind == b"UI" { 0 } else { b' ' });
        bytes.extend(group.to_le_bytes());
        bytes.extend(element.to_le_bytes());
        bytes.extend(kind);
        bytes.extend((value.len() as u16).to_le_bytes());
        bytes.extend(value);
    };
    text(&mut bytes, 2, 0x10, b"UI", "1.2.840.10008.1.2.1");
    text(&mut bytes, 8, 8, b"CS", kind);
    text(&mut bytes, 8, 0x18, b"UI", uid);
    // A sequence with an item with a sequence, all of undefined length.
    let open: [&[u8]; 2] = [b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff", b"\xfe\xff\0\xe0\xff\xff\xff\xff"];
    let close: [&[u8]; 2] = [b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"];
    bytes.extend([open.concat(), open.concat()].concat());
    text(&mut bytes, 8, 0x1155, b"UI", "9.9");
    bytes.extend([close.concat(), close.concat()].concat());
    text(&mut bytes, 0x20, 0xe, b"UI", series);
    for (element, value) in [(1_u16, 0), (6, columns), (7, 1000)] {
        bytes.extend(0x48_u16.to_le_bytes());
        bytes.extend(element.to_le_bytes());
        bytes.extend(b"UL\x04\0");
        bytes.extend(u32::to_le_bytes(value));
    }
    bytes.extend(noise(pixels, 500));
    bytes
}

#[test]
fn every_instance_of_a_dicom_series_is_the_same_slide() {
    let folder = TempDir::new().unwrap();
    let put = |name: &str, bytes: Vec<u8>| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let level_0 = put("a.dcm", dicom("1.2.3", "1.2.3.1", r"DERIVED\PRIMARY\VOLUME\NONE", 4000, 1));
    let level_1 = put("b.dcm", dicom("1.2.3", "1.2.3.2", r"DERIVED\PRIMARY\VOLUME\RESAMPLED", 1000, 2));
    let label = put("c.dcm", dicom("1.2.3", "1.2.3.3", r"ORIGINAL\PRIMARY\LABEL\NONE", 9000, 3));
    let other = put("d.dcm", dicom("1.2.4", "1.2.4.1", r"DERIVED\PRIMARY\VOLUME\NONE", 8000, 1));
    put("notes.txt", b"no slide".to_vec());
    let id = of(&level_0).unwrap();
    assert_eq!(id, of(&level_1).unwrap());
    assert_eq!(id, of(&label).unwrap());
    assert_ne!(id, of(&other).unwrap());
    // A copy of the whole file beside it, or alone elsewhere, is the same slide.
    put("copy of a.dcm", fs::read(&level_0).unwrap());
    assert_eq!(id, of(&level_1).unwrap());
    let elsewhere = TempDir::new().unwrap();
    fs::copy(&level_0, elsewhere.path().join("x")).unwrap();
    assert_eq!(id, of(&elsewhere.path().join("x")).unwrap());
    put("a.dcm", dicom("1.2.3", "1.2.3.1", r"DERIVED\PRIMARY\VOLUME\NONE", 4000, 9));
    fs::remove_file(folder.path().join("copy of a.dcm")).unwrap();
    assert_ne!(id, of(&level_1).unwrap());
    // Cut short anywhere, it is still some file.
    let whole = dicom("1.2.3", "1.2.3.1", r"DERIVED\PRIMARY\VOLUME\NONE", 4000, 1);
    for length in (132..whole.len()).step_by(3) {
        let cut = put("cut.dcm", whole[..length].to_vec());
        assert!(of(&cut).is_ok());
    }
}
