"""Named streams: a draw depends on its seed, its purpose and its key, and on nothing else."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from redlib.data import STREAMS, rng, torch_rng
from redlib.errors import BadInput


def first(seed: int, stream: str, *key: int) -> int:
    return int(rng(seed, stream, *key).integers(2**63))


def test_a_stream_is_numpy_seeded_with_the_hash_of_its_name_then_seed_and_key():
    words = [int.from_bytes(hashlib.sha256(b"noise").digest()[i : i + 4], "big") for i in range(0, 32, 4)]
    expected = np.random.default_rng(np.random.SeedSequence([*words, 7, 1])).random(5)
    assert np.array_equal(rng(7, "noise", 1).random(5), expected)


def test_another_process_draws_the_same():
    code = "from redlib.data.streams import rng; print(int(rng(3, 'order', 2).integers(2**63)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) == first(3, "order", 2)


def test_every_seed_stream_and_key_draws_something_else():
    keys = [(), (0,), (1,), (0, 0), (1, 0)]
    draws = [first(seed, stream, *key) for seed in (0, 1, 2**32 - 1) for stream in STREAMS for key in keys]
    assert len(set(draws)) == len(draws) == 3 * len(STREAMS) * len(keys)


def test_draws_do_not_depend_on_what_was_drawn_before():
    alone = first(5, "mask")
    for seed in range(4):
        rng(seed, "mask").random(100)
        np.random.default_rng(seed).random(3)
    assert first(5, "mask") == alone


def test_the_global_generators_stay_untouched():
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    rng(1, "init").random(10)
    torch.rand(10, generator=torch_rng(1, "init"))
    assert np.array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


def test_torch_streams_repeat_and_differ_by_name_and_key():
    def draw(*arguments):
        return torch.rand(4, generator=torch_rng(*arguments))

    assert torch.equal(draw(1, "init"), draw(1, "init"))
    assert not torch.equal(draw(1, "init"), draw(1, "order"))
    assert not torch.equal(draw(1, "init"), draw(1, "init", 0))


@pytest.mark.parametrize("draw", [rng, torch_rng])
def test_an_unknown_stream_raises_and_names_the_known_ones(draw):
    with pytest.raises(BadInput, match=r"'shuffle'.*'order'"):
        draw(0, "shuffle")


@pytest.mark.parametrize("seed, key", [(-1, 0), (2**32, 0), (1.5, 0), (0, -1), (0, 2**32)])
def test_numbers_that_do_not_fill_one_word_raise(seed, key):
    with pytest.raises(BadInput, match=r"2\*\*32"):
        rng(seed, "init", key)
