//! QuPath's GeoJSON: <https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html>, in
//! the form of QuPath 0.4 and later when writing, and in all earlier ones when reading.

mod read;
mod write;

pub(super) use read::read;
pub(super) use write::write;

/// Members of a feature that are understood.
const FEATURE_MEMBERS: [&str; 6] =
    ["type", "id", "geometry", "nucleusGeometry", "properties", "childObjects"];

/// Member of a collection that holds the groups of an ASAP file, so that they survive.
const GROUPS_MEMBER: &str = "asapGroups";

/// Property of a feature that holds what only an ASAP file says.
const ASAP_PROPERTY: &str = "asap";

#[cfg(test)]
pub(in crate::annotation) mod tests;
