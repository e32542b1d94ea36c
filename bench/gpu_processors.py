"""What mods' decisions cost on a GPU: the tensor edits of one step, checked and then timed.

The question is whether 256 requests with mods at a vocabulary of 152k stay a small part of a
decode step, and whether the host ever waits for the device. Every kind of decision is compared
with a naive float64 version first. It is timed by CUDA events, behind a kernel that keeps the
device busy until the host has queued everything, so that the device's own time is seen and a
hidden wait would show. "floor" is the fewest bytes to move over the bandwidth measured here.

    python -m bench.gpu_processors            # needs CUDA, torch, numpy, msgspec, tokenizers
    python -m bench.gpu_processors --check    # the comparison alone, on any device
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from bench.edit_cases import Case, cases, check
from processors.upload import to_host

BUSY_CYCLES = 150_000_000
"""For how long the device is kept busy before what is timed: some 75 ms."""
ROTATED = 4
"""Sets of logits in turn, so that no cache holds the next one."""


@dataclass
class Times:
    """Medians, in milliseconds: on the device, on the host for gathering and for queueing."""

    device: float
    gather: float
    queue: float
    spread: float
    """Between the first and the third quartile of the device's time."""
    waited: bool
    """Whether the device was done before the host was: the host may have waited for it."""


def measure(case: Case, inputs: list[torch.Tensor], repeats: int) -> Times:
    device, gather, queue, waited = [], [], [], False
    for number in range(repeats + 5):
        logits = inputs[number % len(inputs)]
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        torch.cuda._sleep(BUSY_CYCLES)
        start.record()
        first = time.perf_counter()
        edits = case.gather()
        second = time.perf_counter()
        torch.cuda.set_sync_debug_mode("error")
        try:
            edits.apply(logits)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        third = time.perf_counter()
        end.record()
        ready = start.query()
        torch.cuda.synchronize()
        if number >= 5:
            device.append(start.elapsed_time(end))
            gather.append(1e3 * (second - first))
            queue.append(1e3 * (third - second))
            waited |= ready
    low, middle, high = statistics.quantiles(device, n=4)
    return Times(middle, statistics.median(gather), statistics.median(queue), high - low, waited)


def timed(work: Callable[[], object], repeats: int = 30) -> float:
    """The median of a device operation, in milliseconds."""
    samples = []
    for number in range(repeats + 5):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        if number >= 5:
            samples.append(start.elapsed_time(end))
    return statistics.median(samples)


def bandwidths() -> tuple[float, float]:
    """Bytes a millisecond: within the device (read and written), and from pinned memory to it."""
    one, other = (torch.randn(2**28, device="cuda") for _ in range(2))
    inside = 2 * one.nbytes / timed(lambda: other.copy_(one))
    pinned = torch.randn(2**24).pin_memory()
    landing = other[: 2**24]
    return inside, pinned.nbytes / timed(lambda: landing.copy_(pinned, non_blocking=True))


def fill(inputs: list[torch.Tensor]) -> None:
    for logits in inputs:
        logits.normal_().mul_(4)


def run(count: int, vocabulary: int, repeats: int) -> dict[str, object]:
    """Time every case and print the table. Returns what the JSON line says."""
    inside, into = bandwidths()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print(f"copies: {inside / 1e9:.2f} TB/s inside, {into / 1e6:.1f} GB/s from pinned memory")
    print(f"{count} rows x {vocabulary} tokens, medians of {repeats}, milliseconds\n")
    print(f"{'case':<24}{'device':>9}{'+-':>8}{'again':>9}{'floor':>9}{'gather':>9}{'queue':>8}")
    inputs = [torch.empty(count, vocabulary, device="cuda") for _ in range(ROTATED)]
    table = []
    for case in cases(count, vocabulary, seed=1):
        fill(inputs)
        times = measure(case, inputs, repeats)
        again = measure(case, inputs, repeats).device
        floor = case.moved / inside + case.sent / into
        print(
            f"{case.name:<24}{times.device:>9.3f}{times.spread:>8.3f}{again:>9.3f}{floor:>9.3f}"
            f"{times.gather:>9.3f}{times.queue:>8.3f}{'  THE HOST WAITED' * times.waited}"
        )
        table.append({"case": case.name, "floor": floor, "again": again, **vars(times)})
    read = list(range(0, count, 10))
    reading = statistics.median(_seconds(lambda: to_host(inputs[0], read)) for _ in range(repeats))
    print(f"\n{len(read)} rows read by mods, host time: {1e3 * reading:.3f} ms")
    return {"rows": count, "vocabulary": vocabulary, "cases": table, "read_ms": 1e3 * reading}


def _seconds(work: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--vocabulary", type=int, default=152_064)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--check", action="store_true", help="compare, and time nothing")
    given = parser.parse_args()
    if not given.check and not torch.cuda.is_available():
        sys.exit("timing needs a CUDA device; --check compares on any")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    checked = [(3, 1000), (64, 32_003), (32, given.vocabulary)]
    for seed, (count, vocabulary) in enumerate(checked):
        errors = [check(c, vocabulary, device, seed) for c in cases(count, vocabulary, seed)]
        print(f"{count} rows x {vocabulary}: as the naive version, error <= {max(errors):.1e}")
    if not given.check:
        print(json.dumps(run(given.rows, given.vocabulary, given.repeats)))


if __name__ == "__main__":
    main()
