"""The page in a browser, over real digits: one written and one spoken, predicted, explained and spelt out.

``POLYFUSE_SCREENSHOTS=docs/images`` keeps the pictures that the documentation shows.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

import polyfuse as pf

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking"]
FLAGS += ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
ROWS = 40  # of each digit
SETTINGS = ("preset=plain", "width=48", "training.epochs=30", "training.batch_size=64")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome here"),
]


def digits(data: Path, folder: Path) -> pd.DataFrame:
    """Written digits beside spoken ones of the same value, with their names; the last of each is for trying."""
    written, spoken = pd.read_parquet(data / "mnist" / "train.parquet"), pd.read_csv(data / "fsdd" / "table.csv")
    rng, rows = np.random.default_rng(0), []
    for digit in range(10):
        pictures = written.image[written.digit == digit].iloc[: ROWS + 1]
        sounds = spoken[(spoken.digit == digit) & (spoken.split == "train")].sample(ROWS + 1, random_state=0)
        for n, (picture, (_, sound)) in enumerate(zip(pictures, sounds.iterrows(), strict=True)):
            (folder / f"{digit}-{n}.png").write_bytes(picture)
            shutil.copyfile(data / "fsdd" / sound.audio, folder / f"{digit}-{n}.wav")
            row = {"picture": f"{digit}-{n}.png", "sound": f"{digit}-{n}.wav", "digit": digit, "name": WORDS[digit]}
            rows.append(row | {"split": "test" if n == ROWS else "val" if rng.random() < 0.1 else "train"})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def served(real_data, tmp_path_factory):
    """The address of a service of digits, started as a person starts it, and the folder of its files."""
    folder = tmp_path_factory.mktemp("page")
    table = digits(real_data, folder)
    options = {"inputs": ["picture=image", "sound=audio"], "outputs": ["digit=category", "name=text"], "split": "split"}
    pf.fit(table, media_root=folder, quiet=True, settings=SETTINGS, to=folder / "digits", **options)
    table[table.split == "test"].iloc[3:8].to_csv(folder / "try.csv", index=False)
    command = [sys.executable, "-c", "from polyfuse.cli import main; main()", "serve", str(folder / "digits")]
    process = subprocess.Popen(
        [*command, "--port", "0", "--examples", str(folder / "try.csv")],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"POLYFUSE_TOKENS": "0123456789abcdef"},
    )
    address = json.loads(process.stderr.readline())["address"]
    end = time.monotonic() + 120
    while httpx.get(f"{address}ready", timeout=60).status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.1)
    yield address, folder
    process.terminate()
    process.communicate(timeout=60)


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
    opened = browser.new_page(viewport={"width": 980, "height": 900}, locale="en-GB")
    elsewhere, wrong = [], []
    opened.on("request", lambda r: None if r.url.startswith((address, "blob:", "data:")) else elsewhere.append(r.url))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
    opened.goto(address)
    opened.fill("#token", "0123456789abcdef")
    opened.click("#access button")
    opened.wait_for_selector("#parts .part")
    yield opened
    assert not elsewhere
    assert not wrong
    opened.close()


def until(page, what: str) -> None:
    """Wait for something to be true; the browser's own way would need ``eval``, which the page forbids."""
    end = time.monotonic() + 60
    while not page.evaluate(what):
        assert time.monotonic() < end, f"{what}; the page says {page.inner_text('main')}"
        page.wait_for_timeout(50)


def answered(page) -> list[str]:
    """Wait for everything, and the values of all outputs."""
    until(page, "!document.getElementById('go').disabled && document.querySelectorAll('.answer').length === 2")
    return page.locator(".answer .value").all_inner_texts()


def kept(page, name: str) -> None:
    """A picture for the documentation, where it is asked for."""
    folder = os.environ.get("POLYFUSE_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.evaluate("document.activeElement.blur()")
        page.screenshot(path=Path(folder) / f"{name}.jpg", type="jpeg", quality=62, full_page=True)


def test_a_written_and_a_spoken_digit_are_predicted_explained_and_spelt(page, served):
    _, folder = served
    page.set_input_files("input[aria-label=picture]", folder / f"7-{ROWS}.png")
    page.wait_for_selector(".drop img")
    page.set_input_files("input[aria-label=sound]", folder / f"7-{ROWS}.wav")
    page.wait_for_selector(".drop audio")
    page.click("#go")
    digit, name = answered(page)
    assert digit == "7"
    assert name == "seven"
    assert page.locator(".chances .of").first.inner_text() == "7"
    assert page.locator(".contributions .of").all_inner_texts() == ["picture", "sound"]
    assert "Answered in" in page.inner_text("#said")
    kept(page, "service-english")
    page.click("#language")
    assert page.get_attribute("html", "lang") == "zh-Hans"
    assert "用时" in page.inner_text("#said")
    assert "每个输入的贡献" in page.inner_text("#found")
    kept(page, "service-chinese")
    page.reload()
    page.wait_for_selector("#parts .part")
    assert page.inner_text("#go") == "预测"


def test_example_rows_fill_the_form(page):
    page.locator("#chips button").first.click()
    assert answered(page)[0] == "3"
    page.click("button[type=reset]")
    assert page.locator(".answer").count() == 0
    page.click("#go")
    assert "Fill in one field" in page.inner_text("#problem")


def test_a_recording_is_sent_as_sound(page):
    page.click("button.record")
    page.wait_for_timeout(900)
    page.click("button.record")
    page.wait_for_selector(".drop audio")
    page.click("#go")
    values = answered(page)
    assert values[0] in map(str, range(10))
    assert page.locator(".contributions .much").first.inner_text() == "+0.0", "there was no picture"


def test_what_the_service_refuses_is_shown(page, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    page.set_input_files("input[aria-label=picture]", tmp_path / "a.png")
    page.click("#go")
    until(page, "!document.getElementById('problem').hidden")
    assert "row.picture: no picture in a format" in page.inner_text("#problem")


def test_the_page_of_the_api_shows_every_route(page, served):
    page.goto(f"{served[0]}docs")
    page.wait_for_selector(".route")
    text = page.inner_text("#routes")
    assert "POST /v1/predict" in text
    kept(page, "service-api")
