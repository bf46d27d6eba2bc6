"""`mamdr serve` and `mamdr keys`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from mamdr.config import parse
from mamdr.errors import ConfigError
from mamdr.serving.keys import Keys, Role, check_open, line, make_key
from mamdr.serving.options import VARIABLE, ServeOptions


def serve(
    registry: Annotated[Path, typer.Argument(help="The registry's folder.")],
    features: Annotated[
        list[Path], typer.Option("--features", help="A feature storage; again for that of other data.")
    ],
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option("--workers", help="Processes, a thread and a core each.")] = 1,
    keys: Annotated[Path | None, typer.Option("--keys", help="File of hashed keys; see mamdr keys.")] = None,
    redis: Annotated[
        str | None,
        typer.Option(
            "--redis", envvar="MAMDR_REDIS", help="URL of a Redis that keeps the storages' updates."
        ),
    ] = None,
    events: Annotated[Path | None, typer.Option("--events", help="Folder for exposures and clicks.")] = None,
    cache_mb: Annotated[int, typer.Option("--cache-mb", help="Megabytes of merged parts a worker.")] = 256,
    rate: Annotated[
        float, typer.Option("--rate", help="Requests a second for a key; 0 for no limit.")
    ] = 1000,
    burst: Annotated[int, typer.Option("--burst", help="Requests for a key at once.")] = 200,
    body_kb: Annotated[int, typer.Option("--body-kb", help="Largest body of a request.")] = 1024,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds that an answer may take.")] = 5.0,
    poll: Annotated[float, typer.Option("--poll", help="Seconds between looks at the registry.")] = 0.5,
    onboard: Annotated[
        bool, typer.Option("--onboard/--no-onboard", help="Train domains that are added.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="Log failures alone.")] = False,
) -> None:
    """Serve scores and recommendations over HTTP until interrupted.

    Example: mamdr serve registry --features features --keys keys.txt --port 8000 --workers 2
    """
    options = parse(
        ServeOptions,
        {
            "registry": str(registry), "features": tuple(map(str, features)), "workers": workers,
            "keys": str(keys) if keys else None, "redis": redis, "events": str(events) if events else None,
            "cache_mb": cache_mb, "rate": rate, "burst": burst, "body_kb": body_kb, "timeout": timeout,
            "poll": poll, "onboard": onboard, "log": not quiet,
        },
        "serve",
    )  # fmt: skip
    check_open(Keys.load(options.keys_file), host)
    run = _uvicorn()
    os.environ[VARIABLE] = options.to_environment()
    with tempfile.TemporaryDirectory(prefix="mamdr-metrics-") as counters:
        if workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = counters
        from mamdr.serving.app import from_environment

        app = from_environment()  # what is wrong is told in one line, before a port is open
        if workers > 1:
            app.state.desk.close()
        run(
            app if workers == 1 else "mamdr.serving.app:from_environment", factory=workers > 1, host=host,
            port=port, workers=workers, access_log=False, log_level="warning", timeout_graceful_shutdown=10,
            server_header=False,
        )  # fmt: skip


def keys(
    role: Annotated[str, typer.Option("--role", help="reader or admin.")] = "reader",
    name: Annotated[str, typer.Option("--name", help="Whose key it is, for the log.")] = "client",
    given: Annotated[bool, typer.Option("--stdin", help="Hash a key that is read from stdin.")] = False,
) -> None:
    """Draw a key: its line for the file of keys goes to stdout, the key itself, once, to stderr.

    Example: mamdr keys --role admin --name console >> keys.txt
    """
    if role not in ("reader", "admin"):
        raise ConfigError(f"--role {role}", "reader or admin", "Choose one of them")
    wanted: Role = "admin" if role == "admin" else "reader"
    key = typer.get_text_stream("stdin").readline().strip() if given else make_key()
    typer.echo(line(wanted, name, key))
    if not given:
        typer.echo(f"The key, shown this once: {key}", err=True)


def _uvicorn() -> Callable[..., None]:
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise ConfigError(
            f"{error.name} is not installed",
            "the extra for serving",
            'Install it: pip install "mamdr[serve]"',
        ) from error
    return uvicorn.run
