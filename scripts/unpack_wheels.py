"""Unpack the wheels of one component into the layout that the build expects.

    unpack_wheels.py COMPONENT WHEELS_DIR OUT_DIR

Uses only the standard library, because it runs before anything else is installed.
"""

import pathlib
import shutil
import sys
import zipfile


def put(archive, name, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(name) as source, open(target, "wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def members(wheels):
    """Yield (open archive, member name, path parts) of every file in every wheel."""
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if not name.endswith("/"):
                    yield archive, name, name.split("/")


def keep_licence(archive, name, parts, out):
    if ".dist-info/" in name and parts[-1].upper().startswith(("LICENSE", "NOTICE", "COPYING")):
        put(archive, name, out / "licenses" / (parts[0].split("-")[0] + "-" + "-".join(parts[1:])))


def openslide(wheels, out):
    for archive, name, parts in members(wheels):
        if parts[-1].startswith("libopenslide.so"):
            put(archive, name, out / "lib" / parts[-1])
        keep_licence(archive, name, parts, out)
    (out / "lib/libopenslide.so").symlink_to("libopenslide.so.1")
    # The wheel has neither a header nor a pkg-config file; ours declare the functions that the binding calls.
    here = pathlib.Path(__file__).parent / "openslide"
    (out / "include/openslide").mkdir(parents=True)
    shutil.copy(here / "openslide.h", out / "include/openslide/openslide.h")
    (out / "lib/pkgconfig").mkdir(parents=True)
    shutil.copy(here / "openslide.pc", out / "lib/pkgconfig/openslide.pc")


def windows(wheels, out):
    """Libraries for Windows, of whatever component."""
    for archive, name, parts in members(wheels):
        if parts[-1].endswith(".dll"):
            put(archive, name, out / "bin" / parts[-1])
        elif parts[-1] in ("LICENSE", "ThirdPartyNotices.txt") and len(parts) == 2:
            # ONNX Runtime keeps its licences beside its modules.
            put(archive, name, out / "licenses" / parts[-1])
        keep_licence(archive, name, parts, out)


def macos(wheels, out):
    """Libraries for macOS, of whatever component."""
    for archive, name, parts in members(wheels):
        if parts[-1].endswith(".dylib"):
            put(archive, name, out / "lib" / parts[-1])
        elif parts[-1] in ("LICENSE", "ThirdPartyNotices.txt") and len(parts) == 2:
            put(archive, name, out / "licenses" / parts[-1])
        keep_licence(archive, name, parts, out)


def libclang(wheels, out):
    for archive, name, parts in members(wheels):
        if parts[-1] == "libclang.so":
            put(archive, name, out / "libclang.so")
        keep_licence(archive, name, parts, out)


def libtorch(wheels, out, flavour):
    cpu_libraries = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1"}
    # Libraries that libtorch_cpu.so of this build needs besides libc and libstdc++.
    cpu_nvidia = ("libcudart.so", "libcupti.so")
    for archive, name, parts in members(wheels):
        if name.startswith("torch/include/"):
            put(archive, name, out / "/".join(parts[1:]))
        elif name.startswith("torch/lib/") and ".so" in parts[-1]:
            if "python" in parts[-1] or "shm" in parts[-1]:
                continue
            if flavour == "cuda" or parts[-1] in cpu_libraries:
                put(archive, name, out / "lib" / parts[-1])
        elif name.startswith("nvidia/") and ".so" in parts[-1]:
            # In the same folder as libtorch: its run path contains $ORIGIN.
            if flavour == "cuda" or parts[-1].startswith(cpu_nvidia):
                put(archive, name, out / "lib" / parts[-1])
        keep_licence(archive, name, parts, out)
    (out / "build-version").write_text("2.13.0\n")  # read by torch-sys
    if flavour == "cpu":
        # The wheel's libtorch.so needs libtorch_cuda.so; a linker script replaces it at link time.
        (out / "lib/libtorch.so").write_text("INPUT(-ltorch_cpu)\n")


def onnxruntime(wheels, out):
    for archive, name, parts in members(wheels):
        if parts[-1].startswith("libonnxruntime.so"):
            put(archive, name, out / "lib/libonnxruntime.so")
        elif name in ("onnxruntime/LICENSE", "onnxruntime/ThirdPartyNotices.txt"):
            put(archive, name, out / "licenses" / f"onnxruntime-{parts[-1]}")


def main():
    component, wheels, out = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    if component.startswith("libtorch-"):
        libtorch(wheels, out, component.removeprefix("libtorch-"))
    else:
        components = (openslide, libclang, onnxruntime, windows, macos)
        unpack = next(unpack for unpack in components if unpack.__name__ == component)
        unpack(wheels, out)


main()
