"""Which device is meant, and which one each worker gets."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import bequest as bq
from bequest.errors import ConfigError
from bequest.models import devices
from bequest.models.devices import device_of, parse_device, prefer_determinism, worker_devices

META = torch.device("meta")


@pytest.fixture
def gpus(monkeypatch):
    """Lets PyTorch count so many GPUs; nothing can be computed on them."""

    def pretend(count):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)

    monkeypatch.delenv("LOCAL_RANK", raising=False)
    return pretend


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "'gpu' is not one of auto, cpu, cuda, cuda:N, mps"),
        ("xla", "is not one of auto, cpu"),
        ("cuda:99", "cuda:99 is not there: PyTorch sees"),
        ("", "is not one of auto, cpu"),
    ],
)
def test_a_device_that_is_not_here_is_refused(device, message):
    with pytest.raises(ConfigError, match=message):
        parse_device(device)
    with pytest.raises(ConfigError, match=message):
        bq.fit("mlp", "digits", device=device, epochs=0)
    with pytest.raises(ConfigError, match=message):
        worker_devices(device, cores=2)


def test_auto_is_the_best_there_is(gpus):
    gpus(0)
    assert parse_device("auto").type == ("mps" if torch.backends.mps.is_available() else "cpu")
    gpus(2)
    assert parse_device("auto") == torch.device("cuda")
    assert parse_device(torch.device("cpu")) == torch.device("cpu")
    assert device_of(nn.Flatten()) == torch.device("cpu")
    assert device_of(nn.Linear(2, 2, device="meta")) == META


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"device": "auto"}, "012"),
        ({"device": "cuda"}, "012"),
        ({"device": "cuda", "workers": 2}, "01"),
        ({"device": "cuda", "workers": 7}, "0120120"),
        ({"device": "cuda", "per_device": 2}, "012012"),
        ({"device": "cuda", "per_device": 2, "workers": 4}, "0120"),
        ({"device": "cuda", "per_device": 2, "workers": 40}, "012012"),
        ({"device": "cuda:1"}, "1"),
        ({"device": torch.device("cuda", 1), "workers": 3}, "111"),
    ],
)
def test_workers_take_turns_over_the_gpus(options, expected, gpus):
    gpus(3)
    assert worker_devices(**options, cores=16) == tuple(f"cuda:{index}" for index in expected)


@pytest.mark.parametrize(
    ("options", "count"), [({}, 4), ({"workers": 6}, 6), ({"per_device": 3}, 3), ({"workers": 2}, 2)]
)
def test_on_the_cpu_there_is_a_worker_a_core(options, count):
    assert worker_devices("cpu", cores=4, **options) == ("cpu",) * count


def test_a_rank_gets_the_gpu_of_its_number(gpus, monkeypatch):
    gpus(2)
    for rank, index in (("0", 0), ("1", 1), ("2", 0)):
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert parse_device("cuda") == parse_device("auto") == torch.device("cuda", index)
        assert parse_device("cuda:1") == torch.device("cuda", 1)
        assert parse_device("cpu") == torch.device("cpu")


def test_only_a_process_on_a_gpu_asks_for_deterministic_kernels(monkeypatch):
    asked = []
    monkeypatch.setattr(
        devices.torch, "use_deterministic_algorithms", lambda mode, warn_only: asked.append((mode, warn_only))
    )
    monkeypatch.setattr(devices.os, "environ", {})
    prefer_determinism("cpu")
    assert (asked, devices.os.environ) == ([], {})
    prefer_determinism("cuda:0")
    assert (asked, devices.os.environ) == ([(True, True)], {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"})
