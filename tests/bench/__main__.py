"""`make bench`: run the benchmarks and write one report."""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import sys
import time
import warnings
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

# One thread, before anything that computes is imported; and nothing is fetched.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")

PARTS = ("scoring", "gradients", "spaces", "transfer", "memory", "workers")
LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "minicons", "lm_eval", "traker")
ROUNDS = {"scoring": 4, "gradients": 3, "spaces": 3, "transfer": 3}
REPORT = Path("_build", "bench", "report.json")


def main(arguments: list[str] | None = None) -> int:
    """Run parts and write them into the report; other parts that it has stay."""
    asked = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    asked.add_argument("--part", action="append", choices=PARTS, help="default: all, in turn")
    asked.add_argument("--out", type=Path, help=f"default: {REPORT}; of a quick run, quick.json")
    asked.add_argument("--quick", action="store_true", help="seconds: proves that all of it runs")
    asked.add_argument("--attempts", type=int, default=2, help="at a race, if the machine drifts")
    options = asked.parse_args(arguments)
    out = options.out or (REPORT.with_name("quick.json") if options.quick else REPORT)
    missing = [name for name in ("minicons", "lm_eval", "traker") if not _version(name)]
    if missing:
        print(f"peers are missing: {', '.join(missing)}; `make bench` installs them",
              file=sys.stderr)  # fmt: skip
        return 2
    report = run(options.part or PARTS, out, options.quick, options.attempts)
    print(summary(report))
    print(f"report: {out}")
    return 0


def run(parts, out: Path, quick: bool, attempts: int) -> dict:
    """Run parts one after the other; the report is written after each.

    Other parts of a report that lies at `out` stay if they are of this machine and these versions.
    """
    import torch

    from taskspace_utils import store

    from . import material, measure, memory, speed, workers

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="There is a performance drop", category=UserWarning)
    report = {
        "format": 1,
        "quick": quick,
        "machine": machine(),
        "versions": {name: _version(name) for name in LIBRARIES},
    }
    old = json.loads(out.read_text()) if out.is_file() else {}
    same = all(old.get(key) == value for key, value in report.items())
    report["parts"] = old["parts"] if same else {}
    with TemporaryDirectory() as folder:
        m = material.prepare(Path(folder, "model"), quick)
        report |= {
            "data": m.source,
            "model": {
                "name": (material.TINY if quick else material.SHAPE).name,
                "parameters": material.parameters(m.lm),
                **{key: getattr(m.lm.model.config, key)
                   for key in ("n_layer", "n_embd", "n_head", "vocab_size")},
            },
        }  # fmt: skip
        for name in parts:
            print(f"{name} …", file=sys.stderr, flush=True)
            began = time.monotonic()
            if name == "memory":
                found = memory.memory_part(m, Path(folder, "memory"), quick)
            elif name == "workers":
                found = workers.workers_part(m, quick)
            else:
                part = getattr(speed, f"{name}_part")
                how = {"rounds": ROUNDS[name], "attempts": attempts}
                if quick:
                    how |= {"rounds": 2, "rate": functools.partial(measure.sgemm_rate, 64, 0.01)}
                found = part(m, quick, **how)
            found["wall_seconds"] = time.monotonic() - began
            found["made"] = time.strftime("%Y-%m-%d", time.gmtime())
            report["parts"][name] = found
            store.write_atomic(out, json.dumps(report, indent=1, default=float) + "\n")
    return report


def machine() -> dict:
    """Processor, cores, memory and system, without any name of the machine."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].split(":", 1)[1].strip() if lines else name
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name).split("+")[0]
    except metadata.PackageNotFoundError:
        return ""


def summary(report: dict) -> str:
    """One line a measure."""
    lines = []
    for part in report["parts"].values():
        for row in part["measures"]:
            bound = f"floor {'≥' if row['at_least'] else '≤'} {row['floor']:g}"
            if row["refused"]:
                lines.append(f"{row['name']}: none, {row['refused']} ({bound})")
                continue
            met = "met" if row["floor_met"] else "NOT met"
            lines.append(f"{row['name']}: {row['ratio']:.3g} {row['unit']} ({bound} {met})")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
