"""One source of randomness for the tests of a measure."""

import pytest
import torch


@pytest.fixture
def draw():
    return torch.manual_seed(1000)  # torch's own generator, which also initialises modules
