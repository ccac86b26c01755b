#!/usr/bin/env python3
"""Test the program for Windows under Wine, beside the one for Linux: wine_test.py WINDOWS_FOLDER LINUX_PROGRAM [CHECK…].

Without names, all checks run. Works in target/windows/under-wine/.
"""

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "target/windows/under-wine"
SLIDES = ("CMU-1-Small-Region.svs", "CMU-1-Small-Region-rotated-cut.tif")
SLIDE = "CMU-1-Small-Region"
# Largest difference between distances that two systems compute.
TOLERANCE = 1e-4
KILLS = int(os.environ.get("KILLS", "12"))
LONGEST_S = 600


def environment():
    """Return the environment of both programs: a home of their own, a Windows of its own, and no messages of Wine."""
    return os.environ | {
        "HOME": str(PLACE / "home"),
        "XDG_STATE_HOME": str(PLACE / "home/state"),
        "XDG_CACHE_HOME": str(PLACE / "home/cache"),
        "XDG_DATA_HOME": str(PLACE / "home/data"),
        "WINEPREFIX": str(PLACE / "prefix"),
        # The encoding of file names in arguments.
        "LC_ALL": "C.UTF-8",
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=",
    }


def windows_path(path):
    """Return the path by which Windows programs know a file of this system."""
    return "Z:" + str(path).replace("/", "\\")


class Program:
    """One of the two programs."""

    def __init__(self, command, is_windows):
        self.command = command
        self.is_windows = is_windows

    def start(self, *arguments, **options):
        """Start it; paths among the arguments are passed as the system has them."""
        named = [windows_path(one) if isinstance(one, Path) and self.is_windows else str(one) for one in arguments]
        return subprocess.Popen([*self.command, *named], env=environment(), stdin=subprocess.DEVNULL, **options)

    def outcome(self, *arguments):
        """Run it; return exit code, standard output and standard error."""
        process = self.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, error = process.communicate(timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return process.returncode, out, error.decode(errors="replace")

    def run(self, *arguments):
        """Run it and return its standard output; fail if it fails."""
        code, out, error = self.outcome(*arguments)
        if code != 0:
            raise AssertionError(f"{' '.join(map(str, arguments))}: exit code {code}\n{error}")
        return out

    def json(self, *arguments):
        return json.loads(self.run(*arguments, "--json"))


class Room:
    """A folder for one check, with both programs and copies of the slides."""

    def __init__(self, name, windows, linux):
        self.windows, self.linux = windows, linux
        self.folder = PLACE / name
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "slides").mkdir(parents=True)
        for slide in SLIDES:
            shutil.copy(ROOT / "assets/slides" / slide, self.folder / "slides")

    def slide(self, number=0):
        return self.folder / "slides" / SLIDES[number]

    def embedded_by(self, program, name):
        """Return a project in which a program has embedded the slides."""
        project = self.folder / name
        program.run("embed", project, self.folder / "slides", "--mpp", "0.5")
        return project


def without_paths(document):
    """Return a JSON document without what names files or measures time."""
    left_out = ("path", "mask", "file", "seconds", "output", "contact_sheet")
    if isinstance(document, dict):
        return {key: without_paths(value) for key, value in document.items() if key not in left_out}
    return [without_paths(one) for one in document] if isinstance(document, list) else document


def same(found, expected, what):
    if found != expected:
        raise AssertionError(f"{what}: {found!r} instead of {expected!r}")


def check_info(room):
    """Properties of slides are the same, with and without a decoder process."""
    for number, name in enumerate(SLIDES):
        for isolate in ("--isolate=never", "--isolate=always"):
            found, expected = (
                without_paths(program.json("info", room.slide(number), isolate))
                for program in (room.windows, room.linux)
            )
            same(found, expected, f"{name}, {isolate}")


def check_paths(room):
    """Slides are found under names in any script, in other case, and under paths longer than 260 characters."""
    folder = room.folder / "Übung 切片 🔬" / ("a" * 120) / ("b" * 120)
    folder.mkdir(parents=True)
    shutil.copy(room.slide(), folder / "Schnitt ä.svs")
    expected = without_paths(room.linux.json("info", room.slide()))
    for name in ("Schnitt ä.svs", "SCHNITT Ä.SVS"):
        same(without_paths(room.windows.json("info", folder / name)), expected, name)


def check_render(room):
    """Rendered regions and tissue masks have the same pixels."""
    for number, name in enumerate(SLIDES):
        for command in (["render", "--rect", "100,200,1500,1000", "--size", "1500x1000"], ["tissue"]):
            pictures = []
            for program in (room.windows, room.linux):
                picture = room.folder / f"{command[0]}-{number}-{program.is_windows}.png"
                program.run(command[0], room.slide(number), *command[1:], "-o", picture)
                pictures.append(picture.read_bytes())
            if pictures[0] != pictures[1]:
                raise AssertionError(f"{command[0]} of {name}: other pixels than on Linux")


def answer(program, project):
    query = ("query", project, "--slide", SLIDE, "--at", "1000,1500", "-k", "20")
    return program.json(*query)["matches"]


def same_matches(found, expected):
    """Compare two answers: the same tiles, in an order that differs only between equal distances."""
    same(len(found), len(expected), "matches")
    worst = max(abs(a["distance"] - b["distance"]) for a, b in zip(found, expected))
    if worst > TOLERANCE:
        raise AssertionError(f"distances differ by up to {worst}")
    tiles = [{(one["slide"], one["x"], one["y"]) for one in matches} for matches in (found, expected)]
    if len(tiles[0] - tiles[1]) > 1:
        raise AssertionError(f"other tiles: {tiles[0] ^ tiles[1]}")
    return worst


def check_project(room):
    """A project that was made on Linux is searched and checked on Windows."""
    project = room.embedded_by(room.linux, "project")
    expected = answer(room.linux, project)
    shutil.rmtree(project / "index", ignore_errors=True)
    worst = same_matches(answer(room.windows, project), expected)
    room.windows.run("index", project, "--verify")
    return f"distances differ by at most {worst:.1g}"


def check_embed(room):
    """Slides that are embedded with ONNX Runtime give the answers of libtorch."""
    expected = answer(room.linux, room.embedded_by(room.linux, "linux"))
    project = room.embedded_by(room.windows, "windows")
    worst = same_matches(answer(room.windows, project), expected)
    room.windows.run("index", project, "--verify")
    # And Linux reads what Windows wrote, with paths that it understands.
    for slide in SLIDES:
        if f'"../slides/{slide}"' not in (project / "project.toml").read_text():
            raise AssertionError(f"{project}/project.toml: the path of {slide} is not relative")
    same_matches(answer(room.linux, project), expected)
    return f"distances differ by at most {worst:.1g}"


def annotations(name, count):
    """Return a GeoJSON document with squares that are all called `name`."""

    def square(number):
        x, y = number % 60 * 30, number // 60 * 30
        ring = [[x, y], [x + 20, y], [x + 20, y + 20], [x, y + 20], [x, y]]
        return {
            "type": "Feature",
            "id": f"00000000-0000-4000-8000-{number:012}",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"objectType": "annotation", "name": name},
        }

    return json.dumps({"type": "FeatureCollection", "features": [square(number) for number in range(count)]})


def exported(program, project, file):
    program.run("annotations", "export", project, "--slide", SLIDE, "-o", file)
    return json.loads(file.read_text())


def check_annotations(room):
    """Annotations are imported and exported, also from a file with the line ends of Windows."""
    project = room.embedded_by(room.linux, "project")
    file = room.folder / "marks.geojson"
    file.write_bytes(annotations("gland", 300).replace("}, {", "},\r\n{").encode())
    room.windows.run("annotations", "import", project, "--slide", SLIDE, file)
    found = exported(room.windows, project, room.folder / "windows.geojson")
    same(found, exported(room.linux, project, room.folder / "linux.geojson"), "exported annotations")
    same(len(found["features"]), 300, "exported annotations")


def wait_for(what, done, seconds=60):
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain until {what}")
        time.sleep(0.005)


def importing(room, project, name, count):
    """Start an import of annotations; return the process."""
    file = room.folder / f"{name}.geojson"
    if not file.exists():
        file.write_text(annotations(name, count))
    arguments = ("annotations", "import", project, "--slide", SLIDE, file, "--isolate=never")
    return room.windows.start(*arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def check_lock(room):
    """A second process may not write, and says who does; a killed holder's lock is free."""
    project = room.embedded_by(room.linux, "project")
    lock = project / "project.lock"
    small = room.folder / "small.geojson"
    small.write_text(annotations("small", 1))
    second = ("annotations", "import", project, "--slide", SLIDE, small)
    holder = importing(room, project, "large", 60000)
    wait_for("the project is locked", lambda: lock.exists() and lock.stat().st_size > 0)
    os.kill(holder.pid, 19)  # stops it, so that it holds the lock for as long as this takes
    code, _, error = room.windows.outcome(*second)
    if code == 0 or "process" not in error:
        raise AssertionError(f"the second process was not refused: {code}, {error}")
    holder.kill()
    holder.wait()
    room.windows.run(*second)
    return error.strip().splitlines()[-1].removeprefix("histokin: ")


def check_kill(room):
    """Killed while it saves, the program leaves the old or the new annotations, whole, and goes on."""
    project = room.embedded_by(room.linux, "project")
    count, killed, longest = 3000, 0, 0.0
    chance = random.Random(7)
    for version in ("even", "odd"):
        began = time.monotonic()
        same(importing(room, project, version, count).wait(LONGEST_S), 0, "exit code")
        longest = max(longest, time.monotonic() - began)
    tried = 0
    while killed < KILLS:
        tried += 1
        if tried > 20 * KILLS:
            raise AssertionError("it is too quick to be killed")
        process = importing(room, project, ("even", "odd")[tried % 2], count)
        time.sleep(longest * chance.uniform(0.3, 1.0))
        process.kill()
        killed += process.wait() != 0
        names = {
            feature["properties"]["name"]
            for feature in exported(room.linux, project, room.folder / "found.geojson")["features"]
        }
        if names not in ({"even"}, {"odd"}):
            raise AssertionError(f"after {killed} kills: {names}")
    same(importing(room, project, "even", count).wait(LONGEST_S), 0, "exit code")
    left = [file.name for file in (project / "annotations").iterdir() if ".histokin-" in file.name]
    same(left, [], "files left behind")
    return f"{killed} kills"


@contextlib.contextmanager
def window_of(room, *arguments):
    """Open the window and wait until it draws."""
    text = room.folder / "log.txt"
    with open(text, "wb") as log:
        window = room.windows.start("--log", "info", *arguments, stdout=log, stderr=log)
    try:
        painted = lambda: b"first frame painted" in text.read_bytes()
        wait_for("the window paints", lambda: painted() or window.poll() is not None, 180)
        if window.poll() is not None:
            raise AssertionError(text.read_text(errors="replace")[-2000:])
        yield
    finally:
        window.kill()
        window.wait()


def picture_of_display(picture):
    subprocess.run(["import", "-window", "root", picture], check=True)
    return f"see {picture.relative_to(ROOT)}"


def check_window(room):
    """The window opens on a slide and draws; its picture is kept."""
    with window_of(room, "--project", room.folder / "project", "--new-window", room.slide()):
        time.sleep(20)
        return picture_of_display(room.folder / "window.png")


def check_handover(room):
    """A second start hands its slide to the window that is open, and ends."""
    with window_of(room, room.slide(0)):
        second = room.windows.start(room.slide(1), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            same(second.wait(60), 0, "exit code of the second start")
        finally:
            second.kill()
        time.sleep(10)
        return picture_of_display(room.folder / "window.png")


def registry(wine, key):
    """Return what Wine's registry holds below a key of the user, or None if the key is not there."""
    command = [wine, "reg", "query", f"HKCU\\{key}", "/s"]
    found = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return found.stdout.decode(errors="replace") if found.returncode == 0 else None


def check_installer(room):
    """The installer runs silently; so does the uninstaller, which leaves nothing."""
    wine = room.windows.command[0]
    setup = next((ROOT / "target/windows").glob("histokin-*-setup.exe"), None)
    if setup is None:
        raise AssertionError("there is no installer in target/windows/")
    subprocess.run([wine, setup, "/S"], env=environment(), check=True, timeout=LONGEST_S)
    user = PLACE / "prefix/drive_c/users" / os.environ.get("USER", "root") / "AppData"
    place = user / "Local/Programs/histokin"
    entry = user / "Roaming/Microsoft/Windows/Start Menu/Programs/histokin.lnk"
    same(entry.exists(), True, "entry of the Start menu")
    for key, text in (
        ("Software\\Classes\\histokin.slide", "histokin-window.exe"),
        ("Software\\Classes\\.svs\\OpenWithProgids", "histokin.slide"),
        ("Software\\Microsoft\\Windows\\CurrentVersion\\Uninstall\\histokin", "QuietUninstallString"),
    ):
        if text not in (registry(wine, key) or ""):
            raise AssertionError(f"{key}: not in the registry")
    for library in (ROOT / "third_party/windows/wine").glob("*.dll"):
        shutil.copy(library, place)
    version = Program([wine, place / "histokin.exe"], True).run("--version").decode().strip()
    subprocess.run([wine, place / "uninstall.exe", "/S"], env=environment(), check=True, timeout=LONGEST_S)
    wait_for("all is removed", lambda: not place.exists() and not entry.exists())
    for key in ("Software\\Classes", "Software\\Microsoft\\Windows\\CurrentVersion\\Uninstall"):
        if "histokin" in (registry(wine, key) or ""):
            raise AssertionError(f"{key}: still in the registry after the removal")
    return version


@contextlib.contextmanager
def display():
    """Provide an X display. Wine's desktop has that of the first program, so that all have to be started with it."""
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1600x1000x24"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        os.environ["DISPLAY"] = f":{server.stdout.readline().strip()}"
        yield
    finally:
        server.kill()
        server.wait()


def main():
    folder, linux = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    PLACE.mkdir(parents=True, exist_ok=True)
    (PLACE / "home").mkdir(exist_ok=True)
    installed = PLACE / "program"
    shutil.rmtree(installed, ignore_errors=True)
    shutil.copytree(folder, installed)
    for library in (ROOT / "third_party/windows/wine").glob("*.dll"):
        shutil.copy(library, installed)
    # Debian's package has no command of this name.
    wine = shutil.which("wine64") or "/usr/lib/wine/wine64"
    subprocess.run([wine, "wineboot", "--init"], env=environment(), check=False, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    programs = Program([wine, installed / "histokin.exe"], True), Program([linux], False)
    checks = {name.removeprefix("check_"): check for name, check in globals().items() if name.startswith("check_")}
    failed = 0
    for name in sys.argv[3:] or checks:
        began = time.monotonic()
        try:
            said = checks[name](Room(name, *programs))
            print(f"{name}: passed in {time.monotonic() - began:.0f} s{f' ({said})' if said else ''}", flush=True)
        except (AssertionError, subprocess.SubprocessError, OSError, ValueError, KeyError) as error:
            failed += 1
            print(f"{name}: FAILED: {error}", flush=True)
    # Its desktop would stay for a while, and with it a display that is about to end: no window could be opened on another.
    server = shutil.which("wineserver") or "/usr/lib/wine/wineserver"
    subprocess.run([server, "--kill"], env=environment(), check=False)
    return failed


with display():
    sys.exit(main())
