"""The page, its scripts and styles, and the sample pictures that it offers while it is empty."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse

from captioner.files import asset

ASSETS = {  # file: room, media type
    "style.css": ("captioner.visualization", "text/css"),
    "explorer.css": ("captioner.visualization", "text/css"),
    "heat_map.js": ("captioner.visualization", "text/javascript"),
    "explorer.js": ("captioner.visualization", "text/javascript"),
    "page.css": ("captioner.serve", "text/css"),
    "page.js": ("captioner.serve", "text/javascript"),
    "docs.js": ("captioner.serve", "text/javascript"),
}
# What each of data/samples shows, for those who do not see it.
SAMPLES = {
    "chelsea.jpg": "the face of a ginger cat",
    "camera.jpg": "a man with a camera on a tripod",
    "coffee.jpg": "a cup of coffee on a wooden table",
    "astronaut.jpg": "an astronaut in front of a flag",
    "rocket.jpg": "a rocket on its launch pad at night",
}


def sample_pictures() -> dict[str, bytes]:
    """The content of each sample picture by its name; none where they are not installed."""
    package = Path(__file__).parents[1]
    for folder in (package / "samples", package.parent / "data" / "samples"):  # a wheel, a clone
        files = {name: folder / name for name in SAMPLES}
        if all(file.is_file() for file in files.values()):
            return {name: file.read_bytes() for name, file in files.items()}
    return {}


def add_pages(app: FastAPI, samples: Mapping[str, bytes]) -> None:
    """The page, its scripts and styles, the samples, and the description of the API."""
    page, description = (asset("captioner.serve", name) for name in ("page.html", "docs.html"))

    @app.get("/", include_in_schema=False)
    async def index() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(description)

    for name, (room, media_type) in ASSETS.items():
        content = asset(room, name).encode()
        app.add_route(f"/{name}", serve_file(content, media_type), include_in_schema=False)
    for name, content in samples.items():
        give = serve_file(content, "image/jpeg")
        app.add_route(f"/samples/{name}", give, include_in_schema=False)


def serve_file(content: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that gives one file, which was read before: no request ever names a path."""

    async def give(_: Request) -> Response:
        return Response(content, media_type=media_type)

    return give
