#!/usr/bin/env python3
"""Take the screenshots of the guide, in docs/guide/images, from the real window.

    scripts/guide_screenshots.py [--program target/release/histokin] [--sections FOLDER --labels FILE] [NAME …]

Shows the demonstration slides; with NAMEs, takes only these pictures. The pictures of training, of the report and of a
class map need several whole sections with labels and are taken only if --sections and --labels name some. That of the class
map shows the first section, with concepts taught on those of other patients. Requires Xvfb, xdotool and ImageMagick.
Everything that the program writes goes to a temporary folder.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs/guide/images"
TOUR = ROOT / "docs/tour.gif"
SLIDES = ROOT / "assets/slides"
SIZE = (1400, 880)
ALL = {"welcome", "settings", "similar-tissue", "heat-map", "colours", "panes", "annotations", "teaching", "tour", "encoders",
       "training", "report", "class-map"}
OF_SECTIONS = {"training", "report", "class-map"}
# Places in the window, in pixels: the second slide of the list, a place that shows nothing when pointed at, and controls of
# the page of encoders, the report and the training.
SECOND_SLIDE = (130, 228)
ASIDE = (380, 500)
MATCHES, ENCODERS, ENCODER, PREVIEW = (1376, 22), (180, 68), (415, 440), (981, 489)
BESIDE_ENCODERS = (500, 790)
MEASURE = (383, 223)
# The dialog of the settings.
SETTINGS_PART = "822x722+289+79"
ALL_RUNS = (480, 133)
CONTINUE = (345, 245)
DEFAULT_ENCODER = "tissue-views"
# Seconds of training before its picture is taken.
TRAINED_FOR = 45
# Concepts of the class map by label.
TAUGHT = {"adipose": "Fat", "mucosa": "Mucosa", "smooth_muscle": "Smooth muscle"}
# Tiles that are marked as the same tissue for each of them, and as many as different.
MARKS = 12
# Tiles of the sections, which are coarser than the demonstration slides.
SECTION_TILES = ["--tile-px", "112", "--mpp", "2"]

# Annotations of the demonstration slide: class, colour and outline in thirds of a level-0 pixel.
ANNOTATIONS = [
    ("Epidermis", [235, 190, 60],
     [(372, 210), (440, 205), (450, 255), (530, 230), (535, 300), (470, 320), (430, 370), (415, 440), (405, 530), (430, 600),
      (460, 605), (520, 520), (560, 480), (600, 440), (602, 475), (540, 545), (475, 650), (455, 720), (440, 770), (400, 800),
      (370, 775), (360, 700), (365, 560), (385, 470), (380, 360), (365, 290), (372, 210)]),
    ("Keratin", [90, 140, 220],
     [(535, 310), (540, 345), (515, 400), (480, 430), (480, 500), (450, 600), (410, 560), (405, 530), (418, 440), (435, 375),
      (475, 325), (535, 310)]),
    ("Dermis", [60, 150, 90],
     [(300, 360), (350, 360), (375, 450), (355, 520), (310, 620), (290, 700), (250, 750), (255, 650), (285, 550), (290, 450),
      (300, 360)]),
]


class Window:
    """The program's window on a display of its own."""

    def __init__(self, program, home, arguments):
        self.server = subprocess.Popen(
            ["Xvfb", "-displayfd", "1", "-screen", "0", f"{SIZE[0]}x{SIZE[1]}x24", "-nolisten", "tcp"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.environment = {**os.environ, "DISPLAY": ":" + self.server.stdout.readline().strip(), "HOME": str(home)}
        self.environment.pop("WAYLAND_DISPLAY", None)
        # Numbers are written as in the system's language.
        self.environment["LC_ALL"] = "C.UTF-8"
        # Paths on the screen are those of the temporary folder.
        models = Path(home) / "models"
        if not models.exists():
            models.symlink_to(ROOT / "models")
        self.environment["HISTOKIN_MODELS"] = str(models)
        for name in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
            self.environment.pop(name, None)
        self.program = subprocess.Popen([str(program), *map(str, arguments)], env=self.environment,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        window = self.run("xdotool", "search", "--sync", "--onlyvisible", "--name", "histokin").split()[0]
        self.run("xdotool", "windowsize", window, *map(str, SIZE), "windowmove", window, "0", "0", "windowfocus", window)
        self.id = int(window)
        self.point(SIZE[0] - 4, SIZE[1] - 4)
        self.settle()
        return self

    def __exit__(self, *_):
        for process in (self.program, self.server):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()

    def run(self, *command):
        return subprocess.run(command, env=self.environment, check=True, stdout=subprocess.PIPE, text=True).stdout

    def point(self, x, y):
        self.run("xdotool", "mousemove", str(x), str(y))
        time.sleep(0.3)

    def click(self, x, y, *modifiers):
        self.point(x, y)
        for modifier in modifiers:
            self.run("xdotool", "keydown", modifier)
        self.run("xdotool", "click", "1")
        for modifier in modifiers:
            self.run("xdotool", "keyup", modifier)
        time.sleep(0.3)

    def show_second_slide(self):
        """Show the whole second slide."""
        self.click(*SECOND_SLIDE)
        self.settle()
        self.press("0")
        self.settle()

    def drag(self, start, end):
        self.point(*start)
        self.settle(2)
        self.run("xdotool", "mousedown", "1")
        time.sleep(0.5)
        for share in (0.3, 0.7, 1.0):
            self.point(*(round(a + share * (b - a)) for a, b in zip(start, end)))
        self.run("xdotool", "mouseup", "1")
        time.sleep(0.3)

    def outline(self, places):
        """Click each corner of an outline, and end it with Enter."""
        for place in places:
            self.click(*place)
            time.sleep(0.7)
        self.press("Return")

    def press(self, *keys):
        for key in keys:
            self.run("xdotool", "key", key)
            time.sleep(0.4)

    def type(self, text):
        self.run("xdotool", "type", text)
        time.sleep(0.4)

    def capture(self):
        return subprocess.run(["import", "-window", "root", "ppm:-"], env=self.environment, check=True,
                              stdout=subprocess.PIPE).stdout

    def settle(self, stills=3, most=40):
        """Wait until this many pictures, taken every 0.7 s, are the same."""
        before, still = None, 0
        for _ in range(most):
            now = self.capture()
            still = still + 1 if now == before else 0
            if still == stills:
                return
            before = now
            time.sleep(0.7)

    def save(self, name, *change, folder=IMAGES):
        """Save the window, after changes (options of ImageMagick)."""
        self.settle()
        file = folder / f"{name}.jpg"
        kept = ["-resize", "1120x>", "-strip", "-quality", "68", "-sampling-factor", "4:4:4"]
        subprocess.run(["convert", "ppm:-", *change, *kept, str(file)], check=True, input=self.capture())
        print(f"{file.name}: {file.stat().st_size / 1024:.0f} KiB", flush=True)


def annotate(program, project, folder):
    """Import the annotations of the demonstration slide."""
    features = [{"type": "Feature",
                 "geometry": {"type": "Polygon", "coordinates": [[[3 * x, 3 * y] for x, y in outline]]},
                 "properties": {"objectType": "annotation", "classification": {"name": name, "color": color}}}
                for name, color, outline in ANNOTATIONS]
    file = folder / "annotations.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    subprocess.run([program, "annotations", "import", project, "--slide", "CMU-1-Small-Region", file], check=True,
                   env={**os.environ, "HOME": str(folder)}, stdout=subprocess.DEVNULL)


def dismiss_first_steps(home):
    """Make the window that of a user who knows the first steps."""
    state = home / ".local/share/histokin/window.toml"
    state.parent.mkdir(parents=True, exist_ok=True)
    state.write_text("[settings]\nfirst_steps_done = true\nclick_explained = true\n")


def take_demonstration(program, folder, wanted):
    """Take the pictures that need no more than the demonstration slides."""
    if "welcome" in wanted:
        with Window(program, folder, ["--project", folder / "empty"]) as window:
            window.save("welcome")
    dismiss_first_steps(folder)
    project = folder / "project"
    project.mkdir()
    shutil.copy(ROOT / "assets/demonstration.toml", project / "project.toml")
    subprocess.run([program, "embed", project, SLIDES], check=True, env={**os.environ, "HOME": str(folder)},
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # Each of these begins and ends with one pane on the second slide, and without a query.
    with Window(program, folder, ["--project", project, SLIDES]) as window:
        window.show_second_slide()
        if "similar-tissue" in wanted:
            window.click(742, 262)
            window.point(*ASIDE)
            window.save("similar-tissue")
            window.press("Escape")
        if "teaching" in wanted:
            window.click(742, 262)
            window.settle()
            window.press("n", "y", "n", "y", "n", "x", "0")
            window.point(*ASIDE)
            window.save("teaching")
            window.press("Escape")
            window.show_second_slide()
        if "tour" in wanted:
            take_tour(window)
            window.show_second_slide()
        if "heat-map" in wanted:
            window.press("d")
            window.point(760, 600)
            window.save("heat-map")
            window.press("d")
        if "colours" in wanted:
            window.press("shift+c", "c")
            window.point(*ASIDE)
            window.save("colours")
            window.press("alt+c", "shift+c")
        if "settings" in wanted:
            window.press("ctrl+comma")
            window.save("settings", "-crop", SETTINGS_PART, "+repage")
            window.press("Escape")
        if "encoders" in wanted:
            window.click(*MATCHES)
            for place in (ENCODERS, ENCODER, PREVIEW):
                window.click(*place)
                window.settle()
            window.point(*BESIDE_ENCODERS)
            window.save("encoders", "-crop", "1076x790+322+44", "+repage", "-resize", "880x")
            window.click(*ENCODERS)
            window.click(*MATCHES)
        if "panes" in wanted:
            window.press("ctrl+2")
            window.save("panes")
            window.press("ctrl+1")
    annotate(program, project, folder)
    with Window(program, folder, ["--project", project, SLIDES]) as window:
        window.show_second_slide()
        if "annotations" in wanted:
            window.press("F5")
            window.settle()
            window.save("annotations")


def take_tour(window):
    """Take the animated picture of README: a query, its matches, and the heat map."""
    frames = []

    def frame(hundredths):
        window.settle()
        frames.append((hundredths, window.capture()))

    frame(120)
    window.click(742, 262)
    window.point(*ASIDE)
    frame(250)
    for _ in range(3):
        window.press("n")
        frame(150)
    window.press("alt+Left", "alt+Left", "alt+Left", "Escape", "0", "d")
    for place in [(742, 262), (760, 420), (740, 600), (830, 780), (600, 800)]:
        window.point(*place)
        frame(90)
    window.press("d")
    command = ["convert", "-loop", "0"]
    with tempfile.TemporaryDirectory() as folder:
        for index, (hundredths, picture) in enumerate(frames):
            file = Path(folder) / f"{index:02}.ppm"
            file.write_bytes(picture)
            command += ["-delay", str(hundredths), str(file)]
        subprocess.run([*command, "-resize", "960x", "-dither", "None", "-colors", "128", "-layers", "optimize", str(TOUR)],
                       check=True)
    print(f"{TOUR.relative_to(ROOT)}: {TOUR.stat().st_size / 1024:.0f} KiB")


def take_sections(program, folder, sections, labels, wanted):
    """Take the pictures of training and of the report, on whole sections."""
    project, environment = folder / "sections", {**os.environ, "HOME": str(folder)}
    dismiss_first_steps(folder)
    for arguments in ([sections], ["--encoder", "imagenet-mobilenet-v2"], ["--encoder", DEFAULT_ENCODER]):
        subprocess.run([program, "embed", project, *arguments, *SECTION_TILES], check=True, env=environment, stderr=subprocess.DEVNULL)
    (project / "labels").mkdir()
    shutil.copy(labels, project / "labels")
    if "training" in wanted:
        train(program, project, sections, environment)
    if "class-map" in wanted:
        teach(program, project, sections, labels, environment)
    with Window(program, folder, ["--project", project, sections]) as window:
        window.settle()
        if "class-map" in wanted:
            window.click(*MATCHES)
            window.press("shift+k")
            window.point(*ASIDE)
            window.save("class-map", "-crop", "1120x790+280+44", "+repage", "-resize", "880x")
            window.press("shift+k")
            window.click(*MATCHES)
        if "report" in wanted:
            window.press("F7")
            window.click(*MEASURE)
            window.point(*ASIDE)
            window.settle(40, 1000)
            window.save("report")
            window.press("F7")
        if "training" in wanted:
            window.press("F6")
            for place in (ALL_RUNS, CONTINUE):
                window.settle()
                window.click(*place)
                window.point(*ASIDE)
            time.sleep(30)
            window.save("training")


def teach(program, project, sections, labels, environment):
    """Teach a concept of each class by marks on labelled tiles of sections of other patients than the first one's."""
    first = min(file.stem for file in sections.iterdir())
    with open(labels, newline="") as file:
        tiles = list(csv.DictReader(file))
    mapped = {tile["patient"] for tile in tiles if tile["slide"] == first}
    present = {file.stem for file in sections.iterdir()}
    tiles = [tile for tile in tiles if tile["slide"] in present and tile["patient"] not in mapped]
    draw = random.Random(1)

    def mark(name, option, tiles):
        left = MARKS
        for tile in draw.sample(tiles, len(tiles)):
            middle = (int(tile[at]) + int(tile[side]) // 2 for at, side in (("x", "width"), ("y", "height")))
            command = [program, "concepts", "teach", project, "--add", "--name", name, option,
                       "{}:{},{}".format(tile["slide"], *middle)]
            # Fails where a tile of little tissue is not embedded.
            left -= subprocess.run(command, env=environment, capture_output=True).returncode == 0
            if left == 0:
                break

    for label, name in TAUGHT.items():
        mark(name, "--same", [tile for tile in tiles if tile["label"] == label])
        mark(name, "--different", [tile for tile in tiles if tile["label"] != label])


def train(program, project, sections, environment):
    """Train for a while; the window then goes on with the run and shows its curves."""
    files = sorted(file for file in sections.iterdir() if file.is_file())
    held_out = [option for file in (files[len(files) // 2], files[-1]) for option in ("--validate", file)]
    command = [program, "train", project, sections, *held_out, *SECTION_TILES, "--batch", "8", "--steps", "2000",
               "--validate-every", "10"]
    run = subprocess.Popen([str(part) for part in command], env=environment, stderr=subprocess.DEVNULL)
    time.sleep(TRAINED_FOR)
    run.send_signal(signal.SIGTERM)
    run.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/histokin")
    parser.add_argument("--sections", type=Path, help="folder of whole sections, for training and report")
    parser.add_argument("--labels", type=Path, help="labels of the sections (CSV)")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        program, wanted = options.program.resolve(), set(options.names) or ALL
        if wanted - OF_SECTIONS:
            take_demonstration(program, Path(folder), wanted)
        if options.sections and options.labels and wanted & OF_SECTIONS:
            take_sections(program, Path(folder), options.sections.resolve(), options.labels, wanted)


if __name__ == "__main__":
    main()
