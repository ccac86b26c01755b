//! QuPath's GeoJSON: <https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html>.
//! Files are written in the form of QuPath 0.4 and later; the forms of all earlier versions are read, too.

mod document;
mod collection;
mod plain;
mod other_kinds;
mod feature;
mod properties;
mod geometry;
mod tree;
mod write;
mod write_geometry;

pub(super) use document::{gather, read};
pub(super) use write::{Number, Purpose, write};

/// Members of a feature that this program uses.
const FEATURE_MEMBERS: [&str; 8] =
    ["type", "id", "geometry", "nucleusGeometry", "properties", CHILDREN, OWN_ID, SOURCE];

/// Member of a feature's properties with its child objects. Versions before 0.2 of this program wrote it into
/// the feature itself.
const CHILDREN: &str = "childObjects";

/// Member of a collection with the groups of an ASAP file, so that they are preserved.
const GROUPS_MEMBER: &str = "asapGroups";

/// Property of a feature with its data specific to ASAP files.
const ASAP_PROPERTY: &str = "asap";

/// Member of a feature in a project's own files: the identity of the annotation, if `id` is that of another
/// program.
const OWN_ID: &str = "histokinId";

/// Member of a feature in a project's own files: name of its original file, within which its ID is unique.
const SOURCE: &str = "histokinSource";

#[cfg(test)]
pub(in crate::annotation) mod tests;
