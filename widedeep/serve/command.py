"""The command that serves lists over HTTP, and the page that shows them.

widedeep serve --run-dir runs/NAME
"""

import signal
import socket
import sys
from collections.abc import Sequence

import torch

from widedeep.common.command import load_config
from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.config.serve import ServeConfig

SWITCH_SECONDS = 5e-4  # how long a thread that computes may keep the others waiting; Python's default is ten times that
SHUTDOWN_SECONDS = 10  # for answers that are under way
IDLE_SECONDS = 15  # a connection without a request is kept


def main(argv: Sequence[str]) -> None:
    """Serve until the process is asked to stop: parse, build, run, close."""
    config = load_config(ServeConfig, argv, "serve")
    try:
        import uvicorn

        from widedeep.serve.app import make_app
        from widedeep.serve.service import Service
    except ImportError as error:
        raise InputError(f"serving needs FastAPI and others: pip install -e '.[serve]' ({error})") from None
    torch.set_num_threads(1)  # requests share the cores, and the threads of one only wait for each other
    sys.setswitchinterval(SWITCH_SECONDS)
    with listen(config.host, config.port) as opened:
        service = Service(config)
        settings = uvicorn.Config(
            make_app(service),
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=config.most_connections,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        server = uvicorn.Server(settings)

        def stop(*_: object) -> None:
            """Stop a server that does not run yet. One that has run raises the signal again, which is no failure."""
            if not server.should_exit:
                sys.exit()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        address = f"http://{config.host}:{opened.getsockname()[1]}"
        try:
            service.start()
            log.info(
                "ready: the page is %s, the API's documents are %s/docs; Ctrl-C stops the server", address, address
            )
            server.run([opened])
        finally:
            service.close()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raise InputError if the address cannot be had."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise InputError(
            f"--host {host} --port {port}: {error.strerror or error}: choose others; --port 0 takes a free one"
        ) from None
