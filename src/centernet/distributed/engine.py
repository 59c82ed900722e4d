"""Ray Data as the engine: shards go to workers on all processors of a machine or cluster, and their files come back.

A shard is one task of one actor. The files come to the process that runs this, which alone writes: what a worker was at
when it died is done again by another, and nothing is there twice.
"""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from typing import Any

from centernet.distributed.plan import Shard
from centernet.distributed.worker import Done, Task, Worker
from centernet.extras import require

logger = logging.getLogger(__name__)

MOST_DEATHS = 3
"""Workers that may die at one shard, as of too little memory, before it is left out."""

_WINDOW = 1000  # shards that Ray Data knows of together: its plan is in memory
_ADDRESS = "RAY_ADDRESS"


class ShardError(RuntimeError):
    """A shard that could not be done; the message says why."""


class Actor:
    """The actor of Ray around a `Worker`; batches are tables of one row."""

    def __init__(self, task: Task, deaths: Any) -> None:
        self._deaths, self._worker = deaths, Worker(task)

    def __call__(self, table: Any) -> Any:
        import pyarrow
        import ray

        (line,) = table.column("shard").to_pylist()
        shard = Shard(**json.loads(line))
        error = None
        done = Done(shard.number, b"")
        if ray.get(self._deaths.begin.remote(shard.number)) > MOST_DEATHS:
            error = f"{MOST_DEATHS} workers have died at it; is there memory enough for its images?"
        else:
            try:
                done = self._worker.run(shard)
            except Exception as reason:  # of this shard alone
                logger.exception("shard %d", shard.number)  # to Ray's log of the worker
                error = f"{type(reason).__name__}: {reason}"
        row = {"error": error, **asdict(done)}
        schema = pyarrow.schema([
            *(("number", pyarrow.int64()), ("content", pyarrow.large_binary()), ("error", pyarrow.string())),
            *((name, pyarrow.int64()) for name in ("images", "objects", "failed")),
        ])  # fmt: skip
        return pyarrow.Table.from_pylist([row], schema)


class Deaths:
    """Counts how often each shard was begun, in a process of its own."""

    def __init__(self) -> None:
        self._begun: dict[int, int] = {}

    def begin(self, number: int) -> int:
        self._begun[number] = self._begun.get(number, 0) + 1
        return self._begun[number]


def run_shards(shards: Iterator[Shard], task: Task, *, workers: int | None = None) -> Generator[Done | ShardError]:
    """Run shards on workers and give their files as they come, in any order.

    Args:
        shards: to be done.
        task: what is to be done.
        workers: how many; None for one for each processor, by the threads of each.

    Raises:
        ImportError: Ray isn't installed.
        RuntimeError: no worker could begin.
    """
    threads = int(task.options.get("threads", 1))
    with _ray(workers, threads) as ray:
        count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)
        deaths = ray.remote(num_cpus=0)(Deaths).remote()
        while window := list(islice(shards, _WINDOW)):
            lines = [{"shard": json.dumps(asdict(shard))} for shard in window]
            found = ray.data.from_items(lines, override_num_blocks=len(lines)).map_batches(
                Actor,
                batch_size=1,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(size=min(count, len(lines))),
                fn_constructor_args=(task, deaths),
                num_cpus=threads,
            )
            for table in found.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                for row in table.to_pylist():
                    error = row.pop("error")
                    yield Done(**row) if error is None else ShardError(f"shard {row['number']}: {error.strip()}")


@contextmanager
def _ray(workers: int | None, threads: int) -> Iterator[Any]:
    """Start Ray on this machine, or join the cluster that RAY_ADDRESS names; leave it at the end."""
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    ray = require("ray", "--engine ray")
    require("ray.data", "--engine ray")
    was_there = ray.is_initialized()
    if not was_there:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
        if address := os.environ.get(_ADDRESS):
            ray.init(address=address, **quiet)
        else:
            processors = max(os.cpu_count() or 1, (workers or 1) * threads)
            ray.init(address="local", num_cpus=processors, include_dashboard=False, **quiet)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        yield ray
    finally:
        if not was_there:
            ray.shutdown()
