#!/usr/bin/env python3
"""Drive the real window through a user's first hour, check what it leaves on the disk, and take the guide's pictures of it.

    scripts/first_hour.py [--program target/release/histokin] [--to FOLDER]

Two slides are dropped on the window by a drag-and-drop source of the display server; similar tissue is searched; tissue is
annotated with QuPath's keys and exported; a concept is taught by judgements; a report is measured and exported. The script
ends at the first step whose result is not there. Pictures go to docs/guide/images, or to FOLDER. Requires Xvfb, xdotool,
ImageMagick and python-xlib.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from drop_files import Drag
from guide_screenshots import ASIDE, IMAGES, MEASURE, ROOT, SLIDES, Window

# The slides in the order of the list; the last one dropped is shown first.
DROPPED = ["CMU-1-Small-Region-rotated-cut.tif", "CMU-1-Small-Region.svs"]
CLASSES = ["Epidermis", "Dermis"]
# Places in the window, in pixels: the slide's canvas, and controls of the panel of annotations and of the report.
CANVAS, CLASS_LIST, NEW_CLASS = (700, 440), (46, 557), (130, 705)
CLASS_OF_NEW, FIRST_CLASS, CLASS_STEP = (300, 67), 103, 34
CLASSES_OF_PROJECT = 6
# Other slides are searched, since the two slides are of one patient, which their names do not say.
DISMISS_HINT, OTHER_SLIDES = (780, 792), (776, 147)
# Tissue of the slide that is shown first: two places of epidermis, and what is drawn.
EPIDERMIS, MORE_EPIDERMIS = (742, 262), (722, 470)
EPIDERMIS_OUTLINE = [(712, 222), (765, 219), (773, 258), (835, 238), (839, 293), (788, 308), (757, 347), (746, 401), (724, 400),
                     (706, 330)]
DERMIS = (655, 350), (700, 480)
STRAND, WAND, RULE = [(450, 352), (520, 330), (590, 322), (648, 330)], (748, 590), ((620, 640), (820, 640))
# Tissue of the other slide.
OTHER = {"Epidermis": ((600, 430), (690, 520)), "Dermis": ((400, 330), (560, 420))}


class Hour:
    """The steps, in their order."""

    def __init__(self, window, project, folder, images):
        self.window, self.project, self.folder, self.images = window, project, folder, images

    def command(self, name, text=None):
        """Perform a command by its name, as the command palette does; then type a text in the dialog and press Enter."""
        self.window.press("ctrl+l")
        self.window.settle()
        self.window.type(name)
        self.window.settle()
        self.window.press("Return")
        if text is not None:
            self.window.settle()
            self.window.press("ctrl+a")
            self.window.type(text)
            self.window.press("Return")

    def wait(self, what, is_there, seconds=240):
        end = time.monotonic() + seconds
        while not is_there():
            if time.monotonic() > end:
                self.window.save("first-hour-failed", folder=self.images)
                sys.exit(f"{what}: not after {seconds} s; see first-hour-failed.jpg")
            time.sleep(0.5)
        print(f"ok: {what}", flush=True)

    def picture(self, name):
        self.window.point(*ASIDE)
        self.window.save(f"first-hour-{name}", folder=self.images)

    def annotations(self):
        """Return the annotations that the project has of both slides."""
        files = self.project.glob("annotations/*.geojson")
        return [feature for file in files for feature in json.loads(file.read_text())["features"]]

    def open_by_drop(self):
        files = [SLIDES / name for name in DROPPED]
        drag = Drag(self.window.environment["DISPLAY"], self.window.id, files)
        if not drag.move(*CANVAS):
            sys.exit("the window does not take the files")
        time.sleep(1)
        if not drag.drop():
            sys.exit("the window has not taken the files")
        listed = self.project / "project.toml"
        self.wait("both slides are in the project", lambda: all(name in listed.read_text() for name in DROPPED))
        done = self.project / "descriptors"
        self.wait("both slides are embedded", lambda: len(list(done.glob("**/*.safetensors"))) >= 2)
        self.window.settle()
        self.picture("open")

    def search(self, place):
        """Click tissue, and wait until the query is answered and kept."""
        kept = self.project / "queries.json"
        before = kept.read_text() if kept.exists() else None
        self.window.settle()
        self.window.click(*place)
        self.wait("the query is kept", lambda: kept.exists() and kept.read_text() != before, 60)
        self.window.settle()

    def find(self):
        self.search(EPIDERMIS)
        self.picture("find")
        self.window.click(*DISMISS_HINT)
        self.window.press("Escape")

    def choose_class(self, name):
        self.window.click(*CLASS_OF_NEW)
        self.window.settle()
        row = CLASSES_OF_PROJECT + 1 + CLASSES.index(name)
        self.window.click(CLASS_OF_NEW[0] + 50, FIRST_CLASS + CLASS_STEP * row)
        self.window.settle()

    def annotate(self):
        window = self.window
        window.press("F5")
        window.settle()
        window.click(*CLASS_LIST)
        classes = self.project / "project.toml"
        for name in CLASSES:
            window.settle()
            window.click(*NEW_CLASS)
            window.settle()
            window.type(name)
            window.press("Return")
            self.wait(f"the class {name} is there", lambda name=name: f'"{name}"' in classes.read_text(), 20)
        self.choose_class("Epidermis")
        window.press("p")
        window.outline(EPIDERMIS_OUTLINE)
        self.choose_class("Dermis")
        window.press("r")
        window.drag(*DERMIS)
        window.press("v")
        window.outline(STRAND)
        self.choose_class("Epidermis")
        window.press("w")
        window.click(*WAND)
        self.wait("four annotations are saved", lambda: len(self.annotations()) == 4, 30)
        window.press("l")
        window.drag(*RULE)
        window.press("m")
        self.wait("the line is saved, too", lambda: len(self.annotations()) == 5, 30)
        window.press("Escape")
        window.settle()
        window.click(*CLASS_LIST)
        self.picture("annotate")
        window.press("Prior")
        window.settle()
        for name, corners in OTHER.items():
            self.choose_class(name)
            window.press("r")
            window.drag(*corners)
        window.press("m")
        self.wait("those of the other slide, too", lambda: len(self.annotations()) == 7)
        window.press("Next", "F5")
        window.settle()

    def export(self):
        file = self.folder / "annotations.geojson"
        self.command("Export annotations to path", str(file))
        self.wait("annotations are exported for QuPath", file.exists)
        exported = json.loads(file.read_text())
        names = [feature["properties"].get("classification", {}).get("name") for feature in exported["features"]]
        if sorted(names) != ["Dermis", "Dermis", "Epidermis", "Epidermis", "Epidermis"]:
            sys.exit(f"exported: {names}")

    def teach(self):
        window = self.window
        self.search(MORE_EPIDERMIS)
        file = self.project / "judgements.csv"
        for count, judgement in enumerate("yxyyxx", 1):
            window.press("n")
            window.settle(2)
            window.press(judgement)
            self.wait(f"judgement {count} is kept", lambda: file.exists() and len(file.read_text().splitlines()) > count, 60)
        self.command("Save as concept", "Epidermis")
        self.wait("the concept is kept", lambda: any(self.project.glob("concepts/*.toml")))
        window.press("0")
        window.settle()
        self.picture("teach")
        window.press("Escape")

    def report(self):
        window = self.window
        window.press("F7")
        window.settle()
        window.click(*OTHER_SLIDES)
        window.settle()
        window.click(*MEASURE)
        window.settle(20, 400)
        self.picture("report")
        window.press("ctrl+shift+e")
        pages = self.project / "reports"
        self.wait("the report is exported", lambda: any(pages.glob("**/report.html")) and any(pages.glob("**/report.pdf")))
        window.press("F7")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/histokin")
    parser.add_argument("--to", type=Path, default=IMAGES, metavar="FOLDER", help="folder for the pictures")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = folder / "project"
        project.mkdir()
        shutil.copy(ROOT / "assets/demonstration.toml", project / "project.toml")
        with Window(options.program.resolve(), folder, ["--project", project]) as window:
            hour = Hour(window, project, folder, options.to.resolve())
            for step in (hour.open_by_drop, hour.find, hour.annotate, hour.export, hour.teach, hour.report):
                step()


if __name__ == "__main__":
    main()
