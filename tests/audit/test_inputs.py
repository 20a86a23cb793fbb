"""What is examined, and on what: every form is read, nothing is unpickled, and what cannot be used is refused."""

import zipfile

import audit_nets as toys
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from redlib.audit import inputs
from redlib.errors import BadInput


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


def test_all_forms_of_examples(tmp_path):
    x, y = toys.drawn(30, 6), torch.arange(30) % 3
    np.savez(tmp_path / "d.npz", x=x.numpy(), y=y.numpy())
    batches = [(x[i : i + 10], y[i : i + 10]) for i in range(0, 30, 10)]
    for data in ((x, y), (x.numpy(), y.numpy()), tmp_path / "d.npz", batches, iter(batches)):
        found = inputs.examples(data, limit=30)
        order = found.x[:, 0].argsort()
        assert torch.equal(found.x[order], x[x[:, 0].argsort()])
        assert torch.equal(found.y[order], y[x[:, 0].argsort()])
    for data in (x, (x, None), [x[:10], x[10:]], [(x,)]):
        assert inputs.examples(data).y is None
    assert inputs.examples(None) is None
    assert len(inputs.examples(x, limit=7)) == 7 and inputs.examples(x, limit=7).total == 30


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
    ],
)
def test_data_that_do_not_fit_the_net_are_refused(net, x, y, says):
    with pytest.raises(BadInput, match=says):
        inputs.check(inputs.subject(net), inputs.examples((x, y)))


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
