#!/usr/bin/env python3
"""Make a self-contained folder of the program, and a tar.gz of it, in target/dist/.

It requires glibc 2.36 or newer and libstdc++ (Debian 12, Ubuntu 24.04), and for the window X or Wayland with Vulkan or
OpenGL. Everything else is included: OpenSlide, libtorch for the CPU, the encoder, licences.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LICENCE_NAMES = ("licen", "copying", "notice", "unlicense", "copyright")


def built():
    """Build the program; return its path and that of the library that links libtorch."""
    command = ["cargo", "build", "--release", "--bin", "histokin", "--message-format", "json-render-diagnostics"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    program = out = None
    for line in output.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "histokin":
            program = Path(message["executable"])
        if message["reason"] == "build-script-executed" and "histokin-encoder" in message["package_id"]:
            out = Path(message["out_dir"])
    return program, out / "libhistokin_torch.so"


def packages(target, features):
    """Return cargo's metadata of all third-party crates in the program."""
    command = ["cargo", "metadata", "--format-version", "1", "--filter-platform", target, *features]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting, found = [metadata["resolve"]["root"]], set()
    while waiting:
        package = waiting.pop()
        if package in found:
            continue
        found.add(package)
        for dependency in nodes[package]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    of_others = (one for one in metadata["packages"] if one["id"] in found and one["source"])
    return sorted(of_others, key=lambda one: (one["name"], one["version"]))


def gather_licences(folder, libraries, target="x86_64-unknown-linux-gnu", features=()):
    """Copy all licence texts, and write a list of crates with their licences.

    `libraries` are the unpacked wheels in third_party/; `target` and `features` say how cargo built the program.
    """
    folder.mkdir()
    shutil.copy(ROOT / "LICENSE", folder / "histokin.txt")
    lines = ["histokin contains these crates. Their licence texts are in crates/; those of libraries, fonts and weights "
             "are next to it.", ""]
    for package in packages(target, features):
        source = Path(package["manifest_path"]).parent
        name = f"{package['name']}-{package['version']}"
        lines.append(f"{package['name']} {package['version']}: {package['license'] or 'see its files'}")
        for file in sorted(source.iterdir()):
            if file.is_file() and file.name.lower().startswith(LICENCE_NAMES):
                (folder / "crates" / name).mkdir(parents=True, exist_ok=True)
                shutil.copy(file, folder / "crates" / name / file.name)
    (folder / "crates.txt").write_text("\n".join(lines) + "\n")
    for library in libraries:
        shutil.copytree(ROOT / "third_party" / library / "licenses", folder / Path(library).name)
    shutil.copytree(ROOT / "models/weights/licenses", folder / "weights")
    shutil.copy(ROOT / "assets/fonts/IBMPlexSans.LICENSE.txt", folder / "IBMPlexSans.txt")


def set_origin(file, origin):
    """Set the run path relative to the file, replacing paths of the build machine."""
    if not shutil.which("patchelf"):
        sys.exit("patchelf is missing: apt-get install patchelf")
    subprocess.run(["patchelf", "--set-rpath", origin, file], check=True)


def assemble(folder):
    program, torch = built()
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "lib").mkdir(parents=True)
    shutil.copy(program, folder / "histokin")
    subprocess.run(["strip", "--strip-debug", folder / "histokin"], check=True)
    set_origin(folder / "histokin", "$ORIGIN/lib")
    shutil.copy(ROOT / "third_party/openslide/lib/libopenslide.so.1", folder / "lib")
    shutil.copy(torch, folder / "lib")
    set_origin(folder / "lib" / torch.name, "$ORIGIN")
    for library in sorted((ROOT / "third_party/libtorch/lib").iterdir()):
        # libtorch_cuda and its dependencies would make the package ten times as large; without them, the CPU is used.
        if library.name.startswith(("libc10.", "libgomp", "libtorch_cpu", "libcudart", "libcupti")):
            shutil.copy(library, folder / "lib")
    gather_files(folder)
    gather_licences(folder / "licences", ("openslide", "libtorch"))
    (folder / "share").mkdir()
    for name in ("histokin.desktop", "histokin.svg", "histokin.xml"):
        shutil.copy(ROOT / "packaging" / name, folder / "share")
    shutil.copy(ROOT / "packaging/install.sh", folder)


def gather_files(folder):
    """Copy what the program finds beside it on every system: encoders, guide and demonstration."""
    (folder / "models/weights").mkdir(parents=True)
    for model in sorted((ROOT / "models").glob("*/model.toml")):
        shutil.copytree(model.parent, folder / "models" / model.parent.name)
    shutil.copy(ROOT / "models/weights/mobilenet_v2.safetensors", folder / "models/weights")
    # F1 opens the guide from here, and the first start offers these slides.
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copytree(ROOT / "assets/slides", folder / "assets/slides")
    shutil.copy(ROOT / "README.md", folder)
    shutil.copy(ROOT / "CHANGELOG.md", folder)


def pack(folder):
    """Make a reproducible archive: the same content gives the same bytes."""
    archive = folder.with_name(folder.name + ".tar.gz")
    time = os.environ.get("SOURCE_DATE_EPOCH") or subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.strip() or "0"
    order = ["--sort=name", f"--mtime=@{time}", "--owner=0", "--group=0", "--numeric-owner", "--use-compress-program=gzip -n6"]
    subprocess.run(["tar", *order, "-cf", archive.with_suffix(".part"), "-C", folder.parent, folder.name], check=True)
    archive.with_suffix(".part").rename(archive)
    return archive


def version():
    cargo = (ROOT / "Cargo.toml").read_text()
    return next(line.split('"')[1] for line in cargo.splitlines() if line.startswith("version = "))


def main():
    folder = ROOT / "target/dist" / f"histokin-{version()}-x86_64-linux"
    assemble(folder)
    archive = pack(folder)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder.relative_to(ROOT)}: {size / 2**20:.0f} MiB")
    print(f"{archive.relative_to(ROOT)}: {archive.stat().st_size / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
