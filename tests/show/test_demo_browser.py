"""The web demo served by Voilà in a real browser: its numbers are the library's, and nonsense leaves it working."""

from __future__ import annotations

import base64
import io
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image
from stand_ins import BAD, GOOD, answerer, file, picture

from lessons_lib.models import imagenet
from lessons_lib.show.demo import pictures
from lessons_lib.show.demo.markup import label
from lessons_lib.show.demo.subjects import Ask, Classify

CHROMIUM = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(400),
    pytest.mark.skipif(
        CHROMIUM is None or find_spec("playwright") is None or find_spec("voila") is None,
        reason="needs a Chromium and the packages playwright and voila",
    ),
]
HERE = Path(__file__).resolve().parent
CELLS = (
    "# Demo",
    f"""
import pathlib, sys, time
sys.path[:0] = [{str(HERE)!r}, {str(HERE.parents[1])!r}]
import lessons_lib
run = lessons_lib.start("demo")
from lessons_lib.show.demo import demo
from stand_ins import answerer, captioner

def trained(progress):
    for step in range(900):
        progress(min(step, 899), 900)
        time.sleep(0.2)
        if pathlib.Path("go").exists():
            return captioner()
    raise TimeoutError("the test never wrote the file")
""",
    "page = demo(captioner=trained, answerer=answerer)\npage",
)
SERVE = """
import sys
from pathlib import Path
from lessons_lib.show.demo.__main__ import main
main(sys.argv[2:], Path(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Where Voilà serves a demo whose captioner comes when there is a file "go" beside the notebook."""
    folder = tmp_path_factory.mktemp("voila")
    make = nbformat.v4
    cells = [make.new_markdown_cell(CELLS[0]), *(make.new_code_cell(text.strip()) for text in CELLS[1:])]
    notebook = make.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "demo.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    options = ["--no-browser", f"--port={port}", f"--token={token}", "--Voila.port_retries=0", "--Voila.ip=127.0.0.1"]
    log = (folder / "server.log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(folder / "demo.ipynb"), *options],
        stdout=log, stderr=subprocess.STDOUT, cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parents[1])},
    )  # fmt: skip
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(
                    f"http://127.0.0.1:{port}/voila/static/voila.js?token={token}", timeout=5
                ).close()
                break
            except urllib.error.HTTPError:
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                assert server.poll() is None, (folder / "server.log").read_text()
                time.sleep(0.25)
        yield f"http://127.0.0.1:{port}/?token={token}", folder
    finally:
        server.terminate()
        server.wait(30)
        log.close()


@pytest.fixture(scope="module")
def page(address):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.set_default_timeout(60_000)
        page.problems = []
        page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.goto(address[0], wait_until="commit")
        page.wait_for_selector(".eaf-classify img.eaf-figure", timeout=180_000)
        yield page
        page.goto("about:blank")
        browser.close()


@pytest.fixture(scope="module")
def classifier():
    return Classify(imagenet.load())


def text(page, place: str, part: str) -> str:
    return page.locator(f".eaf-{place} {part}").first.inner_text().replace("\xa0", " ")


def alt(page, place: str) -> str:
    return page.locator(f".eaf-{place} img.eaf-figure").get_attribute("alt")


def rows(page, place: str) -> list[str]:
    return [row.replace("\xa0", " ") for row in page.locator(f".eaf-{place} .eaf-rows button").all_inner_texts()]


def wait_for(page, place: str, *parts: str) -> None:
    """Wait until the description of the maps contains these parts."""
    find = """([place, parts]) => {
        const image = document.querySelector(`.eaf-${place} img.eaf-figure`);
        return image && parts.every(part => image.alt.includes(part));
    }"""
    page.wait_for_function(find, arg=[place, list(parts)])


def wait_for_message(page, place: str, part: str) -> None:
    find = "([place, part]) => document.querySelector(`.eaf-${place} .eaf-right`).innerText.includes(part)"
    page.wait_for_function(find, arg=[place, part])


def write(page, place: str, kind: str, words: str) -> None:
    field = page.locator(f".eaf-{place} {kind} input").first
    field.fill(words)
    field.press("Enter")


def upload(page, place: str, name: str, data: bytes) -> None:
    with page.expect_file_chooser() as chooser:
        page.locator(f".eaf-{place} .widget-upload").click()
    chooser.value.set_files({"name": name, "mimeType": "image/png", "buffer": data})


def described(classifier, key: int | None = None) -> str:
    """What the library says about the maps of the present picture, ticked as the page is at its start."""
    if key is not None:
        classifier.choose(key)
    labels = [name for name, offer in classifier.offers.items() if offer.on]
    maps, failed = classifier.maps(labels)
    assert not failed
    signed = {name: classifier.signed(name) for name in maps}
    figure = pictures.figure(classifier.shot, maps, signed=signed, said=classifier.said(), about=classifier.about())
    return figure.alt


def parts(sentences: str) -> list[str]:
    """A description without its percentages: their last digit may differ between two processes."""
    return re.sub(r"\d+ %", "#", sentences).split(". ")


def test_numbers_and_maps_are_the_librarys_own(page, classifier):
    page.locator(".eaf-classify .eaf-gallery button").nth(1).click()
    wait_for(page, "classify", "coffee", "5 maps")
    classifier.look(pictures.photo("coffee", 224))
    with torch.no_grad():
        logits = classifier.model(imagenet.prepare(pictures.photos.load("coffee")))
    top = classifier.model.top(logits)[0]
    shown = rows(page, "classify")
    assert shown == [label(row) for row in classifier.rows()]
    assert [row.split("\u2002")[1] for row in shown] == [name for _, name, _ in top]
    assert shown[0].startswith(f"\u2007{100 * top[0][2]:.0f} %") and "espresso" in text(page, "classify", ".eaf-said")
    assert parts(alt(page, "classify")) == parts(described(classifier))


def test_typed_classes_and_unknown_words(page, classifier):
    write(page, "classify", ".eaf-typed", "teapot")
    wait_for(page, "classify", "Grad-CAM for 'teapot'", "5 maps")
    assert parts(alt(page, "classify")) == parts(described(classifier, imagenet.index("teapot")))
    assert rows(page, "classify")[-1].endswith("teapot")
    before = alt(page, "classify")
    write(page, "classify", ".eaf-typed", "tepot")
    wait_for_message(page, "classify", "There is no class “tepot” (close: ")
    assert "teapot" in text(page, "classify", '[role="alert"]') and alt(page, "classify") == before
    page.locator(".eaf-classify .eaf-rows button").nth(0).click()
    wait_for(page, "classify", "Grad-CAM for 'espresso'", "5 maps")
    assert page.locator('.eaf-classify [role="alert"]').count() == 0


def test_methods_are_ticked_and_the_picture_is_saved(page):
    for name in ("Occlusion", "LRP", "Guided backprop"):
        page.locator(".eaf-classify .widget-checkbox label", has_text=re.compile(f"^{name}$")).click()
    page.wait_for_function("!document.querySelector('.eaf-classify img.eaf-figure').alt.includes('LRP for')")
    wait_for(page, "classify", "2 maps")
    with page.expect_download() as download:
        page.locator(".eaf-classify a.eaf-download").click()
    assert re.fullmatch(r"coffee_\w+\.png", download.value.suggested_filename)
    saved = Path(download.value.path()).read_bytes()
    source = page.locator(".eaf-classify img.eaf-figure").get_attribute("src")
    assert saved == base64.b64decode(source.split(",", 1)[1])
    width, height = Image.open(io.BytesIO(saved)).size
    assert width > 600 and height > 200 and np.ptp(np.asarray(Image.open(io.BytesIO(saved)).convert("L"))) > 200


def test_uploads_good_bad_and_large(page, classifier):
    for name in ("paper.png", "cut.jpg", "bomb.png", "empty.png"):
        make, part = BAD[name]
        upload(page, "classify", name, make())
        wait_for_message(page, "classify", name)
        assert part in text(page, "classify", '[role="alert"]') and "coffee" in alt(page, "classify")
    for name in ("see-through.png", "turned.jpg", "16 bit grey.png", "moving.gif", "print.jpg"):
        upload(page, "classify", name, GOOD[name]())
        wait_for(page, "classify", name)
        assert page.locator('.eaf-classify [role="alert"]').count() == 0
    noise = np.random.default_rng(0).integers(0, 255, (3000, 4000, 3), np.uint8)
    upload(page, "classify", "large.bmp", file(Image.fromarray(noise), "BMP"))  # 36 MB
    wait_for(page, "classify", "large.bmp")
    red = file(picture(size=(300, 200)))
    upload(page, "classify", "red.png", red)
    wait_for(page, "classify", "red.png")
    classifier.look(pictures.take_in("red.png", red, 224))
    assert rows(page, "classify") == [label(row) for row in classifier.rows()]


def test_the_page_works_while_a_model_is_trained(page, address):
    page.locator(".lm-TabBar-tab", has_text="Caption").click()
    page.wait_for_selector(".eaf-caption .widget-hprogress, .eaf-caption .jupyter-widgets .progress")
    wait_for_message(page, "caption", "is being trained")
    page.locator(".lm-TabBar-tab", has_text="Classify").click()
    page.locator(".eaf-classify .eaf-gallery button").nth(0).click()
    wait_for(page, "classify", "chelsea: Egyptian cat")
    assert rows(page, "caption") == [], "it is still being trained"
    (address[1] / "go").touch()
    page.locator(".lm-TabBar-tab", has_text="Caption").click()
    page.wait_for_selector(".eaf-caption .eaf-rows button:has-text('the whole sentence')")
    wait_for(page, "caption", "for the whole sentence")
    write(page, "caption", ".eaf-sentence", "a man is riding a white horse")
    wait_for_message(page, "caption", "Your sentence: “a man is riding a white horse”")
    page.locator(".eaf-caption .eaf-rows button", has_text="horse").click()
    wait_for(page, "caption", "Grad-CAM for 'horse'")
    write(page, "caption", ".eaf-sentence", "a man is riding a white hrse")
    wait_for_message(page, "caption", "'hrse' (close: horse")


def test_questions_and_answers(page):
    page.locator(".lm-TabBar-tab", has_text="Ask").click()
    page.wait_for_selector(".eaf-ask a.eaf-download")
    subject = Ask(answerer())
    subject.look(pictures.rendered(9, 12)[0])
    assert rows(page, "ask") == [label(row) for row in subject.rows()]
    write(page, "ask", ".eaf-sentence", "")
    wait_for_message(page, "ask", "The question is empty")
    write(page, "ask", ".eaf-sentence", "why " * 500)
    wait_for_message(page, "ask", "500 words; at most 30")
    write(page, "ask", ".eaf-sentence", "Is there a quokka?")
    wait_for_message(page, "ask", "never met “quokka”")
    subject.ask("Is there a quokka?")
    page.wait_for_function(
        "row => document.querySelector('.eaf-ask .eaf-rows button').innerText.replaceAll('\\u00a0', ' ') === row",
        arg=label(subject.rows()[0]),
    )
    first = text(page, "ask", ".eaf-gallery button:nth-child(1)")
    page.locator(".eaf-ask .eaf-seed button").click()
    page.wait_for_function(
        "first => document.querySelector('.eaf-ask .eaf-gallery button').textContent !== first", arg=first
    )
    wait_for(page, "ask", "scene 1 of set 13")


def test_nothing_was_left_in_the_page_or_the_console(page):
    body = page.locator("body").inner_text()
    assert "Traceback" not in body and "Error:" not in body
    ours = [line for line in page.problems if "ERR_NAME_NOT_RESOLVED" not in line and "ERR_INTERNET" not in line]
    assert ours == []
