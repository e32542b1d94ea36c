"""Arrays arrive whole and under their names, whatever stands beside them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from processors.upload import to_device, to_host

CPU = torch.device("cpu")


@pytest.fixture(params=["as they are", "through one copy"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """The CPU, by its own short way and by the way that arrays go to any other device."""
    if request.param == "through one copy":
        place = SimpleNamespace(type="elsewhere")
        monkeypatch.setattr(torch.Tensor, "to", lambda self, device, non_blocking: self.clone())
        return place  # type: ignore[return-value]
    return CPU


def test_arrays_of_both_kinds_and_any_length_arrive(device: torch.device) -> None:
    generator = np.random.default_rng(0)
    given = {
        "ids": generator.integers(0, 2**40, 7),
        "none": np.zeros(0, dtype=np.int64),
        "odd": generator.normal(size=3).astype(np.float32),
        "keys": generator.integers(0, 9, (5, 2)),
        "empty": np.zeros(0, dtype=np.float32),
        "strided": np.arange(10, dtype=np.float32)[::3],
    }
    arrived = to_device(given, device)
    assert set(arrived) == set(given)
    for name, array in given.items():
        np.testing.assert_array_equal(arrived[name].numpy(), array)


def test_a_list_arrives_stacked(device: torch.device) -> None:
    rows = [np.full(5, index, dtype=np.float32) for index in range(3)]
    arrived = to_device({"one": np.array([1]), "rows": rows}, device)
    np.testing.assert_array_equal(arrived["rows"].numpy(), np.stack(rows))


def test_rows_come_back_as_float32() -> None:
    logits = torch.randn(4, 6).bfloat16()
    read = to_host(logits, [3, 1])
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, logits[[3, 1]].float().numpy())
