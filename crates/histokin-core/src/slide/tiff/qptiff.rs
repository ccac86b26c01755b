//! The layout of Akoya's and PerkinElmer's QPTIFF: every channel of every level is a directory of its own, and each
//! directory's description says what it is.

use roxmltree::Document;

use super::layout::{Kind, Layout, Plane};
use super::ome::Channel;
use super::page::Page;

/// What the description of a directory says.
#[derive(Debug, Default, PartialEq)]
struct Description {
    /// `FullResolution`, `ReducedResolution`, `Thumbnail`, `Overview` or `Label`.
    image_type: String,
    channel: Channel,
    objective: Option<f64>,
}

pub(super) fn is_qptiff(description: &str) -> bool {
    description.contains("<PerkinElmer-QPI-ImageDescription")
}

/// Find the slide among the images of a file.
///
/// # Errors
/// In words, when there is none.
pub(super) fn layout(pages: &[Page]) -> Result<Layout<'_>, String> {
    let described: Vec<(Description, &Page)> = pages
        .iter()
        .map(|page| (page.description.as_deref().map(describe).unwrap_or_default(), page))
        .collect();
    let of_type = |wanted: &'static str| described.iter().filter(move |(said, _)| said.image_type == wanted);
    let (first_said, first) = of_type("FullResolution").next().ok_or("it has no image of full resolution")?;
    let fits = |page: &Page| page.size() == first.size() && page.is_like(first);
    let full: Vec<&(Description, &Page)> = of_type("FullResolution").filter(|(_, page)| fits(page)).collect();
    let is_colour = first.samples >= 3 || full.len() == 1;
    let plane = |page| Plane { page, sample: 0 };
    let planes: Vec<Plane> =
        full.iter().map(|(_, page)| plane(*page)).take(if is_colour { 1 } else { usize::MAX }).collect();
    let channels: Vec<Channel> = match is_colour {
        true => Vec::new(),
        false => full.iter().map(|(said, _)| said.channel.clone()).collect(),
    };
    let mut candidates: Vec<Vec<Plane>> = Vec::new();
    for (_, page) in of_type("ReducedResolution").filter(|(_, page)| page.is_like(first)) {
        match candidates.last_mut() {
            Some(level) if level[0].page.size() == page.size() && level.len() < planes.len() => {
                level.push(plane(*page))
            }
            _ => candidates.push(vec![plane(*page)]),
        }
    }
    candidates.retain(|level| level.len() == planes.len() && level[0].page.area() < first.area());
    let mut layout = Layout::new(Kind::Qptiff, planes, channels, candidates);
    layout.objective = first_said.objective;
    for (name, wanted) in [("thumbnail", "Thumbnail"), ("macro", "Overview"), ("label", "Label")] {
        if let Some((_, page)) = of_type(wanted).next() {
            layout.associated.push((name.to_owned(), *page));
        }
    }
    Ok(layout)
}

fn describe(description: &str) -> Description {
    let Ok(document) = Document::parse(description.trim_start_matches('\u{feff}').trim()) else {
        return Description::default();
    };
    let root = document.root_element();
    let text = |name: &str| {
        let node = root.children().find(|node| node.tag_name().name() == name)?;
        node.text().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let colour = |text: String| -> Option<[u8; 3]> {
        let mut numbers = text.split(',').map(|number| number.trim().parse().ok());
        Some([numbers.next()??, numbers.next()??, numbers.next()??])
    };
    let objective = text("Objective").and_then(|text| text.trim_end_matches(['x', 'X']).trim().parse().ok());
    Description {
        image_type: text("ImageType").unwrap_or_default(),
        channel: Channel {
            name: text("Biomarker").or_else(|| text("Name")),
            colour: text("Color").and_then(colour),
            samples: 1,
        },
        objective: objective.filter(|power: &f64| power.is_finite() && *power > 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_says_what_it_is() {
        let said = describe(
            r#"<?xml version="1.0" encoding="utf-16"?>
            <PerkinElmer-QPI-ImageDescription><DescriptionVersion>2</DescriptionVersion>
            <ImageType>FullResolution</ImageType><Name>DAPI</Name><Color>0,0,255</Color><Objective>20x</Objective>
            </PerkinElmer-QPI-ImageDescription>"#,
        );
        assert_eq!((said.image_type.as_str(), said.objective), ("FullResolution", Some(20.0)));
        assert_eq!(
            said.channel,
            Channel { name: Some("DAPI".into()), colour: Some([0, 0, 255]), samples: 1 }
        );
        assert_eq!(describe("no XML"), Description::default());
    }
}
