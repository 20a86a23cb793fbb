"""What is examined, and on what: every form is read, nothing is unpickled, and what cannot be used is refused."""

import zipfile
from typing import NamedTuple

import audit_nets as toys
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from redlib.audit import audit, inputs
from redlib.errors import BadInput


class Both(NamedTuple):
    """Two outputs with names."""

    boxes: torch.Tensor
    scores: torch.Tensor


class TwoHeads(nn.Module):
    """A net of two outputs."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(20, 4), nn.Linear(20, 2)

    def forward(self, x):
        return self.one(x), self.two(x)


@pytest.fixture
def net():
    return toys.seeded(toys.mlp)


def test_a_module_is_examined_as_it_is(net):
    found = inputs.subject(net)
    assert found.net is net and found.form == "module" and found.name == "Sequential"


def test_a_state_dict_needs_its_factory(net, tmp_path):
    torch.save(net.state_dict(), path := tmp_path / "weights.pt")
    found = inputs.subject(path, "audit_nets:build", "cpu")
    assert toys.unchanged(found.net, net.state_dict()) and found.form == "module"
    with pytest.raises(BadInput, match="--model package.module:factory"):
        inputs.subject(path)


def test_weights_are_found_in_usual_places(net, tmp_path):
    state = {f"module.{name}": values for name, values in net.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, path := tmp_path / "weights.pt")
    assert toys.unchanged(inputs.subject(str(path), toys.build, "cpu").net, net.state_dict())


def test_what_compiling_wrapping_and_trainers_put_before_names_is_left_out(net, tmp_path):
    state = net.state_dict()
    twice = {f"module._orig_mod.{name}": values for name, values in state.items()}
    inner = {name.replace(".", "._orig_mod."): values for name, values in state.items()}
    for at in (twice, {"epoch": 1, "ema": twice, "model": {f"model.{k}": v for k, v in state.items()}}, {"ema": inner}):
        torch.save(at, path := tmp_path / "weights.pt")
        assert toys.unchanged(inputs.subject(path, toys.build, "cpu").net, state)
    torch.save({"model": state, "ema": {k: v + 1 for k, v in state.items()}}, path)
    assert toys.unchanged(inputs.subject(path, toys.build, "cpu").net, state)  # the net, and not its average
    own = nn.ModuleDict({"model": net}).state_dict()  # whose names begin so themselves
    torch.save(own, path)
    assert toys.unchanged(inputs.subject(path, lambda: nn.ModuleDict({"model": toys.build()}), "cpu").net, own)


def test_wrappers_around_a_module_are_left_out(net):
    for wrapped in (nn.DataParallel(net), torch.compile(net, backend="eager"), torch.compile(nn.DataParallel(net))):
        assert inputs.subject(wrapped).net is net


def test_weights_without_values_are_refused(net, tmp_path):
    torch.save(net.state_dict(), path := tmp_path / "weights.pt")
    for given in ((net.to("meta"), None), (path, lambda: toys.build().to("meta"))):
        with pytest.raises(BadInput, match=r"weights of 0\.weight = 'on the device meta"):
            inputs.subject(*given, "cpu")


def test_archives_need_no_factory(net, tmp_path):
    x = toys.drawn(3, 20)
    torch.jit.save(torch.jit.script(net), scripted := tmp_path / "net.pt")
    torch.export.save(torch.export.export(net.eval(), (x,)), exported := tmp_path / "net.pt2")
    for path, form in ((scripted, "torchscript"), (exported, "export")):
        found = inputs.subject(path, device="cpu")
        assert found.form == form and torch.allclose(found.net(x), net(x), atol=1e-6)


def test_a_pickled_module_is_never_opened(tmp_path):
    for what in (toys.mlp(), {"w": torch.zeros(2), "b": Image.new("L", (1, 1))}):
        torch.save(what, path := tmp_path / "whole.pt")
        with pytest.raises(BadInput, match="never opened.*torch.save\\(net.state_dict"):
            inputs.subject(path, "audit_nets:build")


def test_an_archive_with_a_pickle_in_it_is_never_opened(net, tmp_path):
    torch.export.save(torch.export.export(net.eval(), (toys.drawn(3, 20),)), whole := tmp_path / "net.pt2")
    torch.save(net, evil := tmp_path / "evil")
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(tmp_path / "bad.pt2", "w") as target:
        for name in source.namelist():
            content = evil.read_bytes() if name.endswith("model.pt") else source.read(name)
            target.writestr(name, content)
    with pytest.raises(BadInput, match="never opened"):
        inputs.subject(tmp_path / "bad.pt2")


def test_weights_of_another_architecture_are_named(net, tmp_path):
    torch.save(toys.mlp((20, 8, 5)).state_dict(), path := tmp_path / "weights.pt")
    with pytest.raises(BadInput, match="weights of Sequential.*size mismatch|Missing key"):
        inputs.subject(path, "audit_nets:build")


def test_safetensors_are_read(net, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(net.state_dict(), path)
    assert toys.unchanged(inputs.subject(path, "audit_nets:build", "cpu").net, net.state_dict())


def test_a_safetensors_file_that_is_cut_off_is_refused(net, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(net.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BadInput, match="whole safetensors file"):
        inputs.subject(path, "audit_nets:build")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (3, "nn.Module or the path"),
        ("nowhere.pt", "Give the path"),
        (__file__, "torch.load reads|never opened"),
    ],
)
def test_what_is_no_net_is_refused(given, says):
    with pytest.raises(BadInput, match=says):
        inputs.subject(given, "audit_nets:build")


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("audit_nets", "package.module:factory"),
        ("no_such_module_here:net", "can be imported"),
        ("audit_nets:buidl", "Did you mean build"),
        ("audit_nets:broken", "no net today"),
        (dict, "returns an nn.Module"),
    ],
)
def test_what_is_no_factory_is_refused(model, says):
    with pytest.raises(BadInput, match=says):
        inputs.factory(model)


def test_weights_that_are_not_finite_name_their_layer(net):
    with torch.no_grad():
        net[2].weight[3, 4] = torch.nan
    with pytest.raises(BadInput, match=r"weights of 2\.weight = '1 of 3200 values"):
        inputs.subject(net)


def test_evaluation_gives_every_mode_back(net):
    net.train()
    net[1].eval()
    with pytest.raises(ZeroDivisionError), inputs.evaluation(net):
        assert not net.training and not torch.is_grad_enabled()
        raise ZeroDivisionError
    assert net.training and not net[1].training and net[0].training and torch.is_grad_enabled()


class Pictures(Dataset):
    """Images without a transform."""

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return Image.new("RGB", (4, 4)), i


def test_all_forms_of_examples(tmp_path):
    x, y = toys.drawn(30, 6), torch.arange(30) % 3
    np.savez(tmp_path / "d.npz", x=x.numpy(), y=y.numpy())
    batches = [(x[i : i + 10], y[i : i + 10]) for i in range(0, 30, 10)]
    named = [{"Image": a, "label": b, "idx": torch.arange(10), "path": ["a"] * 10} for a, b in batches]
    np.savez(tmp_path / "e.npz", X_test=x.numpy(), Label=y.numpy())
    pairs = ((x, y), (x.numpy(), y.numpy()), {"x": x, "labels": y}, TensorDataset(x, y), Endless(x, y))
    for data in (*pairs, tmp_path / "d.npz", tmp_path / "e.npz", batches, iter(batches), named):
        found = inputs.examples(data, limit=30)
        order = found.x[:, 0].argsort()
        assert torch.equal(found.x[order], x[x[:, 0].argsort()])
        assert torch.equal(found.y[order], y[x[:, 0].argsort()])
    for data in (x, (x, None), [x[:10], x[10:]], [(x,)]):
        assert inputs.examples(data).y is None
    assert inputs.examples(None) is None
    for data in (x, TensorDataset(x)):
        some = inputs.examples(data, limit=7, seed=3)
        assert len(some) == 7 and some.total == 30 and torch.equal(some.x, inputs.examples(x, limit=7, seed=3).x)


class Endless(IterableDataset):
    """A data set that does not tell its size, of examples with plain numbers as labels."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __iter__(self):
        return zip(self.x, self.y.tolist(), strict=True)


def test_a_data_set_leaves_the_stream_of_torch_as_it_was():
    before = torch.random.get_rng_state()
    inputs.examples(TensorDataset(toys.drawn(30, 6)))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_of_a_batch_for_a_transformer_nothing_that_counts_is_left_out():
    tokens, ones = torch.arange(12).view(3, 4), torch.ones(3, 4)
    usual = {"input_ids": tokens, "attention_mask": ones, "token_type_ids": 0 * ones}
    assert torch.equal(inputs.examples([usual]).x, tokens)
    for name in ("attention_mask", "token_type_ids"):
        odd = usual | {name: usual[name].clone()}
        odd[name][1, 2] = 1 - odd[name][1, 2]
        with pytest.raises(BadInput, match=f"several inputs.*left out, or not known: {name}"):
            inputs.examples([odd])


def image(path, grey=10, mode="RGB", size=(9, 8)):
    path.parent.mkdir(exist_ok=True)
    Image.new(mode, size, grey).save(path)


def test_images_beside_folders_of_images_are_refused_and_hidden_files_passed_over(tmp_path):
    for name in ("cat", "dog"):
        for i in range(3):
            image(tmp_path / name / f"{i}.png")
    for name in (".thumb.png", "._0.png"):
        image(tmp_path / name)
    image(tmp_path / ".old" / "0.png")
    assert inputs.examples(tmp_path).classes == ("cat", "dog")
    image(tmp_path / "logo.png")
    with pytest.raises(BadInput, match=r"1 images \(logo.png, ...\) beside folders with images \(cat, dog\)"):
        inputs.examples(tmp_path)
    (tmp_path / "cat" / "notes").mkdir()
    (tmp_path / "cat" / ".ipynb_checkpoints").mkdir()
    assert len(inputs.examples(tmp_path / "cat")) == 3


def test_what_reading_changed_is_told(tmp_path):
    for i in range(3):
        image(tmp_path / f"{i}.png")
    image(tmp_path / "clear.png", (0, 0, 0, 0), "RGBA")
    with pytest.raises(BadInput, match="background='white'"):
        inputs.examples(tmp_path)
    found = inputs.examples(tmp_path, background="white")
    assert found.notes == ("1 of 4 laid over white",) and sorted(found.x[:, 0, 0, 0].tolist()) == [10, 10, 10, 255]
    assert inputs.examples(tmp_path, channels=1, background="white").notes[0] == "read as grey, which the net takes"


@pytest.mark.parametrize("options", [{"size": 0}, {"size": 2.5}, {"size": "8"}, {"background": "no such colour"}])
def test_what_is_no_size_and_no_colour_is_refused(options, tmp_path):
    image(tmp_path / "0.png")
    with pytest.raises(BadInput, match=next(iter(options))):
        inputs.examples(tmp_path, **options)


def test_options_of_folders_are_not_passed_over_for_other_data():
    for options in ({"size": 8}, {"background": "white"}):
        with pytest.raises(BadInput, match="but for a folder of images"):
            inputs.examples(torch.zeros(4, 3, 9, 9), **options)


def test_a_folder_of_images_has_its_classes(tmp_path):
    for name, grey in (("cat", 10), ("dog", 200)):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("RGB", (9, 8), (grey, grey, i)).save(tmp_path / name / f"{i}.png")
    found = inputs.examples(tmp_path)
    assert found.x.shape == (6, 3, 8, 9) and found.classes == ("cat", "dog")
    assert torch.equal(found.y, (found.x[:, 0, 0, 0] == 200).long())
    x = next(found.batches(torch.zeros(())))
    assert x.dtype == torch.float32 and float(x.max()) == pytest.approx(200 / 255)
    assert inputs.examples(tmp_path, size=4, channels=1).x.shape == (6, 1, 4, 4)
    x = next(found.standardised((0.5, 0.5, 0), (0.1,)).first(4).batches(torch.zeros(())))
    for channel, mean in enumerate((0.5, 0.5, 0)):
        assert torch.allclose(x[:, channel], (found.x[:4, channel] / 255 - mean) / 0.1)
    with pytest.raises(BadInput, match="one a channel"):
        found.standardised((0.5, 0.5), (1.0,))
    flat = inputs.examples(tmp_path / "cat")
    assert flat.y is None and len(flat) == 3


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (7, "a folder of images, an .npz"),
        ("nowhere", "a folder of images or an .npz"),
        ([], "used up"),
        (torch.full((4, 3), torch.inf), "finite"),
        (torch.zeros(4), "Batches come first"),
        ((torch.zeros(4, 3), torch.zeros(3)), "one for each example"),
        ((torch.zeros(4, 3), torch.full((4,), 0.5)), "whole numbers"),
        ([torch.zeros(4, 3), torch.zeros(4, 2)], "one shape"),
        ([(1, 2, 3)], "x, or"),
        (np.array(["a", "b"]), "real numbers"),
        (np.ma.masked_array(np.ones((4, 3)), np.eye(4, 3)), "3 masked entries"),
        (torch.zeros(4, 3, device="meta"), "meta torch.float32"),
        (torch.zeros(4, 3).to_sparse(), "sparse"),
        ((torch.zeros(4, 3), torch.tensor([0, 1, torch.nan, 2])), "e.g. nan.*regression"),
        (((torch.zeros(4, 3), torch.zeros(4, 3)), torch.zeros(4)), "several inputs"),
        ([((torch.zeros(4, 3), torch.zeros(4, 3)), torch.zeros(4))], "tuple of 2.*several inputs"),
        ([{"input_ids": torch.zeros(4, 3), "pixel_values": torch.zeros(4, 3)}], "several inputs"),
        ([{"foo": torch.zeros(4, 3)}], "one input.*not known: foo"),
        ([torch.zeros(4, 3), torch.zeros(4)], "a tuple"),
        (list(torch.zeros(4, 3)), "torch.stack"),
        ([(torch.zeros(3), torch.tensor(1)), (torch.zeros(3), torch.tensor(0))], "one for each example"),
        ([torch.tensor(1.0)], "Batches come first"),
        (Pictures(), "transform to tensors.*PIL"),
    ],
)
def test_what_is_no_data_is_refused(data, says):
    with pytest.raises(BadInput, match=says):
        inputs.examples(data)


def test_an_npz_with_objects_or_other_names_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{}, {}], dtype=object))
    np.savez(tmp_path / "b.npz", foo=np.zeros(3))
    for name, says in (("a.npz", "plain arrays"), ("b.npz", "foo.*Rename")):
        with pytest.raises(BadInput, match=says):
            inputs.examples(tmp_path / name)


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (toys.drawn(4, 21), None, "Sequential takes.*mat1 and mat2"),
        (toys.drawn(4, 20), torch.tensor([0, 1, 5, 2]), r"\(0, 5\).*0 \.\.\. 4"),
        (toys.drawn(4, 20), torch.tensor([0, 1, -1, 2]), "the net's outputs"),
        (toys.drawn(4, 20), torch.zeros(4, 2), "shape of labels"),
        (torch.arange(80).view(4, 20), None, "pass floats, or images as bytes"),
    ],
)
def test_data_that_do_not_fit_the_net_are_refused(net, x, y, says):
    with pytest.raises(BadInput, match=says):
        audit(net, (x, y))


@pytest.mark.parametrize(
    ("net", "x", "says"),
    [
        (nn.Conv2d(3, 4, 3), torch.zeros(5, 8, 8, 3), "Are channels last"),
        (nn.Conv2d(1, 4, 3), torch.zeros(5, 8, 8), "its axis of channels"),
        (nn.Bilinear(3, 3, 2), torch.zeros(5, 3), "several inputs"),
    ],
)
def test_what_most_often_is_wrong_is_guessed(net, x, says):
    with pytest.raises(BadInput, match=says):
        inputs.check(inputs.subject(net), inputs.examples(x))


def test_what_decides_is_said():
    def words(z, **read):
        return inputs.what_decides(inputs.Subject(nn.Identity(), "module", "", **read), z)

    assert words(torch.zeros(2, 5)) == "the largest of 5 outputs"
    assert words(torch.zeros(2, 5, 7, 8)) == "the largest of 5 outputs at each of 56 places"
    assert words(torch.zeros(2, 7, 5)) == "the largest of 5 outputs at each of 7 places"
    assert words(torch.zeros(2, 5, 7), first=True) == "the largest of 5 outputs at each of 7 places"
    assert words(torch.zeros(2, 1)) == "the sign of the one output"
    assert words(torch.ones(2), probable=True) == "whether the one probability is over 1/2"


def test_decisions_of_all_kinds_of_outputs():
    assert inputs.decisions(torch.tensor([[1.0, 3.0], [2.0, 0.0]])).tolist() == [1, 0]
    assert inputs.decisions(torch.tensor([[1.0], [-2.0]])).tolist() == [1, 0]
    assert inputs.decisions(toys.drawn(2, 5, 7)).shape == (2, 5)
    assert inputs.decisions(toys.drawn(2, 5, 7, 8)).shape == (2, 7, 8)
    x = torch.ones(2)
    assert inputs.logits_of({"aux": None, "logits": x}) is x and inputs.logits_of((x, 3)) is x
    with pytest.raises(BadInput, match="returns one tensor"):
        inputs.logits_of("text")


def test_which_of_several_outputs_is_judged_is_said():
    boxes, scores = torch.zeros(2, 4), torch.zeros(2, 3)
    assert inputs.which_output((boxes, scores)) == "the first tensor of 2 outputs, shape (4,) for one example"
    assert inputs.which_output({"boxes": boxes, "logits": scores}).startswith("'logits' of 2 outputs, shape (3,)")
    assert inputs.which_output(scores) == inputs.which_output((scores,)) == inputs.which_output({"a": scores}) == ""
    assert inputs.which_output((boxes, scores), 1) == "that at place 1 of 2 outputs, shape (3,) for one example"


def test_one_of_several_outputs_is_chosen_by_its_place_or_name():
    boxes, scores = torch.zeros(2, 4), torch.zeros(2, 3)
    assert inputs.logits_of((boxes, scores), 1) is inputs.logits_of({"a": boxes, "b": scores}, "b") is scores
    assert inputs.logits_of(Both(boxes, scores), "scores") is scores
    assert inputs.logits_of({"logits": boxes, "b": scores}, 1) is scores


@pytest.mark.parametrize(
    ("output", "which", "words"),
    [
        ((torch.ones(2), torch.ones(2)), 2, "output = 2 .*a place from 0 to 1"),
        ((torch.ones(2), 3), -1, "a place from 0 to 1"),
        ((torch.ones(2), 3), 1, "output = 1 "),
        ({"a": torch.ones(2), "b": None}, "b", "one of 'a', or a place"),
        (torch.ones(2), 0, "a single output"),
        (torch.ones(2), "T", "a single output"),
    ],
)
def test_an_output_that_is_not_there_is_refused(output, which, words):
    with pytest.raises(BadInput, match=words):
        inputs.logits_of(output, which)


def test_an_archive_for_batches_of_three_gives_all_its_outputs_for_seven(tmp_path):
    net = toys.seeded(TwoHeads)
    torch.export.save(torch.export.export(net.eval(), (toys.drawn(3, 20),)), path := tmp_path / "net.pt2")
    first, second = inputs.subject(path).net(x := toys.drawn(7, 20))
    torch.testing.assert_close((first, second), net(x))
