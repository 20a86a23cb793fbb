"""What is examined, and on what: a module or a checkpoint, which is never unpickled, and examples in any form.

A net is a live module, or a file: an archive of TorchScript or torch.export, or the weights alone (safetensors, or a
state_dict that `torch.load(weights_only=True)` reads) with a factory that builds the module. A pickled module runs code
of whoever wrote it, so it is refused, and so are archives that hold pickles. Examples are a pair (x, y), x alone, a
dict of both, an .npz, a folder of images, an iterable of batches, or a data set of torch (`redlib.audit.batches`). They
are kept in memory, `limit` of them.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import pickle
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils.data import Dataset

from redlib.audit.batches import PLACES, SEVERAL, XS, YS, batches_of, can_be_drawn, first_named, parts_of, tensor_of
from redlib.data.folder import LEFT_BEHIND, SUFFIXES, list_images, some
from redlib.data.numbers import whole
from redlib.data.pictures import check_background, read_picture
from redlib.data.streams import rng
from redlib.errors import BadInput

LIMIT = 1000  # examples, unless more are asked for
BATCH = 64  # examples that go through the net at a time
CHOICE = 90  # key of the stream "eval", so that no other draw of a seed repeats these
CONVERT = (
    "Where it was made: torch.save(net.state_dict(), 'weights.pt'), then pass weights.pt with "
    "--model package.module:factory; or torch.export.save(torch.export.export(net, (x,)), 'net.pt2')."
)
# Names under which weights lie in files of training; averages come last, since the net itself is asked for.
NESTED = ("state_dict", "model_state_dict", "model_state", "model", "module", "net", "weights", "params",
          "state_dict_ema", "model_ema", "ema")  # fmt: skip
WRAPPED = ("module.", "_orig_mod.", "model.", "net.")  # what wrappers put before the names of weights
SAME = 1e-3  # of the largest output, by which two runs of one batch may differ: sums on accelerators do
PASSED_ON = (
    "View",
    "Squeeze",
    "Reshape",
    "Select",
    "Slice",
    "Permute",
    "Transpose",
    "Copy",
    "Clone",
    "Alias",
    "Expand",
)


@dataclass(frozen=True)
class Subject:
    """A net under examination: `net`, how it came (`form`: module, torchscript or export), and its `name`.

    `program` is the torch.export archive, whose graph tells what reads which weight. Only a `module` has parts that can
    be listened to while it runs. `output` chooses one of several outputs (`logits_of`), `probable` says whether that is
    probabilities, and `first` whether one of three axes has its classes on axis 1 (see `understood`).
    """

    net: nn.Module
    form: str
    name: str
    program: Any = None
    output: int | str | None = None
    probable: bool = False
    first: bool = False

    @property
    def like(self) -> Tensor:
        """The first floating-point parameter (or a number), whose type and device inputs take."""
        return next((p for p in self.net.parameters() if p.is_floating_point()), torch.zeros(()))

    def read(self, output: Any) -> Tensor:
        """Return the tensor that is judged of what the net gives."""
        return logits_of(output, self.output)

    def scores(self, output: Any) -> Tensor:
        """Return the outputs that decide, as `decisions` takes them: logits, also of a net that tells probabilities."""
        logits = self.read(output)
        logits = logits.movedim(1, 2) if self.first and logits.dim() == 3 else logits
        if not self.probable:
            return logits
        logits = logits if logits.dtype == torch.float64 else logits.float()
        least = torch.finfo(logits.dtype).tiny
        return torch.logit(logits, 1e-7) if _single(logits) else logits.clamp(min=least).log()


class Program(nn.Module):
    """The module `inner` of a torch.export archive, for batches of any size, also where it was exported for one.

    Larger ones go through in parts, and the last part is filled up with its last example.
    """

    def __init__(self, program: Any):
        super().__init__()
        self.inner = program.module(check_guards=False)
        names = set(program.graph_signature.user_inputs)
        value = next((node.meta.get("val") for node in program.graph.nodes if node.name in names), None)
        size = value.shape[0] if isinstance(value, Tensor) and value.dim() else None
        self.batch = size if isinstance(size, int) else None

    def forward(self, x: Tensor) -> Any:
        """Return what the archive computes for x."""
        if self.batch is None or len(x) == self.batch:
            return self.inner(x)
        parts = x.split(self.batch)
        filled = [torch.cat([part, part[-1:].expand(self.batch - len(part), *part.shape[1:])]) for part in parts]
        return _joined([self.inner(whole) for whole in filled], [len(part) for part in parts])

    def train(self, mode: bool = True) -> Program:
        """Do nothing: a program has no modes."""
        return self


@dataclass(frozen=True)
class Examples:
    """Inputs `x` [n, ...], labels `y` int64 (or None), names of the classes (or none), and how many there were.

    `mean` and `std` are those of each channel, by which images of bytes are standardised, as numbers from 0 to 1.
    `notes` say what reading them changed.
    """

    x: Tensor
    y: Tensor | None
    classes: tuple[str, ...]
    total: int
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    def first(self, count: int) -> Examples:
        """Return the first `count` of these examples; they are in random order unless they came as batches."""
        return replace(self, x=self.x[:count], y=None if self.y is None else self.y[:count])

    def standardised(self, mean: Sequence[float], std: Sequence[float]) -> Examples:
        """Return the examples with mean and deviation of the channels; BadInput where they fit no images of bytes."""
        byte = self.x.dtype == torch.uint8 and self.x.dim() >= 3
        known = {1, self.x.shape[1] if byte else 1}
        if not byte or len(mean) not in known or len(std) not in known or not all(one > 0 for one in std):
            remedy = "Leave them out for other data, which go into the net as they are."
            raise BadInput.of("mean and std", (mean, std), "one or one a channel, std > 0, of images of bytes", remedy)
        return replace(self, mean=tuple(mean), std=tuple(std))

    def batches(self, like: Tensor, size: int = BATCH) -> Iterator[Tensor]:
        """Yield x, `size` at a time, on the device of `like`; floats in its type, bytes as numbers from 0 to 1."""
        for part in self.x.split(size):
            x = part.to(like.device)
            if x.dtype == torch.uint8 and x.dim() >= 3:
                mean, std = (like.new_tensor(v).view(-1, *(1,) * (x.dim() - 2)) for v in (self.mean, self.std))
                yield (x.to(like.dtype) / 255 - mean) / std
            else:
                yield x.to(like.dtype) if x.is_floating_point() else x.long()


@contextlib.contextmanager
def evaluation(net: nn.Module) -> Iterator[None]:
    """Put a net into evaluation mode without gradients, its attention on the path that calls every part; undo all.

    The modes of all parts come back.
    """
    before = {part: part.training for part in net.modules()}
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        net.eval()
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for part, training in before.items():
            part.training = training


def subject(net: Any, model: str | Callable[[], nn.Module] | None = None, device: str = "auto") -> Subject:
    """Return the net under examination.

    `net` is a module, which stays where it is, or the path of a checkpoint, which goes to `device` ("auto": an
    accelerator where there is one); `model` builds the module of bare weights: a function, or "package.module:factory".
    What torch.compile and data parallelism wrap around a module is left out. BadInput for other things, pickled
    modules, weights of another architecture, and weights that are not finite or not there (device meta).
    """
    if isinstance(net, nn.Module):
        net = unwrapped(net)
        form = "torchscript" if isinstance(net, torch.jit.ScriptModule) else "module"
        found = Subject(net, form, getattr(net, "original_name", type(net).__name__))
    elif isinstance(net, str | os.PathLike):
        found = _from_file(Path(net), model, _device(device))
    else:
        raise BadInput.of("net", type(net).__name__, "an nn.Module or the path of a checkpoint", "Pass the net itself.")
    check_finite(found.net)
    return found


def unwrapped(net: nn.Module) -> nn.Module:
    """Return the module in what torch.compile and data parallelism put around it: copies run elsewhere, unheard."""
    while True:
        if isinstance(net, nn.DataParallel | nn.parallel.DistributedDataParallel):
            net = net.module
        elif "_orig_mod" in net._modules:
            net = cast(nn.Module, net._orig_mod)
        else:
            return net


@contextlib.contextmanager
def uncompiled(net: nn.Module) -> Iterator[None]:
    """Let the parts of a net that are compiled run as they were written: each hook would have them compiled anew."""
    if not any("_orig_mod" in part._modules or part._compiled_call_impl is not None for part in net.modules()):
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def _joined(outputs: Sequence[Any], sizes: Sequence[int]) -> Any:
    """Return outputs for parts of a batch as one, in their own form, of each part as many examples as its size."""
    first = outputs[0]
    if isinstance(first, Mapping):
        return {key: _joined([one[key] for one in outputs], sizes) for key in first}
    if isinstance(first, tuple | list):
        return [_joined(several, sizes) for several in zip(*outputs, strict=True)]
    if isinstance(first, Tensor) and first.dim():
        return torch.cat([one[:size] for one, size in zip(outputs, sizes, strict=True)])
    return first


def check_finite(net: nn.Module) -> None:
    """Raise BadInput that names the first parameter or running statistic that is not finite, or has no values."""
    for name, values in [*net.named_parameters(), *net.named_buffers()]:
        if isinstance(values, UninitializedBuffer | UninitializedParameter):
            continue
        if values.is_meta:
            remedy = "Load them first: net.to_empty(device='cpu'), then net.load_state_dict."
            raise BadInput.of(f"weights of {name}", "on the device meta, without values", "numbers", remedy)
        plain = values.layout == torch.strided and not values.is_quantized
        if plain and values.is_floating_point() and not bool(values.detach().isfinite().all()):
            count = int((~values.detach().isfinite()).sum())
            given = f"{count} of {values.numel()} values NaN or infinite"
            raise BadInput.of(
                f"weights of {name}", given, "finite numbers", "Has the net diverged? Take an earlier one."
            )


def factory(name: str | Callable[[], nn.Module]) -> nn.Module:
    """Return the module that "package.module:factory", or a function, builds without arguments; else BadInput."""
    build = name if callable(name) else _named(name)
    try:
        built = build()
    except Exception as error:
        raise BadInput.of("model", str(name), "a function without arguments", f"It raised {error!r}.") from error
    if not isinstance(built, nn.Module):
        raise BadInput.of("model", type(built).__name__, "a function that returns an nn.Module", "Return the net.")
    return built


def examples(
    data: Any,
    limit: int = LIMIT,
    seed: int = 0,
    size: int | None = None,
    channels: int = 3,
    background: str | None = None,
) -> Examples | None:
    """Return at most `limit` examples of `data`, None for None.

    Of arrays, folders, and data sets that tell their size they are drawn (stream "eval" of `seed`), of batches they are
    the first. Images of a folder are scaled to `size` × `size` pixels (None: they have one size), laid over the colour
    `background` where they are transparent (None: none is), and grey where the net has one of `channels`. BadInput for
    what is none of the forms at the top of this module, for nothing, and for labels that fit no examples.
    """
    limit = whole("limit", limit, 2, f"The default is {LIMIT}.")
    size = None if size is None else whole("size", size, 1, "It is the side of an image in pixels.")
    check_background(background)
    if isinstance(data, str | os.PathLike) and Path(data).is_dir():
        return _from_folder(Path(data), limit, seed, size, channels, background)
    if data is not None and (size is not None or background is not None):
        remedy = "Scale and convert other data before, as for training."
        raise BadInput.of("size and background", (size, background), "None, but for a folder of images", remedy)
    return data if data is None or isinstance(data, Examples) else _read(data, limit, seed)


def _read(data: Any, limit: int, seed: int) -> Examples:
    """Return examples of any form but a folder."""
    if isinstance(data, str | os.PathLike):
        return _from_path(Path(data), limit, seed)
    if isinstance(data, Tensor | np.ndarray):
        return _drawn(data, None, limit, seed)
    if isinstance(data, tuple) and len(data) == 2:
        return _drawn(data[0], data[1], limit, seed)
    if isinstance(data, Mapping):
        x, *y = parts_of(data)
        return _drawn(x, y[0] if y else None, limit, seed)
    if isinstance(data, Dataset):
        chosen = _choice(len(cast(Any, data)), limit, seed) if can_be_drawn(data) else None
        found = _gathered(batches_of(data, chosen, BATCH), limit)
        return found if chosen is None else replace(found, total=len(cast(Any, data)))
    if isinstance(data, Iterable):
        return _gathered(data, limit)
    raise BadInput.of("data", type(data).__name__, PLACES, "Or pass nothing: the weights alone say something.")


def logits_of(output: Any, which: int | str | None = None) -> Tensor:
    """Return the tensor of a net's output: itself, its `logits`, or the first tensor in it; BadInput for none.

    `which` chooses one of several instead, by its place (from 0) or its name; BadInput where there is no such tensor.
    """
    if which is not None:
        return _chosen_of(output, which)
    if isinstance(output, Tensor):
        return output
    if isinstance(getattr(output, "logits", None), Tensor):
        return cast(Tensor, output.logits)
    parts = _parts(output)
    if "logits" in parts:
        return cast(Tensor, parts["logits"])
    found = next((part for part in parts.values() if isinstance(part, Tensor)), None)
    if found is None:
        remedy = "Wrap the net so that it returns one tensor."
        raise BadInput.of("output of the net", type(output).__name__, "a tensor, or several", remedy)
    return found


def _chosen_of(output: Any, which: int | str) -> Tensor:
    """Return the output at a place or of a name; names are keys, attributes, or fields of a named tuple."""
    parts = _parts(output)
    if isinstance(which, str):
        found = parts.get(which) if isinstance(output, Mapping | Tensor) else getattr(output, which, None)
    else:
        found = dict(enumerate(parts.values())).get(which)
    if isinstance(found, Tensor):
        return found
    tensors = [key for key, value in parts.items() if isinstance(value, Tensor)]
    names = ", ".join(map(repr, tensors)) if isinstance(output, Mapping) else ""
    there = f"one of {names}, or " if names else ""
    allowed = f"{there}a place from 0 to {len(parts) - 1}" if tensors else "None: the net has a single output"
    raise BadInput.of("output", which, allowed, "It names the tensor that is judged.")


def _parts(output: Any) -> dict[Any, Any]:
    """Return what a net gives by its names, or, of a tuple or list, by its places; nothing for a single thing."""
    if isinstance(output, Mapping):
        return dict(output)
    return dict(enumerate(output)) if isinstance(output, tuple | list) else {}


def which_output(output: Any, which: int | str | None = None) -> str:
    """Return in words which of a net's outputs its decisions are read from, "" where it has only one (`logits_of`)."""
    taken = logits_of(output, which)
    parts = _parts(output)
    if sum(isinstance(value, Tensor) for value in parts.values()) < 2:
        return ""
    named = parts if isinstance(output, Mapping) else {}
    key = next((repr(key) for key, value in named.items() if value is taken), "")
    place = "the first tensor" if which is None else f"that at place {which}"
    return f"{key or place} of {len(parts)} outputs, shape {tuple(taken.shape[1:])} for one example"


def what_decides(found: Subject, output: Any) -> str:
    """Return in words how decisions are read from outputs as a net gives them: what is judged may not be its use."""
    scores = found.scores(output)
    places = decisions(scores)[0].numel()
    where = f" at each of {places:,} places" if places > 1 else ""
    if _single(scores):
        return ("whether the one probability is over 1/2" if found.probable else "the sign of the one output") + where
    return f"the largest of {scores.shape[axis_of(scores)]:,} outputs{where}"


def axis_of(logits: Tensor) -> int:
    """Return the axis of the classes: 1 of [n, C] and of maps [n, C, H, W], 2 of sequences [n, T, C]; 0 for [n]."""
    return {1: 0, 3: 2}.get(logits.dim(), 1)


def decisions(logits: Tensor) -> Tensor:
    """Return what the net decides, int64 without the axis of the classes (`axis_of`): the largest output.

    Of a single output, its sign. -1, which is never right, where an output is NaN.
    """
    if _single(logits):
        found, unknown = (logits > 0).long(), logits.isnan()
        found, unknown = (one if logits.dim() == 1 else one.squeeze(axis_of(logits)) for one in (found, unknown))
    else:
        found, unknown = logits.argmax(axis_of(logits)), logits.isnan().any(axis_of(logits))
    return found.masked_fill(unknown, -1)


def _single(logits: Tensor) -> bool:
    return logits.dim() == 1 or logits.shape[axis_of(logits)] == 1


def check(found: Subject, given: Examples) -> Any:
    """Return the outputs for the first two examples, as the net gives them.

    BadInput where the net refuses these, has no weights yet, or says something else each time.
    """
    if lazy := [name for name, p in found.net.named_parameters() if isinstance(p, UninitializedParameter)]:
        remedy = "A lazy part draws its weights with its first batch: run one, and load or train them."
        raise BadInput.of("weights of the net", f"none yet for {some(lazy)}", "weights", remedy)
    x = next(given.batches(found.like, 2))
    try:
        with evaluation(found.net):
            output, again = (found.net(x) for _ in range(2))
            pair = found.read(output), found.read(again)
    except BadInput:
        raise
    except Exception as error:
        told = (str(error).strip().splitlines() or [repr(error)])[-1].rstrip(".")
        what = f"one batch {tuple(x.shape)} of {x.dtype}"
        raise BadInput.of("data", what, f"what {found.name} takes", f"It said: {told}.{_hint(x, told)}") from error
    _check_outputs(*pair, len(x))
    return output


def _hint(x: Tensor, told: str) -> str:
    """Return what most often is wrong with a batch that a net refused, "" where that is not known."""
    if "positional argument" in told:
        return f" {SEVERAL}"
    if not x.is_floating_point() and "type" in told:
        return " Whole numbers go in as they are, as tokens do: pass floats, or images as bytes [n, channels, h, w]."
    if x.dim() == 4 and x.shape[-1] in (1, 3, 4) and x.shape[1] not in (1, 3, 4):
        return " Are channels last? x.permute(0, 3, 1, 2) puts them first."
    if x.dim() == 3 and "channel" in told:
        return " Has each image its axis of channels? x[:, None] gives grey ones theirs."
    return ""


def check_labels(found: Subject, given: Examples, output: Any) -> None:
    """Raise BadInput where there are labels that fit no output; `output` is what `check` returned."""
    if given.y is not None:
        _check_labels(given.y, found.scores(output), given.classes)


def understood(found: Subject, given: Examples, by_filter: bool = False) -> Subject:
    """Return the subject with how its outputs are to be read, from those for the first two examples.

    Probabilities: of several classes they are not negative and sum to 1; of a single one a sigmoid made them. Outputs
    [n, A, B] are sequences [n, T, C], unless labels [n, B] say [n, C, T], or, without labels that tell, `by_filter`:
    that the last layer is a convolution.
    """
    x = next(given.batches(found.like, 2))
    with evaluation(found.net):
        output = found.net(x)
    logits = found.read(output).detach()
    first = by_filter
    if given.y is not None and given.y.dim() == 2 and logits.dim() == 3 and logits.shape[1] != logits.shape[2]:
        first = given.y.shape[1] == logits.shape[2]
    found = replace(found, first=first and logits.dim() == 3)
    logits = found.scores(output).detach()
    if _single(logits):
        return replace(found, probable=bool(((logits >= 0) & (logits <= 1)).all()) and _by_sigmoid(found, x))
    sums, near = logits.double().sum(axis_of(logits)), 1e-2 if logits.element_size() < 4 else 1e-4
    return replace(found, probable=bool((logits >= 0).all()) and bool(((sums - 1).abs() < near).all()))


def _by_sigmoid(found: Subject, x: Tensor) -> bool:
    """Return whether the last thing that a net computes is a sigmoid, as autograd saw it; views do not count."""
    try:
        with evaluation(found.net), moving(found.net), torch.enable_grad():
            node: Any = found.read(found.net(x)).grad_fn
    except RuntimeError:
        return False
    while node is not None and any(word in node.name() for word in PASSED_ON):
        node = next((one for one, _ in node.next_functions if one is not None), None)
    return node is not None and "Sigmoid" in node.name() and "LogSigmoid" not in node.name()


@contextlib.contextmanager
def moving(net: nn.Module) -> Iterator[None]:
    """Let all parameters of floating point require gradients, and give them back as they were."""
    before = [(p, p.requires_grad) for p in net.parameters() if p.is_floating_point()]
    try:
        for p, _ in before:
            p.requires_grad_(True)
        yield
    finally:
        for p, moved in before:
            p.requires_grad_(moved)


def _check_outputs(logits: Tensor, again: Tensor, count: int) -> None:
    if logits.dim() == 0 or len(logits) != count:
        allowed = f"{count} in the first axis, one for each example"
        raise BadInput.of(
            "outputs of the net", tuple(logits.shape), allowed, "Wrap the net so that batches come first."
        )
    if not logits.is_floating_point():
        remedy = "Wrap the net so that it returns its scores, before the largest is taken."
        raise BadInput.of("outputs of the net", logits.dtype, "floating-point numbers", remedy)
    if not bool(logits.isfinite().all()):
        raise BadInput.of("outputs of the net", "nan or inf", "finite numbers", "Are the inputs scaled as in training?")
    apart = float((logits.double() - again.double()).abs().max()) if again.shape == logits.shape else float("inf")
    if apart > SAME * float(logits.abs().max()):
        remedy = "Is a dropout on in evaluation, or does the net keep a state? Mend that, or pass no data."
        raise BadInput.of("outputs of the net", f"{apart:.2g} apart when run twice", "the same each time", remedy)


def _check_labels(y: Tensor, logits: Tensor, classes: tuple[str, ...]) -> None:
    outputs, shape = 2 if _single(logits) else logits.shape[axis_of(logits)], decisions(logits).shape
    if y.dim() == len(shape) + 1 and y.shape[1:] == logits.shape[1:] and outputs > 1:
        remedy = f"Of one-hot labels pass y.argmax({axis_of(logits)}); several right classes are not examined: pass x."
        raise BadInput.of("shape of labels", tuple(y.shape), "one number for each decision", remedy)
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= outputs:
        known = f" (classes {some(classes)})" if classes else ""
        remedy = f"Number the classes as the net's outputs are{known}, or pass no labels."
        remedy += " Places to be ignored are not known here." if y.dim() > 1 else ""
        raise BadInput.of("smallest and largest label", (low, high), f"0 ... {outputs - 1}, the net's outputs", remedy)
    if y.shape[1:] != shape[1:]:
        allowed = f"[n{''.join(f', {side}' for side in shape[1:])}], one for each decision"
        raise BadInput.of("shape of labels", tuple(y.shape), allowed, "Pass no labels to compare decisions alone.")


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device(torch.accelerator.current_accelerator() or "cpu")
    try:
        return torch.zeros((), device=name).device
    except (RuntimeError, AssertionError) as error:
        raise BadInput.of("device", name, "auto, cpu, cuda, ...", "Is there one? auto takes what there is.") from error


def _from_file(path: Path, model: str | Callable[[], nn.Module] | None, device: torch.device) -> Subject:
    if not path.is_file():
        raise BadInput.of("checkpoint", str(path), "a file", "Give the path of a checkpoint.")
    if path.suffix == ".safetensors":
        return _with_weights(path, _safetensors(path), model, device)
    names = zipfile.ZipFile(path).namelist() if zipfile.is_zipfile(path) else []
    inner = [name.partition("/")[2] for name in names]
    if "archive_format" in inner or "serialized_exported_program.json" in names:
        return _exported(path, names, device)
    if any(name.startswith("code/") for name in inner):
        net = torch.jit.load(str(path), map_location=device)
        return Subject(net, "torchscript", getattr(net, "original_name", path.stem))
    return _with_weights(path, _state_dict(path), model, device)


def _exported(path: Path, names: list[str], device: torch.device) -> Subject:
    """Return the program of torch.export, whose own loader would unpickle what an archive holds as pickles."""
    archive = zipfile.ZipFile(path)
    for name in names:
        if name.endswith("_config.json") and '"use_pickle": true' in json.dumps(json.loads(archive.read(name))):
            raise BadInput.of("checkpoint", path.name, "an archive without pickles", CONVERT)
        if name.endswith(".pt"):
            _without_pickles(path, archive.read(name))
    if not any(name.endswith("archive_format") for name in names):
        raise BadInput.of("checkpoint", path.name, "an archive of this year's torch.export", CONVERT)
    program = torch.export.load(str(path))
    return Subject(Program(program).to(device), "export", path.stem, program)


def _without_pickles(path: Path, content: bytes) -> Any:
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        allowed = "weights alone: a pickled module runs code of whoever wrote it, so it is never opened"
        raise BadInput.of("checkpoint", path.name, allowed, CONVERT) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        remedy = f"Is the file whole? torch said: {str(error).splitlines()[0] if str(error) else repr(error)}"
        raise BadInput.of("checkpoint", path.name, "a file that torch.load reads", remedy) from error


def _safetensors(path: Path) -> Mapping[str, Tensor]:
    try:
        return load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise BadInput.of("checkpoint", path.name, "a whole safetensors file", f"It said: {error}") from error


def _state_dict(path: Path) -> Mapping[str, Tensor]:
    """Return the weights in a file of torch.save, also where they lie in it under a usual name."""
    loaded = _without_pickles(path, path.read_bytes())
    for name in NESTED:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping):
            loaded = loaded[name]
    tensors = {k: v for k, v in loaded.items() if isinstance(v, Tensor)} if isinstance(loaded, Mapping) else {}
    if not tensors:
        allowed = f"a state_dict, or a dict with one as {', '.join(NESTED)}"
        raise BadInput.of("checkpoint", f"{path.name}: {type(loaded).__name__}", allowed, CONVERT)
    return tensors


def _with_weights(
    path: Path, weights: Mapping[str, Tensor], model: str | Callable[[], nn.Module] | None, device: torch.device
) -> Subject:
    if model is None:
        remedy = "Add --model package.module:factory, e.g. torchvision.models:resnet18; in Python model=."
        raise BadInput.of("model", None, f"what builds the net of {path.name}, which holds weights alone", remedy)
    net = unwrapped(factory(model))
    check_finite(net)
    try:
        net.load_state_dict(_renamed(weights, list(net.state_dict())))
    except RuntimeError as error:
        lines = [line.strip()[:200] for line in str(error).splitlines()[1:5]]
        raise BadInput.of("checkpoint", path.name, f"weights of {type(net).__name__}", " ".join(lines)) from error
    return Subject(net.to(device), "module", f"{type(net).__name__} of {path.name}")


def _renamed(weights: Mapping[str, Tensor], own: Sequence[str]) -> dict[str, Tensor]:
    """Return weights under the names that a net has, without what compiling, wrapping and trainers put before them."""
    found = dict(weights)
    for _ in WRAPPED:
        for prefix in WRAPPED:
            if all(name.startswith(prefix) for name in found) and not all(name.startswith(prefix) for name in own):
                found = {name.removeprefix(prefix): values for name, values in found.items()}
    if any("_orig_mod." in name for name in own):
        return found
    return {name.replace("_orig_mod.", ""): values for name, values in found.items()}


def _named(name: str) -> Callable[[], Any]:
    module, _, function = name.partition(":")
    if not module or not function:
        raise BadInput.of("model", name, "package.module:factory", "E.g. torchvision.models:resnet18.")
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        remedy = f"Run where it can be imported ({error})."
        raise BadInput.of("model", name, "a module that can be imported", remedy) from error
    if not callable(build := getattr(found, function, None)):
        public = [known for known in vars(found) if callable(getattr(found, known)) and known[:1] != "_"]
        raise BadInput.named("model", function, public, f"name a function of {module}.")
    return cast(Callable[[], Any], build)


def _from_path(path: Path, limit: int, seed: int) -> Examples:
    if path.suffix != ".npz" or not path.is_file():
        raise BadInput.of("data", str(path), "a folder of images or an .npz file", f"In Python data are {PLACES}.")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            held = {name: arrays[name] for name in arrays.files if name.lower() in (*XS, *YS)}
            known = arrays.files
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise BadInput.of("data", path.name, "an .npz of plain arrays", f"numpy said: {error}") from error
    x = first_named(held, XS)
    if x is None:
        raise BadInput.of("arrays in the .npz", known, f"inputs as one of {XS}, labels as one of {YS}", "Rename them.")
    return _drawn(x, first_named(held, YS), limit, seed)


def _from_folder(
    path: Path, limit: int, seed: int, size: int | None, channels: int, background: str | None
) -> Examples:
    """Return images drawn from a folder, of its test images where there are some; without subfolders no labels."""
    paths = _loose(path)
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    if not paths:
        listing = list_images(path)
        start = listing.n_train if listing.has_test else 0
        paths, classes = list(listing.paths[start:]), listing.classes
        labels = np.array(listing.labels[start:])
    chosen = _choice(len(paths), limit, seed)
    pictures = [read_picture(paths[i], "L" if channels == 1 else "RGB", size, background) for i in chosen]
    pixels = [picture.pixels for picture in pictures]
    if len(shapes := {one.shape for one in pixels}) > 1:
        raise BadInput.of("sizes of the images", sorted(shapes)[:5], "one size", "Pass size=224, or --size 224.")
    y = None if labels is None else torch.from_numpy(labels[chosen]).long()
    changes = Counter(change for picture in pictures for change in picture.changes)
    notes = ("read as grey, which the net takes",) * (channels == 1)
    notes += tuple(f"{count} of {len(pixels)} {change}" for change, count in sorted(changes.items()))
    return replace(_checked(torch.from_numpy(np.stack(pixels)), y, classes, len(paths)), notes=notes)


def _loose(path: Path) -> list[Path]:
    """Return the images that lie in a folder itself; BadInput where others lie in folders beside them."""
    inside = [one for one in sorted(path.iterdir()) if one.name[:1] != "." and one.name not in LEFT_BEHIND]
    loose = [one for one in inside if one.suffix.lower() in SUFFIXES and one.is_file()]
    deep = [one.name for one in inside if loose and one.is_dir() and _has_images(one)]
    if deep:
        given = f"{path}: {len(loose)} images ({loose[0].name}, ...) beside folders with images ({some(deep)})"
        raise BadInput.of("data", given, "either images or folders of them", "Move or remove the images beside them.")
    return loose


def _has_images(folder: Path) -> bool:
    return any(one.suffix.lower() in SUFFIXES and one.name[:1] != "." for one in folder.rglob("*"))


def _drawn(x: Any, y: Any, limit: int, seed: int) -> Examples:
    inputs, labels = tensor_of("x", x), None if y is None else tensor_of("y", y)
    if labels is not None and (labels.dim() < 1 or len(labels) != len(inputs)):
        given = f"{tuple(labels.shape)} for {len(inputs)} examples"
        raise BadInput.of("labels", given, "one for each example", "Pass the labels of these examples.")
    chosen = torch.from_numpy(_choice(len(inputs), limit, seed))
    return _checked(inputs[chosen], None if labels is None else labels[chosen], (), len(inputs))


def _choice(count: int, limit: int, seed: int) -> np.ndarray:
    return rng(seed, "eval", CHOICE).permutation(count)[:limit]


def _gathered(data: Iterable[Any], limit: int) -> Examples:
    """Return the first `limit` examples of batches x, (x,), (x, y), or dicts (`batches.parts_of`)."""
    xs: list[Tensor] = []
    ys: list[Tensor] = []
    for batch in data:
        parts = parts_of(batch)
        xs.append(torch.atleast_1d(tensor_of("x of a batch", parts[0])))
        ys += [torch.atleast_1d(tensor_of("y of a batch", parts[1]))] if len(parts) == 2 else []
        if sum(map(len, xs)) >= limit:
            break
    if not xs:
        raise BadInput.of("number of batches", 0, "at least 1", "Pass an iterable that has not been used up.")
    if ys and list(map(len, xs)) != list(map(len, ys)):
        given = f"{list(map(len, ys))[:5]} of batches of {list(map(len, xs))[:5]} examples"
        raise BadInput.of("numbers of labels", given, "one for each example", "Batches come first, in y as in x.")
    try:
        x, y = torch.cat(xs), torch.cat(ys) if ys else None
    except (RuntimeError, TypeError) as error:
        shapes = sorted({tuple(x.shape[1:]) for x in xs})[:5]
        remedy = "Pad or crop the examples. One pair is a tuple (x, y), no list."
        raise BadInput.of("shapes of the batches", shapes, "one shape", remedy) from error
    return _checked(x[:limit], None if y is None else y[:limit], (), len(x))


def _checked(x: Tensor, y: Tensor | None, classes: tuple[str, ...], total: int) -> Examples:
    if x.dim() < 2 or 0 in x.shape or len(x) < 2:
        remedy = "Batches come first: torch.stack makes one of single examples."
        raise BadInput.of("shape of the examples", tuple(x.shape), "[n, ...] with n >= 2", remedy)
    if x.is_floating_point() and not bool(x.isfinite().all()):
        raise BadInput.of("examples", "nan or inf", "finite numbers", "Drop or fill these examples.")
    if y is None:
        return Examples(x, None, classes, total)
    if y.dim() == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.is_floating_point() and bool((odd := y != y.round()).any()):
        remedy = "Without labels pass x. Targets of a regression, or second inputs of a net, are not examined."
        given = f"{y.dtype}, e.g. {float(y[odd][0]):g}"
        raise BadInput.of("labels", given, "whole numbers, the number of the right output", remedy)
    return Examples(x, y.long(), classes, total)
