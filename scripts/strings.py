#!/usr/bin/env python3
"""List every string that users read, for translators: one catalogue in gettext's POT format for each area.

    scripts/strings.py FOLDER

Strings stand in the source where they are used. This finds them: literals with letters in code that users see, messages of
errors, and the help texts of the command line. Left out are tests, names of files and settings, shaders, and the log.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Areas by what a user sees, and the folders whose strings belong to them.
AREAS = {
    "window": ["src/ui"],
    "command-line": ["src/cli"],
    "report": ["crates/histokin-evaluation/src"],
    "messages": [f"crates/histokin-{name}/src"
                 for name in ("core", "encoder", "project", "archive", "training", "session")],
}

TOKEN = re.compile(r'''
    (?P<doc>///[^\n]*)
  | (?P<comment>//[^\n]*|/\*.*?\*/)
  | b?r(?P<hashes>\#*)"(?P<raw>.*?)"(?P=hashes)
  | (?P<bytes>b"(?:[^"\\]|\\.)*")
  | "(?P<text>(?:[^"\\]|\\.)*)"
  | (?P<char>'(?:[^'\\]|\\.[^']*)')
  | (?P<lifetime>'\w+)
''', re.VERBOSE | re.DOTALL)

# What precedes a literal that no user reads: the log, attributes other than error messages, and fixed keys.
UNSEEN = re.compile(
    r'(?:\b(?:tracing::\w+|trace|debug|info|warn|unreachable|panic|assert\w*|include_\w+|env|concat|json)!\s*[({]'
    r'|\.expect\(|\b(?:var|var_os|Regex::new)\()[^;{}"]*$'
    r'|\b(?:feature|target_\w+|path|rename|alias|with|reason)\s*=\s*$')
ATTRIBUTE = re.compile(r'#!?\[(?!error|arg|command|clap|value)[^\]]*$')
# A module that only tests have: in a file of its own, or in this file, where it comes last.
TEST_MODULE = re.compile(r'\n#\[cfg\((?:any\(|all\()?test\b[^\n]*\n(?:#[^\n]*\n)*(?:pub(?:\([^)]*\))? )?mod (\w+)(;| \{)')
SENTENCE = re.compile(r'[A-Za-z]{2,}')
KEY = re.compile(r'^[a-z0-9_.:/\\#*%{}-]*$')


def literals(source):
    """Yield line number and text of each literal that a user may read, and of the help texts of arguments."""
    own = next((module for module in TEST_MODULE.finditer(source) if module[2] != ";"), None)
    source = source[:own.start()] if own else source
    for token in TOKEN.finditer(source):
        text = token["text"]
        if text is None:
            if token["raw"] is None:
                continue
            text = token["raw"].replace("\\", r"\\")
        before = source[max(0, token.start() - 200):token.start()]
        if ATTRIBUTE.search(before) or UNSEEN.search(before):
            continue
        text = re.sub(r'\\\n\s*', '', text)
        if SENTENCE.search(text) and not KEY.match(text):
            yield source.count("\n", 0, token.start()) + 1, text


def help_texts(source):
    """Yield line number and text of the doc comments of the command line's arguments, which are its help."""
    for token in re.finditer(r'(?:^[ ]*///[^\n]*\n)+(?=[ ]*(?:#\[(?:arg|command|derive\((?:clap::)?(?:Args|Parser|Subcommand|ValueEnum))|[A-Z]\w*[,({]))',
                             source, re.MULTILINE):
        lines = [line.strip()[3:].strip() for line in token[0].strip().split("\n")]
        yield source.count("\n", 0, token.start()) + 1, " ".join(lines).replace("\\", r"\\")


def files_of_tests(folder):
    """Return the files of modules that only tests have, and the folders of their submodules."""
    found = set()
    for path in folder.rglob("*.rs"):
        parent = path.parent if path.stem in ("mod", "lib", "main") else path.with_suffix("")
        for module in TEST_MODULE.finditer(path.read_text(encoding="utf-8")):
            if module[2] == ";":
                found |= {parent / module[1], parent / f"{module[1]}.rs"}
    return found


def catalogue(area, folders):
    """Return the catalogue of an area: each text once, with all places where it stands."""
    places = {}
    for folder in folders:
        of_tests = files_of_tests(ROOT / folder)
        for path in sorted((ROOT / folder).rglob("*.rs")):
            if of_tests & {path, *path.parents}:
                continue
            source = path.read_text(encoding="utf-8")
            found = list(literals(source)) + (list(help_texts(source)) if area == "command-line" else [])
            for line, text in sorted(found):
                places.setdefault(text, []).append(f"{path.relative_to(ROOT)}:{line}")
    entries = [f'#: {" ".join(where)}\nmsgid "{escaped(text)}"\nmsgstr ""\n' for text, where in places.items()]
    head = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n'
    return len(entries), "\n".join([head, *entries])


def escaped(text):
    """Return a text as a string of a POT file. Rust's escapes are also those of gettext, but for \\u{…}."""
    text = re.sub(r'\\u\{([0-9a-fA-F]+)\}', lambda code: chr(int(code[1], 16)), text)
    text = re.sub(r'\\x([0-7][0-9a-fA-F])', lambda code: rf"\{int(code[1], 16):03o}", text)
    text = text.replace("\\'", "'")
    return re.sub(r'(?<!\\)"', r'\\"', text).replace("\n", "\\n")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for area, folders in AREAS.items():
        count, text = catalogue(area, folders)
        path = folder / f"{area}.pot"
        path.write_text(text, encoding="utf-8")
        print(f"{path}: {count} strings")


if __name__ == "__main__":
    main()
