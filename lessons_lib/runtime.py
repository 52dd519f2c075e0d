"""What a lesson's first cell does: look at the machine, say what it found, hand out device, profile and
seeds.
"""

from __future__ import annotations

import math
import os
import platform
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from data_fetch.folder import data_folder

if TYPE_CHECKING:
    import torch

PROFILES = ("quick", "full")
_NEEDED = {"torch": (2, 6), "torchvision": (0, 21), "numpy": (1, 26), "ipywidgets": (7, 7)}
_PYTHON = (3, 10)
_MINUTES = {  # lesson -> minutes to run it through on two CPU cores, with a GPU; rounded up, quick profile
    "00_start_here": (1, 1),
    "01_visual_explanations": (2, 1),
    "02_judging_explanations": (2, 1),
    "03_captions_and_questions": (2, 1),
    "04_failure_modes": (1, 1),
    "05_text_and_video": (2, 1),
    "06_vision_language_transformers": (3, 1),
    "07_gender_bias": (2, 1),
    "08_zero_shot": (2, 1),
    "09_localization": (3, 1),
    "10_transfer_across_domains": (2, 1),
    "11_distribution_shift": (2, 1),
    "12_compositional_reasoning": (3, 1),
    "13_consistency": (2, 1),
    "14_self_supervised": (2, 1),
    "15_continual_learning": (2, 1),
    "demo": (1, 1),
}


@dataclass(frozen=True)
class Run:
    """What a lesson runs with: device, profile ("quick" or "full"), seed, and the folder for downloaded
    data.
    """

    lesson: str
    device: torch.device
    profile: str
    seed: int
    data: Path

    def seeds(self, count: int) -> list[int]:
        """`count` seeds in a row, from `seed` on."""
        if count < 1:
            raise ValueError(f"at least one seed is needed, got {count}")
        return list(range(self.seed, self.seed + count))

    def generator(self, offset: int = 0) -> torch.Generator:
        """A fresh generator on the CPU, seeded with `seed + offset`: the same numbers on every machine."""
        import torch

        return torch.Generator().manual_seed(self.seed + offset)


def start(lesson: str, *, profile: str = "quick", seed: int = 0, device: str | None = None) -> Run:
    """Print what this machine is and what the lesson needs, and set the number of threads and how they wait.

    Nothing else is changed: no global seed, no default device, no folder made, no network.

    Parameters
    ----------
    lesson : name of the notebook, such as "02_judging_explanations".
    profile : "quick" (two CPU cores, minutes) or "full" (a GPU); LESSONS_PROFILE overrides it.
    seed : LESSONS_SEED overrides it.
    device : "cpu" or "cuda"; default: the GPU where there is one.

    Raises
    ------
    ModuleNotFoundError : torch, torchvision or numpy is missing (says how to install it).
    ValueError : an unknown profile, or a LESSONS_SEED that is no integer.
    """
    profile, seed = _choose(profile, seed)
    found, warnings = _versions()
    wait_politely()
    import torch

    cores, workers = cpu_cores(), threads()
    torch.set_num_threads(workers)
    cuda = torch.cuda.is_available() if device is None else device.startswith("cuda")
    chosen = torch.device(device or ("cuda" if cuda else "cpu"))
    machine = f"{cores} CPU core{'s' * (cores > 1)}"
    if cuda:
        machine += f", GPU {torch.cuda.get_device_name(chosen)}"
    else:
        machine += ", no GPU" if device is None else ""
    machine += ", on Colab" if on_colab() else ""
    minutes = _MINUTES.get(lesson)
    time = "" if minutes is None else f", about {minutes[bool(cuda)]} min of computing"
    print(f"Lesson {lesson}{time}")
    print(f"Machine: {machine}; {workers} thread{'s' * (workers > 1)}")
    print(f"Profile: {profile}, seed {seed} (set LESSONS_PROFILE or LESSONS_SEED to change them)")
    print("Versions: " + ", ".join(f"{name} {version}" for name, version in found.items()))
    print(f"Data folder: {_friendly(data_folder())}")
    for line in warnings:
        print(f"Warning: {line}")
    return Run(lesson, chosen, profile, seed, data_folder())


def environment_seed(default: int = 0) -> int:
    """LESSONS_SEED as an integer, or `default` where it is not set."""
    text = os.environ.get("LESSONS_SEED", "").strip()
    try:
        return int(text) if text else default
    except ValueError:
        raise ValueError(f"LESSONS_SEED must be an integer, it is {text!r}") from None


def environment_profile(default: str = "quick") -> str:
    """LESSONS_PROFILE, or `default` where it is not set; raises when it is not one of `PROFILES`."""
    profile = os.environ.get("LESSONS_PROFILE", "").strip() or default
    if profile not in PROFILES:
        raise ValueError(f"the profile (LESSONS_PROFILE) must be one of {PROFILES}, got {profile!r}")
    return profile


def _choose(profile: str, seed: int) -> tuple[str, int]:
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"seed must be an integer, got {seed!r}")
    return environment_profile(profile), environment_seed(seed)


def _friendly(path: Path) -> str:
    """The path with the home folder as ~, so that a stored notebook names nobody's machine."""
    try:
        return f"~/{path.relative_to(Path.home()).as_posix()}"
    except ValueError:
        return str(path)


def on_colab() -> bool:
    """Whether this runs on Google Colab."""
    return "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ


def cpu_cores() -> int:
    """CPU cores that this process may use: its affinity, and the container's quota where there is one."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, min(cores, _quota(Path("/sys/fs/cgroup/cpu.max"), cores)))


def wait_politely() -> None:
    """Let idle threads sleep soon (GOMP_SPINCOUNT, unless it is set): it counts only before torch is imported.

    By default a thread that waits for others spins. When other programs want the same cores, each of the many
    short operations of a small network then waits for a thread that waits for its turn: a training on two busy
    cores was measured to take 3 to 8 times as long.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")


def _quota(file: Path, default: int) -> int:
    """Cores that a container's quota allows; with 2 of 64 cores, 64 threads would be very slow."""
    try:
        quota, period = file.read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no such file, or "max": no quota
        return default


def threads(cores: int | None = None) -> int:
    """OMP_NUM_THREADS where it is set; else all cores, but no more than 8, beyond which small networks slow
    down.
    """
    text = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(text) if text.isdigit() and int(text) > 0 else min(cores or cpu_cores(), 8)


def _versions() -> tuple[dict[str, str], list[str]]:
    """Versions by name, and a line of advice for each that is too old. Read without importing anything."""
    found, warnings = {"Python": platform.python_version()}, []
    if sys.version_info[:2] < _PYTHON:
        warnings.append(f"Python {found['Python']} is too old, the course needs {_dotted(_PYTHON)} or newer")
    for name, least in _NEEDED.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            if name == "ipywidgets":
                warnings.append("ipywidgets is missing, controls will not work: pip install ipywidgets")
                continue
            raise ModuleNotFoundError(
                f"{name} is missing. Install the course with `make lab`, or: pip install {name}", name=name
            ) from None
        found[name] = version
        if _numbers(version) < least:
            warnings.append(f"{name} {version} is older than {_dotted(least)}: {_advice(name)}")
    return found, warnings


def _advice(name: str) -> str:
    if on_colab():
        return "choose Runtime > Disconnect and delete runtime, then run again: Colab's own is newer"
    together = "torch torchvision" if name.startswith("torch") else name
    return f"run `pip install --upgrade {together}` and restart the kernel"


def _numbers(version: str) -> tuple[int, int]:
    """(major, minor) of a version such as 2.6.0+cu124 or 2.7.0a0."""
    found = re.match(r"(\d+)(?:\.(\d+))?", version)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
