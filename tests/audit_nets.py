"""Small nets and examples for the tests of the audit."""

import torch
from torch import nn

from redlib.data.streams import torch_rng

SEED = 1000


def drawn(*shape: int, key: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch_rng(SEED, "noise", key))


def seeded(build, seed: int = SEED):
    """Return build() with torch's own stream at this seed, as it was afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def mlp(sizes=(20, 64, 50, 5)) -> nn.Sequential:
    parts: list[nn.Module] = []
    for fan_in, fan_out in zip(sizes, sizes[1:], strict=False):
        parts += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*parts[:-1])


class Every(nn.Module):
    """One layer of each kind: images [n, 4, 8, 8] to 6 outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.grouped = nn.Conv2d(8, 16, 3, padding=1, groups=4)
        self.up = nn.ConvTranspose2d(16, 12, 2, stride=2, groups=2)
        self.line = nn.Conv1d(12, 12, 3, padding=1)
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True)
        self.lstm = nn.LSTM(12, 10, batch_first=True)
        self.gru = nn.GRU(10, 9)
        self.scale = nn.Parameter(torch.ones(9))
        self.head = nn.Linear(9, 6)

    def forward(self, x):
        h = self.relu(self.norm(self.first(x)))
        h = self.line(torch.relu(self.up(self.grouped(h))).flatten(2)[:, :, :16]).transpose(1, 2)
        h = self.lstm(self.attention(h, h, h)[0])[0]
        return self.head(self.gru(h.transpose(0, 1))[0][-1] * self.scale)


class Words(nn.Module):
    """Tokens [n, t] to scores of 40 tokens [n, t, 40], with one weight for both ends."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(40, 16, padding_idx=0)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.body = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.out = nn.Linear(16, 40, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, tokens):
        return self.out(self.body(self.embed(tokens)))


def state_of(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: values.clone() for name, values in net.state_dict().items()}


def unchanged(net: nn.Module, before: dict[str, torch.Tensor]) -> bool:
    after = net.state_dict()
    return set(after) == set(before) and all(torch.equal(after[name], values) for name, values in before.items())


def build() -> nn.Module:
    """Return the net that checkpoints of the tests are of (`audit_nets:build`)."""
    return mlp()


def broken() -> nn.Module:
    raise RuntimeError("no net today")


def digits() -> nn.Module:
    return mlp((64, 128, 64, 10))
