//! OME-TIFFs whose slide is in several files.

use std::path::Path;

use super::super::super::first_file_of_slide;
use super::*;

/// Files `c0.ome.tif`, … of one channel each, described as `own` says, in a folder.
fn set_of_channels(folder: &Path, texts: &[String]) {
    for (channel, text) in texts.iter().enumerate() {
        let value = 40 + 50 * channel as u8;
        let chunks = tiles(&picture(SIZE), |pixel| vec![if pixel.0[0] > 100 { value } else { 0 }]);
        let made = MadePage::new(SIZE, Some(TILE), chunks).of_samples(&[8], 1).described(text);
        std::fs::write(
            folder.join(format!("c{channel}.ome.tif")),
            file_of(&[made], channel == 1, channel == 2),
        )
        .unwrap();
    }
}

/// The text that describes three channels in three files.
fn description_of_set() -> String {
    let channels = ["DAPI", "FITC", "Cy5"].iter().enumerate();
    let channels: String =
        channels.map(|(index, name)| format!(r#"<Channel ID="Channel:0:{index}" Name="{name}"/>"#)).collect();
    let block = |index: usize| {
        format!(
            r#"<TiffData IFD="0" FirstC="{index}" PlaneCount="1"><UUID FileName="c{index}.ome.tif">urn:uuid:{index}</UUID></TiffData>"#
        )
    };
    let blocks: String = (0..3).map(block).collect();
    format!(
        r#"<Image ID="Image:0"><Pixels DimensionOrder="XYZCT" Type="uint8" SizeX="50" SizeY="40" SizeC="3" SizeZ="1" SizeT="1"
        PhysicalSizeX="0.65" PhysicalSizeY="0.65">{channels}{blocks}</Pixels></Image>"#
    )
}

const OME: &str = r#"xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06""#;

#[test]
fn channels_in_files_of_their_own_are_one_slide_whichever_file_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let companion = folder.path().join("set.companion.ome");
    let whole_text =
        |index: usize| format!(r#"<OME {OME} UUID="urn:uuid:{index}">{}</OME>"#, description_of_set());
    let pointer = |index: usize| {
        format!(
            r#"<OME {OME} UUID="urn:uuid:{index}"><BinaryOnly MetadataFile="set.companion.ome" UUID="x"/></OME>"#
        )
    };
    for has_companion in [false, true] {
        let texts: Vec<String> =
            (0..3).map(|index| if has_companion { pointer(index) } else { whole_text(index) }).collect();
        set_of_channels(folder.path(), &texts);
        if has_companion {
            std::fs::write(
                &companion,
                format!(r#"<?xml version="1.0"?><OME {OME}>{}</OME>"#, description_of_set()),
            )
            .unwrap();
        }
        let mut opened: Vec<Arc<dyn SlideSource>> = (0..3)
            .map(|index| open(&folder.path().join(format!("c{index}.ome.tif")), None).unwrap())
            .collect();
        if has_companion {
            opened.push(open(&companion, None).unwrap());
        }
        for slide in &opened {
            let info = slide.info();
            let names: Vec<&str> = info.channels.iter().map(|channel| channel.shown.name.as_str()).collect();
            assert_eq!(names, ["DAPI", "FITC", "Cy5"]);
            assert_eq!((info.mpp.map(|mpp| mpp.x()), &info.id), (Some(0.65), &opened[0].info().id));
            assert!(whole(slide.as_ref(), 0) == whole(opened[0].as_ref(), 0));
        }
        // All channels are seen: each has a colour of its own.
        let sum = whole(opened[0].as_ref(), 0);
        assert!(
            sum.pixels().any(|pixel| pixel.0[..3].iter().all(|value| *value > 100)),
            "{:?}",
            sum.get_pixel(40, 20)
        );
        let firsts: Vec<PathBuf> = (0..3)
            .map(|index| first_file_of_slide(&folder.path().join(format!("c{index}.ome.tif"))))
            .collect();
        assert_eq!(firsts, vec![folder.path().join("c0.ome.tif"); 3]);
    }
    // What is missing is named, and what is there is shown.
    std::fs::remove_file(folder.path().join("c2.ome.tif")).unwrap();
    let slide = open(&folder.path().join("c1.ome.tif"), None).unwrap();
    assert_eq!(slide.info().channels.len(), 2);
    let warnings: Vec<String> = slide.info().warnings.iter().map(|warning| warning.text()).collect();
    assert!(
        warnings.iter().any(|text| text.contains("1 file of it is missing (c2.ome.tif)")),
        "{warnings:?}"
    );
}

#[test]
fn a_pixel_size_is_read_from_the_companion_file_of_a_slide_and_of_no_other() {
    let text = r#"<BinaryOnly MetadataFile="slide.companion.ome"/>"#;
    let described = |name: &str| {
        format!(
            r#"<OME {OME}><Image><Pixels SizeX="50" SizeY="40" SizeC="3" PhysicalSizeX="500" PhysicalSizeXUnit="nm" PhysicalSizeY="0.5">
            <Channel SamplesPerPixel="3"/><TiffData IFD="0"><UUID FileName="{name}">u</UUID></TiffData></Pixels></Image></OME>"#
        )
    };
    let made = page(tiles(&picture(SIZE), rgb)).described(&format!("<OME {OME}>{text}</OME>"));
    let bytes = file_of(&[made], false, false);
    for (companion, named, mpp) in [
        ("slide.companion.ome", "before it was renamed.ome.tif", Some(0.5)),
        ("renamed.companion.ome", "slide.ome.tif", Some(0.5)),
        ("another.companion.ome", "another.ome.tif", None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Slide.ome.tif");
        std::fs::write(&path, &bytes).unwrap();
        let utf16: Vec<u8> =
            format!("\u{feff}{}", described(named)).encode_utf16().flat_map(u16::to_le_bytes).collect();
        std::fs::write(folder.path().join(companion), utf16).unwrap();
        let slide = open(&path, None).unwrap();
        assert_eq!(slide.info().mpp.map(|mpp| mpp.x()), mpp, "{companion}");
        assert!(whole(slide.as_ref(), 0) == as_rgba(&picture(SIZE)));
        assert_eq!(slide.info().warnings.is_empty(), mpp.is_some(), "{:?}", slide.info().warnings);
    }
}

#[test]
fn of_focal_planes_in_several_files_the_middle_one_is_shown_or_one_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let block = |z: usize| {
        format!(
            r#"<TiffData IFD="0" FirstZ="{z}"><UUID FileName="z{z}.ome.tif">urn:uuid:{z}</UUID></TiffData>"#
        )
    };
    let blocks: String = (0..3).map(block).collect();
    for z in 0..3 {
        let text = format!(
            r#"<OME {OME} UUID="urn:uuid:{z}"><Image><Pixels SizeX="50" SizeY="40" SizeC="3" SizeZ="3">
            <Channel SamplesPerPixel="3"/>{blocks}</Pixels></Image></OME>"#
        );
        let chunks = tiles(&picture(SIZE), |pixel| pixel.0.map(|value| value / 2 + 40 * z).to_vec());
        std::fs::write(
            folder.path().join(format!("z{z}.ome.tif")),
            file_of(&[page(chunks).described(&text)], false, false),
        )
        .unwrap();
    }
    let first = |z: u8| open(&folder.path().join(format!("z{z}.ome.tif")), None).unwrap();
    let depth = |slide: &dyn SlideSource| whole(slide, 0).get_pixel(0, 0).0[0] / 40;
    assert_eq!([0, 1, 2].map(|z| depth(first(z).as_ref())), [1, 1, 1]);
    std::fs::remove_file(folder.path().join("z1.ome.tif")).unwrap();
    let slide = first(2);
    assert_eq!(depth(slide.as_ref()), 0);
    let warnings: Vec<String> = slide.info().warnings.iter().map(|warning| warning.text()).collect();
    assert!(warnings.iter().any(|text| text.contains("z1.ome.tif")), "{warnings:?}");
    assert!(warnings.iter().any(|text| text.contains("in the place of")), "{warnings:?}");
}
