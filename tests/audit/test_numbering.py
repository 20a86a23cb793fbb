"""Labels in another order than the outputs are found, told by name, and not suspected without cause."""

import pytest
import torch
from audit_reports import CURVE, made

from redlib.audit import advice, numbering, page
from redlib.data.streams import torch_rng

Y = torch.arange(300) % 10


def noise(*shape, most=10):
    return torch.randint(most, shape, generator=torch_rng(1000, "noise", 0))


def test_labels_as_outputs_are_suspected_of_nothing():
    decided = torch.where(noise(300, most=4) > 0, Y, noise(300))
    found = numbering.right_of(decided, Y)
    assert found == {"accuracy": int((decided == Y).sum()) / 300, "classes": 10} and found["accuracy"] > 0.7


@pytest.mark.parametrize("decided", [noise(300), torch.full((300,), 3), Y * 0 - 1], ids=["noise", "constant", "nan"])
def test_a_net_that_has_learned_nothing_is_suspected_of_nothing(decided):
    assert "renumbered" not in numbering.right_of(decided, Y)


def test_another_order_is_found_and_named():
    classes = tuple("abcdefghij")
    found = numbering.right_of((Y + 1) % 10, Y, classes)
    assert found["accuracy"] == 0 and found["classes"] == 10
    assert "as they are 0%" in found["renumbered"] and "another order of the classes 100%" in found["renumbered"]
    assert "(a as output 1, b as output 2, c as output 3, and 7 more)" in found["renumbered"]
    swapped = torch.where(Y == 4, 7, torch.where(Y == 7, 4, Y))
    assert "80%" in (says := numbering.right_of(swapped, Y)["renumbered"])
    assert "100% (label 4 as output 7, label 7 as output 4)" in says


def test_some_of_the_outputs_of_a_large_net_are_found():
    outputs = torch.tensor([207, 281, 954])
    y = noise(90, most=3)
    assert numbering.best_numbering(outputs[y], y) == ({0: 207, 1: 281, 2: 954}, 90)
    maps = y.view(10, 3, 3)
    assert numbering.best_numbering(outputs[maps], maps)[1] == 90
    many = torch.arange(2 * numbering.MOST)
    assert numbering.best_numbering(many, many) == ({}, 0)


def test_the_order_comes_before_any_cut_and_on_the_page():
    for labelled in (True, False):
        report = made(whole={"weights": CURVE.__class__(**{**vars(CURVE), "labelled": labelled})})
        report.settings |= numbering.right_of((Y + 1) % 10, Y)
        told = advice.next_step(report)
        assert told.startswith("Do not cut yet. Labels seem to be numbered otherwise") and "Number them alike" in told
        assert report.settings["renumbered"] in page.notes(report) and "seem to be numbered" in report.html()
