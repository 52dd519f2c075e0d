"""Shared by every test: few threads (tests run side by side), and no network unless a test serves it itself."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")

import torch

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
