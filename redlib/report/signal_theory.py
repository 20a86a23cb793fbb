"""What the signal explorers show: what mean-field theory says of a random net, from tables of Gaussian means.

Pre-activations of a wide random net have variance q and, for two inputs, correlation c. A layer turns q into
V(q) = σ_w²·E[φ²] + σ_b² and, at V's fixed point q*, c into C(c); χ₁ is the slope of C at c = 1 (Poole et al. 2016).
Theory comes in tables over q and c alone: they are the same for all σ_w and σ_b, so the browser computes the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, isnan, log, nan, sqrt
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from redlib.errors import BadInput

NEAR: Final = 0.01  # what is as near to χ₁ = 1 is called the edge
ROUNDING: Final = 1e-9  # what is as near to 1 counts as 1
FIRST_Q: Final = 0.01  # where tables begin at the latest: below their first q, E[φ²]/q is held
FEWEST: Final = 4  # nodes of a cubic
HALVINGS: Final = 60
REACHES: Final = (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)  # of the axes of the Q-map
LEVELS: Final = 2**24 - 1  # of a chord, in three bytes
SAMPLES: Final = 60  # of a curve
COBWEB: Final = 30  # layers of it at most
PHASES: Final = ("ordered", "edge", "chaotic")
Places = list[tuple[float, float]]
Start = tuple[str, float, float, float]  # activation, σ_w, σ_b, density


@dataclass(frozen=True)
class SignalTable:
    """What theory says of one activation φ, for u ~ N(0, q) and for pairs u₁, u₂ of that variance and correlation c.

    `q` [Q] rises from at most 0.01, `c` [C] from 0 to 1, four values or more of each; best are `np.geomspace` and
    cosines of equally spaced angles. `square` [Q] is E[φ(u)²], `gain` [Q] E[φ'(u)²], and `correlation` [Q, C] is
    E[φ(u₁)φ(u₂)]/E[φ(u)²]. `edge` [B] is the σ_w at which χ₁ = 1, for each σ_b of the explorer.
    """

    q: ArrayLike
    c: ArrayLike
    square: ArrayLike
    gain: ArrayLike
    correlation: ArrayLike
    edge: ArrayLike


@dataclass(frozen=True)
class State:
    """What a net does to its signals: q*, χ₁, c*, the depth scale ξ of correlations, and the phase.

    q* is infinite where q grows without bound (c* and ξ are then NaN) and NaN where every q is a fixed point. `share`
    is that of q* which comes from the weights, σ_w²·E[φ²]/q*.
    """

    q: float
    chi: float
    c: float
    depth: float
    share: float

    @property
    def phase(self) -> str:
        """Return "ordered", "edge" (χ₁ within 0.01 of 1) or "chaotic"."""
        return PHASES[1 + int(self.chi > 1 + NEAR) - int(self.chi < 1 - NEAR)]

    @property
    def words(self) -> list[str]:
        """Return what stands in the columns of the readout."""
        return [*map(number, (self.q, self.chi, self.depth, self.c)), self.phase]


@dataclass(frozen=True)
class Theory:
    """A checked table: `ratio` [Q] = E[φ²]/q, `gain` [Q], `chord` [Q, C] = (1 - correlation)/(1 - c), its limit at 1.

    Both are smooth where q is small and where c is near 1, so that cubics between the nodes lose nothing there.
    """

    q: np.ndarray
    c: np.ndarray
    ratio: np.ndarray
    gain: np.ndarray
    chord: np.ndarray
    edge: np.ndarray

    @cached_property
    def angles(self) -> np.ndarray:
        """Return -arccos(c) [C], which rises."""
        return -np.arccos(self.c)

    def weights(self, q: float) -> np.ndarray:
        """Return the weights [Q] of the nodes at q."""
        return cubic(np.log(self.q), log(min(max(q, self.q[0]), self.q[-1])))

    def up(self, q: float, w: float, b: float) -> float:
        """Return V(q) for σ_w = w, σ_b = b."""
        return w * w * q * float(self.weights(q) @ self.ratio) + b * b

    def fixed_point(self, w: float, b: float) -> float:
        """Return q*: infinite where q grows without bound, NaN where every q is a fixed point."""
        low, high = float(self.q[0]), float(self.q[-1])
        first, last = w * w * float(self.ratio[0]), w * w * float(self.ratio[-1])
        if b == 0 and max(abs(first - 1), abs(last - 1)) < ROUNDING:
            return nan
        if self.up(high, w, b) > high:
            return b * b / (1 - last) if last < 1 - ROUNDING else inf
        if self.up(low, w, b) <= low:
            return b * b / (1 - first)
        for _ in range(HALVINGS):
            middle = sqrt(low * high)
            low, high = (middle, high) if self.up(middle, w, b) > middle else (low, middle)
        return high

    def state(self, w: float, b: float) -> State:
        """Return what a net of σ_w = w and σ_b = b does."""
        q = self.fixed_point(w, b)
        at = self.weights(1.0 if isnan(q) else q)
        chi = w * w * float(at @ self.gain)
        share = 1 - b * b / q if 0 < q < inf else 1.0
        chord = at @ self.chord
        if q == inf:
            return State(q, chi, 1.0 if chi <= 1 + ROUNDING else nan, inf if chi <= 1 + ROUNDING else nan, share)
        c = self._correlation(share * chord) if chi > 1 + ROUNDING else 1.0
        slope = chi if c == 1 else self._slope(c, share * chord)
        return State(q, chi, c, depth_of(slope), share)

    def correlate(self, c: float, state: State) -> float:
        """Return C(c) at the fixed point of this state; where that is 0 or infinite, the limit."""
        return 1 - (1 - c) * state.share * self._at(c, self.weights(state.q if state.q >= 0 else 1.0) @ self.chord)

    def _at(self, c: float, chord: np.ndarray) -> float:
        return float(cubic(self.angles, -float(np.arccos(c))) @ chord)

    def _correlation(self, chord: np.ndarray) -> float:
        """Return c* < 1, where the chord [C] from there to c = 1 has slope 1; it rises with c, as C is convex."""
        low, high = 0.0, 1.0
        if self._at(low, chord) >= 1:
            return 0.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._at(middle, chord) < 1 else (low, middle)
        return low

    def _slope(self, c: float, chord: np.ndarray) -> float:
        step = min(0.05 * (1 - c), 0.01)
        low, high = max(c - step, 0.0), c + step
        return ((1 - low) * self._at(low, chord) - (1 - high) * self._at(high, chord)) / (high - low)


def cubic(nodes: np.ndarray, x: float) -> np.ndarray:
    """Return the weights [N] of values at the rising nodes [N] in the cubic through the four around x."""
    first = min(max(int(np.searchsorted(nodes, x)) - 2, 0), len(nodes) - 4)
    four = nodes[first : first + 4]
    away = (x - four) / (four[:, None] - four + np.eye(4))
    np.fill_diagonal(away, 1)
    weights = np.zeros(len(nodes))
    weights[first : first + 4] = away.prod(1)
    return weights


def depth_of(slope: float) -> float:
    """Return ξ = 1/|log slope|, the number of layers in which a distance shrinks by e."""
    size = abs(log(slope)) if slope > 0 else inf
    return 1 / size if size > ROUNDING else inf


def number(value: float) -> str:
    """Return the value in about three digits."""
    if isnan(value):
        return "–"
    return "∞" if value == inf else f"{value:.{3 - sum(value >= ten - 0.0005 for ten in (1, 10, 100))}f}"


def percent(density: float) -> str:
    """Return how a density is written: "20.6%"."""
    return f"{100 * density:.3g}%"


@dataclass(frozen=True)
class Scene:
    """What both explorers draw: maps of a net of σ_w = `w`, σ_b = `b`, dense and with this `density` of weights.

    Cut at random, weights have σ_w² times the density.
    """

    theory: Theory
    w: float
    b: float
    density: float

    @property
    def kept_w(self) -> float:
        """Return σ_w of the pruned net."""
        return self.w * sqrt(self.density)

    @cached_property
    def dense(self) -> State:
        """Return the state of the dense net."""
        return self.theory.state(self.w, self.b)

    @cached_property
    def sparse(self) -> State:
        """Return the state of the pruned net."""
        return self.theory.state(self.kept_w, self.b)

    @property
    def reach(self) -> float:
        """Return the end of the axes of the Q-map: the dense net's q* too, unless that of the pruned is far smaller."""
        q = self.sparse.q
        if not 0 <= q < inf:
            return 2.0
        wanted = 1.3 * max(q, min(self.dense.q, 4 * q)) if self.dense.q > 0 else q
        return next((reach for reach in REACHES if reach >= wanted), REACHES[-1])

    def q_curve(self, w: float) -> Places:
        """Return V for this σ_w, over the axis of the Q-map."""
        across = np.linspace(0, self.reach, SAMPLES + 1).tolist()
        return [(q, self.theory.up(q, w, self.b)) for q in across]

    def c_curve(self, state: State) -> Places:
        """Return C at q* of this state, from c = 0 to 1."""
        return [(c, self.theory.correlate(c, state)) for c in np.linspace(0, 1, SAMPLES + 1).tolist()]

    def q_web(self) -> Places:
        """Return the variance from layer to layer of the pruned net: from above, or from below where q* is infinite."""
        start = self.reach * (0.05 if self.sparse.q == inf else 0.95)
        return cobweb(lambda q: self.theory.up(q, self.kept_w, self.b), start, self.reach)

    def c_web(self) -> Places:
        """Return the correlation from layer to layer of the pruned net: from 0.9 where c* is below 1, else from 0.1."""
        return cobweb(lambda c: self.theory.correlate(c, self.sparse), 0.9 if self.sparse.c < 1 else 0.1, 1.0)

    def tangent(self) -> Places:
        """Return the ends of the tangent of slope χ₁ at c = 1, or nothing where q* is 0 or infinite."""
        if not 0 < self.sparse.q < inf:
            return []
        wide = min(1.0, 0.95 / self.sparse.chi)
        return [(1 - wide, 1 - wide * self.sparse.chi), (1.0, 1.0)]

    def lines(self) -> list[str]:
        """Return what is said of the dense net, and of the pruned one."""
        nets = {"dense": self.dense, f"{percent(self.density)} kept": self.sparse}
        told = "{}: q* = {}, χ₁ = {}, ξ = {} layers, c* = {}, {}"
        return [told.format(name, *state.words) for name, state in nets.items()]

    def note(self) -> str:
        """Return what is written above the C-map: its slope at c = 1, or which limit is drawn."""
        if isnan(self.sparse.q):
            return "the same at every q"
        if self.sparse.q == inf:
            return "limit as q grows"
        return f"slope χ₁ = {number(self.sparse.chi)}" if self.sparse.q > 0 else "limit as q vanishes"


def cobweb(step: Callable[[float], float], start: float, reach: float) -> Places:
    """Return the corners of the way from `start` up to the curve, across to the diagonal, and so on."""
    places, x = [(start, 0.0)], start
    for _ in range(COBWEB):
        y = step(x)
        places += [(x, y), (y, y)]
        if abs(y - x) < 0.003 * reach or y > 2 * reach:
            break
        x = y
    return places


@dataclass(frozen=True)
class Signals:
    """The checked contents of an explorer; `start` is the activation's name and the places on the three axes."""

    theories: dict[str, Theory]
    sigma_w: tuple[float, ...]
    sigma_b: tuple[float, ...]
    densities: tuple[float, ...]
    start: tuple[str, int, int, int]

    def scene(self, name: str, w: int, b: int, d: int) -> Scene:
        """Return what is drawn for an activation and places on the axes."""
        return Scene(self.theories[name], self.sigma_w[w], self.sigma_b[b], self.densities[d])


def signals(
    tables: Mapping[str, SignalTable],
    sigma_w: Sequence[float],
    sigma_b: Sequence[float],
    densities: Sequence[float],
    start: Start | None = None,
) -> Signals:
    """Return the checked contents of an explorer; arguments and BadInput are those of `signal_explorer.signal_twin`."""
    if not len(tables):
        raise BadInput.of("tables", {}, "at least one activation", "Pass a SignalTable.")
    w, b = _rising("sigma_w", sigma_w, 2), _rising("sigma_b", sigma_b, 2)
    kept = _rising("densities, reversed,", list(densities)[::-1], 1)[::-1]
    if w[0] < 0 or b[0] < 0:
        raise BadInput.of("least sigma_w and sigma_b", (w[0], b[0]), ">= 0", "They are standard deviations.")
    if not 0 < kept[-1] <= kept[0] <= 1:
        raise BadInput.of("densities", kept, "0 < density <= 1", "Pass the fractions of weights KEPT.")
    theories = {name: _theory(name, table, len(b)) for name, table in tables.items()}
    for name, found in theories.items():
        _far_enough(name, found, w[-1], b[-1])
    first = (next(iter(tables)), w[len(w) // 2], b[len(b) // 2], kept[0]) if start is None else start
    if first[0] not in tables:
        raise BadInput.of("activation", first[0], f"one of {list(tables)}", "Pass its table.")
    places = [_place(*axis) for axis in zip(("sigma_w", "sigma_b", "density"), (w, b, kept), first[1:], strict=True)]
    return Signals(theories, w, b, kept, (first[0], *places))  # type: ignore[arg-type]


# --- what is given ------------------------------------------------------------------------------------------


def _rising(what: str, values: ArrayLike, fewest: int) -> tuple[float, ...]:
    found = np.asarray(values, dtype=float)
    if found.ndim != 1 or len(found) < fewest:
        raise BadInput.of(f"shape of {what}", found.shape, f"[n], n >= {fewest}", "Pass the values in a list.")
    if not np.isfinite(found).all() or not (np.diff(found) > 0).all():
        raise BadInput.of(what, found.tolist(), "finite values that rise", "Sort the values.")
    return tuple(found.tolist())


def _place(what: str, axis: Sequence[float], value: float) -> int:
    """Return where the value is on its axis, up to rounding."""
    away = [abs(known - value) for known in axis]
    if not min(away) <= ROUNDING:
        raise BadInput.of(f"start of {what}", value, f"one of {list(axis)}", "Start at a value of the axis.")
    return away.index(min(away))


def _theory(name: str, table: SignalTable, count: int) -> Theory:
    """Return the checked table of an activation; `count` is the number of σ_b."""
    q = np.array(_rising(f"q of {name}", table.q, FEWEST))
    c = np.array(_rising(f"c of {name}", table.c, FEWEST))
    if not 0 < q[0] <= FIRST_Q:
        raise BadInput.of(f"least q of {name}", float(q[0]), f"0 < q <= {FIRST_Q}", "Variances: start near 0.")
    if (c[0], c[-1]) != (0, 1):
        raise BadInput.of(f"ends of c of {name}", (c[0], c[-1]), "0 and 1", "Pass correlations from 0 to 1.")
    square, gain = (_positive(f"{kind} of {name}", getattr(table, kind), len(q)) for kind in ("square", "gain"))
    ratio = square / q
    chord = _chord(name, table.correlation, c, len(q), gain / ratio)
    return Theory(q, c, ratio, gain, chord, _positive(f"edge of {name}", table.edge, count))


def _positive(what: str, values: ArrayLike, count: int) -> np.ndarray:
    found = np.asarray(values, dtype=float)
    if found.shape != (count,):
        raise BadInput.of(f"shape of {what}", found.shape, f"({count},)", "One value a node of its axis.")
    if not (np.isfinite(found) & (found > 0)).all():
        raise BadInput.of(f"least {what}", float(found.min()), "finite, > 0", "Pass means of squares, and σ_w.")
    return found


def _chord(name: str, values: ArrayLike, c: np.ndarray, count: int, limit: np.ndarray) -> np.ndarray:
    """Return (1 - correlation)/(1 - c) [Q, C], and its `limit` [Q] at c = 1."""
    found, what = np.asarray(values, dtype=float), f"correlation of {name}"
    if found.shape != (count, len(c)):
        raise BadInput.of(f"shape of {what}", found.shape, str((count, len(c))), "Order it [q, c].")
    if not (np.isfinite(found) & (np.abs(found) <= 1 + ROUNDING)).all():
        ends = (float(found.min()), float(found.max()))
        raise BadInput.of(f"least and largest {what}", ends, "-1 to 1", "Divide E[φφ] by E[φ²].")
    if not np.allclose(found[:, -1], 1, atol=1e-6):
        raise BadInput.of(f"{what} at c = 1", found[:, -1].tolist(), "1", "Divide E[φφ] by E[φ²].")
    chord = np.column_stack([(1 - found[:, :-1]) / (1 - c[:-1]), limit])
    unit = chord.max() / LEVELS
    return np.asarray(np.rint(chord / unit) * unit)  # as the script has it: both say the same


def _far_enough(name: str, theory: Theory, w: float, b: float) -> None:
    """Raise BadInput unless q* is within the table for the largest σ_w and σ_b, or E[φ²] is proportional to q."""
    top = float(theory.q[-1])
    if theory.up(top, w, b) > top and not np.allclose(theory.ratio, theory.ratio[0], rtol=1e-6):
        allowed = f">= V(q) = {theory.up(top, w, b):.3g}, at sigma_w = {w:g}, sigma_b = {b:g}"
        raise BadInput.of(f"largest q of {name}", top, allowed, "Go on to larger q.")
