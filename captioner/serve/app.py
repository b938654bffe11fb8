"""The web application: the page, the JSON API and its description."""

import re
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends, FastAPI, File, Form, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from pydantic import Field
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from captioner.api import Captioner
from captioner.config.settings import MAX_SEED, DecodingConfig
from captioner.errors import CaptionerError
from captioner.serve import schemas
from captioner.serve.fetching import PictureFetcher
from captioner.serve.inference import InferenceService
from captioner.serve.limits import Guard, Limits, Refusal
from captioner.serve.pages import SAMPLES, add_pages, sample_pictures
from captioner.serve.picture_decoder import Prepared
from captioner.version import __version__
from captioner.visualization.explorer import write_explorer

Image = Annotated[UploadFile, File(description="A picture in a usual format, such as JPEG or PNG")]
Question = Annotated[str, Field(min_length=1, max_length=500)]
Address = Annotated[str, Field(max_length=2000, description="http:// or https://")]
MOST_QUESTIONS = 20  # in one explorer
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.Error, "description": text}
    for status, text in {
        400: "No picture that can be read, or settings that make no sense.",
        408: "The request did not arrive in time.",
        413: "Too many bytes or pixels.",
        422: "A field is missing or out of its range.",
        429: "Too many requests at once; Retry-After says when to try again.",
        501: "This checkpoint has not learned it.",
        504: "The answer took too long.",
    }.items()
}


class MemoryParser(MultiPartParser):
    """Uploads stay in memory, where Guard bounds them: 0 means that none is spooled to disk."""

    spool_max_size = 0


class FormRoute(APIRoute):
    """Reads forms with MemoryParser, and no others: FastAPI's own might take seconds for those."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def read_form(request: Request) -> Response:
            form = FormData()
            if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
                try:
                    form = await MemoryParser(request.headers, request.stream()).parse()
                except MultiPartException as error:
                    raise Refusal(400, f"the form cannot be read: {error.message}") from error
            request._form = form  # where request.form() keeps it
            return await handle(request)

        return read_form


def create_app(
    model: Captioner,
    *,
    host: str = "127.0.0.1",
    limits: Limits | None = None,
    fetches: bool = False,
) -> Any:
    """The ASGI application over a model.

    host: the name it is reached by, beside localhost; fetches: whether it may fetch pictures from
    public web addresses, which else no request makes it do.
    """
    limits = limits or Limits()
    service = InferenceService(model, limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.close()

    app = FastAPIOffline(  # which has Swagger UI's files in it
        title="captioner",
        version=__version__,
        summary="Says what is in a photograph, and shows where it looked for every word.",
        docs_url=None,  # FastAPI's page has its script in it, which the security policy forbids
        redoc_url=None,
        static_url="/swagger",
        lifespan=lifespan,
    )
    app.router.route_class = FormRoute
    samples = sample_pictures()
    add_pages(app, samples)
    add_about(app, model, limits, list(samples), fetches=fetches)
    add_answering(app, model, service)
    add_captioning(app, model, service)
    if fetches:
        add_fetching(app, PictureFetcher(service, limits))
    add_error_handlers(app)
    return Guard(app, limits=limits, host=host)


def add_about(
    app: FastAPI, model: Captioner, limits: Limits, samples: Sequence[str], *, fetches: bool
) -> None:
    """/api/about."""

    @app.get("/api/about", summary="What this server can do")
    async def about() -> schemas.About:
        decoding = model.decoding
        return schemas.About(
            version=__version__,
            writes=model.can_caption,
            answers=model.can_answer,
            decoding=schemas.Decoding(
                beam_size=decoding.beam_size,
                num_captions=decoding.num_captions,
                max_words=decoding.max_words,
            ),
            max_bytes=limits.upload_bytes,
            max_pixels=limits.pixels,
            fetches=fetches,
            samples=[
                schemas.Sample(address=f"/samples/{name}", text=SAMPLES[name]) for name in samples
            ],
        )


def add_answering(app: FastAPI, model: Captioner, service: InferenceService) -> None:
    """/api/answer."""

    @app.post("/api/answer", summary="Answer a question about a picture", responses=ERRORS)
    async def answer(image: Image, question: Annotated[Question, Form()]) -> schemas.Answer:
        require_answers(model)
        prepared = await prepare(service, image, preview=False)
        result = await service.run(prepared, None, [question])
        return schemas.Answer.model_validate(result.answers[0])


def add_fetching(app: FastAPI, fetcher: PictureFetcher) -> None:
    """/api/fetch, which the page uses for a picture of which it has the address."""

    @app.post(
        "/api/fetch",
        summary="Fetch a picture from a public web address",
        responses=ERRORS,
        response_class=Response,
    )
    async def fetch(address: Annotated[Address, Form()]) -> Response:
        return Response(await fetcher.fetch(address), media_type="application/octet-stream")


def add_captioning(app: FastAPI, model: Captioner, service: InferenceService) -> None:
    """/api/caption and /api/explorer, which take decoding options."""
    Decoding = Annotated[DecodingConfig, Depends(decoding_form(model))]

    @app.post("/api/caption", summary="Caption a picture", responses=ERRORS)
    async def caption(
        image: Image,
        decoding: Decoding,
        attention: Annotated[bool, Form(description="reply with a map for each word")] = False,
        runners_up: Annotated[
            bool, Form(description="reply with the most probable other words for each word")
        ] = False,
        preview: Annotated[bool, Form(description="reply with the picture, small")] = False,
    ) -> schemas.Captions:
        if not model.can_caption:
            raise Refusal(501, "this checkpoint writes no captions; choose one trained on them")
        prepared = await prepare(service, image, preview=preview)
        result = await service.run(prepared, decoding, attention=attention, runners_up=runners_up)
        return schemas.Captions.model_validate(
            {"captions": result.captions, "picture": prepared.preview}
        )

    @app.post(
        "/api/explorer",
        summary="One HTML file to explore captions and answers in, which needs no server",
        responses=ERRORS,
        response_class=HTMLResponse,
    )
    async def explorer(
        image: Image,
        decoding: Decoding,
        question: Annotated[list[Question] | None, Form(max_length=MOST_QUESTIONS)] = None,
    ) -> HTMLResponse:
        questions = question or []
        if questions:
            require_answers(model)
        prepared = await prepare(service, image, preview=True)
        result = await service.run(
            prepared,
            decoding if model.can_caption else None,
            questions,
            attention=True,
            runners_up=True,
        )
        record = {
            "name": image.filename or "picture",
            "picture": prepared.preview,
            "captions": result.captions,
            "answers": result.answers,
        }
        attachment = {"Content-Disposition": 'attachment; filename="explorer.html"'}
        return HTMLResponse(write_explorer([record]), headers=attachment)


def decoding_form(model: Captioner) -> Callable[..., DecodingConfig]:
    """The model's decoding with the fields of a form in its place."""

    def choose_decoding(
        beam_size: Annotated[int | None, Form(ge=1, le=10)] = None,
        num_captions: Annotated[int | None, Form(ge=1, le=5)] = None,
        max_words: Annotated[int | None, Form(ge=1, le=40)] = None,
        temperature: Annotated[
            float | None,
            Form(ge=0.1, le=5, description="draw the words at random instead of searching"),
        ] = None,
        seed: Annotated[int | None, Form(ge=0, le=MAX_SEED)] = None,
    ) -> DecodingConfig:
        given = {
            "beam_size": beam_size,
            "num_captions": num_captions,
            "max_words": max_words,
            "temperature": temperature,
            "seed": seed,
        }
        changes: dict[str, Any] = {
            name: value for name, value in given.items() if value is not None
        }
        return replace(model.decoding, **changes, sample=temperature is not None)

    return choose_decoding


async def prepare(service: InferenceService, image: UploadFile, *, preview: bool) -> Prepared:
    """Read an upload and decode its picture."""
    content = await image.read()
    await image.close()  # and its copy of the bytes is gone
    return await service.prepare(content, preview=preview)


def require_answers(model: Captioner) -> None:
    """Refuse a question to a checkpoint that answers none."""
    if not model.can_answer:
        raise Refusal(501, "this checkpoint answers no questions; choose one trained on them")


def add_error_handlers(app: FastAPI) -> None:
    """Whatever goes wrong, the client gets {"error": one line}."""

    def reply(status: int, message: str) -> JSONResponse:
        return JSONResponse({"error": re.sub(r"\s+", " ", message)}, status)

    @app.exception_handler(Refusal)
    async def refused(_: Request, error: Refusal) -> JSONResponse:
        return reply(error.status, str(error))

    @app.exception_handler(CaptionerError)
    async def bad_input(_: Request, error: CaptionerError) -> JSONResponse:
        return reply(400, str(error))

    @app.exception_handler(RequestValidationError)
    async def bad_fields(_: Request, error: RequestValidationError) -> JSONResponse:
        found = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())
        return reply(422, found)

    @app.exception_handler(HTTPException)
    async def bad_request(_: Request, error: HTTPException) -> JSONResponse:
        return reply(error.status_code, str(error.detail))

    @app.exception_handler(Exception)
    async def broken(_: Request, error: Exception) -> JSONResponse:
        return reply(500, "the server failed on this; its log says how")
