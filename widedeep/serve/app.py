"""The HTTP API, and the page that uses it."""

from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import orjson
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline

from widedeep.common.errors import InputError
from widedeep.schema.recommendations import Recommendation
from widedeep.serve import answers
from widedeep.serve.catalogue import MAX, MIN, NOT, Catalogue
from widedeep.serve.guard import App, Guard
from widedeep.serve.model_lists import XML_TYPES, ListQuery, ModelLists, PersonalList
from widedeep.serve.service import BusyError, Service
from widedeep.serve.snapshot import Snapshot

PAGE = Path(__file__).parent / "page"
DOCS = "/docs"
MOST_TITLE, MOST_FOUND = 200, 500  # characters of a search, and its results before some are left out
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": answers.ErrorAnswer, "description": description}
    for status, description in {
        422: "something that was given is wrong",
        503: "too many requests wait, or the answer took too long",
    }.items()
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": answers.ErrorAnswer, "description": "there is no such item"}
}

NextPart = Annotated[bool, Query(description="leave out items whose predecessor the person has not seen")]
FranchiseMost = Annotated[int | None, Query(ge=1, le=1000, description="most items of one franchise")]
IncludeHidden = Annotated[bool, Query(description="do not leave out what is hidden by default")]
IgnoreBelow = Annotated[
    float | None, Query(allow_inf_nan=False, description="lower ratings only say that the item was seen")
]
Title = Annotated[str, Query(min_length=1, max_length=MOST_TITLE, description="a title, or the beginning of one")]
# Parameters of lists that are no filters.
OWN_PARAMETERS = ("n", "next_part_only", "franchise_most", "include_hidden", "ignore_below")


def make_app(service: Service) -> App:
    """Return the application."""
    app = FastAPIOffline(
        docs_url=DOCS,
        redoc_url=None,
        title="widedeep",
        description="Recommendations for the users of a data set, and for anybody by their own ratings.",
        version="1",
        responses=ERRORS,
    )
    _add_user_lists(app, service)
    _add_rating_lists(app, service)
    _add_items(app, service)
    _add_state(app, service)
    _add_errors(app)
    app.mount("/static", StaticFiles(directory=PAGE), name="static")
    app.add_api_route("/", lambda: FileResponse(PAGE / "index.html"), include_in_schema=False)
    config = service.config
    headers = partial(headers_of, pictures=config.posters)
    return Guard(app, service.meters, headers, int(config.body_mb * 1e6), config.timeout_seconds)


def headers_of(path: str, pictures: bool) -> dict[str, str]:
    """Return the headers of all answers to a path: pages load nothing from elsewhere, but `pictures` if wanted."""
    inline = " 'unsafe-inline'" if path.startswith(DOCS) else ""  # the page of the API's documents is written so
    elsewhere = " https:" if pictures else ""
    policy = f"default-src 'self'{inline}; img-src 'self' data:{elsewhere}; base-uri 'none'; form-action 'self'"
    return {
        "Content-Security-Policy": f"{policy}; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }


def _length(service: Service) -> Any:
    return Query(10, ge=1, le=service.config.most_items, description="number of items")


# --- lists ---------------------------------------------------------------------------------------


def _add_user_lists(app: FastAPI, service: Service) -> None:
    length = _length(service)
    filters = {"parameters": filter_parameters(service.snapshot.catalogue)}

    @app.get("/users/{user_id:path}/recommendations", response_model=answers.ListAnswer, openapi_extra=filters)
    async def list_of_user(
        request: Request,
        user_id: str,
        n: int = length,
        next_part_only: NextPart = False,
        franchise_most: FranchiseMost = None,
        include_hidden: IncludeHidden = False,
    ) -> Response:
        """Return the list of a user of the data; people whom the data does not know get the most rated items."""
        snapshot = service.snapshot
        identifier = snapshot.model.artifact.ids.parse(user_id, "user")
        query = query_of(snapshot, request, n, next_part_only, franchise_most, include_hidden)
        personal = await service.list_of_user(snapshot, identifier, query)
        service.meters.lists.labels(personal.source).inc()
        return as_json(list_answer(snapshot, personal, identifier))


def _add_rating_lists(app: FastAPI, service: Service) -> None:
    length = _length(service)
    body = {"parameters": filter_parameters(service.snapshot.catalogue), "requestBody": rating_body()}

    @app.post("/recommendations", response_model=answers.ListAnswer, openapi_extra=body)
    async def list_by_ratings(
        request: Request,
        n: int = length,
        next_part_only: NextPart = False,
        franchise_most: FranchiseMost = None,
        include_hidden: IncludeHidden = False,
        ignore_below: IgnoreBelow = None,
    ) -> Response:
        """Return a list by given ratings, or by a list that MyAnimeList exported (XML, also packed by gzip)."""
        snapshot, content = service.snapshot, await request.body()
        query = query_of(snapshot, request, n, next_part_only, franchise_most, include_hidden)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()

        personal = await service.ask_model(snapshot, ModelLists.for_ratings, content, kind, query, ignore_below)
        service.meters.lists.labels(personal.source).inc()
        return as_json(list_answer(snapshot, personal, None))


def query_of(
    snapshot: Snapshot, request: Request, n: int, next_part_only: bool, franchise_most: int | None, include_hidden: bool
) -> ListQuery:
    """Return what a list is to hold; raise InputError if a filter is wrong."""
    filters = [pair for pair in request.query_params.multi_items() if pair[0] not in OWN_PARAMETERS]
    allowed = snapshot.catalogue.allowed(filters)
    return ListQuery(n, allowed if include_hidden else allowed & ~snapshot.hidden, next_part_only, franchise_most)


def list_answer(snapshot: Snapshot, personal: PersonalList, user_id: int | str | None) -> dict[str, Any]:
    """Return a `ListAnswer`."""
    own = personal.own
    return {
        "user_id": user_id,
        "known": personal.known,
        "source": personal.source,
        "recommendations": [_row(snapshot, rank, row) for rank, row in enumerate(personal.rows, start=1)],
        "used_ratings": None if own is None else len(own.items),
        "remarks": () if own is None else own.remarks,
        "not_found": () if own is None else own.not_found,
    }


def _row(snapshot: Snapshot, rank: int, row: Recommendation) -> dict[str, Any]:
    """Return a `RecommendedItem`."""
    return {
        "rank": rank,
        "affinity": row.affinity,
        "predicted_rating": row.predicted_rating,
        "reasons": [reason.model_dump() for reason in row.reasons or ()],
        "item": snapshot.catalogue.shown[snapshot.model.item_of[row.item_id]],
    }


# --- items ---------------------------------------------------------------------------------------


def _add_items(app: FastAPI, service: Service) -> None:
    length = _length(service)

    @app.get("/items/search", response_model=answers.SearchAnswer)
    async def search(q: Title, n: int = length, include_hidden: IncludeHidden = False) -> Response:
        """Return the items whose titles, in any language, are like a text; small errors of typing are forgiven."""
        snapshot = service.snapshot
        found = await service.run(partial(snapshot.model.titles.search, q, MOST_FOUND))
        shown = [item for item in found if include_hidden or not snapshot.hidden[item]][:n]
        return as_json({"items": [snapshot.catalogue.shown[item] for item in shown]})

    @app.get("/items/filters", response_model=answers.FiltersAnswer)
    async def filters() -> Response:
        """Return what lists can be filtered by."""
        snapshot = service.snapshot
        answer = answers.FiltersAnswer(filters=snapshot.catalogue.filters, hidden=snapshot.hidden_values)
        return as_json(answer.model_dump())

    @app.get("/items/{item_id:path}/similar", response_model=answers.SimilarAnswer, responses=NOT_FOUND)
    async def similar(item_id: str, n: int = length, include_hidden: IncludeHidden = False) -> Response:
        """Return the items whose learnt vectors are most like that of an item."""
        snapshot = service.snapshot
        item = item_of(snapshot, item_id)
        allowed = None if include_hidden or snapshot.hidden[item] else ~snapshot.hidden
        return as_json(await service.run(partial(similar_answer, snapshot, item, n, allowed)))

    @app.get("/items/{item_id:path}", response_model=answers.Item, responses=NOT_FOUND)
    async def item(item_id: str) -> Response:
        """Return an item."""
        snapshot = service.snapshot
        return as_json(snapshot.catalogue.shown[item_of(snapshot, item_id)])


def item_of(snapshot: Snapshot, item_id: str) -> int:
    """Return the item index of an identifier; raise HTTPException if the data does not have it."""
    item = snapshot.model.item_of.get(snapshot.model.artifact.ids.parse(item_id, "item"))
    if item is None:
        raise HTTPException(
            404, f"item {item_id[:100]} is not among the {len(snapshot.model.item_of):,} items of the data"
        )
    return item


def similar_answer(snapshot: Snapshot, item: int, n: int, among: np.ndarray | None) -> dict[str, Any]:
    """Return a `SimilarAnswer`."""
    near = snapshot.model.neighbours("items", item, n, 1, among)
    shown = snapshot.catalogue.shown
    similar = [{"cosine": one.cosine, "item": shown[snapshot.model.item_of[one.id]]} for one in near]
    return {"item": shown[item], "similar": similar}


# --- state ---------------------------------------------------------------------------------------


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/health", response_model=answers.HealthAnswer)
    async def health() -> Response:
        """Return what the server answers with."""
        snapshot = service.snapshot
        model, lists = snapshot.model.artifact.sha256, snapshot.lists.manifest.model
        return as_json({"status": "ok", "model": model, "lists": lists, "loaded_at": snapshot.loaded_at})

    @app.get("/model", response_model=answers.ModelAnswer)
    async def model() -> Response:
        """Return what the model is and how good it is."""
        return as_json(model_answer(service.snapshot))

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Return the server's counters in the format of Prometheus."""
        return PlainTextResponse(service.meters.text())


def model_answer(snapshot: Snapshot) -> dict[str, Any]:
    """Return a `ModelAnswer`."""
    artifact, scale = snapshot.model.artifact, snapshot.model.artifact.scale
    return {
        "name": artifact.config.name,
        "sha256": artifact.sha256,
        "data_digest": artifact.manifest_digest,
        "dataset": snapshot.model.trained.manifest.dataset.name,
        "users": len(artifact.user_id),
        "items": len(artifact.item_id),
        "train_ratings": int(artifact.user_ratings.sum()),
        **{name: getattr(scale, name) for name in ("lowest", "highest", "step", "liked")},
        "answers_ratings": artifact.model.encodes_histories,
        "lists_of_this_model": snapshot.lists_of_this_model,
        "metrics": snapshot.metrics,
    }


# --- errors, and what FastAPI cannot know --------------------------------------------------------


def _add_errors(app: FastAPI) -> None:
    """Answer every error with a sentence."""

    @app.exception_handler(InputError)
    async def wrong_input(_: Request, error: InputError) -> Response:
        return JSONResponse({"detail": str(error)}, 422)

    @app.exception_handler(RequestValidationError)
    async def wrong_parameter(_: Request, error: RequestValidationError) -> Response:
        return JSONResponse({"detail": answers.sentence(error.errors())}, 422)

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> Response:  # it is raised again, for the log
        return JSONResponse({"detail": "the server failed; its log says why"}, 500)

    @app.exception_handler(BusyError)
    @app.exception_handler(TimeoutError)
    @app.exception_handler(BrokenProcessPool)
    async def busy(_: Request, __: Exception) -> Response:
        return JSONResponse({"detail": "the server is busy: ask again in a second"}, 503, {"Retry-After": "1"})


def as_json(answer: object) -> Response:
    """Return an answer as JSON; orjson is ten times as fast as what FastAPI does with a model, which tests do."""
    return Response(orjson.dumps(answer), media_type="application/json")


def filter_parameters(catalogue: Catalogue) -> list[dict[str, Any]]:
    """Return the OpenAPI parameters of the filters, which depend on the columns of the data."""
    parameters = []
    for one in catalogue.filters:
        if one.kind == "choice":
            texts = {"type": "array", "items": {"type": "string"}}
            parameters += [(f"{prefix}{one.name}", texts) for prefix in ("", NOT)]
        else:
            parameters += [(f"{one.name}{suffix}", {"type": "number"}) for suffix in (MIN, MAX, "")]
    return [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in parameters]


def rating_body() -> dict[str, Any]:
    """Return the OpenAPI body of `POST /recommendations`, which FastAPI does not see: a process reads it."""
    schema = answers.GivenRatings.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = schema.pop("$defs")
    schema["properties"]["ratings"]["items"] = definitions["GivenRating"]
    content = {"application/json": {"schema": schema}}
    content |= {kind: {"schema": {"type": "string", "format": "binary"}} for kind in XML_TYPES}
    return {"required": True, "content": content}
