"""captioner serve: the web page on this machine."""

import socket
from typing import Annotated

import typer

from captioner.cli import options
from captioner.cli.help_pages import SERVER, examples
from captioner.cli.printable import print_warning
from captioner.errors import CaptionerError

EXAMPLES = examples("captioner serve", "captioner serve --port 0 --checkpoint runs/tuned")


def serve(
    host: Annotated[
        str,
        typer.Option(
            help="The address to listen on; 0.0.0.0 lets other machines in.",
            metavar="ADDRESS",
            rich_help_panel=SERVER,
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, help="0 takes any that is free.", metavar="N", rich_help_panel=SERVER
        ),
    ] = 8000,
    fetch: Annotated[
        bool | None,
        typer.Option(
            "--fetch/--no-fetch",
            help="Whether the page may fetch pictures from public web addresses.",
            show_default="only where no other machine gets in",
            rich_help_panel=SERVER,
        ),
    ] = None,
    checkpoint: options.Checkpoint = None,
    device: options.Device = None,
    runtime: options.Runtime = None,
) -> None:
    """Serve a web page and a JSON API until Ctrl-C.

    The page, the API's description under /docs and the model are all on this machine: nothing is
    loaded from elsewhere but a picture whose address you enter, and no picture is kept. Needs the
    extra `web`.
    """
    try:
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401

        from captioner.serve.app import create_app
        from captioner.serve.connections import create_server
        from captioner.serve.fetching import is_loopback
        from captioner.serve.limits import Limits
    except ImportError as error:
        raise CaptionerError(
            f"the web page needs more packages ({error.name} is missing): pip install "
            "'.[web]' in the folder that captioner was installed from"
        ) from error

    from captioner.api import Captioner

    listening = listen(host, port)
    model = Captioner.load(checkpoint, device, runtime=runtime)
    shown = f"[{host}]" if ":" in host else host
    print(f"http://{shown}:{listening.getsockname()[1]}", flush=True)
    alone = is_loopback(host)
    if not alone:
        print_warning("other machines can reach this")
    limits = Limits()
    fetches = alone if fetch is None else fetch
    server = create_server(create_app(model, host=host, limits=limits, fetches=fetches), limits)
    server.run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; CaptionerError where there is no such address or the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise CaptionerError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; "
            "choose another --port or --host"
        ) from error
