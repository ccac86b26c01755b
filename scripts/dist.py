#!/usr/bin/env python3
"""Make self-contained packages of the program in target/dist/: a folder, a tar.gz of it, and a Debian package of each.

    dist.py [NAME …]

NAME is `histokin`, with everything, or `histokin-viewer`, without libtorch and the encoder tissue-context: it views, searches and
embeds, and does not train or use NVIDIA cards. Without a name, both are made. PROFILE=dev builds faster, for trying the packages;
CARGO names another cargo.

They require glibc 2.36 or newer and libstdc++ (Debian 12, Ubuntu 24.04), and for the window X or Wayland with Vulkan or OpenGL.
Everything else is included: OpenSlide, ONNX Runtime, libtorch for the CPU, the encoder, licences.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "target/dist"
CARGO = os.environ.get("CARGO", "cargo")
LICENCE_NAMES = ("licen", "copying", "notice", "unlicense", "copyright")

# By name of the package: arguments that choose cargo's features, the unpacked wheels in third_party/ of which libraries are
# copied, and what it is.
PACKAGES = {
    "histokin": (
        (),
        ("openslide", "onnxruntime", "libtorch"),
        "viewer for whole-slide images that finds similar tissue",
    ),
    "histokin-viewer": (
        ("--no-default-features", "--features", "gui,archive,ort"),
        ("openslide", "onnxruntime"),
        "viewer for whole-slide images that finds similar tissue (without training)",
    ),
}


def built(features):
    """Build the program; return its path and that of the library that links libtorch, which is there only with libtorch."""
    command = [CARGO, "build", "--profile", os.environ.get("PROFILE", "release"), "--bin", "histokin",
               "--message-format", "json-render-diagnostics", *features]
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
    command = [CARGO, "metadata", "--format-version", "1", "--filter-platform", target, *features]
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


def licences(source):
    """Return the licence texts of a crate, of C code that it contains, and of fonts."""
    is_licence = lambda file: file.name.lower().startswith(LICENCE_NAMES) and file.suffix != ".rs"
    is_of_font = lambda file: file.parent.name == "fonts" and file.suffix == ".txt"
    files = sorted((*source.glob("*"), *source.glob("*/*")))
    return [file.read_bytes() for file in files if file.is_file() and (is_licence(file) or is_of_font(file))]


def gather_licences(folder, libraries, target="x86_64-unknown-linux-gnu", features=()):
    """Copy all licence texts, and write a list of crates with their licences.

    Many crates have the same text; each is there once. `libraries` are the unpacked wheels in third_party/; `target` and
    `features` say how cargo built the program.
    """
    (folder / "crates").mkdir(parents=True)
    shutil.copy(ROOT / "LICENSE", folder / "histokin.txt")
    lines = ["histokin contains these crates. The numbers in brackets are those of their licence texts in crates/; the texts of "
             "libraries, fonts and weights are next to it.", ""]
    numbers = {}
    for package in packages(target, features):
        texts = licences(Path(package["manifest_path"]).parent)
        for text in texts:
            if text not in numbers:
                numbers[text] = len(numbers) + 1
                (folder / "crates" / f"{numbers[text]}.txt").write_bytes(text)
        named = f" ({', '.join(str(numbers[text]) for text in texts)})" if texts else ""
        lines.append(f"{package['name']} {package['version']}: {package['license'] or 'see its text'}{named}")
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


def copy_libraries(folder, libraries):
    """Copy the libraries of unpacked wheels that the program loads on a processor, without what only debuggers read."""
    folder.mkdir(parents=True)
    names = {
        "openslide": ("libopenslide.so.1",),
        "onnxruntime": ("libonnxruntime.so",),
        # libtorch_cuda and its dependencies would make the package ten times as large; without them, the CPU is used.
        "libtorch": ("libc10.", "libgomp", "libtorch_cpu", "libcudart", "libcupti"),
    }
    for library in libraries:
        for file in sorted((ROOT / "third_party" / library / "lib").iterdir()):
            if file.name.startswith(names[library]) and not file.is_symlink():
                shutil.copy(file, folder)
                # Of libtorch, a fifth is names of local functions.
                subprocess.run(["strip", "--strip-unneeded", folder / file.name], check=True)


def assemble(folder, name):
    features, libraries, _ = PACKAGES[name]
    program, torch = built(features)
    shutil.rmtree(folder, ignore_errors=True)
    copy_libraries(folder / "lib", libraries)
    shutil.copy(program, folder / "histokin")
    # Crash reports name the program's own functions; the names of all others would take several times as much room.
    subprocess.run(["strip", "--strip-all", "--wildcard", "--keep-symbol=*histokin*", folder / "histokin"], check=True)
    set_origin(folder / "histokin", "$ORIGIN/lib")
    if "libtorch" in libraries:
        shutil.copy(torch, folder / "lib")
        subprocess.run(["strip", "--strip-unneeded", folder / "lib" / torch.name], check=True)
        set_origin(folder / "lib" / torch.name, "$ORIGIN")
    gather_files(folder, has_context="libtorch" in libraries)
    gather_licences(folder / "licences", libraries, features=features)
    (folder / "share").mkdir()
    for file in ("histokin.desktop", "histokin.svg", "histokin.xml"):
        shutil.copy(ROOT / "packaging" / file, folder / "share")
    shutil.copy(ROOT / "packaging/install.sh", folder)


def gather_files(folder, has_context=True):
    """Copy what the program finds beside it on every system: encoders, guide and demonstration. `has_context` says whether
    the encoder tissue-context, whose networks have 18 MiB, is among them."""
    weights = ["mobilenet_v2"] + has_context * ["efficientnet_lite1", "efficientnet_lite2"]
    (folder / "models/weights").mkdir(parents=True)
    for model in sorted((ROOT / "models").glob("*/model.toml")):
        if has_context or model.parent.name != "tissue-context":
            shutil.copytree(model.parent, folder / "models" / model.parent.name)
    if not has_context:
        # The guide compares the default with it.
        (folder / "models/tissue-context").mkdir()
        shutil.copy(ROOT / "models/tissue-context/card.md", folder / "models/tissue-context")
    for name in weights:
        shutil.copy(ROOT / f"models/weights/{name}.safetensors", folder / "models/weights")
    # F1 opens the guide from here, and the first start offers these slides.
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copytree(ROOT / "assets/slides", folder / "assets/slides")
    for document in ("README.md", "CHANGELOG.md", "SECURITY.md"):
        shutil.copy(ROOT / document, folder)
    for document in folder.rglob("*.md"):
        text = without_dead_links(document.read_text(encoding="utf-8"), document.parent)
        document.write_text(text, encoding="utf-8")


def without_dead_links(text, folder):
    """Return a Markdown text in which links to files that `folder` lacks, such as those for contributors, are plain text."""
    def kept(link):
        target = link["target"].split("#")[0]
        return link[0] if "://" in target or (folder / target).exists() else link["words"]
    return re.sub(r"(?<!!)\[(?P<words>[^][]*)\]\((?P<target>[^()\s]+)\)", kept, text)


def commit_time():
    """Return the time, in seconds since 1970, that all files of archives get, so that the same content gives the same bytes."""
    return os.environ.get("SOURCE_DATE_EPOCH") or subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.strip() or "0"


def pack(folder):
    """Make a reproducible archive."""
    archive = folder.with_name(folder.name + ".tar.gz")
    order = ["--sort=name", f"--mtime=@{commit_time()}", "--owner=0", "--group=0", "--numeric-owner",
             "--use-compress-program=gzip -n6"]
    subprocess.run(["tar", *order, "-cf", archive.with_suffix(".part"), "-C", folder.parent, folder.name], check=True)
    archive.with_suffix(".part").rename(archive)
    return archive


def needed_packages(folder):
    """Return Debian's packages that the program and its libraries are linked against, as a list for `Depends`."""
    files = [folder / "histokin", *sorted((folder / "lib").iterdir())]
    # It asks for a source package, which there is not.
    work = folder.with_name("shlibdeps")
    (work / "debian").mkdir(parents=True, exist_ok=True)
    (work / "debian/control").write_text("Source: histokin\n\nPackage: histokin\nArchitecture: amd64\n")
    # libgomp comes with libtorch.
    command = ["dpkg-shlibdeps", "-O", "--ignore-missing-info", "-xlibgomp1", f"-l{folder / 'lib'}",
               *(f"-e{file}" for file in files)]
    # It warns of everything that is not yet where a package installs it.
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    shutil.rmtree(work)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout.strip().removeprefix("shlibs:Depends=")


# What the window loads where it is there: X and Wayland, Vulkan and OpenGL, and the desktop's file dialog.
LOADED = ("libx11-6", "libx11-xcb1", "libxcursor1", "libxi6", "libxkbcommon0", "libxkbcommon-x11-0", "libwayland-client0",
          "libvulkan1", "mesa-vulkan-drivers", "libegl1", "libgl1", "xdg-desktop-portal")


def debian_package(folder, name):
    """Make a Debian package of the folder: the program in /usr/lib, with its entry in menus and its types of files."""
    summary, other = PACKAGES[name][2], next(one for one in PACKAGES if one != name)
    root = OUT / "debian"
    shutil.rmtree(root, ignore_errors=True)
    home = root / "usr/lib/histokin"
    # install.sh is for those who unpack the archive.
    shutil.copytree(folder, home, copy_function=os.link, ignore=shutil.ignore_patterns("install.sh", "share"))
    (root / "usr/bin").mkdir()
    (root / "usr/bin/histokin").symlink_to("../lib/histokin/histokin")
    for file, place in (
        ("histokin.desktop", "usr/share/applications/histokin.desktop"),
        ("histokin.svg", "usr/share/icons/hicolor/scalable/apps/histokin.svg"),
        ("histokin.xml", "usr/share/mime/packages/histokin.xml"),
    ):
        (root / place).parent.mkdir(parents=True)
        shutil.copy(ROOT / "packaging" / file, root / place)
    documents = root / "usr/share/doc" / name
    documents.mkdir(parents=True)
    (documents / "copyright").write_text(
        (ROOT / "LICENSE").read_text() + "\nLicences of everything that the package contains: /usr/lib/histokin/licences\n")
    for file in (root, *root.rglob("*")):
        if not file.is_symlink():
            is_program = file.is_dir() or file == home / "histokin"
            file.chmod(0o755 if is_program else 0o644)
    control = {
        "Package": name,
        "Version": version(),
        "Architecture": "amd64",
        "Section": "science",
        "Priority": "optional",
        "Maintainer": "The developers of histokin <noreply@histokin.invalid>",
        "Installed-Size": str(size(root) // 1024),
        "Depends": needed_packages(folder),
        "Recommends": ", ".join(LOADED),
        # Both have the same files.
        "Conflicts": other,
        "Replaces": other,
        "Description": summary + "\n Click a tile, and histokin shows where else on your slides the same tissue occurs."
                                 "\n For research, not for diagnosis.",
    }
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN/control").write_text("".join(f"{field}: {value}\n" for field, value in control.items()))
    package = OUT / f"{name}_{version()}_amd64.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zzstd", "--build", root, package], check=True,
                   stdout=subprocess.DEVNULL, env=os.environ | {"SOURCE_DATE_EPOCH": commit_time()})
    shutil.rmtree(root)
    return package


def version():
    cargo = (ROOT / "Cargo.toml").read_text()
    return next(line.split('"')[1] for line in cargo.splitlines() if line.startswith("version = "))


def size(path):
    """Return the length in bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if not file.is_dir())


def main():
    names = sys.argv[1:] or list(PACKAGES)
    for name in names:
        if name not in PACKAGES:
            sys.exit(f"{name} is not a package; choose from {', '.join(PACKAGES)}")
    for name in names:
        folder = OUT / f"{name}-{version()}-x86_64-linux"
        assemble(folder, name)
        for made in (folder, pack(folder), debian_package(folder, name)):
            print(f"{made.relative_to(ROOT)}: {size(made) / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
