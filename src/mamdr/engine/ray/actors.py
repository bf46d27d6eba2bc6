"""Peers in Ray actors, on this machine or on many. The only file that imports Ray."""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import shutil
import socket
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mamdr.engine.ray.peers import Lost, Peer, Pending
from mamdr.errors import ConfigError, MamdrError, TrainingError

try:
    import ray
    from ray import exceptions
except ImportError:  # told of when a cluster is wanted
    _INSTALLED = False
else:
    _INSTALLED = True

_STORE = 128 << 20
"""Bytes of shared memory for what travels on a cluster of this machine alone; what does not fit waits on disk."""


_KNOCK = 5.0
"""Seconds in which a machine must answer that there is someone at an address."""


class _Host:
    """What an actor runs: objects by name, whose methods it calls."""

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}

    def add(self, name: str, make: Callable[..., Any], *args: Any) -> None:
        self.held[name] = make(*args)

    def call(self, name: str, method: str, *args: Any) -> Any:
        return getattr(self.held[name], method)(*args)

    def versions(self) -> dict[str, str]:
        return versions()


class _Answer:
    """An answer of an actor."""

    def __init__(self, peer: ActorPeer, reference: Any) -> None:
        self.peer, self.reference = peer, reference

    def get(self, timeout: float | None = None) -> Any:
        with _told(self.peer):
            return ray.get(self.reference, timeout=timeout)


class ActorPeer:
    """Someone in an actor to ask.

    Args:
        name, life: see `peers`.
        actor: where it lives.
        made: the answer to its being made there.
    """

    def __init__(self, name: str, life: int, actor: Any, made: Any) -> None:
        self.name, self.life, self.actor, self.made = name, life, actor, made

    def ask(self, method: str, *args: Any) -> _Answer:
        with _told(self):
            return _Answer(self, self.actor.call.remote(self.name, method, *args))


class Actors:
    """Starts peers as Ray actors, one processor each, spread over machines. They end with this process.

    Args:
        start_seconds: how long to wait for a place for one.
        together: keep all shards in one process, as suits one machine: each process has 200 MB of libraries to itself.
    """

    def __init__(self, start_seconds: float, *, together: bool = False) -> None:
        self.start_seconds, self.together = start_seconds, together
        self._common: Any = None

    def start(self, name: str, life: int, make: Callable[..., Any], *args: Any) -> ActorPeer:
        shared = self.together and not name.startswith("worker")
        actor = self._common if shared and self._common is not None else _actor()
        if shared:
            self._common = actor
        return ActorPeer(name, life, actor, actor.add.remote(name, make, *args))

    def ready(self, peers: Sequence[Peer]) -> None:
        answers = []
        for peer in peers:
            assert isinstance(peer, ActorPeer)
            answers.append((_Answer(peer, peer.actor.versions.remote()), _Answer(peer, peer.made)))
        for answer, made in answers:
            try:
                found = answer.get(self.start_seconds)
                made.get(self.start_seconds)
            except exceptions.GetTimeoutError as error:
                raise TrainingError(
                    f"{answer.peer.name} has not begun after {self.start_seconds:g} seconds",
                    "a free processor for each shard, for the dense part and for each worker",
                    "Take fewer shards or workers, or let more machines join; `ray status` tells what is free",
                ) from error
            if found != versions():
                raise _other_versions(answer.peer.name, found)

    def first(self, answers: Sequence[Pending]) -> int:
        references = [answer.reference for answer in answers if isinstance(answer, _Answer)]
        done, _ = ray.wait(references, num_returns=1)
        return references.index(done[0])

    def stop(self, peer: Peer) -> None:
        assert isinstance(peer, ActorPeer)
        if peer.actor is self._common:
            self._common = None  # who lived there and is not gone yet is found lost, and started elsewhere
        with contextlib.suppress(exceptions.RayError, ValueError):
            ray.kill(peer.actor)


def _actor() -> Any:
    kind = ray.remote(_Host)
    return kind.options(num_cpus=1, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD").remote()


def versions() -> dict[str, str]:
    """What must be the same on all machines for results to be."""
    import torch

    import mamdr

    return {"mamdr": mamdr.__version__, "torch": torch.__version__, "python": platform.python_version()}


@contextlib.contextmanager
def cluster(address: str | None, processes: int, start_seconds: float) -> Iterator[Actors]:
    """Join a cluster, or start one on this machine, and leave nothing of it behind.

    Args:
        address: of a running cluster ("auto" finds one that runs on this machine); None starts one here.
        processes: how many actors there will be.
        start_seconds: how long to wait for a place for one.

    Raises:
        ConfigError: Ray is not installed, nobody answers there, or someone with another version of Ray or Python.
    """
    if not _INSTALLED:
        raise ConfigError("Ray is not installed", "the extra mamdr[ray]", "pip install 'mamdr[ray]'")
    if ray.is_initialized():
        yield Actors(start_seconds)
        return
    if address is not None:
        _knock(address)
    folder = None if address else tempfile.mkdtemp(prefix="mamdr-ray-")
    try:
        _prepare(own=address is None)
        _join(address, processes, folder)
        yield Actors(start_seconds, together=address is None)
    finally:
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _knock(address: str) -> None:
    """Find out at once what Ray would find out after two minutes: that nobody is there."""
    host, _, port = address.rpartition(":")
    if address == "auto":
        return
    try:
        if not host or "/" in address:
            raise ValueError("no HOST:PORT")
        socket.create_connection((host, int(port)), _KNOCK).close()
    except (OSError, ValueError) as error:
        raise _nobody(address, error) from error


def _nobody(address: str | None, error: Exception) -> ConfigError:
    return ConfigError(
        f"no Ray cluster answers at {address or 'this machine'} ({_line(error)})",
        "HOST:PORT of a machine where `ray start --head` runs",
        "Check the address, the network and RAY_AUTH_TOKEN; without --address one is started here",
    )


def _join(address: str | None, processes: int, folder: str | None) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    here = {
        "num_cpus": processes,
        "include_dashboard": False,
        "object_store_memory": _STORE,
        "_temp_dir": folder,
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(**quiet, **({"address": address} if address else here))
        if address is None:
            _spare()
    except (ConnectionError, TimeoutError, ValueError, OSError) as error:
        raise _nobody(address, error) from error
    except RuntimeError as error:
        raise ConfigError(
            f"the cluster at {address} does not fit this process ({_line(error)})",
            "the same versions of Ray and Python on every machine",
            "Install the same everywhere",
        ) from error


def _prepare(*, own: bool) -> None:
    """Set what Ray reads when it starts: nothing is reported to anyone, and a token keeps others out.

    Ray keeps a process's first token, and would write one into the user's home where there is none.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if own and not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _spare() -> None:
    """End two of Ray's own processes, of 50 MB each, that a cluster of one machine has no use for: the one that looks
    for machines to add, and the one that reads logs for a driver that does not want them."""
    node = getattr(getattr(ray, "_private", None), "worker", None)
    node = getattr(node, "_global_node", None)
    for end in ("kill_monitor", "kill_log_monitor"):
        if (method := getattr(node, end, None)) is not None:
            method(check_alive=False)


@contextlib.contextmanager
def _told(peer: ActorPeer) -> Iterator[None]:
    """What Ray says of a death, in our words; and what the work itself raised, as it was raised."""
    try:
        yield
    except exceptions.RayTaskError as error:
        if isinstance(error.cause, Lost | MamdrError):
            raise error.cause from None
        raise
    except (exceptions.RayActorError, exceptions.ObjectLostError, exceptions.OutOfMemoryError) as error:
        raise Lost(peer.name, peer.life, _line(error)) from None


def _other_versions(name: str, found: dict[str, str]) -> ConfigError:
    here = versions()
    apart = [f"{what} {version}" for what, version in found.items() if version != here[what]]
    mine = [f"{what} {here[what]}" for what, version in found.items() if version != here[what]]
    return ConfigError(
        f"{name} runs on a machine with {', '.join(apart)}",
        ", ".join(mine),
        "Install the same on every machine",
    )


def _line(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
