"""The processes of a training: told to end in time, and one for each device where there are several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.precision.amp import MixedPrecision
from lightning_fabric.strategies.ddp import DDPStrategy

from reperfuse.core.errors import Refusal

# What Slurm sends before it kills: at the time limit and before another job takes the node, or as `--signal` says.
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
TOLD_TO_END = 128 + signal.SIGTERM


@contextmanager
def told(then: Callable[[int], Any]) -> Iterator[None]:
    """Call a function, and go on, when the process is told to end."""
    if threading.current_thread() is not threading.main_thread():  # no other may listen to signals
        yield
        return
    before = {one: signal.signal(one, lambda number, _: then(number)) for one in SIGNALS}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def fabric_of(device: str, devices: int, precision: Any) -> Fabric:
    """Return what knows devices and precision; what a cluster's scheduler sets in the environment is not for it."""
    plugins: list[Any] = [LightningEnvironment()]
    if precision == "16-mixed":  # by name, Fabric would take bfloat16 for it on the CPU
        plugins, precision = [*plugins, MixedPrecision(precision, device)], None
    # Buffers are the loop's business: a device without a sample takes no part in the network's own exchange.
    several = DDPStrategy(start_method="spawn", forward_sync_buffers=False)
    return Fabric(
        accelerator=device,
        devices=devices,
        strategy=several if devices > 1 else "auto",
        precision=precision,
        plugins=plugins,
    )


def launch(function: Callable[[Fabric, Any], Any], fabric: Fabric, task: Any) -> Any:
    """Call ``function(fabric, task)`` in one process for each device and return what the first one returns.

    The processes are new ones, since a GPU that is in use does not survive a fork: ``task`` is sent to them, and its
    class must be one that can be imported.

    Raises
    ------
    Refusal, SystemExit
        What was raised there.
    """
    ended: list[int] = []

    def pass_on(number: int) -> None:
        ended.append(number)
        for process in multiprocessing.active_children():
            if process.pid:
                os.kill(process.pid, number)

    log = str(getattr(sys.stdout, "name", ""))
    port = os.environ.get("MASTER_PORT")
    try:
        with told(pass_on), _unseen_script():
            kind, value = fabric.launch(partial(_work, function=function, task=task, log=log))
    except Exception:
        if ended:  # told before it could listen
            raise SystemExit(TOLD_TO_END) from None
        raise
    finally:
        if port is None:
            os.environ.pop("MASTER_PORT", None)
    if kind == "refused":
        raise Refusal(value["code"], value["path"], **value["values"])
    if kind == "told":
        raise SystemExit(TOLD_TO_END)
    return value


def _work(fabric: Fabric, *, function: Callable[[Fabric, Any], Any], task: Any, log: str) -> tuple[str, Any]:
    if Path(log).is_file():  # a job's log, which a new process does not know
        sys.stdout = sys.stderr = open(log, "a", buffering=1, encoding="utf-8")  # noqa: SIM115 (until the end)
    for tensor in chain(task.module.parameters(), task.module.buffers()):
        tensor.data = tensor.data.clone()  # sent by sharing memory, and each process needs its own
    try:
        return "done", function(fabric, task)
    except Refusal as refusal:
        return "refused", refusal.fault.as_dict()
    except SystemExit:
        return "told", None


@contextmanager
def _unseen_script() -> Iterator[None]:
    """Hide which script is running: new processes would run it from the start, as theirs."""
    main = sys.modules["__main__"]
    file = main.__dict__.pop("__file__", None) if getattr(main, "__spec__", None) is None else None
    try:
        yield
    finally:
        if file is not None:
            main.__file__ = file
