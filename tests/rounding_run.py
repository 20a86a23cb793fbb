"""A run whose last bits depend on the instructions of the processor."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rounding:
    """One sum of each library whose last bits depend on the processor's instructions."""

    def run(self) -> dict[str, np.ndarray]:
        """Return what torch, its products, convolutions, the sparse kernels and NumPy round."""
        import torch

        from redlib.nets import StackedMLP
        from redlib.training import SGD, Examples, fit

        rng = np.random.default_rng(0)
        x, image = rng.standard_normal((64, 96), np.float32), rng.standard_normal((4, 8, 12, 12), np.float32)
        t, filters = torch.from_numpy(x), torch.from_numpy(rng.standard_normal((8, 8, 3, 3), np.float32))
        net = StackedMLP.create((96, 64, 10), seeds=[0])
        net.apply_masks([torch.rand(w.shape, generator=torch.Generator().manual_seed(0)) < 0.1 for w in net.weights])
        examples = Examples(t, torch.arange(64) % 10)
        fit(net, examples, optimizer=SGD(0.1), steps=20, execution="sparse", device="cpu")
        return {
            "torch_loops": torch.log_softmax(t, 1).numpy(),
            "torch_products": (t @ t.T).numpy(),
            "convolutions": torch.conv2d(torch.from_numpy(image), filters, padding=1).numpy(),
            "sparse_kernels": net.flat.numpy(),
            "numpy_loops": np.exp(x),
            "numpy_products": np.linalg.svd(x.astype(np.float64), compute_uv=False),
        }
