//! Files that are damaged, contradict themselves, claim more than they hold, or leave out what others state.

use proptest::prelude::*;

use super::*;

#[test]
fn counts_that_no_file_can_hold_take_no_memory() {
    let mut file = tiff_bytes(&MadeTiff { is_big: true, ..MadeTiff::default() });
    let walk = |file: &[u8]| {
        let (mut tiff, first) = Tiff::begin(Cursor::new(file.to_vec()))?;
        page::pages(&mut tiff, first).map(|pages| pages.len())
    };
    let first = u64::from_le_bytes(file[8..16].try_into().unwrap()) as usize;
    file[first..first + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(walk(&file).is_err());
    file[8..16].copy_from_slice(&(u64::MAX - 3).to_le_bytes());
    assert!(walk(&file).is_err());
    let mut file = tiff_bytes(&MadeTiff::default());
    let first = u32::from_le_bytes(file[4..8].try_into().unwrap());
    let tags = u16::from_le_bytes(file[first as usize..][..2].try_into().unwrap());
    let next = first as usize + 2 + 12 * usize::from(tags);
    file[next..next + 4].copy_from_slice(&first.to_le_bytes());
    assert_eq!(walk(&file), Err("its chain of directories does not end".to_owned()));
}

#[test]
fn tiles_that_claim_too_much_are_refused_before_memory_is_taken() {
    let huge = |compression: u64, edge: u64| {
        page(vec![vec![1; 64]])
            .with(256, 4, &[edge])
            .with(257, 4, &[edge])
            .with(322, 4, &[edge])
            .with(323, 4, &[edge])
            .with(259, 3, &[compression])
    };
    let side = u64::from(u32::MAX);
    let strip = MadePage::new((u32::MAX, u32::MAX), None, vec![vec![1; 64]]).of_samples(&[8, 8, 8], 2);
    let made =
        [huge(8, 1 << 31), huge(50000, 16_000), huge(5, 12_000), huge(1, 1 << 20), huge(1, side), strip];
    for made in made {
        let opened = opened(&file_of(&[made], false, true));
        if let Ok(slide) = &opened.slide {
            let error = slide.read(&LevelRect { level: 0, x: 0, y: 0, width: 8, height: 8 }).unwrap_err();
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// However a file is modified, it is either read or refused with a message of one line, and so is every
    /// region of it.
    #[test]
    fn mutated_files_are_read_or_refused(
        kind in 0..6_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..16),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let picture = picture(SIZE);
        let raw = tiles(&picture, rgb);
        let packed = |pack: fn(&[u8]) -> Vec<u8>| raw.iter().map(|tile| pack(tile)).collect::<Vec<_>>();
        let made = match kind {
            0 => page(raw),
            1 => page(packed(zlib)).with(259, 3, &[8]),
            2 => page(packed(|tile| zstd::bulk::compress(tile, 1).unwrap_or_default())).with(259, 3, &[50000]),
            3 => MadePage::new(SIZE, None, vec![picture.as_raw().clone()]).of_samples(&[8, 8, 8], 2),
            4 => page(tiles(&picture, |pixel| vec![pixel[0], 1])).of_samples(&[16], 1),
            _ => page(packed(|tile| weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8).encode(tile).unwrap_or_default())).with(259, 3, &[5]),
        };
        let mut file = file_of(&[made], kind % 2 == 0, kind == 3);
        // Directories come last: changes mostly affect them, and some of the pixels.
        let tail = file.len().saturating_sub(400);
        for (position, byte) in changes {
            let at = if byte % 4 == 0 { position.index(file.len()) } else { tail + position.index(file.len() - tail) };
            file[at] = byte;
        }
        if cuts {
            file.truncate(cut.index(file.len()).max(1));
        }
        let opened = opened(&file);
        match &opened.slide {
            Err(error) => prop_assert!(!error.to_string().contains('\n')),
            Ok(slide) => {
                let region = LevelRect { level: 0, x: 0, y: 0, width: 50, height: 40 };
                match slide.read(&region) {
                    Ok(pixels) => prop_assert_eq!(pixels.dimensions(), (50, 40)),
                    Err(error) => prop_assert!(!error.to_string().contains('\n')),
                }
            }
        }
    }
}

#[test]
fn lengths_that_are_not_stated_follow_from_what_is() {
    let picture = picture(SIZE);
    let strips = |compression: u64, pack: fn(&[u8]) -> Vec<u8>| {
        let chunks = picture.as_raw().chunks(50 * 3 * 10).map(pack).collect();
        let page = MadePage::new(SIZE, None, chunks).of_samples(&[8, 8, 8], 2);
        page.with(259, 3, &[compression]).with(278, 3, &[10])
    };
    // The tag is written under a number that nobody knows.
    let without = |made: MadePage, is_big_endian| {
        let mut bytes = file_of(&[made], is_big_endian, false);
        let number = |value: u32, bytes: usize| match is_big_endian {
            true => value.to_be_bytes()[4 - bytes..].to_vec(),
            false => value.to_le_bytes()[..bytes].to_vec(),
        };
        // Tag, type and number of values.
        let entry = [number(279, 2), number(4, 2), number(4, 4)].concat();
        let at = bytes.windows(8).rposition(|part| part == entry).unwrap();
        bytes[at..at + 2].fill(0xff);
        bytes
    };
    let zero = strips(1, <[u8]>::to_vec);
    let mut zeros = file_of(&[zero], false, false);
    let counts = (0..4).map(|_| 1500_u32.to_le_bytes()).collect::<Vec<_>>().concat();
    let at = zeros.windows(16).rposition(|part| part == counts).unwrap();
    zeros[at..at + 16].fill(0);
    for (what, bytes) in [
        ("plain", without(strips(1, <[u8]>::to_vec), false)),
        ("Deflate", without(strips(8, zlib), false)),
        ("Deflate, big-endian", without(strips(8, zlib), true)),
        ("zeros", zeros),
    ] {
        let opened = opened(&bytes);
        assert!(whole(slide(&opened), 0) == as_rgba(&picture), "{what}");
    }
}

#[test]
fn contradictory_tags_are_read_as_libtiff_reads_them() {
    let picture = picture(SIZE);
    let main = || page(tiles(&picture, rgb));
    // A picture in strips, beside the slide and of a larger area.
    let macro_picture = || MadePage::new((3000, 1), None, vec![vec![0; 9000]]).of_samples(&[8, 8, 8], 2);
    for (what, odd) in [
        ("no contradiction", main()),
        ("NewSubfileType has two values", main().with(254, 4, &[1, 1])),
        ("the main picture is called a reduced version", main().with(254, 4, &[1])),
        ("the main picture is called a mask", main().with(254, 4, &[4])),
        ("Orientation has two values", main().with(274, 3, &[3, 3])),
        ("PhotometricInterpretation is of a signed type", main().with(262, 9, &[2])),
    ] {
        let opened = opened(&file_of(&[odd, macro_picture()], false, false));
        assert!(whole(slide(&opened), 0) == as_rgba(&picture), "{what}");
    }
}
