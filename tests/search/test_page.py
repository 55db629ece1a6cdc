"""The search page in a browser, over real digits: written, spoken and named in English and Chinese.

``POLYFUSE_SCREENSHOTS=docs/images`` keeps the pictures that the documentation shows.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import polyfuse as pf
from tests.search.conftest import needs_store

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking"]
ENGLISH = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
CHINESE = ["零", "一", "二", "三", "四", "五", "六", "七", "八", "九"]
ROWS = 40  # of each digit
INPUTS = ["picture@picture=image", "sound@sound=audio", "english@english=text", "chinese@chinese=text"]
SETTINGS = ("preset=plain", "width=48", "training.epochs=40", "training.batch_size=64", "space.size=32")

pytestmark = [
    pytest.mark.slow,
    needs_store,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome here"),
]


def digits(data: Path, folder: Path) -> pd.DataFrame:
    """Written digits beside spoken ones of the same value, with their names."""
    written, spoken = pd.read_parquet(data / "mnist" / "train.parquet"), pd.read_csv(data / "fsdd" / "table.csv")
    rng, rows = np.random.default_rng(0), []
    for digit in range(10):
        pictures = written.image[written.digit == digit].iloc[: ROWS + 5]
        sounds = spoken[(spoken.digit == digit) & (spoken.split == "train")].sample(ROWS + 5, random_state=0)
        for n, (picture, (_, sound)) in enumerate(zip(pictures, sounds.iterrows(), strict=True)):
            (folder / f"{digit}-{n}.png").write_bytes(picture)
            shutil.copyfile(data / "fsdd" / sound.audio, folder / f"{digit}-{n}.wav")
            row = {"picture": f"{digit}-{n}.png", "sound": f"{digit}-{n}.wav", "english": ENGLISH[digit]}
            row |= {"chinese": CHINESE[digit], "digit": digit, "speaker": sound.speaker}
            rows.append(row | {"split": "test" if n >= ROWS else "val" if rng.random() < 0.1 else "train"})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def served(real_data, tmp_path_factory):
    """The address of a page over an index of digits, and rows that it knows."""
    folder = tmp_path_factory.mktemp("page")
    table = digits(real_data, folder)
    options = {"inputs": INPUTS, "align": "picture,sound,english,chinese", "split": "split", "settings": SETTINGS}
    model = pf.fit(table, media_root=folder, quiet=True, **options)
    pf.index(model, table[table.split != "test"], to=folder / "digits", media_root=folder)
    command = [sys.executable, "-c", "from polyfuse.cli import main; main()", "search", str(folder / "digits")]
    process = subprocess.Popen([*command, "--serve", "--port", "0"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+/", line)
    assert found, line
    known = table[table.split == "train"].reset_index(drop=True)
    yield found.group(), known.assign(picture=f"{folder}/" + known.picture, sound=f"{folder}/" + known.sound)
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser, served):
    """The page, which must ask no other host and break no rule of its own."""
    address, _ = served
    opened = browser.new_page(viewport={"width": 1180, "height": 900}, locale="en-GB")
    elsewhere, wrong = [], []
    opened.on("request", lambda r: None if r.url.startswith((address, "blob:", "data:")) else elsewhere.append(r.url))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
    opened.goto(address)
    opened.wait_for_selector(".part")
    yield opened
    assert not elsewhere
    assert not wrong
    opened.close()


def asked(page, **waiting) -> list[str]:
    """Search, and the digits that were found."""
    with page.expect_response("**/api/search"):
        page.click("button.main")
    page.wait_for_selector("#found .sample", **waiting)
    return page.eval_on_selector_all(
        "#found .sample",
        "all => all.map(one => [...one.querySelectorAll('dt')].find(d => d.textContent === 'digit')"
        ".nextSibling.textContent)",
    )


def until(page, what: str) -> None:
    """Wait for something to be true; the browser's own way would need ``eval``, which the page forbids."""
    end = time.monotonic() + 60
    while not page.evaluate(what):
        assert time.monotonic() < end, f"{what}; the page says {page.inner_text('main')}"
        page.wait_for_timeout(50)


def drop(page, path: Path, kind: str, on: str) -> None:
    """As a person drops a file from a folder."""
    content = list(path.read_bytes())
    transfer = page.evaluate_handle(
        "([bytes, name, type]) => { const all = new DataTransfer();"
        "all.items.add(new File([new Uint8Array(bytes)], name, {type})); return all; }",
        [content, path.name, kind],
    )
    page.dispatch_event(on, "dragover", {"dataTransfer": transfer})
    page.dispatch_event(on, "drop", {"dataTransfer": transfer})


def kept(page, name: str) -> None:
    """A picture for the documentation, where it is asked for."""
    folder = os.environ.get("POLYFUSE_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.evaluate("for (const image of document.images) image.loading = 'eager'")  # those below the window too
        until(page, "[...document.images].every(image => image.complete && image.naturalWidth)")
        page.evaluate("document.activeElement.blur()")
        page.screenshot(path=Path(folder) / f"{name}.jpg", type="jpeg", quality=62, full_page=True)


def test_a_typed_word_finds_its_digits_in_both_languages(page):
    page.fill("input[aria-label=english]", "seven")
    page.click("#more summary")
    page.check("#find input[value=picture]")
    page.fill("#where", "split == 'train' and speaker != 'theo'")
    page.fill("#k", "8")
    found = asked(page)
    assert len(found) == 8
    assert found.count("7") >= 6
    assert page.locator("#found img").count() == page.locator("#found audio").count() == 8
    assert "8 of 400 rows" in page.inner_text("#said")
    asked(page)  # the model is read with the first
    until(page, "document.querySelector('#found img').naturalWidth > 0")
    kept(page, "search-english")
    page.click("#language")
    assert page.get_attribute("html", "lang") == "zh-Hans"
    assert "共 400 行" in page.inner_text("#said")
    page.fill("input[aria-label=english]", "")
    page.fill("input[aria-label=chinese]", "三")
    found = asked(page)
    assert found.count("3") >= 6
    kept(page, "search-chinese")
    page.reload()
    assert page.inner_text("button.main") == "搜索"


def test_a_dropped_picture_and_a_chosen_sound_find_their_digits(page, served):
    _, rows = served
    two, nine = rows[rows.digit == 2].iloc[0], rows[rows.digit == 9].iloc[0]
    drop(page, Path(two.picture), "image/png", "main")
    page.wait_for_selector(".drop img")
    assert asked(page).count("2") >= 6
    page.set_input_files("input[aria-label=sound]", nine.sound)
    page.wait_for_selector(".drop audio")
    page.locator(".part", has_text="picture").locator("input[type=range]").fill("0")
    assert asked(page).count("9") >= 6
    page.locator("#found .again").first.click()
    page.wait_for_selector("#like:visible")
    until(page, "document.querySelectorAll('#found .sample').length === 12")
    assert page.locator(".drop img").count() == 0
    played = page.evaluate(
        "() => new Promise((done, failed) => { const sound = document.querySelector('#found audio');"
        "sound.oncanplay = () => done(sound.duration); sound.onerror = () => failed('not playable'); sound.load(); })"
    )
    assert played > 0.1
    page.click("button[type=reset]")
    assert page.locator("#found .sample").count() == 0
    assert not page.is_visible("#like")


def test_what_is_wrong_is_said_on_the_page(page, served, tmp_path):
    page.click("button.main")
    assert "drop a file" in page.inner_text("#problem")
    page.fill("input[aria-label=english]", "one")
    page.click("#more summary")
    page.fill("#where", "speeker == 'theo'")
    page.click("button.main")
    until(page, "document.querySelector('#problem').textContent.includes(\"no column 'speeker'\")")
    page.fill("#where", "digit > 70")
    page.click("button.main")
    until(page, "document.querySelector('#said').textContent === 'No row fits.'")
    page.fill("#where", "")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG no picture")
    page.set_input_files("input[aria-label=picture]", broken)
    page.click("button.main")
    until(page, "document.querySelector('#problem').textContent.includes('cannot be read')")
    page.route("**/api/search", lambda route: route.abort())
    page.click("button.main")
    until(page, "document.querySelector('#problem').textContent.includes('still running')")


def test_it_fits_a_phone(page):
    page.set_viewport_size({"width": 400, "height": 860})
    page.click("#more summary")
    page.fill("input[aria-label=english]", "five")
    page.fill("#k", "4")
    asked(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    kept(page, "search-phone")
