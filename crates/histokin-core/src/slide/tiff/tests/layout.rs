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
    for (pages, widths) in [
        (vec![page(&fine), page(&half), page(&quarter)], vec![256, 128, 64]),
        (vec![page(&fine), page(&other), page(&quarter)], vec![256, 64]),
        // What the file calls a reduced version is one.
        (vec![page(&fine), page(&other).with(254, 4, &[1])], vec![256, 128]),
    ] {
        let opened = opened(&file_of(&pages, false, false));
        let info = slide(&opened).info();
        assert_eq!(info.levels.iter().map(|level| level.width).collect::<Vec<u32>>(), widths);
        let said: Vec<String> = info.warnings.iter().map(|warning| warning.text()).collect();
        let wanted = ["it also contains a different image of 128 × 96 px, which is not shown"];
        assert_eq!(said, if widths.len() == 2 && widths[1] == 64 { &wanted[..] } else { &[] });
        let coarsest = info.levels.len() as u32 - 1;
        assert!(widths.contains(&128) || whole(slide(&opened), coarsest) == as_rgba(&quarter));
    }
}

#[test]
fn a_label_that_is_flagged_as_a_reduced_image_is_no_level() {
    let level = |factor: u32| {
        let chunks = tiles(&picture((128 / factor, 96 / factor)), rgb);
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
            assert!(whole(slide, 1) == as_rgba(&picture((64, 48))));
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
