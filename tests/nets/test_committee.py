"""Committee machines: the exact error against known cases and measurement, online descent against autograd."""

import math

import pytest
import torch

from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.nets.committee import (
    ACTIVATIONS,
    Committee,
    error_of_overlaps,
    generalisation_error,
    learn,
    measured_error,
    overlaps,
    students,
    teachers,
    together,
)

SEEDS = [1000, 1001, 1002]


def axes(*rows, v=None, activation="erf"):
    """Return one net [1, K, N] with these weights, of units of length 1 in the scale of overlaps."""
    w = torch.tensor([rows], dtype=torch.float64)
    return Committee(w, torch.ones(w.shape[:2], dtype=torch.float64) if v is None else v, activation)


@pytest.mark.parametrize(("activation", "expected"), [("erf", 1 / 3), ("relu", 0.5 - 0.5 / math.pi)])
def test_one_orthogonal_unit_has_the_known_error(activation, expected):
    student, teacher = (
        axes([math.sqrt(2), 0.0], activation=activation),
        axes([0.0, math.sqrt(2)], activation=activation),
    )
    q, r, t = overlaps(student, teacher)
    assert q == t == pytest.approx(1) and r == 0
    assert float(generalisation_error(student, teacher)) == pytest.approx(expected, rel=1e-14)


def test_an_opposite_unit_has_the_error_of_twice_the_teacher_for_erf():
    # f = -f*, so ε = ½·4·E f² = 2·(2/π)·asin(½) = 2/3.
    unit = axes([1.0, 1.0])
    assert float(generalisation_error(Committee(-unit.w, unit.v), unit)) == pytest.approx(2 / 3, rel=1e-14)
    # relu(a) - relu(-a) = a, so ε = ½.
    unit = axes([1.0, 1.0], activation="relu")
    assert float(generalisation_error(Committee(-unit.w, unit.v, "relu"), unit)) == pytest.approx(1 / 2, rel=1e-14)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_student_that_is_the_teacher_in_another_order_has_no_error(activation):
    teacher = teachers(SEEDS, 5, 60, activation, outer="normal")
    order = torch.tensor([3, 0, 4, 1, 2])
    student = Committee(teacher.w[:, order].clone(), teacher.v[:, order].clone(), activation)
    assert generalisation_error(student, teacher).abs().max() < 1e-12
    # The same function in more units: one split in two, and one that says nothing.
    w = torch.cat([student.w, student.w[:, :1], torch.ones_like(student.w[:, :1])], 1)
    v = torch.cat([student.v, 0.3 * student.v[:, :1], torch.zeros(3, 1)], 1)
    v[:, 0] *= 0.7
    assert generalisation_error(Committee(w, v, activation), teacher).abs().max() < 1e-12
    assert generalisation_error(Committee(student.w, teacher.v, activation), teacher).min() > 0.01


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("scale", [0.2, 1.0, 3.0])
def test_the_exact_error_is_the_measured_one(activation, scale):
    teacher = teachers(SEEDS, 2, 12, activation, outer="normal")
    student = students(SEEDS, 4, 12, activation, scale=scale)
    exact = generalisation_error(student, teacher)
    measured, spread = measured_error(student, teacher, SEEDS, 40000)
    assert ((measured - exact).abs() < 4 * spread).all() and (spread < 0.03 * exact).all()


def test_outputs_are_written_out():
    net = axes([1.0, 2.0, 0.0], [0.0, -1.0, 1.0], v=torch.tensor([[2.0, -1.0]]).double(), activation="relu")
    x = torch.tensor([[1.0, 1.0, 3.0], [-1.0, 0.0, 0.0]], dtype=torch.float64)
    assert net(x)[0].tolist() == pytest.approx([(2 * 3 - 2) / math.sqrt(3), 0.0])
    erf = axes([3.0], v=torch.tensor([[0.5]]).double())
    assert float(erf(torch.tensor([[1.0]]).double())) == pytest.approx(0.5 * math.erf(3 / math.sqrt(2)))


def slow(student, teacher, seed, steps, rate, outer_rate, noise):
    """Return the weights of one replicate after online descent by autograd on half the squared error."""
    inputs, noises = rng(seed, "order", 61), rng(seed, "noise", 61)
    w, v, n = student.w[0].clone(), student.v[0].clone(), student.inputs
    for _ in range(steps):
        x = torch.from_numpy(inputs.standard_normal(n))
        y = float(teacher(x[None])[0, 0]) + noise * noises.standard_normal()
        w, v = w.requires_grad_(), v.requires_grad_()
        loss = 0.5 * (Committee(w[None], v[None], student.activation)(x[None])[0, 0] - y) ** 2
        by_w, by_v = torch.autograd.grad(loss, (w, v))
        # The slope by w has one 1/√N of the field already.
        w, v = (w - rate * by_w).detach(), (v - outer_rate / n * by_v).detach()
    return w, v


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("outer_rate", [0.0, 0.7])
def test_online_descent_is_that_of_autograd(activation, outer_rate):
    teacher, student = teachers(SEEDS, 2, 10, activation), students(SEEDS, 3, 10, activation, outer="normal")
    start = student.w.clone()
    learnt = learn(student, teacher, SEEDS, 70, 0.4, noise=0.3, outer_rate=outer_rate)
    assert torch.equal(student.w, start)
    for r, seed in enumerate(SEEDS):
        w, v = slow(student.select([r]), teacher.select([r]), seed, 70, 0.4, outer_rate, 0.3)
        assert torch.allclose(learnt.student.w[r], w, rtol=1e-9) and torch.allclose(learnt.student.v[r], v, rtol=1e-9)
    assert torch.equal(learnt.student.v, student.v) is (outer_rate == 0)


def test_along_training_the_measured_error_is_on_the_closed_form_and_falls():
    teacher = teachers(SEEDS, 2, 40)
    student = students(SEEDS, 3, 40, scale=0.5, outer=0.8)
    looks = [0, 400, 2000]
    learnt = learn(student, teacher, SEEDS, 2000, 0.5, outer_rate=0.5, looks=looks)
    for place, steps in enumerate(looks):
        then = learn(student, teacher, SEEDS, steps, 0.5, outer_rate=0.5).student
        measured, spread = measured_error(then, teacher, SEEDS, 20000)
        assert ((measured - learnt.error[place]).abs() < 4 * spread).all()
        for seen, own in zip((learnt.q, learnt.r), overlaps(then, teacher), strict=False):
            assert torch.allclose(seen[place], own, rtol=1e-12)
        again = error_of_overlaps(learnt.q[place], learnt.r[place], learnt.t, learnt.v[place], teacher.v)
        assert torch.allclose(again, learnt.error[place], rtol=1e-12)
    assert (learnt.error[-1] < 0.5 * learnt.error[0]).all()


def test_looks_leave_training_as_it_is_and_see_what_a_shorter_training_ends_with():
    teacher, student = teachers(SEEDS, 2, 15), students(SEEDS, 3, 15)
    options = {"rate": 0.3, "noise": 0.1, "outer_rate": 0.2}
    looked = learn(student, teacher, SEEDS, 200, **options, looks=[0, 5, 64, 100, 200])
    plain = learn(student, teacher, SEEDS, 200, **options)
    assert torch.equal(looked.student.w, plain.student.w) and torch.equal(looked.student.v, plain.student.v)
    assert plain.error.shape == (1, 3) and torch.equal(looked.error[-1], plain.error[0])
    assert looked.q.shape == (5, 3, 3, 3) and looked.r.shape == (5, 3, 3, 2) and looked.t.shape == (3, 2, 2)
    for place, steps in ((0, 0), (1, 5), (2, 64), (3, 100)):
        assert torch.equal(learn(student, teacher, SEEDS, steps, **options).error[0], looked.error[place])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_student_is_the_same_in_any_company(activation):
    seeds = list(range(1000, 1007))
    teacher, student = teachers(seeds, 2, 21, activation), students(seeds, 4, 21, activation, scale=0.3)
    options = {"steps": 150, "rate": 0.3, "noise": 0.2, "outer_rate": 0.3}
    whole = learn(student, teacher, seeds, **options).student
    for rows in ([3], [6, 3], [1, 2, 3, 3, 5]):
        part = learn(student.select(rows), teacher.select(rows), [seeds[r] for r in rows], **options).student
        at = rows.index(3)
        assert torch.equal(part.w[at], whole.w[3]) and torch.equal(part.v[at], whole.v[3])


def test_students_of_several_widths_are_one_stack_and_share_their_examples():
    teacher = teachers([1000], 2, 16)
    narrow, wide = (students([1000], units, 16, outer="normal") for units in (2, 5))
    assert torch.equal(narrow.w, wide.w[:, :2])
    both = learn(
        together([narrow, wide]), together([teacher, teacher]), [1000, 1000], 200, 0.5, noise=0.1, outer_rate=0.5
    )
    alone = [learn(one, teacher, [1000], 200, 0.5, noise=0.1, outer_rate=0.5) for one in (narrow, wide)]
    assert not both.student.w[0, 2:].any() and not both.student.v[0, 2:].any()
    assert torch.allclose(both.student.w[0, :2], alone[0].student.w[0], rtol=1e-9)
    assert torch.allclose(both.student.w[1], alone[1].student.w[0], rtol=1e-9)
    assert torch.allclose(both.error[-1], torch.cat([one.error[-1] for one in alone]), rtol=1e-9)


def test_units_of_zeros_do_not_count_in_the_error_of_relu():
    teacher, student = teachers(SEEDS, 2, 8, "relu"), students(SEEDS, 2, 8, "relu")
    padded = together([student, students([1], 4, 8, "relu")]).select([0, 1, 2])
    assert torch.allclose(generalisation_error(padded, teacher), generalisation_error(student, teacher), rtol=1e-12)


def test_label_noise_leaves_an_error_that_grows_with_units_that_are_trained_in_the_first_layer_alone():
    # Goldt et al. 2019: with v = 1 each unit more adds noise.
    seeds = list(range(1000, 1006))
    teacher = teachers(seeds, 1, 30, orthogonal=True)
    options = {"steps": 6000, "rate": 0.3, "noise": 0.5, "looks": list(range(3000, 6001, 100))}
    ends = [learn(students(seeds, k, 30), teacher, seeds, **options).error.mean(0) for k in (1, 4)]
    assert (ends[1] > ends[0]).all()


def test_orthogonal_teachers_have_the_identity_for_overlaps():
    teacher = teachers(SEEDS, 4, 9, orthogonal=True)
    t = overlaps(teacher, teacher)[2]
    assert torch.allclose(t, torch.eye(4).double().expand(3, 4, 4), atol=1e-12)
    loose = overlaps(*[teachers(SEEDS, 4, 2000)] * 2)[2]
    assert torch.allclose(loose, torch.eye(4).double().expand(3, 4, 4), atol=0.12) and not torch.equal(loose, t)
    assert not torch.equal(teacher.w[0], teacher.w[1])


def test_weights_have_their_scale_and_streams():
    student, teacher = students(SEEDS, 30, 300, scale=0.2, outer="normal"), teachers(SEEDS, 30, 300)
    assert float(student.w.std()) == pytest.approx(0.2, rel=0.03) and float(student.v.std()) == pytest.approx(
        0.2, rel=0.3
    )
    assert float(teacher.w.std()) == pytest.approx(1, rel=0.03) and (teacher.v == 1).all()
    assert abs(float((student.w * teacher.w).mean())) < 0.01 and not torch.equal(student.w[0], student.w[1])


@pytest.mark.parametrize(("change", "named"), [
    ({"steps": -1}, "steps = -1"), ({"rate": -0.1}, "rate = -0.1"), ({"noise": math.inf}, "noise = inf"),
    ({"seeds": [1, 2]}, "seeds"), ({"looks": [2, 2]}, "looks"), ({"looks": [9]}, "looks"),
    ({"outer_rate": math.nan}, "outer_rate = nan"), ({"teacher": teachers(SEEDS, 2, 7)}, "of the teacher"),
    ({"teacher": teachers(SEEDS, 2, 6, "relu")}, "of the teacher"),
    ({"teacher": teachers([1], 2, 6)}, "of the teacher"),
])  # fmt: skip
def test_learning_refuses_what_does_not_fit(change, named):
    arguments = {"student": students(SEEDS, 2, 6), "teacher": teachers(SEEDS, 2, 6), "seeds": SEEDS, "steps": 5}
    with pytest.raises(BadInput, match=named):
        learn(**(arguments | {"rate": 0.1} | change))


def test_a_student_that_diverges_is_refused():
    with pytest.raises(BadInput, match="diverged"):
        learn(students(SEEDS, 3, 6, "relu"), teachers(SEEDS, 2, 6, "relu"), SEEDS, 3000, 1e6, outer_rate=1e6)


@pytest.mark.parametrize(("bad", "named"), [
    (lambda: teachers([], 2, 5), "seeds"), (lambda: teachers([1], 0, 5), "units = 0"),
    (lambda: teachers([1], 6, 5, orthogonal=True), "units = 6"), (lambda: students([1], 2, 5, scale=0), "scale = 0"),
    (lambda: students([1], 2, 5, outer="one"), "outer = 'one'"), (lambda: students([1], 2, 5, "tanh"), "activation"),
    (lambda: together([students([1], 2, 5), students([1], 2, 6)]), "inputs and activations"),
    (lambda: Committee(torch.ones(1, 2, 3), torch.ones(1, 3)), "shapes of w and v"),
    (lambda: measured_error(students([1], 2, 5), teachers([1], 2, 5), [1], 1), "n = 1"),
    (lambda: error_of_overlaps(*[torch.eye(2)] * 3, torch.ones(2), torch.ones(2), "tanh"), "activation = 'tanh'"),
])  # fmt: skip
def test_other_bad_numbers_are_refused(bad, named):
    with pytest.raises(BadInput, match=named):
        bad()
