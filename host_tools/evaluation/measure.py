"""Measure the probabilities of every file, on all cores or a cluster: the slow half of evaluate.

The command calls this first, then `report`.  What was measured is kept in a file of JSON lines,
one for each file of audio, so an interrupted run continues where it stopped.  `measure` runs in
worker processes and is all that crosses a process border.
"""

from __future__ import annotations

import hashlib
import json
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np

from host_tools.audio.files import SAMPLE_RATE_HZ, Samples, open_audio
from host_tools.errors import HostToolError, missing_module
from host_tools.evaluation.cache import Cache
from host_tools.evaluation.engine import Engine, Model, make

MEASUREMENT_VERSION = 1  # of what a kept line means; another number measures anew
_of_this_thread = threading.local()


@dataclass(frozen=True)
class Job:
    """One file of audio and all that its probabilities depend on."""

    path: str  # with `audio`: what it is called
    model: bytes  # the .tflite
    pad_ms: int  # silence put after the audio
    engine: Engine
    #: int16 samples as bytes, 16 kHz mono, in place of the file: never kept, nor is its result.
    audio: bytes | None = None


@dataclass(frozen=True)
class Measured:
    """One file's result: `probabilities` are uint8, one an inference; `problem` is text."""

    seconds: float = 0.0
    probabilities: bytes = b""
    problem: str = ""


def key_of(job: Job) -> str:
    """Return the key of a kept measurement: audio, model, settings; "" for an unreadable file,
    and for audio that is in memory alone."""
    if job.audio is not None:
        return ""
    digest = hashlib.sha256()
    try:
        with open(job.path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return ""
    model = hashlib.sha256(job.model).hexdigest()
    settings = [MEASUREMENT_VERSION, job.engine.name, job.engine.id, job.pad_ms, model]
    return hashlib.sha256(json.dumps([digest.hexdigest(), settings]).encode()).hexdigest()


def measure(job: Job) -> Measured:
    """Run the model over one file from its initial state; bad audio is a `problem`."""
    if job.audio is not None:
        samples = np.frombuffer(job.audio, np.int16)
        return Measured(samples.size / SAMPLE_RATE_HZ, _probabilities(job, iter([samples])))
    try:
        audio = open_audio(job.path, decode=False)
        return Measured(audio.duration_s, _probabilities(job, audio.blocks()))
    except HostToolError as error:
        return Measured(problem=error.message)


def _pcm(job: Job, blocks: Iterator[Samples]) -> Iterator[Samples]:
    yield from blocks
    yield np.zeros(job.pad_ms * SAMPLE_RATE_HZ // 1000, np.int16)


def _probabilities(job: Job, blocks: Iterator[Samples]) -> bytes:
    from host_tools.models.reference import FeatureExtractor, quantise

    model = _model(job)
    model.reset()
    frontend = FeatureExtractor()
    waiting = np.zeros((0, 40), np.int8)  # slices that do not make an inference yet
    out = []
    for block in _pcm(job, blocks):
        waiting = np.concatenate([waiting, quantise(frontend.process(block))])
        whole = len(waiting) // model.stride * model.stride
        out.append(model.run(waiting[:whole]).tobytes())
        waiting = waiting[whole:]
    return b"".join(out)


def _model(job: Job) -> Model:
    """Return the model, made once a thread: a Dask worker has several, and models have state."""
    source = job.engine.name, job.model
    if getattr(_of_this_thread, "source", None) != source:
        _of_this_thread.model = make(*source)
        _of_this_thread.source = source
    made: Model = _of_this_thread.model
    return made


@contextmanager
def executor(workers: int, dask: str | None) -> Iterator[Executor]:
    """Run jobs on this machine's cores, or on the Dask cluster at an address."""
    if dask is None:
        pool: Executor
        if workers == 1:
            pool = ThreadPoolExecutor(1)  # starts at once, and nothing else wants the processor
        else:
            pool = ProcessPoolExecutor(workers, get_context("spawn"), _ignore_interrupt)
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise missing_module("distributed") from error
    try:
        client = Client(dask, timeout=20)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise HostToolError(
            f"no Dask scheduler answers at {dask}: {error}", "start one: dask scheduler"
        ) from error
    with client:
        yield client.get_executor()  # type: ignore[no-untyped-call]


def _ignore_interrupt() -> None:
    """Leave Ctrl-C to the process that keeps the results; the workers end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def measure_all(
    jobs: list[Job], cache: Cache, pool: Executor, on_done: Callable[[Job], object]
) -> dict[Job, Measured]:
    """Return job to result for all jobs; take what the cache has, and add the rest to it."""
    results: dict[Job, Measured] = {}
    try:
        missing: dict[str, list[Job]] = {}
        futures = {pool.submit(key_of, job): job for job in jobs}
        for hashed in as_completed(futures):
            job, key = futures[hashed], hashed.result()
            if key in cache:
                results[job] = Measured(*cache[key])
                on_done(job)
            else:
                missing.setdefault(key or job.path, []).append(job)
        running = {pool.submit(measure, same[0]): key for key, same in missing.items()}
        for done in as_completed(running):
            key, result = running[done], done.result()
            if not result.problem and missing[key][0].audio is None:
                cache.add(key, result.seconds, result.probabilities)
            for job in missing[key]:
                results[job] = result
                on_done(job)
    except BrokenProcessPool as error:
        raise HostToolError(
            "a worker process was killed (out of memory?)",
            "run the same command again: what was measured is kept; try fewer --workers",
        ) from error
    return results
