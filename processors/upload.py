"""Between host and device without making anybody wait: all of a step's arrays in one copy.

A copy from ordinary memory, or a Python number turned into a tensor, stops the host until the
device has caught up with it, and with that everybody's requests. A copy from pinned memory does
not: PyTorch's allocator takes the memory back once the device has read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.int64] | NDArray[np.int32] | NDArray[np.float32]
Stack = list[NDArray[np.float32]] | list[NDArray[np.int32]]
Arrays = dict[str, Array | Stack]
"""Arrays by name; a list of arrays of one shape counts as one array, stacked."""

_ALIGNMENT = 16
_DTYPES = {
    np.dtype(np.int64): torch.int64,
    np.dtype(np.int32): torch.int32,
    np.dtype(np.float32): torch.float32,
}


def to_device(arrays: Arrays, device: torch.device) -> dict[str, torch.Tensor]:
    """Copies of int64, int32 and float32 arrays on the device, under the same names."""
    if device.type == "cpu":
        return {name: torch.from_numpy(_stacked(given)) for name, given in arrays.items()}
    places = _places(arrays)
    staged = torch.empty(places[-1].stop, dtype=torch.uint8, pin_memory=device.type == "cuda")
    memory = staged.numpy()
    for place, given in zip(places, arrays.values(), strict=True):
        room = memory[place].view(_first(given).dtype).reshape(_shape(given))
        for slot, array in enumerate(given) if isinstance(given, list) else [(..., given)]:
            room[slot] = array
    sent = staged.to(device, non_blocking=True)
    return {
        name: sent[place].view(_DTYPES[_first(given).dtype]).view(_shape(given))
        for place, (name, given) in zip(places, arrays.items(), strict=True)
    }


def _places(arrays: Arrays) -> list[slice]:
    """Where in one stretch of bytes each array lies."""
    places: list[slice] = []
    end = 0
    for given in arrays.values():
        start = -(-end // _ALIGNMENT) * _ALIGNMENT
        end = start + _first(given).nbytes * (len(given) if isinstance(given, list) else 1)
        places.append(slice(start, end))
    return places


def _first(given: Array | Stack) -> Array:
    if not isinstance(given, list):
        return given
    return given[0]


def _shape(given: Array | Stack) -> tuple[int, ...]:
    return (len(given), *given[0].shape) if isinstance(given, list) else given.shape


def _stacked(given: Array | Stack) -> Array:
    if not isinstance(given, list):
        return given
    stacked: NDArray[Any] = np.stack(given)
    return stacked


def to_host(logits: torch.Tensor, rows: Sequence[int]) -> NDArray[np.float32]:
    """These rows of logits [any, vocabulary] as float32. Waits until the device has them."""
    wanted = to_device({"rows": np.array(rows, dtype=np.int64)}, logits.device)["rows"]
    found = logits.index_select(0, wanted).float()
    if not found.is_cuda:
        read: NDArray[np.float32] = found.numpy()
        return read
    landed = torch.empty(found.shape, dtype=torch.float32, pin_memory=True)
    landed.copy_(found, non_blocking=True)
    torch.cuda.current_stream(found.device).synchronize()
    pinned: NDArray[np.float32] = landed.numpy()
    return pinned
