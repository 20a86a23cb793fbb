"""The sweep: what is loaded, what is computed, and that neither workers nor accidents change a bit."""

import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits
from toy_runs import Failing, HeldToy, Link, Suicidal, TorchToy, Toy, executions

from redlib.errors import BadInput
from redlib.evidence import files, store
from redlib.evidence import sweep as module
from redlib.evidence.sweep import RunFailed, close_workers, sweep


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("REDLIB_WORKERS", "REDLIB_KEEP_STALE", "REDLIB_STORE", module.SCHEDULER, *module.THREAD_VARIABLES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module", autouse=True)
def no_worker_is_left():
    yield
    close_workers()


def bits(results):
    return [{name: (array.dtype.str, array.shape, array.tobytes()) for name, array in one.items()} for one in results]


def counts(done):
    return done.loaded, done.computed, done.stale, done.corrupt


def toys(seeds, kind=Toy, **fields):
    return [kind(seed, **fields) for seed in seeds]


def test_results_come_in_the_order_of_the_configurations_the_costly_started_first(tmp_path):
    configs = [Toy(seed, size=8 * (seed + 1), log=str(tmp_path / "log")) for seed in (0, 2, 1)]
    done = sweep(configs, store=tmp_path / "s", workers=1)
    assert executions(tmp_path / "log") == [2, 1, 0]
    assert [len(result["gram"]) for result in done.results] == [8, 24, 16]
    assert bits(done.results) == bits([config.run() for config in configs])


def test_a_second_sweep_loads_all_and_a_longer_one_computes_only_the_new(tmp_path):
    log = tmp_path / "log"
    first = sweep(toys([0, 1], log=str(log)), store=tmp_path / "s", workers=1, label="toys")
    second = sweep(toys([2, 1, 0], log=str(log)), store=tmp_path / "s", workers=1)
    assert (first.label, counts(first)) == ("toys", (0, 2, 0, 0))
    assert (second.label, counts(second)) == ("Toy", (2, 1, 0, 0))
    assert executions(log) == [0, 1, 2]
    assert bits(second.results[:0:-1]) == bits(first.results)
    assert first.run_s > 0 and second.run_s > first.run_s and not second.kept_stale


def test_a_configuration_listed_twice_is_computed_once(tmp_path):
    done = sweep(toys([5, 5, 6, 5], log=str(tmp_path / "log")), store=tmp_path / "s", workers=1)
    assert sorted(executions(tmp_path / "log")) == [5, 6] and counts(done) == (0, 2, 0, 0)
    assert bits(done.results[:1]) == bits(done.results[1:2]) == bits(done.results[3:])


def test_data_and_class_are_part_of_the_key(tmp_path):
    for kind, data in ((Toy, ""), (Toy, "other data"), (Failing, "")):
        assert counts(sweep(toys([0], kind), data=data, store=tmp_path, workers=1)) == (0, 1, 0, 0)


def test_each_run_is_keyed_by_its_own_data_alone(tmp_path):
    own = {0: "digits", 1: "photographs"}
    sweep(toys([0, 1]), data=lambda config: own[config.seed], store=tmp_path, workers=1)
    own[1] = "other photographs"
    again = sweep(toys([0, 1]), data=lambda config: own[config.seed], store=tmp_path, workers=1)
    assert counts(again) == (1, 1, 0, 0)
    assert {meta["data"] for _, meta in store.scan(tmp_path)} == {"digits", "photographs", "other photographs"}


def threads_by_library():
    """Return {path: number of threads} of the BLAS and OpenMP libraries loaded by now."""
    return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}


@pytest.fixture
def two_threads():
    """Two threads of torch and of BLAS, of which a sweep leaves one and gives back two."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with threadpool_limits(2):
        yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", [Toy, TorchToy])
def test_bits_depend_neither_on_workers_nor_on_the_executor(tmp_path, kind, two_threads):
    import torch

    configs = toys(range(4), kind, size=256)
    pools = threads_by_library()
    assert {*pools.values()} == {2} == {torch.get_num_threads()}
    alone = sweep(configs, store=tmp_path / "1", workers=1)
    single = [sweep([config], store=tmp_path / "2", workers=2).results[0] for config in configs]
    pooled = sweep(configs, store=tmp_path / "3", workers=2)
    with ThreadPoolExecutor(3) as executor:
        threaded = sweep(configs, store=tmp_path / "4", executor=executor)
    assert bits(alone.results) == bits(single) == bits(pooled.results) == bits(threaded.results)
    assert torch.get_num_threads() == 2 and pools.items() <= threads_by_library().items()
    assert "OMP_NUM_THREADS" not in os.environ
    if kind is TorchToy:
        assert [int(result["threads"]) for result in alone.results + pooled.results + threaded.results] == [1] * 12


def test_two_workers_share_the_work(tmp_path):
    sweep(toys(range(6), pause_s=0.1, log=str(tmp_path / "log")), store=tmp_path / "s", workers=2)
    processes = {line.split()[1] for line in (tmp_path / "log").read_text().splitlines()}
    assert len(processes) == 2 and str(os.getpid()) not in processes


def test_a_failing_run_is_named_and_the_finished_ones_are_stored(tmp_path):
    configs = toys([1, 3, 2], Failing)
    with pytest.raises(RunFailed, match=r"Failing\(seed=2, .*BadInput: seed = 2 cannot be used") as error:
        sweep(configs, store=tmp_path, workers=1)
    assert isinstance(error.value.__cause__, BadInput)
    assert counts(sweep(configs[:2], store=tmp_path, workers=1)) == (2, 0, 0, 0)


def test_a_failing_run_is_named_across_processes_too(tmp_path):
    with pytest.raises(RunFailed, match=r"Failing\(seed=2, "):
        sweep(toys([2, 1, 3], Failing), store=tmp_path, workers=2)


def test_a_dying_worker_is_explained_and_the_next_sweep_works(tmp_path):
    with pytest.raises(BrokenProcessPool, match="memory.*REDLIB_WORKERS"):
        sweep(toys([0, 1], Suicidal), store=tmp_path, workers=2)
    assert counts(sweep(toys([0, 1]), store=tmp_path, workers=2)) == (0, 2, 0, 0)


def test_other_code_makes_an_entry_stale_and_it_is_recomputed(tmp_path, monkeypatch):
    sweep(toys([0, 1]), store=tmp_path, workers=1)
    monkeypatch.setattr(module, "code_digest", lambda name: "another digest")
    assert counts(sweep(toys([0, 1, 2]), store=tmp_path, workers=1)) == (0, 3, 2, 0)
    assert counts(sweep(toys([0, 1, 2]), store=tmp_path, workers=1)) == (3, 0, 0, 0)
    assert {meta["code"] for _, meta in store.scan(tmp_path)} == {"another digest"}


@pytest.mark.parametrize("by_environment", [True, False])
def test_stale_entries_are_used_on_request_and_counted(tmp_path, monkeypatch, by_environment):
    sweep(toys([0, 1]), store=tmp_path, workers=1)
    monkeypatch.setattr(module, "code_digest", lambda name: "another digest")
    if by_environment:
        monkeypatch.setenv("REDLIB_KEEP_STALE", "1")
    done = sweep(toys([0, 1, 2]), store=tmp_path, workers=1, keep_stale=None if by_environment else True)
    assert counts(done) == (2, 1, 2, 0) and done.kept_stale


def test_a_damaged_entry_is_reported_and_recomputed_to_the_same_bits(tmp_path):
    first = sweep(toys([0, 1]), store=tmp_path, workers=1)
    path = next(path for path, _ in store.scan(tmp_path))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.warns(UserWarning, match="damaged.*computed again"):
        again = sweep(toys([0, 1]), store=tmp_path, workers=1)
    assert counts(again) == (1, 1, 0, 1) and bits(again.results) == bits(first.results)
    assert path.with_suffix(".corrupt").exists()


def test_an_entry_under_the_name_of_another_is_recomputed(tmp_path):
    first = sweep(toys([0, 1]), store=tmp_path, workers=1)
    one, two = (path for path, _ in store.scan(tmp_path))
    two.write_bytes(one.read_bytes())
    with pytest.warns(UserWarning, match="another run.*computed again"):
        again = sweep(toys([0, 1]), store=tmp_path, workers=1)
    assert counts(again) == (1, 1, 0, 1) and bits(again.results) == bits(first.results)


def test_a_full_disk_is_no_failed_run(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left.*bytes.*are needed for"):
        sweep(toys([0]), store=tmp_path, workers=1)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_each_entry_says_how_it_came_about(tmp_path):
    sweep(toys([3]), data="d1", store=tmp_path, workers=1)
    ((_, meta),) = store.scan(tmp_path)
    assert meta["config"]["type"] == "toy_runs.Toy" and meta["config"]["fields"]["seed"] == 3
    assert (meta["data"], meta["schema"]) == ("d1", store.SCHEMA)
    assert meta["versions"]["numpy"] == np.__version__ and "torch" in meta["versions"]
    assert meta["wall_s"] >= 0 and meta["created"].endswith("+00:00")
    assert meta["code"] == store.code_digest("toy_runs") and {"toy_runs", "redlib.errors"} <= {*meta["modules"]}
    assert meta["instructions"] in ("AVX2", "native")


def test_code_edited_in_a_session_runs_in_fresh_processes_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_STARTED", 0.0)
    sweep(toys([0], log=str(tmp_path / "log")), store=tmp_path / "s", workers=1)
    assert (tmp_path / "log").read_text().split()[1] != str(os.getpid())
    with (
        ThreadPoolExecutor(1) as executor,
        pytest.raises(RuntimeError, match="edited after this process started"),
    ):
        sweep(toys([1]), store=tmp_path / "s", executor=executor)


def test_leftovers_of_a_killed_writer_are_removed(tmp_path):
    leftover = tmp_path / "ab" / ".x.run.1.aa.tmp"
    leftover.parent.mkdir()
    leftover.write_bytes(b"half")
    os.utime(leftover, (time.time() - 90_000,) * 2)
    sweep(toys([0]), store=tmp_path, workers=1)
    assert not leftover.exists()


def test_workers_default_to_the_cores_allotted(monkeypatch):
    monkeypatch.setenv("REDLIB_WORKERS", "3")
    assert module.cores() == 3
    monkeypatch.delenv("REDLIB_WORKERS")
    assert module.cores() == len(os.sched_getaffinity(0))


def test_bad_arguments_raise_before_anything_runs(tmp_path, monkeypatch):
    @dataclass(frozen=True)
    class Local:
        seed: int = 0

    with pytest.raises(BadInput, match="importable module"):
        sweep([Local()], store=tmp_path)
    with pytest.raises(BadInput, match="a class with a method run"):
        sweep([store.Entry({}, {})], store=tmp_path)
    with pytest.raises(BadInput, match="workers = 0"):
        sweep(toys([0]), store=tmp_path, workers=0)
    monkeypatch.setenv("REDLIB_WORKERS", "two")
    with pytest.raises(BadInput, match="REDLIB_WORKERS = 'two'"):
        sweep(toys([0, 1]), store=tmp_path)
    assert list(store.scan(tmp_path)) == []


SCRIPT = """
import sys
from toy_runs import Toy
from redlib.evidence.sweep import sweep
configs = [Toy(seed, size=32, pause_s=0.3) for seed in range(8)]
sweep(configs, store=sys.argv[1], workers=2)
"""


def start_slow_sweep(root: Path, done: int) -> subprocess.Popen:
    """Start the script in a process group of its own; return once `done` of its 8 runs are stored."""
    here = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(root)], env=environment, start_new_session=True)
    deadline = time.monotonic() + 300
    while len(list(root.glob("??/*.run"))) < done:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    return process


def test_a_sweep_killed_by_kill_9_goes_on_where_it_stopped_bit_for_bit(tmp_path):
    process = start_slow_sweep(tmp_path / "killed", done=2)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    configs = [Toy(seed, size=32, pause_s=0.3) for seed in range(8)]
    survived = len(list(store.scan(tmp_path / "killed")))
    with ThreadPoolExecutor(8) as executor:
        resumed = sweep(configs, store=tmp_path / "killed", executor=executor)
        whole = sweep(configs, store=tmp_path / "whole", executor=executor)
    assert 2 <= survived < 8 and counts(resumed) == (survived, 8 - survived, 0, 0)
    assert bits(resumed.results) == bits(whole.results)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the workers")
def test_workers_end_when_only_their_parent_is_killed(tmp_path):
    process = start_slow_sweep(tmp_path, done=1)
    workers = children(process.pid)
    assert len(workers) >= 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while any(alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [worker for worker in workers if alive(worker)]
    for worker in left:
        os.kill(worker, signal.SIGKILL)
    assert left == []


def test_a_dask_cluster_gives_the_same_bits(tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs the extra `dask`")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        done = sweep(toys(range(4)), store=tmp_path / "dask", executor=client.get_executor())
        with pytest.raises(RunFailed, match=r"Failing\(seed=2, "):
            sweep(toys([2, 1], Failing), store=tmp_path / "dask", executor=client.get_executor())
    assert counts(done) == (0, 4, 0, 0)
    assert bits(done.results) == bits(sweep(toys(range(4)), store=tmp_path / "here", workers=1).results)


@pytest.fixture
def cluster():
    """Two Dask workers of this machine; skipped without the extra."""
    distributed = pytest.importorskip("distributed", reason="needs the extra `dask`")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "processes": True}
    with distributed.LocalCluster(**options) as cluster:
        yield cluster
        close_workers()


def test_the_scheduler_that_the_environment_names_gets_the_runs(tmp_path, monkeypatch, cluster):
    monkeypatch.setenv(module.SCHEDULER, cluster.scheduler_address)
    log = tmp_path / "log"
    done = sweep(toys(range(4), log=str(log)), store=tmp_path / "s")
    assert counts(done) == (0, 4, 0, 0)
    workers = {line.split()[1] for line in log.read_text().splitlines()}
    known = module._clients[cluster.scheduler_address].run(os.getpid).values()
    assert workers and workers <= {*map(str, known)}
    sweep(toys([9], log=str(log)), store=tmp_path / "s", workers=1)
    assert log.read_text().split()[-1] == str(os.getpid()), "who asks for workers gets these"


def test_a_dask_worker_killed_in_the_middle_of_a_sweep_changes_no_bit(tmp_path, monkeypatch, cluster):
    monkeypatch.setenv(module.SCHEDULER, cluster.scheduler_address)
    log, go = tmp_path / "log", tmp_path / "go"
    configs = [HeldToy(seed, size=32, log=str(log), until=str(go) if seed > 2 else "") for seed in range(10)]
    with ThreadPoolExecutor(1) as beside:
        sweeping = beside.submit(sweep, configs, store=tmp_path / "s")
        deadline = time.monotonic() + 300
        while len(list((tmp_path / "s").glob("??/*.run"))) < 3 or len(executions(log)) < 4:
            assert not sweeping.done() and time.monotonic() < deadline
            time.sleep(0.02)
        held = [line.split() for line in log.read_text().splitlines()]
        os.kill(next(int(process) for seed, process in held if int(seed) > 2), signal.SIGKILL)
        go.touch()
        done = sweeping.result(120)
    assert counts(done) == (0, 10, 0, 0)
    assert len(executions(log)) > 10, "a run was in flight in the worker that was killed"
    with ThreadPoolExecutor(10) as executor:
        assert bits(done.results) == bits(sweep(configs, store=tmp_path / "whole", executor=executor).results)


def test_a_scheduler_that_does_not_answer_or_has_no_worker_is_refused_with_what_to_start(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="needs the extra `dask`")
    monkeypatch.setattr(module, "CONNECT_S", 1.0)
    with pytest.raises(BadInput, match="REDLIB_SCHEDULER = 'tcp://127.0.0.1:1'.*dask scheduler"):
        module.cluster("tcp://127.0.0.1:1")
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None) as empty,
        pytest.raises(BadInput, match="worker"),
    ):
        module.cluster(empty.scheduler_address)
    assert module._clients == {}


def test_a_scheduler_without_the_extra_is_refused_with_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setenv(module.SCHEDULER, "tcp://127.0.0.1:8786")
    with pytest.raises(BadInput, match=r"pip install -e '.\[dask\]'"):
        sweep(toys([0]), store=tmp_path)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_chain_runs_link_by_link_and_branches_share_its_links(tmp_path, workers):
    log = str(tmp_path / "log")
    ends = [Link(3, log, "a"), Link(3, log, "b"), Link(1, log)]
    done = sweep(ends, store=tmp_path / "s", workers=workers)
    assert [int(result["sum"]) for result in done.results] == [6, 6, 1]
    # Links 0, 1 and 2 once each, though both branches need them.
    assert sorted(executions(tmp_path / "log")) == [0, 1, 2, 3, 3]
    assert counts(done) == (0, 5, 0, 0)


def test_a_chain_goes_on_from_the_last_link_stored(tmp_path):
    log = tmp_path / "log"
    sweep([Link(2, str(log))], store=tmp_path / "s", workers=1)
    done = sweep([Link(4, str(log))], store=tmp_path / "s", workers=1)
    assert executions(log) == [0, 1, 2, 3, 4]
    assert int(done.results[0]["sum"]) == 10
    assert counts(sweep([Link(4, str(log))], store=tmp_path / "s"))[:2] == (1, 0)


def test_the_costliest_chain_starts_first_and_its_links_do_not_queue_behind_single_runs(tmp_path):
    links = module._with_links([module._job(Link(2, cost=10), tmp_path, "", {})], set(), keep=False)
    single = [module._job(Toy(0, size=size), tmp_path, "", {}) for size in (8, 16, 25)]  # their size is their cost
    queue, order = module._Queue([*single, *links]), []
    while queue.ready:
        job = queue.next()
        order.append(job.config.cost)
        queue.done(job)
    assert order == [10, 25, 10, 16, 10, 8]  # 30 hang on the first link, 20 on the second, 10 on the last
