#!/usr/bin/env python3
"""Write small valid files of every supported format to FOLDER/TARGET/, as seeds for fuzzing."""

import gzip
import io
import json
import struct
import sys
import zipfile
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests/fixtures"

GEOJSON = json.dumps({"type": "FeatureCollection", "features": [
    {"type": "Feature", "id": "6a9d1ad4-7a5c-4d7c-9f0e-0a2f4a3f7a11",
     "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [100.5, 0], [100, 100], [0, 0]]]},
     "properties": {"objectType": "annotation", "name": "a", "classification": {"name": "Tumor", "color": [200, 0, 0]},
                    "measurements": {"Area": 12.5}, "isLocked": True}},
    {"type": "Feature", "geometry": {"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]}, "properties": {}},
    {"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[1, 2], [3, 4]]},
     "properties": {"classification": "x", "colorRGB": -3670016}}]}).encode()

ASAP = b"""<?xml version="1.0"?>
<ASAP_Annotations><Annotations>
<Annotation Name="a" Type="Polygon" PartOfGroup="_0" Color="#F4FA58"><Coordinates>
<Coordinate Order="0" X="1.5" Y="2" /><Coordinate Order="1" X="100" Y="2" /><Coordinate Order="2" X="50" Y="90" />
</Coordinates></Annotation></Annotations>
<AnnotationGroups><Group Name="_0" PartOfGroup="None" Color="#64FE2E"><Attributes /></Group></AnnotationGroups>
</ASAP_Annotations>"""

DELTA = json.dumps({"type": "FeatureCollection", "removed": ["6a9d1ad4-7a5c-4d7c-9f0e-0a2f4a3f7a11"], "places": [
    {"id": "6a9d1ad4-7a5c-4d7c-9f0e-0a2f4a3f7a12", "index": 0, "parent": None},
    {"id": "6a9d1ad4-7a5c-4d7c-9f0e-0a2f4a3f7a13", "index": None, "parent": "6a9d1ad4-7a5c-4d7c-9f0e-0a2f4a3f7a12"}],
    "features": [
        {"type": "Feature", "id": "6a9d1ad4-7a5c-4d7c-9f0e-0a2f4a3f7a12",
         "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {"objectType": "annotation"}},
        {"type": "Feature", "id": "6a9d1ad4-7a5c-4d7c-9f0e-0a2f4a3f7a13",
         "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [9.5, 0], [9, 9], [0, 0]]]},
         "properties": {"objectType": "detection", "measurements": {"Area": 12.5}}}]}).encode()

LABELS = b"slide,x,y,width,height,label,is_tumour,patient\na.svs,0,0,224,224,tumour,1,P1\n"

PROJECT = b"""format = 1

[settings]
stain = "lab"

[settings.tiles]
tile_px = 224
mpp = 1.0

[[class]]
name = "Tumor"
color = [200, 0, 0]

[[slide]]
id = "0123456789abcdef"
path = "../a.svs"
"""

QUERIES = b'[{"like":[{"example":{"tile":{"slide":"a","at":{"x":1.0,"y":2.0}}},"place":null}],"unlike":[],"settings":{}}]'

JUDGEMENTS = (b"query_slide,query_x,query_y,query_width,query_height,slide,x,y,width,height,verdict,distance,encoder\n"
              b"a,0,0,224,224,b,224,0,224,224,same,0.125,e\n")


def zipped(entries, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return file.getvalue()


def state_dict():
    text = lambda word: b"X" + struct.pack("<I", len(word)) + word
    number = lambda value: b"J" + struct.pack("<i", value)
    storage = b"(" + text(b"storage") + b"ctorch\nFloatStorage\n" + text(b"0") + text(b"cpu") + number(4) + b"tQ"
    tensor = (b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(0) + b"(" + number(2) + number(2) + b"t("
              + number(2) + number(1) + b"t\x89ccollections\nOrderedDict\n)RtR")
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + text(b"a.weight") + tensor + b"u."


def legacy():
    magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
    system = b"\x80\x02}X\x0d\x00\x00\x00little_endian\x88s."
    return (magic + b"\x80\x02M\xe9\x03." + system + state_dict() + b"\x80\x02](X\x01\x00\x00\x000e."
            + struct.pack("<Q", 4) + bytes(16))


def safetensors(tensors, metadata=None):
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, dtype, shape, numbers in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(numbers)]}
        data += numbers
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def descriptors():
    header = {"slide_id": "a" * 8, "recipe": {"encoder_id": "test", "encoder_name": "test",
              "tiles": {"tile_px": 224, "mpp": 1.0}, "stain": "none"}, "width": 3, "tile_level0": 224,
              "grid": [100, 1], "effective_mpp": 1.0, "tiles_tissue": 2, "program_version": "0.1.0"}
    tensors = [("features", "F32", [2, 3], struct.pack("<6f", *range(6))),
               ("coords", "I64", [2, 2], struct.pack("<4q", 0, 0, 224, 0))]
    return safetensors(tensors, {"header": json.dumps(header), "tiles_failed": "0", "sha256": "0"})


def index():
    head = json.dumps({"width": 2, "sets": [{"checksum": "0", "rows": 1}], "reach": 1.0, "scale": None, "basis": 56, "first": 72,
                       "second": 32}).encode()
    file = b"HKINDEX5" + struct.pack("<Q", len(head)) + head
    for part in (56, 72, 32):
        file += b"\0" * (-len(file) % 64) + bytes(part)
    return file + struct.pack("<I", zlib.crc32(file))


def journal():
    """Return a journal of two records."""
    record = struct.pack("<II", len(DELTA), zlib.crc32(DELTA)) + DELTA
    return json.dumps({"journal": 1, "base": {"generation": 0, "crc32": 0}}).encode() + b"\n" + record + record


def dicom():
    """Return a DICOM instance with a series, a sequence of undefined length, and the size of a level."""
    def element(tag, kind, value):
        return tag + kind + len(value).to_bytes(2, "little") + value
    sequence = b"\x08\0\x40\x11SQ\0\0" + b"\xff" * 4 + b"\xfe\xff\0\xe0" + b"\xff" * 4
    closed = b"\xfe\xff\x0d\xe0" + bytes(4) + b"\xfe\xff\xdd\xe0" + bytes(4)
    return (bytes(128) + b"DICM" + element(b"\x02\0\x10\0", b"UI", b"1.2.840.10008.1.2.1\0")
            + element(b"\x08\0\x08\0", b"CS", b"DERIVED\\VOLUME ") + element(b"\x08\0\x18\0", b"UI", b"1.2.3\0")
            + sequence + element(b"\x08\0\x55\x11", b"UI", b"9.9\0") + closed
            + element(b"\x20\0\x0e\0", b"UI", b"1.2\0") + element(b"\x48\0\x06\0", b"UL", bytes(4)))


def tiff():
    tags = [(256, 4, 48), (257, 4, 48), (259, 3, 7), (262, 3, 6), (277, 3, 3), (322, 4, 48), (323, 4, 48), (324, 4, 8),
            (325, 4, 8)]
    directory = struct.pack("<H", len(tags) + 1)
    behind = 16 + 2 + 12 * (len(tags) + 1) + 4
    directory += struct.pack("<HHII", 258, 3, 3, behind)
    directory += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 16) + bytes(8) + directory + struct.pack("<I", 0) + struct.pack("<3H", 8, 8, 8)


def tiff_of(compression, chunk, bits=(8, 8, 8), photometric=2, predictor=1):
    """Return a TIFF file with one tile of 16 x 16 pixels, stored as `chunk`."""
    tags = [(256, 4, 16), (257, 4, 16), (258, 3, bits), (259, 3, compression), (262, 3, photometric), (277, 3, len(bits)),
            (317, 3, predictor), (322, 4, 16), (323, 4, 16), (324, 4, 8), (325, 4, len(chunk))]
    start = 8 + len(chunk) + len(chunk) % 2
    behind = start + 2 + 12 * len(tags) + 4
    entries = b""
    for tag, kind, value in tags:
        values = value if isinstance(value, tuple) else (value,)
        inline = struct.pack("<" + "HI"[kind - 3] * len(values), *values)
        field = inline.ljust(4, b"\0") if len(inline) <= 4 else struct.pack("<I", behind)
        entries += struct.pack("<HHI", tag, kind, len(values)) + field
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0) + struct.pack(f"<{len(bits)}H", *bits)
    return b"II*\0" + struct.pack("<I", start) + chunk + bytes(len(chunk) % 2) + directory


def first_tile():
    """Return a JPEG tile of the demonstration slide, with the shared tables from its directory."""
    file = (ROOT / "assets/slides/CMU-1-Small-Region-rotated-cut.tif").read_bytes()
    start, = struct.unpack_from("<I", file, 4)
    count, = struct.unpack_from("<H", file, start)
    entries = (struct.unpack_from("<HHII", file, start + 2 + 12 * entry) for entry in range(count))
    places = {tag: (value, length) for tag, _, length, value in entries}
    tables = file[places[347][0]:sum(places[347])]
    offset, = struct.unpack_from("<I", file, places[324][0])
    length, = struct.unpack_from("<I", file, places[325][0])
    return tables[:-2] + file[offset + 2:offset + length]


def main(folder):
    fixture = lambda name: (FIXTURES / name).read_bytes()
    deflated = zipfile.ZIP_DEFLATED
    seeds = {
        "annotations": [GEOJSON, ASAP, gzip.compress(GEOJSON), zipped([("a.json", GEOJSON), ("b.xml", ASAP)], deflated)],
        "descriptors": [descriptors()],
        "features": [fixture("evaluation/trident.h5"), fixture("evaluation/clam.h5"), fixture("evaluation/trident_half.h5"),
                     safetensors([("features", "F32", [1, 2], bytes(8)), ("coords", "I64", [1, 2], bytes(16))])],
        "dicom": [dicom()],
        "index_segment": [index()],
        "jpeg_tile": [first_tile()],
        "journal": [journal(), DELTA],
        "labels": [LABELS, GEOJSON, ASAP],
        "pickled_weights": [zipped([("a/data.pkl", state_dict()), ("a/data/0", bytes(16))]), legacy()],
        "project": [PROJECT, QUERIES, JUDGEMENTS, b"method = \"siamese\"\nbackbone = \"resnet18\"\n"],
        "slide_identity": [tiff(), dicom()],
        "tiff_directories": [tiff(), tiff_of(1, bytes(768))],
        "tiff_tile": [tiff_of(1, bytes(range(256)) * 3), tiff_of(8, zlib.compress(bytes(768)), predictor=2),
                      tiff_of(5, b"\x80\x00\x40\x40"), tiff_of(32773, b"\x81\x00" * 6), tiff_of(1, bytes(512), (16,), 1),
                      tiff_of(7, first_tile(), photometric=6)],
    }
    for target, files in seeds.items():
        place = Path(folder) / target
        place.mkdir(parents=True, exist_ok=True)
        for number, file in enumerate(files):
            (place / f"seed-{number}").write_bytes(file)


if __name__ == "__main__":
    main(sys.argv[1])
