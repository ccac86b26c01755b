//! Detection of unsupported JSON formats of other programs.

use serde_json::value::RawValue;

use crate::annotation::file::READ_KINDS;
use crate::annotation::json::Members;

/// Returns an error message if a document has a known format other than GeoJSON.
pub fn of(whole: &RawValue) -> Option<String> {
    let first;
    let object = if whole.get().starts_with('[') {
        let list: Vec<&RawValue> = serde_json::from_str(whole.get()).ok()?;
        first = list.first()?.get();
        first
    } else {
        whole.get()
    };
    let members: Members<'_> = serde_json::from_str(object).ok()?;
    let kind = kind_of(&members, whole.get().starts_with('['))?;
    Some(format!("this is {kind}, which is not supported; {READ_KINDS}"))
}

/// Returns the name of a known format, detected by its members as documented by its program.
fn kind_of(members: &Members<'_>, in_list: bool) -> Option<&'static str> {
    let has = |keys: &[&str]| keys.iter().all(|key| members.get(key).is_some());
    if has(&["pixel_classifier_type"]) || has(&["object_classifier_type"]) {
        return Some(
            "a QuPath classifier; export the annotations that it makes from QuPath as GeoJSON instead",
        );
    }
    if has(&["geometry"]) || has(&["coordinates"]) || has(&["features"]) || has(&["geometries"]) {
        return None;
    }
    let kinds: [(&[&str], &str); 25] = [
        (&["images", "annotations", "categories"], "a COCO file"),
        (&["images", "annotations"], "a COCO file"),
        (&["image_id", "category_id"], "a list of COCO results"),
        (&["shapes", "imagePath"], "a labelme file"),
        (&["shapes", "imageData"], "a labelme file"),
        (&["_via_settings"], "a VGG Image Annotator project"),
        (&["_via_img_metadata"], "a VGG Image Annotator project"),
        (&["annotation", "_modelType"], "a Digital Slide Archive annotation"),
        (&["elements"], "a Digital Slide Archive annotation"),
        (&["arcs", "objects"], "TopoJSON"),
        (&["mag", "nuc"], "HoVer-Net output"),
        (&["nuc"], "HoVer-Net output"),
        (&["data", "annotations"], "a Label Studio export"),
        (&["cells", "type_map"], "CellViT output"),
        (&["cells", "wsi_metadata"], "CellViT output"),
        (&["collection", "totalPages"], "a Cytomine response"),
        (&["location", "class"], "a Cytomine annotation"),
        (&["pathClasses"], "QuPath's list of classes"),
        (&["Labeled Data"], "a Labelbox export"),
        (&["data_row", "projects"], "a Labelbox export"),
        (&["markerFiles"], "a TissUUmaps project"),
        (&["AnnotationID", "Geometry"], "a list of PMA.core annotations"),
        (&["type", "points"], "a list of shapes as Slide Score writes it"),
        (&["contour", "centroid"], "HoVer-Net or TIAToolbox output"),
        (&["shapes"], "a list of OMERO ROIs"),
    ];
    if let Some((_, kind)) = kinds.iter().find(|(keys, _)| has(keys)) {
        return Some(kind);
    }
    let inner: Option<Members<'_>> =
        members.0.first().and_then(|(_, value)| serde_json::from_str(value.get()).ok());
    if has(&["annotation"]) && inner.as_ref().is_some_and(|inner| inner.get("elements").is_some()) {
        return Some("a Digital Slide Archive annotation");
    }
    if in_list {
        return None;
    }
    if has(&["objects", "size"]) {
        return Some("a Supervisely annotation");
    }
    if has(&["createTimestamp", "images"]) || has(&["version", "images"]) {
        return Some("a QuPath project; export the annotations from QuPath as GeoJSON instead");
    }
    match inner {
        Some(inner) if inner.get("filename").is_some() && inner.get("regions").is_some() => {
            Some("a VGG Image Annotator export")
        }
        Some(inner) if inner.get("contour").is_some() && inner.get("centroid").is_some() => {
            Some("HoVer-Net or TIAToolbox output")
        }
        _ => None,
    }
}
