"""The widgets in a real browser: JupyterLab is started, a notebook opened, and words are written with the mouse.

Needs playwright and a Chromium (of the system, or playwright's own); without them the tests are skipped, and say so.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from hwrlib import ROOT
from hwrlib.sets.corrections import read_decisions
from hwrlib.sets.labels import read_labels
from hwrlib.synthetic.forms import Writing
from hwrlib.synthetic.hands import load_alphabets, make_hand, pen_strokes
from hwrlib.synthetic.pages import render_page

sync_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright: pip install playwright")

QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
WORDS = (
    "EMMA LUCAS MANON HUGO CLARA JULES SARAH NATHAN LOUISE ARTHUR "
    "ALICE PAUL MARTIN BERNARD DUBOIS MOREAU GARCIA ROUX LEA ZOE"
).split()
PAD = "from hwrlib.live import WritingPad\npad = WritingPad()\n"
ANSWER = 15_000  # ms


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=found, args=QUIET)
        except sync_api.Error as error:
            pytest.skip(f"no browser: install chromium, or run `playwright install chromium` ({str(error).splitlines()[0]})")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """A running JupyterLab: its address, and the folder that it serves."""
    folder = tmp_path_factory.mktemp("lab")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"--port={port}", "--ServerApp.port_retries=0", "--ServerApp.token=", "--ServerApp.password=", "--no-browser"]
    places = {f"JUPYTER_{name}_DIR": str(folder / f".{name}") for name in ("CONFIG", "DATA", "RUNTIME")}
    environment = os.environ | places | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with open(folder / "server.log", "w") as log:
        command = [sys.executable, "-m", "jupyter", "lab", "--allow-root", *options, f"--notebook-dir={folder}"]
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=folder)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(150):
            try:
                urllib.request.urlopen(f"{address}/api")
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.2)
        else:
            pytest.fail(f"JupyterLab did not start: {(folder / 'server.log').read_text()[-2000:]}")
        yield address, folder
    finally:
        server.terminate()
        server.wait(20)


def open_notebook(browser, lab, name: str, *sources: str) -> "sync_api.Page":
    """A page with a new notebook of these cells."""
    address, folder = lab
    cell = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    cells = [{**cell, "id": f"cell-{number}", "source": source} for number, source in enumerate(sources)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    (folder / f"{name}.ipynb").write_text(json.dumps(notebook))
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    page.goto(f"{address}/lab/workspaces/{name}/tree/{name}.ipynb?reset")
    page.wait_for_selector(".jp-CodeCell .cm-content", timeout=60_000)
    return page


def run_cell(page: "sync_api.Page", number: int = 0) -> None:
    """Run a cell; again if JupyterLab dropped it because the kernel was still connecting."""
    cell = page.locator(".jp-CodeCell").nth(number)
    for _ in range(20):
        cell.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        for _ in range(10):
            if cell.locator(".jp-InputPrompt").inner_text().strip("[]: \n"):  # a number, or a star while it runs
                return
            page.wait_for_timeout(200)
    pytest.fail(f"cell {number} did not start")


def write(page: "sync_api.Page", word: str, hand_number: int, pad: int = 0) -> str:
    """Write a word with the mouse along the pen strokes of a hand; the text on the page when all strokes are read."""
    hand = make_hand(
        np.random.default_rng([7, hand_number]), load_alphabets(["school-0", "school-1", "school-2", "school-3"])
    )
    line = Writing(word, x=75, baseline=110, height=70, pitch=min(75, 500 / len(word)))
    strokes = pen_strokes(line, hand, np.random.default_rng(hand_number), width=640)
    box = page.locator(".hwr-ink").nth(pad).bounding_box()
    for (x, y), *points in strokes:
        page.mouse.move(box["x"] + x, box["y"] + y)
        page.mouse.down()
        for x, y in [*points[1:-1:2], points[-1]]:
            page.mouse.move(box["x"] + x, box["y"] + y)
        page.mouse.up()
    wait_for(page, "strokes", len(strokes), pad)
    return page.locator(".hwr-pad").nth(pad).get_attribute("data-text")


def wait_for(page: "sync_api.Page", name: str, value: object, pad: int = 0) -> None:
    condition = f"() => document.querySelectorAll('.hwr-pad')[{pad}]?.dataset.{name} === {json.dumps(str(value))}"
    page.wait_for_function(condition, timeout=ANSWER)


def test_words_written_with_the_mouse_are_read(browser, lab):
    page = open_notebook(browser, lab, "pad", f"{PAD}pad", "print(pad.reading.text)")
    run_cell(page)
    page.wait_for_selector(".hwr-ink", timeout=60_000)
    right = 0
    for number, word in enumerate(WORDS):
        right += write(page, word, number) == word
        if number < len(WORDS) - 1:
            page.click(".hwr-clear")
            wait_for(page, "strokes", 0)
    assert right >= 18
    text = page.locator(".hwr-pad").get_attribute("data-text")
    run_cell(page, 1)
    page.wait_for_selector(f".jp-OutputArea-output:has-text('{text}')", timeout=ANSWER)
    page.close()


def test_undo_keys_and_two_pads_on_one_page(browser, lab):
    source = f"{PAD}from IPython.display import display\ndisplay(pad, pad, WritingPad())"
    page = open_notebook(browser, lab, "two", source)
    run_cell(page)
    page.wait_for_function("() => document.querySelectorAll('.hwr-pad').length === 3", timeout=60_000)
    write(page, "LEA", 1)
    strokes = page.locator(".hwr-pad").nth(0).get_attribute("data-strokes")
    wait_for(page, "strokes", strokes, pad=1)  # the same pad, shown twice
    assert page.locator(".hwr-pad").nth(2).get_attribute("data-strokes") == "0"
    page.locator(".hwr-ink").nth(0).focus()
    page.keyboard.press("Control+z")
    wait_for(page, "strokes", int(strokes) - 1)
    page.keyboard.press("Delete")
    wait_for(page, "strokes", 0, pad=1)
    page.close()


def test_a_pen_that_leaves_the_pad_ends_on_its_edge(browser, lab):
    page = open_notebook(browser, lab, "edge", f"{PAD}pad", "print(max(pad.strokes[0]))")
    run_cell(page)
    page.wait_for_selector(".hwr-ink", timeout=60_000)
    box = page.locator(".hwr-ink").bounding_box()
    page.mouse.move(box["x"] + 600, box["y"] + 80)
    page.mouse.down()
    page.mouse.move(box["x"] + 900, box["y"] + 80)
    page.mouse.up()
    wait_for(page, "strokes", 1)
    run_cell(page, 1)
    page.wait_for_selector(".jp-OutputArea-output:has-text('(640.0, 80.0)')", timeout=ANSWER)
    page.close()


def test_collected_words_survive_a_reload_of_the_page(browser, lab):
    source = f"from hwrlib.live import Collector\nCollector('set', {WORDS[:10]})"
    page = open_notebook(browser, lab, "collector", source)
    run_cell(page)
    for number, word in enumerate(WORDS[:10]):
        if number == 5:  # nothing of the page is left; the kernel is started anew
            page.close()
            page = open_notebook(browser, lab, "collector2", source)
            run_cell(page)
        page.wait_for_function(f"() => document.querySelector('.hwr-pad')?.dataset.prompt === '{word}'", timeout=60_000)
        write(page, word, number)
        if number % 2:
            page.click(".hwr-save")
        else:
            page.locator(".hwr-ink").focus()
            page.keyboard.press("Enter")
    wait_for(page, "prompt", "")
    folder = lab[1] / "set"
    tables = [read_labels(folder / f"{split}.csv") for split in ("train", "validation")]
    assert sorted(text for table in tables for text in table["IDENTITY"]) == sorted(WORDS[:10])
    assert len(list(folder.rglob("*.png"))) == 10 and not list(folder.rglob("*.partial"))
    page.close()


def line_picture(word: str, hand_number: int, tmp_path: Path) -> Path:
    """A photo of two words, one below the other, in a file."""
    hand = make_hand(np.random.default_rng([7, hand_number]), load_alphabets(["school-0", "school-1"]))
    page = np.full((420, 800), 235, np.uint8)
    for number, text in enumerate((word, word[::-1])):
        line = Writing(text, x=75, baseline=110, height=70, pitch=75)
        strokes = pen_strokes(line, hand, np.random.default_rng(hand_number), width=640)
        cv2.polylines(page, [(s + [60, 190 * number]).round().astype(np.int32) for s in strokes], False, 50, 5, cv2.LINE_AA)
    path = tmp_path / "page.png"
    cv2.imwrite(str(path), page)
    return path


def test_a_line_marked_in_a_photo_is_read(browser, lab, tmp_path):
    source = (
        "from hwrlib import Recognizer\nfrom hwrlib.live import PhotoReader\nPhotoReader(Recognizer.pretrained('names'))"
    )
    page = open_notebook(browser, lab, "photo", source)
    run_cell(page)
    page.wait_for_selector(".hwr-photo", timeout=60_000)
    (tmp_path / "letter.pdf").write_bytes(b"%PDF-1.7 no image")
    page.set_input_files(".hwr-photo .hwr-file", tmp_path / "letter.pdf")
    page.wait_for_function("() => document.querySelector('.hwr-photo .hwr-about').textContent.includes('JPEG or PNG')")
    page.set_input_files(".hwr-photo .hwr-file", line_picture("LUCAS", 3, tmp_path))
    page.wait_for_function("() => document.querySelector('.hwr-canvas').width === 800", timeout=ANSWER)
    box = page.locator(".hwr-canvas").bounding_box()
    scale = box["width"] / 800
    for number, text in enumerate(("LUCAS", "SACUL"), start=1):
        top = 190 * (number - 1)
        page.mouse.move(box["x"] + 100 * scale, box["y"] + (top + 15) * scale)
        page.mouse.down()
        page.mouse.move(box["x"] + 400 * scale, box["y"] + (top + 80) * scale)
        page.mouse.move(box["x"] + 620 * scale, box["y"] + (top + 150) * scale)
        page.mouse.up()
        page.wait_for_function(f"() => document.querySelectorAll('.hwr-lines li').length === {number}", timeout=ANSWER)
        assert text in page.locator(".hwr-lines li").nth(number - 1).inner_text()
    page.click(".hwr-photo .hwr-undo")
    page.wait_for_function("() => document.querySelector('.hwr-photo').dataset.text === 'LUCAS'", timeout=ANSWER)
    register = render_page(0, columns=1, rows=3)
    cv2.imwrite(str(tmp_path / "register.png"), register.image)
    page.set_input_files(".hwr-photo .hwr-file", tmp_path / "register.png")
    page.wait_for_function(f"() => document.querySelector('.hwr-canvas').width === {register.width}", timeout=ANSWER)
    page.click(".hwr-photo .hwr-page")
    page.wait_for_function("() => document.querySelectorAll('.hwr-lines li').length === 4", timeout=ANSWER)
    assert register.lines[2].text in page.locator(".hwr-lines li").nth(2).inner_text()
    page.close()


def test_labels_are_reviewed_with_keys_and_buttons(browser, lab, drawn_set, dataset_names):
    folder = lab[1]
    source = f"""import pandas as pd
from hwrlib.audit import SUSPECT_COLUMNS
from hwrlib.audit.review import Review
rows = [("validation", name, text, text + "X", 5.0, "") for name, text in {dataset_names[:4]}]
Review(pd.DataFrame(rows, columns=SUSPECT_COLUMNS), {str(drawn_set)!r}, "suspects.csv")"""
    page = open_notebook(browser, lab, "review", source)
    run_cell(page)
    page.wait_for_selector(".hwr-review", timeout=60_000)

    def shows(number: int) -> None:
        condition = f"() => document.querySelector('.hwr-review')?.dataset.name === '{dataset_names[number][0]}'"
        page.wait_for_function(condition, timeout=ANSWER)

    def decisions() -> list[str]:
        return read_decisions(folder / "suspects.csv")["DECISION"].tolist()

    shows(0)
    assert page.evaluate("document.querySelector('.hwr-picture').naturalWidth") > 0
    page.locator(".hwr-review").focus()
    page.keyboard.press("a")
    shows(1)
    page.keyboard.press("r")
    shows(2)
    page.keyboard.press("ArrowLeft")
    shows(1)
    page.keyboard.press("d")
    shows(2)
    assert decisions() == ["accept", "drop", "", ""]
    page.keyboard.press("u")
    shows(1)
    assert decisions() == ["accept", "refuse", "", ""]
    page.keyboard.press("ArrowRight")
    shows(2)
    page.fill(".hwr-reading", "draw")  # letters that are keys elsewhere
    page.keyboard.press("Enter")
    shows(3)
    page.click("[data-action=drop]")
    page.wait_for_function("() => document.querySelector('.hwr-message').textContent === 'All are decided.'", timeout=ANSWER)
    assert decisions() == ["accept", "refuse", "accept", "drop"]
    assert read_decisions(folder / "suspects.csv")["READING"].tolist()[2] == "draw"
    page.close()


@pytest.fixture
def dataset_names(drawn_set) -> list[tuple[str, str]]:
    """File name and label of the lines of a split."""
    table = read_labels(drawn_set / "validation.csv")
    return list(zip(table["FILENAME"], table["IDENTITY"]))


def test_a_training_is_watched_and_stopped(browser, lab, tiny):
    config = tiny(epochs=10_000).as_dict()
    source = f"""from hwrlib.runs.config import TrainConfig
from hwrlib.sets.dataset import LineDataset
from hwrlib.live.watch import Watch
from hwrlib.runs.fit import fit
config = TrainConfig.from_dict({config!r})
lines = LineDataset(config.data, "validation", config.normalisation)
run = fit(config, "stopped", on_step=Watch([lines[0], lines[1]]))"""
    page = open_notebook(browser, lab, "training", source, "6 * 7")
    run_cell(page)
    page.wait_for_function("() => document.querySelectorAll('.hwr-watch th').length >= 4", timeout=120_000)
    page.keyboard.press("Escape")
    page.keyboard.press("i")
    page.keyboard.press("i")  # the stop button's key
    page.wait_for_selector(".jp-OutputArea-output:has-text('KeyboardInterrupt')", timeout=60_000)
    run_cell(page, 1)
    page.wait_for_selector(".jp-OutputArea-output:has-text('42')", timeout=ANSWER)
    assert (lab[1] / "stopped/resume.pth").is_file()
    page.close()
