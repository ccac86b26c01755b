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
            "a classifier of QuPath; export the annotations that it makes from QuPath as GeoJSON instead",
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
        (&["_via_settings"], "a project of the VGG Image Annotator"),
        (&["_via_img_metadata"], "a project of the VGG Image Annotator"),
        (&["annotation", "_modelType"], "an annotation of the Digital Slide Archive"),
        (&["elements"], "an annotation of the Digital Slide Archive"),
        (&["arcs", "objects"], "TopoJSON"),
        (&["mag", "nuc"], "an output of HoVer-Net"),
        (&["nuc"], "an output of HoVer-Net"),
        (&["data", "annotations"], "an export of Label Studio"),
        (&["cells", "type_map"], "an output of CellViT"),
        (&["cells", "wsi_metadata"], "an output of CellViT"),
        (&["collection", "totalPages"], "an answer of Cytomine"),
        (&["location", "class"], "an annotation of Cytomine"),
        (&["pathClasses"], "QuPath's list of classes"),
        (&["Labeled Data"], "an export of Labelbox"),
        (&["data_row", "projects"], "an export of Labelbox"),
        (&["markerFiles"], "a project of TissUUmaps"),
        (&["AnnotationID", "Geometry"], "a list of annotations of PMA.core"),
        (&["type", "points"], "a list of shapes as Slide Score writes it"),
        (&["contour", "centroid"], "an output of HoVer-Net or TIAToolbox"),
        (&["shapes"], "a list of ROIs of OMERO"),
    ];
    if let Some((_, kind)) = kinds.iter().find(|(keys, _)| has(keys)) {
        return Some(kind);
    }
    let inner: Option<Members<'_>> =
        members.0.first().and_then(|(_, value)| serde_json::from_str(value.get()).ok());
    if has(&["annotation"]) && inner.as_ref().is_some_and(|inner| inner.get("elements").is_some()) {
        return Some("an annotation of the Digital Slide Archive");
    }
    if in_list {
        return None;
    }
    if has(&["objects", "size"]) {
        return Some("an annotation of Supervisely");
    }
    if has(&["createTimestamp", "images"]) || has(&["version", "images"]) {
        return Some("a QuPath project; export the annotations from QuPath as GeoJSON instead");
    }
    match inner {
        Some(inner) if inner.get("filename").is_some() && inner.get("regions").is_some() => {
            Some("an export of the VGG Image Annotator")
        }
        Some(inner) if inner.get("contour").is_some() && inner.get("centroid").is_some() => {
            Some("an output of HoVer-Net or TIAToolbox")
        }
        _ => None,
    }
}
