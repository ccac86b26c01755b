//! QuPath's GeoJSON: <https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html>, in
//! the form of QuPath 0.4 and later when writing, and in all earlier ones when reading.

mod document;
mod other_kinds;
mod feature;
mod properties;
mod geometry;
mod write;
mod write_geometry;

pub(super) use document::read;
pub(super) use write::{Purpose, write};

/// Members of a feature that are understood.
const FEATURE_MEMBERS: [&str; 8] =
    ["type", "id", "geometry", "nucleusGeometry", "properties", CHILDREN, OWN_ID, SOURCE];

/// Member of a feature's properties that holds the objects below it; versions before 0.2 of this program wrote
/// it into the feature itself.
const CHILDREN: &str = "childObjects";

/// Member of a collection that holds the groups of an ASAP file, so that they survive.
const GROUPS_MEMBER: &str = "asapGroups";

/// Property of a feature that holds what only an ASAP file says.
const ASAP_PROPERTY: &str = "asap";

/// Member of a feature in a project's own files: the annotation's identity, where `id` is another program's.
const OWN_ID: &str = "histokinId";

/// Member of a feature in a project's own files: name of the file that it came from, in which its id is unique.
const SOURCE: &str = "histokinSource";

#[cfg(test)]
pub(in crate::annotation) mod tests;
