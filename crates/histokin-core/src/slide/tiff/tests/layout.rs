//! Which images of a file become levels, channels and other pictures of the slide.

use super::*;

#[test]
fn levels_lie_in_sub_ifds_or_follow_without_a_flag() {
    let fine = made::picture(128, 96);
    let reduced = |factor: u32| imageops::thumbnail(&fine, 128 / factor, 96 / factor);
    let level = |factor: u32| {
        let chunks = tiles(&reduced(factor), rgb);
        MadePage::new((128 / factor, 96 / factor), Some(TILE), chunks).of_samples(&[8, 8, 8], 2)
    };
    let in_children = MadePage { children: vec![level(2), level(4)], ..level(1) };
    for pages in [vec![in_children], vec![level(1), level(2), level(4)]] {
        let opened = opened(&file_of(&pages, false, true));
        let slide = slide(&opened);
        let sizes: Vec<(u32, u32)> =
            slide.info().levels.iter().map(|level| (level.width, level.height)).collect();
        assert_eq!(sizes, [(128, 96), (64, 48), (32, 24)]);
        assert!(whole(slide, 0) == as_rgba(&fine) && whole(slide, 2) == as_rgba(&reduced(4)));
    }
    // A thumbnail is not a level.
    let opened = opened(&file_of(
        &[level(1), MadePage::new((50, 38), None, vec![vec![0; 50 * 38 * 3]]).of_samples(&[8, 8, 8], 2)],
        false,
        false,
    ));
    assert_eq!(slide(&opened).info().levels.len(), 1);
}

#[test]
fn an_image_of_half_the_size_that_shows_something_else_is_no_level() {
    let fine = made::picture(256, 192);
    let half = imageops::thumbnail(&fine, 128, 96);
    let other = imageops::rotate180(&half);
    let page = |picture: &RgbImage| {
        MadePage::new(picture.dimensions(), Some(TILE), tiles(picture, rgb)).of_samples(&[8, 8, 8], 2)
    };
    let quarter = imageops::thumbnail(&fine, 64, 48);
    let reduced = |picture: &RgbImage| page(picture).with(254, 4, &[1]);
    let in_children =
        |level: &RgbImage| MadePage { children: vec![page(level), page(&quarter)], ..page(&fine) };
    for (pages, widths) in [
        (vec![page(&fine), page(&half), page(&quarter)], vec![256, 128, 64]),
        (vec![page(&fine), page(&other), page(&quarter)], vec![256, 64]),
        // Whatever the file calls it.
        (vec![page(&fine), reduced(&half), reduced(&quarter)], vec![256, 128, 64]),
        (vec![page(&fine), reduced(&other), reduced(&quarter)], vec![256, 64]),
        (vec![in_children(&half)], vec![256, 128, 64]),
        (vec![in_children(&other)], vec![256, 64]),
        // Of two of the same size, the one that shows the slide is its level.
        (vec![page(&fine), reduced(&half), reduced(&other), reduced(&quarter)], vec![256, 128, 64]),
        (vec![page(&fine), reduced(&other), reduced(&half), reduced(&quarter)], vec![256, 128, 64]),
    ] {
        let first = pages.iter().flat_map(|page| [page].into_iter().chain(&page.children)).nth(1);
        let is_other = first.is_some_and(|first| first.chunks == page(&other).chunks);
        let opened = opened(&file_of(&pages, false, false));
        let info = slide(&opened).info();
        assert_eq!(info.levels.iter().map(|level| level.width).collect::<Vec<u32>>(), widths);
        let said: Vec<String> = info.warnings.iter().map(|warning| warning.text()).collect();
        let wanted = ["it also contains a different image of 128 × 96 px, which is not shown"];
        assert_eq!(said, if is_other { &wanted[..] } else { &[] });
        assert!(widths.len() == 2 || whole(slide(&opened), 1) == as_rgba(&half));
        assert!(whole(slide(&opened), widths.len() as u32 - 1) == as_rgba(&quarter));
    }
}

#[test]
fn a_level_of_every_eighth_pixel_is_a_level() {
    // Areas that differ less than neighbouring pixels do, as in a sharp section.
    let random = |at: u32| {
        at.wrapping_add(1).wrapping_mul(0x9e37_79b1).rotate_left(15).wrapping_mul(0x85eb_ca77) >> 24
    };
    let area = |x: u32, y: u32| 108 + random(7 * (x / 64) + 1_000 * (y / 64)) / 6;
    let fine = RgbImage::from_fn(1024, 768, |x, y| {
        Rgb([(area(x, y) + 4 * random(x + 4096 * y) / 5).saturating_sub(102).min(255) as u8; 3])
    });
    let level = RgbImage::from_fn(128, 96, |x, y| *fine.get_pixel(8 * x, 8 * y));
    let page = |picture: &RgbImage| {
        MadePage::new(picture.dimensions(), Some(TILE), tiles(picture, rgb)).of_samples(&[8, 8, 8], 2)
    };
    for (level, count) in [(&level, 2), (&imageops::rotate180(&level), 1)] {
        let opened = opened(&file_of(&[page(&fine), page(level)], false, false));
        assert_eq!(slide(&opened).info().levels.len(), count);
    }
}

#[test]
fn another_image_among_jpeg_levels_is_no_level() {
    let fine = made::picture(256, 192);
    let half = imageops::thumbnail(&fine, 128, 96);
    let page = |picture: &RgbImage, reduced: u64| {
        let chunks = (0..picture.height().div_ceil(TILE) * picture.width().div_ceil(TILE)).map(|at| {
            let columns = picture.width().div_ceil(TILE);
            jpeg(
                &imageops::crop_imm(picture, at % columns * TILE, at / columns * TILE, TILE, TILE).to_image(),
            )
        });
        MadePage::new(picture.dimensions(), Some(TILE), chunks.collect())
            .of_samples(&[8, 8, 8], 6)
            .with(259, 3, &[7])
            .with(254, 4, &[reduced])
    };
    for (level, reader, widths) in [
        (half.clone(), Reader::RawTiles, vec![256, 128]),
        (imageops::rotate180(&half), Reader::Tiff, vec![256]),
    ] {
        let opened = opened(&file_of(&[page(&fine, 0), page(&level, 1)], false, false));
        let info = slide(&opened).info();
        assert_eq!(info.levels.iter().map(|level| level.width).collect::<Vec<u32>>(), widths);
        assert_eq!((info.reader, info.warnings.len()), (reader, usize::from(widths.len() == 1)));
    }
}

/// A page of JPEG tiles, described as Aperio does; a label has a second line.
fn aperio(picture: &RgbImage, second_line: &str) -> MadePage {
    let (width, height) = picture.dimensions();
    let columns = width.div_ceil(TILE);
    let tile = |at: u32| imageops::crop_imm(picture, at % columns * TILE, at / columns * TILE, TILE, TILE);
    let chunks = (0..height.div_ceil(TILE) * columns).map(|at| jpeg(&tile(at).to_image()));
    MadePage::new((width, height), Some(TILE), chunks.collect())
        .of_samples(&[8, 8, 8], 6)
        .with(259, 3, &[7])
        .described(&format!("Aperio Image Library v12\r\n{second_line}|AppMag = 20|MPP = 0.5"))
}

/// A picture beside the slide, in one strip.
fn beside(picture: &RgbImage, second_line: &str) -> MadePage {
    MadePage::new(picture.dimensions(), None, vec![picture.as_raw().clone()])
        .of_samples(&[8, 8, 8], 2)
        .described(&format!("Aperio Image Library v12\r\n{second_line}"))
}

#[test]
fn an_aperio_slide_takes_no_other_image_in_tiles_for_a_level() {
    let fine = made::picture(256, 192);
    let (half, quarter) = (imageops::thumbnail(&fine, 128, 96), imageops::thumbnail(&fine, 64, 48));
    let other = imageops::rotate180(&half);
    for (second, reader, widths) in
        [(&half, Reader::RawTiles, vec![256, 128, 64]), (&other, Reader::Tiff, vec![256, 64])]
    {
        let pages = [
            aperio(&fine, "256x192"),
            beside(&imageops::thumbnail(&fine, 32, 24), "32x24"),
            aperio(second, "128x96"),
            aperio(&quarter, "64x48"),
            beside(&imageops::thumbnail(&other, 64, 48), "label 64x48").with(254, 4, &[1]),
        ];
        let opened = opened(&file_of(&pages, false, false));
        let info = slide(&opened).info();
        assert_eq!(info.levels.iter().map(|level| level.width).collect::<Vec<u32>>(), widths);
        assert_eq!((info.reader, info.vendor.as_str()), (reader, "aperio"));
        assert_eq!((info.mpp.map(|mpp| mpp.x()), info.warnings.len()), (Some(0.5), 3 - widths.len()));
        assert_eq!(info.associated, ["label", "thumbnail"]);
    }
}

#[test]
fn a_second_focal_plane_and_labels_are_no_levels() {
    let plane = |angle: fn(&RgbImage) -> RgbImage| {
        let fine = angle(&made::picture(256, 192));
        [aperio(&fine, "256x192"), aperio(&imageops::thumbnail(&fine, 128, 96), "128x96")]
    };
    let (first, second) = (plane(RgbImage::clone), plane(imageops::rotate180));
    let label = imageops::rotate180(&imageops::thumbnail(&made::picture(256, 192), 64, 48));
    let label = beside(&label, "label 64x48").with(254, 4, &[1]);
    let pages: Vec<MadePage> = first.into_iter().chain(second).chain([label]).collect();
    let opened = opened(&file_of(&pages, false, false));
    let info = slide(&opened).info();
    assert_eq!(info.levels.iter().map(|level| level.width).collect::<Vec<u32>>(), [256, 128]);
    assert_eq!(info.associated, ["label"]);
    let half = imageops::thumbnail(&made::picture(256, 192), 128, 96);
    let shown = whole(slide(&opened), 1);
    assert!(shown.pixels().zip(half.pixels()).all(|(one, other)| one.0[0].abs_diff(other.0[0]) < 32));
}

#[test]
fn an_image_whose_sub_ifds_are_damaged_is_shown() {
    let fine = made::picture(128, 96);
    let page = |picture: &RgbImage| {
        MadePage::new(picture.dimensions(), Some(TILE), tiles(picture, rgb)).of_samples(&[8, 8, 8], 2)
    };
    let made = MadePage { children: vec![page(&imageops::thumbnail(&fine, 64, 48))], ..page(&fine) };
    let mut file = file_of(&[made], false, false);
    // Tag 330, one value of type 13, followed by that value.
    let entry = file.windows(8).position(|bytes| bytes == [0x4a, 1, 13, 0, 1, 0, 0, 0]).unwrap();
    let beyond = (file.len() as u32 + 9).to_le_bytes();
    file[entry + 8..entry + 12].copy_from_slice(&beyond);
    let opened = opened(&file);
    let info = slide(&opened).info();
    assert_eq!((info.levels.len(), info.warnings.len()), (1, 1));
    assert!(info.warnings[0].text().contains("images may be missing"), "{:?}", info.warnings);
    assert!(whole(slide(&opened), 0) == as_rgba(&fine));
}

#[test]
fn jpeg_tiles_whose_tables_have_no_end_are_read_although_openslide_cannot() {
    let fine = made::picture(128, 96);
    let (mut tables, mut chunks) = (Vec::new(), Vec::new());
    for at in 0..12 {
        let part = imageops::crop_imm(&fine, at % 4 * TILE, at / 4 * TILE, TILE, TILE).to_image();
        let stream = jpeg(&part);
        let (mut shared, mut own, mut rest) = (stream[..2].to_vec(), stream[..2].to_vec(), &stream[2..]);
        // Segments before the scan: a marker, and a length that counts itself.
        while rest[1] != 0xda {
            let (segment, after) = rest.split_at(2 + usize::from(u16::from_be_bytes([rest[2], rest[3]])));
            if matches!(segment[1], 0xdb | 0xc4) { &mut shared } else { &mut own }.extend_from_slice(segment);
            rest = after;
        }
        own.extend_from_slice(rest);
        tables = shared.into_iter().map(u64::from).collect();
        chunks.push(own);
    }
    let page = |tables: &[u64]| {
        let page = MadePage::new((128, 96), Some(TILE), chunks.clone()).of_samples(&[8, 8, 8], 6);
        page.with(259, 3, &[7]).with(347, 7, tables)
    };
    let whole_tables = [&tables[..], &[0xff, 0xd9]].concat();
    let expected = opened(&file_of(&[page(&whole_tables)], false, false));
    assert_eq!(slide(&expected).info().reader, Reader::RawTiles);
    let without_end = opened(&file_of(&[page(&tables)], false, false));
    assert_eq!(slide(&without_end).info().reader, Reader::Tiff);
    assert!(whole(slide(&without_end), 0) == whole(slide(&expected), 0));
}

#[test]
fn a_damaged_image_of_16_bits_is_refused_and_not_shown_black() {
    let chunks = tiles(&picture(SIZE), |pixel| (u16::from(pixel[0]) << 2).to_le_bytes().to_vec());
    let cut = MadePage::new(SIZE, Some(TILE), chunks[1..].to_vec()).of_samples(&[16], 1);
    let opened = opened(&file_of(&[cut], false, false));
    let message = opened.slide.as_ref().err().expect("it is refused").to_string();
    assert!(message.contains("tiles, but it lists"), "{message}");
}

#[test]
fn pixels_tell_padded_levels_from_resampled_ones() {
    let fine = made::picture(600, 440);
    let halved = imageops::thumbnail(&fine, 300, 220);
    let mut padded = RgbImage::from_pixel(320, 224, Rgb([255; 3]));
    imageops::replace(&mut padded, &halved, 0, 0);
    let resampled = imageops::resize(&fine, 320, 235, imageops::FilterType::Triangle);
    let page = |picture: &RgbImage| {
        MadePage::new(picture.dimensions(), Some(TILE), tiles(picture, rgb)).of_samples(&[8, 8, 8], 2)
    };
    for (level, downsample) in [(padded, 2.0), (resampled, 1.875)] {
        let opened = opened(&file_of(&[page(&fine), page(&level).with(254, 4, &[1])], false, false));
        let info = slide(&opened).info();
        assert_eq!(info.levels.len(), 2);
        assert_eq!(info.levels[1].downsample.x, downsample);
    }
}

#[test]
fn a_picture_behind_its_preview_is_the_slide() {
    let fine = made::picture(128, 96);
    let page = |picture: &RgbImage| {
        MadePage::new(picture.dimensions(), Some(TILE), tiles(picture, rgb)).of_samples(&[8, 8, 8], 2)
    };
    let preview = page(&imageops::thumbnail(&fine, 32, 24)).with(254, 4, &[1]);
    let opened = opened(&file_of(&[MadePage { children: vec![page(&fine)], ..preview }], false, false));
    assert_eq!(slide(&opened).info().levels.len(), 2);
    assert!(whole(slide(&opened), 0) == as_rgba(&fine));
}

#[test]
fn levels_that_cannot_be_read_are_left_out() {
    let fine = made::picture(256, 192);
    let page = |picture: &RgbImage| {
        MadePage::new(picture.dimensions(), Some(TILE), tiles(picture, rgb)).of_samples(&[8, 8, 8], 2)
    };
    let half = page(&imageops::thumbnail(&fine, 128, 96)).with(254, 4, &[1]).with(259, 3, &[34887]);
    let quarter = page(&imageops::thumbnail(&fine, 64, 48)).with(254, 4, &[1]);
    let opened = opened(&file_of(&[page(&fine), half, quarter], false, false));
    let info = slide(&opened).info();
    assert_eq!(info.levels.iter().map(|level| level.width).collect::<Vec<u32>>(), [256, 64]);
    let said = info.warnings[0].text();
    assert!(said.starts_with("its level of 128 × 96 px is not read") && said.contains("LERC"), "{said}");
}

#[test]
fn images_of_other_sizes_are_named() {
    let page = |size: (u32, u32)| {
        MadePage::new(size, Some(TILE), tiles(&made::picture(size.0, size.1), rgb)).of_samples(&[8, 8, 8], 2)
    };
    let opened = opened(&file_of(&[page((128, 96)), page((90, 95)), page((20, 20))], false, false));
    let said: Vec<String> = slide(&opened).info().warnings.iter().map(|warning| warning.text()).collect();
    assert_eq!(said, ["it contains 1 further image, which is not shown: one of 90 × 95 px"]);
}

#[test]
fn a_list_of_images_that_is_damaged_ends_there() {
    let fine = made::picture(128, 96);
    let page = |factor: u32| {
        let level = imageops::thumbnail(&fine, 128 / factor, 96 / factor);
        MadePage::new(level.dimensions(), Some(TILE), tiles(&level, rgb)).of_samples(&[8, 8, 8], 2).with(
            254,
            4,
            &[u64::from(factor > 1)],
        )
    };
    let file = file_of(&[page(1), page(2)], false, false);
    // The pointer to the next directory, which is 0, follows the tags of the last one.
    let tags = page(2).tags.len() + 2;
    let [low, high] = (tags as u16).to_le_bytes();
    let last = file.windows(4).rposition(|bytes| bytes == [low, high, 254, 0]).unwrap();
    let pointer = last + 2 + 12 * tags;
    assert_eq!(file[pointer..pointer + 4], [0; 4]);
    let first = u32::from_le_bytes(file[4..8].try_into().unwrap());
    for next in [first, file.len() as u32 + 9] {
        let mut file = file.clone();
        file[pointer..pointer + 4].copy_from_slice(&next.to_le_bytes());
        let opened = opened(&file);
        let info = slide(&opened).info();
        assert_eq!((info.levels.len(), info.warnings.len()), (2, 1));
        assert!(info.warnings[0].text().contains("images may be missing"), "{:?}", info.warnings);
        assert!(whole(slide(&opened), 0) == as_rgba(&fine));
    }
}

#[test]
fn imagejs_planes_without_directories_are_found() {
    let plane = |value: fn(u32, u32) -> u8| -> Vec<u8> {
        (0..SIZE.0 * SIZE.1).map(|at| value(at % SIZE.0, at / SIZE.0)).collect()
    };
    let planes = [plane(|x, _| x as u8), plane(|_, y| 3 * y as u8), plane(|x, y| (x + y) as u8)].concat();
    let description = "ImageJ=1.54f\nimages=3\nchannels=3\nhyperstack=true\nunit=micron\n";
    let made = |big_endian| {
        let page = MadePage::new(SIZE, None, vec![planes.clone()]).of_samples(&[8], 1).described(description);
        opened(&file_of(&[page], big_endian, false))
    };
    for is_big_endian in [true, false] {
        let opened = made(is_big_endian);
        let values: Vec<[f32; 2]> = slide(&opened).info().channels.iter().map(|one| one.values).collect();
        assert_eq!(values, [[0.0, 49.0], [0.0, 117.0], [0.0, 88.0]]);
    }
}

#[test]
fn a_label_that_is_flagged_as_a_reduced_image_is_no_level() {
    let fine = made::picture(128, 96);
    let half = imageops::thumbnail(&fine, 64, 48);
    let level = |factor: u32| {
        let chunks = tiles(if factor == 1 { &fine } else { &half }, rgb);
        let page = MadePage::new((128 / factor, 96 / factor), Some(TILE), chunks).of_samples(&[8, 8, 8], 2);
        page.with(254, 4, &[u64::from(factor > 1)])
    };
    let label = |tile: Option<u32>| {
        let chunks = if tile.is_some() {
            vec![vec![9; (TILE * TILE * 3) as usize]; 4]
        } else {
            vec![vec![9; 60 * 56 * 3]]
        };
        MadePage::new((60, 56), tile, chunks).of_samples(&[8, 8, 8], 2).with(254, 4, &[1])
    };
    for tile in [None, Some(TILE)] {
        let children = MadePage { children: vec![level(2), label(tile)], ..level(1) };
        for pages in
            [vec![level(1), level(2), label(tile)], vec![label(tile), level(1), level(2)], vec![children]]
        {
            let opened = opened(&file_of(&pages, false, false));
            let slide = slide(&opened);
            let sizes: Vec<u32> = slide.info().levels.iter().map(|level| level.width).collect();
            assert_eq!(sizes, [128, 64]);
            assert!(whole(slide, 1) == as_rgba(&half));
        }
    }
}

#[test]
fn images_of_an_ome_tiff_that_are_not_shown_are_named() {
    let image = |id: usize, name: &str, (width, height): (u32, u32)| {
        format!(
            r#"<Image ID="Image:{id}" Name="{name}"><Pixels DimensionOrder="XYCZT" Type="uint8" SizeX="{width}" SizeY="{height}"
            SizeC="3" SizeZ="1" SizeT="1"><Channel ID="C:{id}" SamplesPerPixel="3"/><TiffData IFD="{id}"/></Pixels></Image>"#
        )
    };
    let sizes = [("label", (30, 20)), ("Scan 1", SIZE), ("Scan 2", (40, 39))];
    let images: Vec<String> =
        sizes.iter().enumerate().map(|(id, (name, size))| image(id, name, *size)).collect();
    let text = format!(
        r#"<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{}</OME>"#,
        images.concat()
    );
    let mut pages: Vec<MadePage> = sizes
        .iter()
        .map(|(_, size)| {
            MadePage::new(*size, Some(TILE), tiles(&picture(*size), rgb)).of_samples(&[8, 8, 8], 2)
        })
        .collect();
    pages[0] = std::mem::take(&mut pages[0]).described(&text);
    let opened = opened(&file_of(&pages, false, false));
    let info = slide(&opened).info();
    assert_eq!(
        (info.width(), info.levels.len(), info.associated.as_slice()),
        (50, 1, &["label".to_owned()][..])
    );
    let said: Vec<String> = info.warnings.iter().map(|warning| warning.text()).collect();
    assert_eq!(said, ["it contains 1 further image, which is not shown: \"Scan 2\" of 40 × 39 px"]);
}

#[test]
fn a_label_that_is_larger_than_the_slide_is_a_label() {
    let sizes = [("Label image", (90, 80)), ("Scan", SIZE)];
    let image = |(id, (name, (width, height))): (usize, &(&str, (u32, u32)))| {
        format!(
            r#"<Image ID="Image:{id}" Name="{name}"><Pixels DimensionOrder="XYCZT" Type="uint8" SizeX="{width}" SizeY="{height}"
            SizeC="3" SizeZ="1" SizeT="1"><Channel ID="C:{id}" SamplesPerPixel="3"/><TiffData IFD="{id}"/></Pixels></Image>"#
        )
    };
    let images: String = sizes.iter().enumerate().map(image).collect();
    let text = format!(r#"<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{images}</OME>"#);
    let page = |size: (u32, u32)| {
        MadePage::new(size, Some(TILE), tiles(&picture(size), rgb)).of_samples(&[8, 8, 8], 2)
    };
    let opened = opened(&file_of(&[page(sizes[0].1).described(&text), page(SIZE)], false, false));
    let info = slide(&opened).info();
    assert_eq!((info.width(), info.associated.as_slice()), (SIZE.0, &["label".to_owned()][..]));
}

#[test]
fn an_ome_tiff_whose_description_is_damaged_or_elsewhere_is_shown() {
    let damaged = r#"<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image Name="a & b">"#;
    let elsewhere = r#"<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><BinaryOnly MetadataFile="a.companion.ome"/></OME>"#;
    let fine = made::picture(128, 96);
    let page = |picture: &RgbImage| {
        MadePage::new(picture.dimensions(), Some(TILE), tiles(picture, rgb)).of_samples(&[8, 8, 8], 2)
    };
    let beyond = r#"<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels SizeX="128" SizeY="96" SizeC="3">
        <Channel SamplesPerPixel="3"/><TiffData IFD="7"/></Pixels></Image></OME>"#;
    for (text, part) in [
        (damaged, "cannot be read"),
        (elsewhere, "a.companion.ome"),
        (beyond, "directories that the file does not have"),
    ] {
        let level = page(&imageops::thumbnail(&fine, 64, 48));
        let made = MadePage { children: vec![level], ..page(&fine) }.described(text);
        let opened = opened(&file_of(&[made], false, false));
        let info = slide(&opened).info();
        assert_eq!((info.vendor.as_str(), info.levels.len()), ("ome-tiff", 2));
        assert!(info.warnings[0].text().contains(part), "{:?}", info.warnings);
        assert!(whole(slide(&opened), 0) == as_rgba(&fine));
    }
}

#[test]
fn three_channels_of_a_bright_slide_are_its_colours() {
    let bright =
        RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgb([240 - x as u8, 200 - y as u8, 255 - (x + y) as u8]));
    let dark = RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgb([x as u8, 2 * y as u8, (x + y) as u8]));
    let page = |picture: &RgbImage, sample: usize| {
        MadePage::new(SIZE, Some(TILE), tiles(picture, |pixel| vec![pixel[sample]])).of_samples(&[8], 1)
    };
    let file = |picture: &RgbImage, names: [&str; 3]| {
        let channels: String = names.map(|name| format!(r#"<Channel {name} SamplesPerPixel="1"/>"#)).concat();
        let text = format!(
            r#"<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels DimensionOrder="XYCZT" SizeX="50" SizeY="40"
            SizeC="3" SizeZ="1" SizeT="1" Type="uint8">{channels}<TiffData IFD="0" PlaneCount="3"/></Pixels></Image></OME>"#
        );
        opened(&file_of(
            &[page(picture, 0).described(&text), page(picture, 1), page(picture, 2)],
            false,
            false,
        ))
    };
    let named = [r#"Name="Red""#, r#"Name="Green""#, r#"Name="Blue""#];
    let short = [r#"Name="R""#, r#"Name="G""#, r#"Name="B""#];
    for names in [[""; 3], named, short, [r#"Name="TL Brightfield""#; 3]] {
        let opened = file(&bright, names);
        assert!(whole(slide(&opened), 0) == as_rgba(&bright) && !slide(&opened).info().is_fluorescence());
        assert!(slide(&file(&dark, names)).info().is_fluorescence());
    }
    let stains = [r#"Name="DAPI""#, r#"Name="FITC""#, r#"Name="Cy5""#];
    assert!(slide(&file(&bright, stains)).info().is_fluorescence());
    // As samples of one image that is called grey.
    let samples = MadePage::new(SIZE, Some(TILE), tiles(&bright, rgb)).of_samples(&[8, 8, 8], 1);
    assert!(whole(slide(&opened(&file_of(&[samples], false, false))), 0) == as_rgba(&bright));
}

#[test]
fn channels_of_ome_are_added_up_in_their_colours() {
    let description = r#"<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
        <Image ID="Image:0"><Pixels DimensionOrder="XYZCT" Type="uint16" SizeX="50" SizeY="40" SizeC="2" SizeZ="1" SizeT="1"
        PhysicalSizeX="500" PhysicalSizeXUnit="nm" PhysicalSizeY="500" PhysicalSizeYUnit="nm"><Channel ID="Channel:0:0" Name="DAPI" Color="65535"/>
        <Channel ID="Channel:0:1" Name="FITC" Color="16711935"/><TiffData IFD="0" PlaneCount="2"/></Pixels></Image></OME>"#;
    // The left half is lit in the first channel, the upper half in the second.
    let lit = |is_lit: fn(u32, u32) -> bool| {
        let mask = RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgb([u8::from(is_lit(x, y)); 3]));
        let chunks = tiles(&mask, |pixel| (u16::from(pixel[0]) * 3000).to_le_bytes().to_vec());
        MadePage::new(SIZE, Some(TILE), chunks).of_samples(&[16], 1)
    };
    let pages = [lit(|x, _| x < 25).described(description), lit(|_, y| y < 20)];
    let opened = opened(&file_of(&pages, false, false));
    let slide = slide(&opened);
    let pixels = whole(slide, 0);
    for (x, y, colour) in
        [(5, 5, [0, 255, 255]), (45, 5, [0, 255, 0]), (5, 35, [0, 0, 255]), (45, 35, [0, 0, 0])]
    {
        assert_eq!(pixels.get_pixel(x, y).0[..3], colour, "{x}, {y}");
    }
    let info = slide.info();
    assert_eq!(info.vendor, "ome-tiff");
    assert_eq!(info.mpp.map(|mpp| (mpp.x(), mpp.y())), Some((0.5, 0.5)));
    assert_eq!(info.properties["histokin.channel[1].name"], "FITC");
    assert!(info.warnings[0].text().contains("2 channels (DAPI, FITC)"), "{:?}", info.warnings);
}

#[test]
fn an_ome_tiff_of_several_files_is_refused_in_words() {
    let plane = |t: u32, file: &str| {
        format!(r#"<TiffData IFD="0" FirstT="{t}"><UUID FileName="{file}">urn:uuid:{t}</UUID></TiffData>"#)
    };
    let description = format!(
        r#"<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels SizeX="50" SizeY="40" SizeT="2">
        <Channel SamplesPerPixel="3"/>{}{}</Pixels></Image></OME>"#,
        plane(0, "a.ome.tif"),
        plane(1, "b.ome.tif")
    );
    let opened = opened(&file_of(&[page(tiles(&picture(SIZE), rgb)).described(&description)], false, false));
    let message = opened.slide.as_ref().err().expect("it is refused").to_string();
    assert!(message.contains("several files (a.ome.tif, b.ome.tif") && !message.contains('\n'), "{message}");
}
