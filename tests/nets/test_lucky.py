"""Matches of students' units with teachers': by hand, with ties, and never for units without a direction."""

import math

import pytest
import torch

from redlib.errors import BadInput
from redlib.nets.lucky import matches, outgoing_share

TEACHER = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])


def test_matched_teachers_and_lucky_students_are_those_seen_by_hand():
    student = torch.tensor([[5.0, 0.5, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.1, 0.9, 0.9]])
    found = matches(student, TEACHER)
    half = math.sqrt(0.5)
    assert found.cosine[0, 1].tolist() == pytest.approx([half, half]) and found.cosine.shape == (1, 4, 2)
    assert float(found.cosine[0, 0, 0]) == pytest.approx(5 / math.sqrt(25.25))
    assert found.matched.tolist() == [[True, False]] and not found.complete
    assert found.unmatched.tolist() == [[False, True, True, True]]
    # To the second teacher the nearest is (1, 1, 0), .7071, before (.1, .9, .9), .7049.
    assert found.lucky.tolist() == [[True, True, False, False]]
    loose = matches(student, TEACHER, 0.7)
    assert loose.matched.all() and loose.complete and loose.unmatched.tolist() == [[False, False, True, False]]


def test_lengths_do_not_matter_and_signs_do_unless_units_are_odd():
    student = torch.tensor([[1e-9, 0.0, 0.0], [0.0, -3.0, 0.0]], dtype=torch.float64)
    assert matches(student, TEACHER).matched.tolist() == [[True, False]]
    odd = matches(student, TEACHER, odd=True)
    assert odd.complete and odd.lucky.all() and float(odd.cosine[0, 1, 1]) == -1


def test_of_equal_students_the_first_is_lucky_and_none_is_unmatched():
    student = torch.tensor([[0.0, 0.0, 1.0], [2.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    found = matches(student, TEACHER)
    assert found.lucky.tolist() == [[False, True, False, True]]
    assert found.unmatched.tolist() == [[True, False, False, False]]


def test_one_student_may_be_the_nearest_to_two_teachers():
    found = matches(torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), TEACHER)
    assert found.lucky.tolist() == [[True, False]] and not found.matched.any()


def test_a_cosine_at_the_least_is_no_match():
    student = torch.tensor([[3.0, 4.0, 0.0]], dtype=torch.float64)
    assert matches(student, TEACHER, 0.6).matched.tolist() == [[False, True]]
    assert matches(student, TEACHER, 0.59).matched.all()


def test_replicates_have_their_own_teachers():
    teacher = torch.stack([TEACHER, TEACHER.flip(1)])
    student = TEACHER.expand(2, 2, 3)
    found = matches(student, teacher)
    assert found.matched.tolist() == [[True, True], [False, True]] and found.complete.tolist() == [True, False]


def test_outgoing_norms_are_shares_of_the_largest_or_of_the_teachers():
    assert outgoing_share(torch.tensor([[1.0, -4.0, 0.0]])).tolist() == [[0.25, 1.0, 0.0]]
    shares = outgoing_share(torch.tensor([[[3.0, 4.0], [0.0, 1.0]]]), torch.tensor([[[0.0, 10.0], [1.0, 0.0]]]))
    assert shares.tolist() == [[0.5, 0.1]]


@pytest.mark.parametrize(("bad", "named"), [
    (lambda: matches(torch.zeros(2, 3), TEACHER), "norms of the student's units"),
    (lambda: matches(TEACHER, torch.tensor([[1.0, 0, 0], [0, 0, 0]])), "norms of the teacher's units"),
    (lambda: matches(torch.full((1, 3), math.nan), TEACHER), "norms of the student's units"),
    (lambda: matches(torch.ones(2, 4), TEACHER), "shape of teacher"),
    (lambda: matches(torch.ones(2, 2, 3), TEACHER), "shape of teacher"),
    (lambda: matches(torch.ones(3), TEACHER), "student"), (lambda: matches(TEACHER.long(), TEACHER), "student"),
    (lambda: matches(TEACHER, TEACHER, 1.0), "least = 1.0"), (lambda: matches(TEACHER, TEACHER, -0.1), "least = -0.1"),
    (lambda: outgoing_share(torch.zeros(1, 3)), "largest outgoing norm"),
    (lambda: outgoing_share(torch.ones(3)), "shape of outgoing"),
    (lambda: outgoing_share(torch.ones(2, 3), torch.ones(1, 3)), "replicates of the teacher"),
    (lambda: outgoing_share(torch.tensor([[math.inf, 1.0]])), "outgoing = 'nan or inf'"),
])  # fmt: skip
def test_what_has_no_direction_or_share_is_refused(bad, named):
    with pytest.raises(BadInput, match=named):
        bad()
