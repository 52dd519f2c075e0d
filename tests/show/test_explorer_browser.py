"""The explorer in a real JupyterLab: it appears, its controls change the picture, a failure is announced."""

from __future__ import annotations

import io
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.util import find_spec

import nbformat
import numpy as np
import pytest
from PIL import Image

CHROMIUM = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        CHROMIUM is None or find_spec("playwright") is None, reason="needs a Chromium and the playwright package"
    ),
]

SETUP = """
import torch
from torch import nn
from lessons_lib.show import explore

class Quarters(nn.Module):
    categories = ("upper left", "upper right", "lower left", "lower right")
    def __init__(self):
        super().__init__()
        self.pool, self.flat = nn.AdaptiveAvgPool2d(2), nn.Flatten()
    def forward(self, images):
        return 8 * self.flat(self.pool(images).mean(1))

def corner(model, images, target):
    maps = torch.zeros(1, 2, 2)
    maps[0, target // 2, target % 2] = 1.0
    return maps

def refuses(model, images, target):
    raise ValueError("this method needs another network")

first, second = torch.full((3, 16, 16), 0.2), torch.full((3, 16, 16), 0.2)
first[:, :8, :8] = 0.9
second[:, 8:, 8:] = 0.9
"""
SHOW = 'explore(Quarters(), {"first": first, "second": second}, methods={"corner": corner, "refuses": refuses})'


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab over a folder with one notebook."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in (SETUP.strip(), SHOW)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (tmp_path / "home").mkdir()
    nbformat.write(notebook, tmp_path / "explorer.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    options += [f"--IdentityProvider.token={token}", "--LabApp.news_url=None", f"--ServerApp.root_dir={tmp_path}"]
    own = {name: str(tmp_path / "home") for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    log = (tmp_path / "server.log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyter", "lab", *options],
        stdout=log, stderr=subprocess.STDOUT, cwd=tmp_path, env={**os.environ, **own, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/api?token={token}", timeout=5).close()
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                assert server.poll() is None, (tmp_path / "server.log").read_text()
                time.sleep(0.25)
        else:
            raise AssertionError((tmp_path / "server.log").read_text())
        yield f"{address}/lab/tree/explorer.ipynb?reset&token={token}"
    finally:
        server.terminate()
        server.wait(30)
        log.close()


@pytest.fixture
def page(lab):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage"],
        )
        page = browser.new_page(viewport={"width": 1200, "height": 1500})
        page.problems = []
        page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.goto(lab)
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
        yield page
        browser.close()


def run_all(page):
    """Run all cells. A kernel that is still connecting may drop the request without a word: then ask again."""
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', timeout=120_000)
    page.locator(".jp-Notebook .jp-Cell").first.click()
    page.keyboard.press("Escape")
    for _ in range(4):
        page.locator('li.lm-MenuBar-item:has-text("Run")').click()
        page.locator('li.lm-Menu-item:has-text("Run All Cells")').first.click()
        page.wait_for_timeout(3000)
        page.wait_for_function(
            "![...document.querySelectorAll('.jp-InputPrompt')].some(prompt => prompt.innerText.includes('*'))",
            timeout=60_000,
        )
        if page.evaluate("/[0-9]/.test([...document.querySelectorAll('.jp-InputPrompt')].at(-1).innerText)"):
            break
    page.wait_for_selector("img.widget-image", timeout=30_000)


def hot_quarter(page):
    """The quarter of the right panel with the most colour, in the picture that the browser shows."""
    data = page.evaluate(
        """async () => Array.from(new Uint8Array(
            await (await fetch(document.querySelector('img.widget-image').src)).arrayBuffer()))"""
    )
    image = np.asarray(Image.open(io.BytesIO(bytes(data))).convert("RGB")).astype(int)[:320, -320:]
    colour = np.ptp(image, axis=-1)
    return int(np.argmax([colour[r : r + 160, c : c + 160].sum() for r in (0, 160) for c in (0, 160)]))


def change(page, action):
    """Do `action` and wait until the browser shows another picture."""
    before = page.locator("img.widget-image").get_attribute("src")
    action()
    page.wait_for_function("before => document.querySelector('img.widget-image').src !== before", arg=before)


def test_the_explorer_in_jupyterlab(page):
    run_all(page)
    assert hot_quarter(page) == 0
    image_menu, class_menu, method_menu = (page.locator(".widget-dropdown select").nth(place) for place in range(3))

    change(page, lambda: image_menu.select_option(label="second"))
    assert hot_quarter(page) == 3
    # the menus write their labels with spaces that do not break
    labels = [label.replace("\xa0", " ") for label in class_menu.locator("option").all_inner_texts()]
    assert labels[0].startswith("predicted: lower right")
    upper_right = next(place for place, label in enumerate(labels) if label.startswith("upper right"))
    change(page, lambda: class_menu.select_option(index=upper_right))
    assert hot_quarter(page) == 1
    text = page.locator(".jupyter-widgets.widget-html-content, .widget-html").all_inner_texts()
    assert any("corner for 'upper right': 100 % of the heat" in line for line in text)

    handle = page.locator(".widget-slider .noUi-handle, .widget-slider .ui-slider-handle").first
    handle.focus()
    change(page, lambda: page.keyboard.press("ArrowRight"))
    assert hot_quarter(page) == 1

    change(page, lambda: method_menu.select_option(label="refuses"))
    page.wait_for_selector('.widget-html [role="alert"]:has-text("this method needs another network")')
    change(page, lambda: method_menu.select_option(label="corner"))
    page.wait_for_selector('.widget-html [role="status"]', state="attached")
    assert page.locator('.widget-html [role="alert"]').count() == 0

    static = page.locator(".jp-OutputArea-output.jp-RenderedImage img")
    assert static.count() == 1, "the static picture stands below the controls"
    ours = [text for text in page.problems if "widget" in text.lower() or "Error displaying" in text]
    assert ours == []
