# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How redundant is *your* net?
#
# The studies ask where the surplus of nets comes from that we trained. This notebook asks it of a net of yours. The
# audit measures what a net could lose, layer by layer, and puts every number beside what chance gives: the same layer
# with its weights shuffled, the whole net likewise. An untrained net has plenty of surplus, too; what counts is what a
# *trained* one has beyond it. So we audit one net twice, trained and untrained.

# %%
import torch
from torch import nn

import redlib.audit
from redlib.data import load
from redlib.evidence.paths import project_root
from redlib.training import Adam, Examples, fit

digits = load("digits", n_train=897, n_test=900, flatten=False)


# %% [markdown]
# ## A net, trained and not
#
# Put your own net and data here. A file of weights works as well: `redlib.audit("weights.pt", data, model=factory)`.


# %%
def build() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


untrained, trained = build(), build()
fit(trained, Examples(digits.train.x, digits.train.y), optimizer=Adam(1e-3), epochs=30, batch_size=50)
data = digits.test.x, digits.test.y

# %% [markdown]
# ## Two audits
#
# `tolerate` says how many points of accuracy may be lost. With few images no share of weights is *surely* safe: the
# report tells the share that was found and the one it is sure of.

# %%
reports = {
    name: redlib.audit(net, data, tolerate=1.0, effort=0.3)
    for name, net in {"trained": trained, "untrained": untrained}.items()
}

# %% [markdown]
# Which layers hold most surplus, and on what evidence? The column `beyond` names what is beyond chance.

# %%
reports["trained"].verdict()

# %%
reports["untrained"].verdict()

# %% [markdown]
# One row a layer, for your own tables; `_null` is what chance gives.

# %%
reports["trained"].frame().filter(regex="layer|stable_rank|effective_rank|dead").round(2)

# %% [markdown]
# ## What would it buy?
#
# The units that the net can spare are taken out, and the smaller net is checked against the one in which they are
# silent. How much of the cuts that single layers bear is borne together is chosen on half of the examples, and the loss
# is told on the other half.

# %%
print(reports["trained"].gains["says"])

# %% [markdown]
# ## The pages
#
# One file each, which reads offline. The same as a command:
# `python -m redlib.audit weights.pt --model package.module:build --data images/ --out audit.html`

# %%
pages = project_root() / "reports" / "audit"
pages.mkdir(exist_ok=True)
for name, report in reports.items():
    report.html(pages / f"{name}.html")
