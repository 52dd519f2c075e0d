"""Run a lesson's experiment without a notebook.

    python -m lessons_lib --list
    python -m lessons_lib LESSON [--seeds 5 | --seeds 101,102,103] [--profile quick|full] [--data NAME]
                                 [--arms A,B] [--out FILE] [--overwrite]

Exit status: 0 when every claim holds, 1 when one does not (a claim without an interval does not count), 2 for
a wrong command line, 3 when the run failed.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from lessons_lib import runtime

MOST = 50  # seeds that one number may ask for: "101" is far more often meant as a seed than as a number of seeds


def parse_seeds(text: str, first: int = 0) -> list[int]:
    """ "5" is five seeds from `first` on (0 to 4); a list is literal: "101,102", and "101," for one seed."""
    parts = [part.strip() for part in text.split(",")]
    try:
        if len(parts) == 1:
            count = int(parts[0])
            if count > MOST:
                raise argparse.ArgumentTypeError(
                    f"{count} is a number of seeds, more than {MOST}: for the one seed {count} write {count}, with a comma"
                )
            if count < 1:
                raise ValueError
            return list(range(first, first + count))
        seeds = [int(part) for part in (parts[:-1] if parts[-1] == "" else parts)]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a number of seeds (5) nor a list of seeds (101,102,103; one seed: 101,)"
        ) from None
    if len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise argparse.ArgumentTypeError(f"seeds must be different and not negative, got {text!r}")
    return seeds


def _parser(lessons: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lessons_lib", description="Run a lesson's experiment over several seeds and judge its claims."
    )
    parser.add_argument("lesson", nargs="?", help=f"one of: {', '.join(lessons)}")
    parser.add_argument("--list", action="store_true", help="list the experiments with their arms")
    parser.add_argument(
        "--seeds",
        default=None,
        help="how many seeds (5: seeds 0 to 4, or from LESSONS_SEED on), or which (101,102,103; one seed: 101,); "
        "default: 5, with --profile full 10",
    )
    parser.add_argument("--profile", choices=runtime.PROFILES, help="quick (two CPU cores, default) or full (a GPU)")
    parser.add_argument("--data", help="name of the data; default: the rendered world")
    parser.add_argument("--arms", help="names of arms, with commas; default: all")
    parser.add_argument("--out", metavar="FILE", help="JSON file, written after every seed; a run cut short goes on")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE where it holds another run")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    runtime.wait_politely()
    from lessons_lib import experiments

    parser = _parser(experiments.names())
    options = parser.parse_args(arguments)
    if options.list:
        for name in experiments.names():
            module = experiments.load(name)
            print(f"{name}: {(module.__doc__ or '').strip().splitlines()[0]}\n    arms: {', '.join(module.ARMS)}")
        return 0
    if options.lesson is None:
        parser.error("name a lesson, or use --list")
    try:
        module = experiments.load(options.lesson)
        profile = options.profile or runtime.environment_profile()
        asked = ("10" if profile == "full" else "5") if options.seeds is None else options.seeds
        seeds = parse_seeds(asked, runtime.environment_seed())
    except (ValueError, argparse.ArgumentTypeError) as error:
        parser.error(str(error))
    return _run(parser, module, seeds, profile, options)


def _run(parser, module, seeds: list[int], profile: str, options: argparse.Namespace) -> int:
    import torch

    from lessons_lib.experiments import report, runner

    torch.set_num_threads(runtime.threads())
    arms = options.arms.split(",") if options.arms else None
    settings = dict(arms=arms, out=options.out, overwrite=options.overwrite)
    try:
        runner.check(module, seeds, profile, options.data, **settings)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    started = time.perf_counter()
    try:
        results = runner.run(module, seeds, profile, options.data, progress=_tell, **settings)
    except KeyboardInterrupt:
        resume = f"; the same command goes on from {options.out}" if options.out else ""
        print(f"\nstopped after {time.perf_counter() - started:.0f} s{resume}", file=sys.stderr)
        return 130
    except Exception:
        traceback.print_exc()
        return 3
    print(report.table(results), report.claims(results), sep="\n\n")
    return 1 if any(claim["holds"] is False for claim in results["claims"]) else 0


def _tell(progress) -> None:
    rate = progress.done / max(progress.seconds, 1e-9)
    left = (progress.total - progress.done) / rate
    print(
        f"[{progress.lesson}] seed {progress.seed}, arm {progress.arm}: {progress.done} of {progress.total} "
        f"arms, {60 * rate:.1f} arms a minute, {progress.seconds:.0f} s, about {left:.0f} s left",
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
