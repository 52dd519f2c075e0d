"""Serve notebooks/demo.ipynb as a page, with Voilà.

python -m lessons_lib.show.demo [options of Voilà, such as --no-browser or --port=9000]
"""

from __future__ import annotations

import sys
from pathlib import Path

from lessons_lib.show.demo.pictures import BYTES_MAX

NOTEBOOK = Path(__file__).resolve().parents[3] / "notebooks" / "demo.ipynb"


def main(arguments: list[str] | None = None, notebook: Path = NOTEBOOK) -> None:
    """Serve a notebook until it is stopped; `arguments` are options of Voilà."""
    try:
        from traitlets.config import Config
        from voila.app import Voila
    except ImportError:
        raise SystemExit("the demo page is served by Voilà: pip install voila") from None
    if not notebook.is_file():
        raise SystemExit(f"there is no {notebook}: run this in a clone of the course")
    config = Config()
    # an upload is one message: at Voilà's own limit of 10 MB the connection would break without a word
    config.Voila.tornado_settings = {"websocket_max_message_size": 10 * BYTES_MAX}
    # the page needs the widgets alone; other JupyterLab extensions only make it slow to open
    managers = ["@voila-dashboards/widgets-manager7", "@voila-dashboards/widgets-manager8"]
    config.VoilaConfiguration.extension_allowlist = ["@jupyter-widgets/jupyterlab-manager", *managers]
    # a page that was closed without a word leaves its kernel behind: it goes after five minutes
    config.MappingKernelManager.cull_idle_timeout, config.MappingKernelManager.cull_interval = 300, 60
    Voila.launch_instance(argv=[str(notebook), *(sys.argv[1:] if arguments is None else arguments)], config=config)


if __name__ == "__main__":
    main()
