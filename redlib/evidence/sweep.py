"""Run configurations: load what is stored, compute the rest in parallel and store it.

A configuration is a frozen dataclass with a method `run() -> {name: array}`. One whose attribute `previous` is another
configuration goes on from its result, and is called as run(arrays of previous). Each link of such a chain is stored
by itself, computed before what needs it, and an interruption loses the links in flight at most.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import multiprocessing
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from redlib.errors import BadInput
from redlib.evidence import instructions
from redlib.evidence.code import code_digest, edited_since, module_digests
from redlib.evidence.files import make_folder, remove_leftovers
from redlib.evidence.paths import store_root
from redlib.evidence.store import CorruptEntry, Entry, describe, key, read, write
from redlib.progress import progress

Digest = Callable[[Any], str]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SCHEDULER = "REDLIB_SCHEDULER"  # the variable with the address of a Dask scheduler
CONNECT_S = 30.0  # for a scheduler to answer, and for its first worker to join
_STARTED = time.time()


class RunFailed(RuntimeError):
    """A run raised; the message names its configuration, the cause is chained. Finished runs are stored."""


@dataclass(frozen=True)
class Sweep:
    """The results in the order of the configurations, and where they came from.

    `loaded` and `computed` count distinct runs and add up to their number. `stale` entries were made by other code or
    with other instructions than evidence has (recomputed, or used when `kept_stale` is true); `corrupt` ones were
    damaged (always recomputed). `run_s` is the time all runs took when they were computed, in seconds on a thread each.
    """

    results: list[dict[str, np.ndarray]]
    label: str
    loaded: int
    computed: int
    stale: int
    corrupt: int
    kept_stale: bool
    run_s: float


@dataclass(frozen=True)
class _Job:
    """All a worker needs; pickled to it. `previous` is the run that this one goes on from."""

    config: Any
    name: str
    root: Path
    code: str
    data: str
    previous: _Job | None
    instructions: str

    @property
    def module(self) -> str:
        """The module whose code, with all it imports, decides the result."""
        return type(self.config).__module__


def sweep(
    configs: Iterable[Any],
    *,
    data: str | Digest = "",
    store: Path | str | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    keep_stale: bool | None = None,
    label: str = "",
) -> Sweep:
    """Return `config.run()` for every configuration, in order, loading what is stored and computing the rest.

    configs    frozen dataclasses of an importable module whose `run` is deterministic
    data       digest of the data they use, or a function that returns it for each; part of the key
    store      folder of the run store (default: `paths.store_root()`); all workers must see it
    workers    processes, at most one per missing run (default: as many as `REDLIB_WORKERS`, else all cores)
    executor   any concurrent.futures.Executor instead (threads, `dask.distributed.Client.get_executor()`); without this
               and `workers`, the Dask scheduler at `REDLIB_SCHEDULER`, where that is set
    keep_stale use results of other code instead of recomputing them (default: `REDLIB_KEEP_STALE=1`)

    Every run has one thread and one instruction set (`evidence.instructions`), so bits depend neither on the number
    of workers nor on the executor or the machine.
    Configurations with a `cost` attribute start in order of falling cost. Each result is stored by its
    worker at once: after a crash or `kill -9` the same call goes on where it stopped. Raises BadInput,
    RunFailed, OSError (no room).
    """
    jobs = _jobs(list(configs), data, store_root() if store is None else Path(store))
    label = label or (type(jobs[0].config).__qualname__ if jobs else "")
    distinct = {job.name: job for job in jobs}
    keep = os.environ.get("REDLIB_KEEP_STALE") == "1" if keep_stale is None else keep_stale
    found, stale, corrupt = _load(distinct, keep)
    missing = [job for name, job in distinct.items() if name not in found]
    missing = _with_links(missing, {*found}, keep)
    distinct |= {job.name: job for job in missing}
    if missing:
        make_folder(missing[0].root)
        if workers is None and executor is None and os.environ.get(SCHEDULER):
            executor = cluster(os.environ[SCHEDULER])
    _compute(missing, workers, executor, label)
    found |= {job.name: _stored(job) for job in missing}
    return Sweep(
        results=[dict(found[job.name].arrays) for job in jobs],
        label=label,
        loaded=len(distinct) - len(missing),
        computed=len(missing),
        stale=stale,
        corrupt=corrupt,
        kept_stale=bool(keep and stale),
        run_s=sum(entry.meta["wall_s"] for entry in found.values()),
    )


def _jobs(configs: list[Any], data: str | Digest, root: Path) -> list[_Job]:
    for kind in {type(config) for config in configs}:
        where = f"{kind.__module__}.{kind.__qualname__}"
        if where.startswith("__main__.") or "<" in where:
            allowed = "a class at the top level of an importable module"
            raise BadInput.of("configuration", where, allowed, "move it from the notebook into a .py file")
        if not callable(getattr(kind, "run", None)):
            raise BadInput.of("configuration", where, "a class with a method run", "let it return {name: array}")
    remove_leftovers(root)
    known: dict[str, _Job] = {}
    return [_job(config, root, data, known) for config in configs]


def _job(config: Any, root: Path, data: str | Digest, known: dict[str, _Job]) -> _Job:
    """Return the job of a configuration; one of `known` where it is among them."""
    digest = data(config) if callable(data) else data
    name = key(config, digest)
    if name not in known:
        before = getattr(config, "previous", None)
        link = None if before is None else _job(before, root, data, known)
        code = code_digest(type(config).__module__)
        known[name] = _Job(config, name, root, code, digest, link, instructions.wanted())
    return known[name]


def _with_links(jobs: list[_Job], known: set[str], keep: bool) -> list[_Job]:
    """Return the jobs and the links of their chains that are not stored either."""
    needed: dict[str, _Job] = {}
    for job in jobs:
        needed[job.name] = job
        link = job.previous
        while link is not None and link.name not in needed and link.name not in known:
            if _load({link.name: link}, keep)[0]:
                known.add(link.name)
            else:
                needed[link.name] = link
            link = None if link.name in known else link.previous
    return list(needed.values())


def _load(jobs: dict[str, _Job], keep: bool) -> tuple[dict[str, Entry], int, int]:
    """Return the usable entries by key, and how many were stale and how many corrupt."""
    found: dict[str, Entry] = {}
    stale = corrupt = 0
    for name, job in jobs.items():
        try:
            entry = read(job.root, name)
        except CorruptEntry as error:
            warnings.warn(f"{error}; it will be computed again", stacklevel=3)
            corrupt += 1
            continue
        differs = entry is not None and not _current(entry, job)
        stale += differs
        if entry is not None and (keep or not differs):
            found[name] = entry
    return found, stale, corrupt


def _current(entry: Entry, job: _Job) -> bool:
    """Return whether this very code, and instructions that serve, made the entry."""
    made_with = entry.meta.get("instructions")
    return bool(entry.meta["code"] == job.code) and instructions.serves(made_with, job.instructions)


def _stored(job: _Job) -> Entry:
    """Return what a worker has just stored: what is used is then exactly what a later run will load."""
    entry = read(job.root, job.name)
    if entry is None:
        raise FileNotFoundError(
            f"{job.root} does not hold the run {job.name} that a worker stored: all workers must see "
            "the same folder; pass store= (or REDLIB_STORE) on a shared disk"
        )
    return entry


def cores() -> int:
    """Return the number of processes allotted: `REDLIB_WORKERS`, else the cores this process may use."""
    asked = os.environ.get("REDLIB_WORKERS")
    if asked and not (asked.isdigit() and int(asked)):
        raise BadInput.of("REDLIB_WORKERS", asked, "a whole number >= 1", "unset it or export a number")
    if asked:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _compute(jobs: list[_Job], workers: int | None, executor: Executor | None, label: str) -> None:
    """Execute and store all jobs, each after the one it goes on from."""
    if workers is not None and workers < 1:
        raise BadInput.of("workers", workers, ">= 1", "leave it out to use all cores")
    if not jobs:
        return
    workers = workers or cores()
    # Edited since this process started: it may have loaded the old code; fresh workers have not.
    edited = any(edited_since(module, _STARTED) for module in {job.module for job in jobs})
    with _one_thread():
        here = executor is None and not edited and instructions.serves(instructions.in_force(), instructions.wanted())
        if here and min(workers, len(jobs)) == 1:
            queue = _Queue(jobs)
            for _ in progress(range(len(jobs)), label):
                queue.done(_executed(queue.next()))
        else:
            at_once = workers if executor is None else len(jobs)
            _compute_in(executor or _pool(workers, fresh=edited), jobs, at_once, label)


def _compute_in(executor: Executor, jobs: list[_Job], at_once: int, label: str) -> None:
    """Let `executor` execute the jobs; on an error what has not begun is cancelled, the rest finishes."""
    running: dict[Future[None], _Job] = {}
    try:
        for _ in progress(_elsewhere(executor, jobs, at_once, running), label, total=len(jobs)):
            pass
    except BrokenProcessPool as error:
        close_workers(wait=False)
        raise BrokenProcessPool(
            f"{label}: a worker died, perhaps for want of memory. Finished runs are stored; run again, with "
            "fewer workers (REDLIB_WORKERS) if it recurs"
        ) from error
    except CancelledError as error:
        close_workers(wait=False)
        raise ConnectionError(
            f"{label}: the executor gave up its runs; did its scheduler end? Finished runs are stored; run again"
        ) from error
    except KeyboardInterrupt:
        close_workers(wait=False)
        raise
    finally:
        for future in running:
            future.cancel()


def _elsewhere(executor: Executor, jobs: list[_Job], at_once: int, running: dict[Future[None], _Job]) -> Iterator[None]:
    """Execute the jobs in `executor`; `running` holds what is submitted and not done, each step is one job done."""
    queue = _Queue(jobs)
    while queue.ready or running:
        # No more than can run: a released link of a long chain must not queue behind what is less urgent.
        while queue.ready and len(running) < at_once:
            job = queue.next()
            running[executor.submit(_execute, job)] = job
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            job = running.pop(future)
            future.result()
            queue.done(job)
            yield


class _Queue:
    """The jobs that may start now, those first on which the longest (costliest) chain of others hangs."""

    def __init__(self, jobs: list[_Job]) -> None:
        self.after: dict[str, list[_Job]] = {}
        self.urgency: dict[str, float] = {}
        names, links = {job.name for job in jobs}, {job.name: job.previous for job in jobs}
        for job in jobs:
            link = links[job.name]
            if link is not None and link.name in names:
                self.after.setdefault(link.name, []).append(job)
        held = {job.name for waiting in self.after.values() for job in waiting}
        self.ready = [job for job in jobs if job.name not in held]

    def next(self) -> _Job:
        """Return the most urgent job that is ready; the first of several."""
        job = max(self.ready, key=self._urgency)
        self.ready.remove(job)
        return job

    def done(self, job: _Job) -> None:
        """Make the jobs ready that waited for this one."""
        self.ready += self.after.pop(job.name, [])

    def _urgency(self, job: _Job) -> float:
        if job.name not in self.urgency:
            below = max(map(self._urgency, self.after.get(job.name, [])), default=0.0)
            self.urgency[job.name] = getattr(job.config, "cost", 0) + below
        return self.urgency[job.name]


def _executed(job: _Job) -> _Job:
    _execute(job)
    return job


def _execute(job: _Job) -> None:
    """Compute one job and store it, unless another sweep did so meanwhile; runs in a worker."""
    if edited_since(job.module, _STARTED) or code_digest(job.module) != job.code:
        raise RuntimeError(
            f"{job.module}, or what it imports, was edited after this process started, so that "
            "it may still execute the old code: start the executor's processes anew"
        )
    if not instructions.serves(instructions.in_force(), job.instructions):
        raise RuntimeError(
            f"this process was not started to compute with {job.instructions} only, as evidence is: leave the executor "
            "out, start it with env $(python -m redlib.evidence.instructions) dask worker ..., or set REDLIB_NATIVE=1"
        )
    with contextlib.suppress(CorruptEntry):
        entry = read(job.root, job.name)
        if entry and _current(entry, job):
            return
    _limit_threads()
    start = time.perf_counter()
    try:
        arrays = job.config.run(*_before(job))
    except Exception as error:
        raise RunFailed(f"{job.config!r} failed: {type(error).__name__}: {error}") from error
    write(job.root, job.name, arrays, _meta(job, time.perf_counter() - start))


def _before(job: _Job) -> tuple[()] | tuple[dict[str, np.ndarray]]:
    """Return what a link of a chain is given: (arrays of the link before it,)."""
    return () if job.previous is None else (dict(_stored(job.previous).arrays),)


def _meta(job: _Job, wall_s: float) -> dict[str, Any]:
    return describe(job.config, job.data) | {
        "code": job.code,
        "instructions": instructions.in_force(),
        "modules": module_digests(job.module),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "numpy")},
        "wall_s": round(wall_s, 4),
    }


def _limit_threads() -> threadpool_limits:
    """Give torch and BLAS one thread from now on: the last bits of a sum depend on their number."""
    if "torch" in sys.modules:  # not imported here for runs that use NumPy only: it takes a second
        sys.modules["torch"].set_num_threads(1)
    return threadpool_limits(limits=1)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for this process, one and the fixed instructions for the workers it starts; then all as before."""
    given = dict.fromkeys(THREAD_VARIABLES, "1") | instructions.fixed_environment()
    before = {name: os.environ.get(name) for name in given}
    threads = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None
    os.environ.update(given)
    limits = _limit_threads()
    try:
        yield
    finally:
        limits.restore_original_limits()
        if threads:
            sys.modules["torch"].set_num_threads(threads)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


_kept: dict[int, ProcessPoolExecutor] = {}
_clients: dict[str, Any] = {}  # connections to Dask schedulers by their address


def _pool(workers: int, fresh: bool) -> ProcessPoolExecutor:
    """Return worker processes; they are kept for the next sweep, as each takes seconds to import torch."""
    if fresh or workers not in _kept:
        close_workers()
        context = multiprocessing.get_context("spawn")
        _kept[workers] = ProcessPoolExecutor(workers, mp_context=context, initializer=_die_with_parent)
    return _kept[workers]


def _die_with_parent() -> None:
    """End this worker when its parent is killed; it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def cluster(address: str) -> Executor:
    """Return the executor of the Dask scheduler at `address` (tcp://host:8786); BadInput where it has no worker.

    The connection is kept for the next sweep. Workers must see the folder of the store, and have this very redlib.
    """
    if address not in _clients:
        try:
            from distributed import Client
        except ImportError as error:
            remedy = "Install it: pip install -e '.[dask]'"
            raise BadInput.of(SCHEDULER, address, "none without the extra `dask`", remedy) from error
        client = None
        try:
            client = Client(address, timeout=CONNECT_S, set_as_default=False)
            client.wait_for_workers(1, timeout=CONNECT_S)
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            if client is not None:
                client.close()
            allowed = "the address of a Dask scheduler that runs and has a worker"
            remedy = "Start them: dask scheduler; dask worker ADDRESS --nthreads 1"
            raise BadInput.of(SCHEDULER, address, allowed, remedy) from error
        _clients[address] = client
    executor: Executor = _clients[address].get_executor()
    return executor


def close_workers(wait: bool = True) -> None:
    """Stop the kept worker processes and connections, if any; the next sweep starts new ones."""
    while _kept:
        _kept.popitem()[1].shutdown(wait=wait, cancel_futures=True)
    while _clients:
        _clients.popitem()[1].close()
