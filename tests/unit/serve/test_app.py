"""The API, asked in this process, against what the model and the stored lists say."""

import gzip
import json
import re
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.builders import COLD, PLAYS
from tests.serving import BY_INDEX, ITEMS, STORED, USERS, Outputs, export, fit, make_outputs, store_lists
from widedeep.common.errors import InputError
from widedeep.recommendations import recommendations_of
from widedeep.schema.manifest import HIDDEN_MANIFEST, SPLITS
from widedeep.schema.recommendations import RecommendationManifest
from widedeep.serve import answers
from widedeep.serve.app import make_app
from widedeep.serve.model_lists import ListQuery, ModelLists
from widedeep.serve.service import Service

HIDDEN = "age_rating=age_rating 1"
MINE = [{"item_id": 5003, "rating": 9}, {"title": "The Title 8", "rating": 2}, {"item_id": 5020, "rating": None}]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> Outputs:
    return make_outputs(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def service(outputs):
    service = Service(outputs.config.model_copy(update={"hide": (), "most_waiting": 4}))
    yield service
    service.close()


@pytest.fixture(scope="module")
def client(service) -> TestClient:
    return TestClient(make_app(service))


def hiding(outputs: Outputs) -> TestClient:
    values = outputs.config.model_dump() | {"hide": (HIDDEN,)}
    return TestClient(make_app(Service(type(outputs.config)(**values))))


def ids(answer) -> list:
    return [row["item"]["item_id"] for row in answer.json()["recommendations"]]


# --- lists of users ------------------------------------------------------------------------------


@pytest.mark.parametrize("user", [1000, 1070, 1000 + USERS - 1])
def test_a_user_gets_the_stored_list(outputs, client, user):
    rows, _ = recommendations_of(outputs.config.recommendations, str(user))
    answer = client.get(f"/users/{user}/recommendations?n=7")
    parsed = answers.ListAnswer.model_validate(answer.json())
    assert parsed.source == "stored"
    assert parsed.known == (user < 1000 + USERS - COLD)
    assert [row.item.item_id for row in parsed.recommendations] == [row["anime_id"] for row in rows[:7]]
    assert [row.rank for row in parsed.recommendations] == [*range(1, 8)]
    for shown, row in zip(parsed.recommendations, rows, strict=False):
        assert (shown.item.title, shown.predicted_rating) == (row["title"], pytest.approx(row["predicted_rating"]))
        told = [(reason.item_id, reason.rating) for reason in shown.reasons]
        assert told == [(reason["anime_id"], reason["rating"]) for reason in row["reasons"] or ()]


def test_a_longer_list_than_the_stored_one_is_the_models(outputs, client):
    expected = [row.item_id for row in outputs.load().recommend(user_id=1003, n=STORED + 5)]
    answer = client.get(f"/users/1003/recommendations?n={STORED + 5}")
    assert answer.json()["source"] == "model"
    assert ids(answer) == expected


@pytest.mark.parametrize("n", [3, STORED])
def test_a_filtered_list_is_the_best_of_what_is_left(outputs, client, n):
    """Whether the stored list has enough of the type or not."""
    items = outputs.load().trained.tables.items
    fits = np.array(items.category_names("type")) == "type 2"
    everything = [row.item_id for row in outputs.load().recommend(user_id=1003, n=ITEMS)]
    answer = client.get(f"/users/1003/recommendations?n={n}&type=TYPE 2")
    expected = [item for item in everything if fits[item - 5000]][:n]
    assert ids(answer) == expected
    assert client.get("/users/1003/recommendations?n=100&not_type=type 2").json()["recommendations"]
    assert not set(ids(client.get("/users/1003/recommendations?n=60&not_type=type 2"))) & set(ids(answer))


def test_values_that_are_not_wanted_are_looked_up_together(service, monkeypatch):
    catalogue, looked_up, isin = service.snapshot.catalogue, [], np.isin
    without = [catalogue.allowed([("not_type", value)]) for value in ("type 1", "type 2")]
    monkeypatch.setattr(np, "isin", lambda *given: (looked_up.append(given), isin(*given))[1])
    both = catalogue.allowed([("not_type", "type 1"), ("not_type", "type 2"), *[("not_type", "type 1")] * 50])
    assert np.array_equal(both, without[0] & without[1])
    assert 0 < both.sum() < min(mask.sum() for mask in without)
    assert len(looked_up) == 1


def test_numbers_are_bounds(outputs, client):
    ratings = outputs.load().artifact.item_ratings
    answer = client.get("/users/1003/recommendations?n=60&ratings_min=55&ratings_max=60")
    shown = [row["item"]["numbers"]["ratings"] for row in answer.json()["recommendations"]]
    assert shown
    assert set(shown) <= set(range(55, 61)) & set(ratings.tolist())
    assert ids(client.get("/users/1003/recommendations?n=60&ratings_min=100000")) == []


def test_an_unknown_user_gets_the_most_rated_items_and_is_told_so(outputs, client):
    answer = client.get("/users/77/recommendations?n=5").json()
    assert (answer["known"], answer["source"]) == (False, "most_rated")
    counts = [row["item"]["numbers"]["ratings"] for row in answer["recommendations"]]
    assert counts == sorted(outputs.load().artifact.item_ratings.tolist(), reverse=True)[:5]
    shares = [row["affinity"] for row in answer["recommendations"]]
    assert shares == pytest.approx([count / (USERS - COLD) for count in counts])


def test_what_is_hidden_is_shown_only_if_asked_for(outputs):
    client = hiding(outputs)
    for question in ("/users/1003/recommendations?n=60", "/users/77/recommendations?n=61"):
        shown, all_of_them = client.get(question), client.get(f"{question}&include_hidden=true")
        values = [row["item"]["facts"]["age_rating"] for row in shown.json()["recommendations"]]
        assert ["age_rating 1"] not in values
        assert len(values) < len(all_of_them.json()["recommendations"])
    found = [client.get(f"/items/search?q=The Title&n=100{more}").json()["items"] for more in ("", "&include_hidden=1")]
    assert len(found[0]) < len(found[1])
    assert all(item["facts"]["age_rating"] != ["age_rating 1"] for item in found[0])


def test_a_default_that_the_data_does_not_have_is_passed_over_and_a_wish_is_not(outputs):
    assert not Service(outputs.config).snapshot.hidden.any()
    values = outputs.config.model_dump() | {"hide": ("genres=Hentai",)}
    with pytest.raises(InputError, match="no genres is 'Hentai'; name one of 'Action'"):
        Service(type(outputs.config)(**values))


def test_franchises_are_limited(client, service):
    numbers = service.snapshot.franchises.number
    answer = client.get("/users/1003/recommendations?n=12&franchise_most=1")
    chosen = [numbers[item - 5000] for item in ids(answer)]
    assert len(chosen) == len(set(chosen))


# --- lists by ratings ----------------------------------------------------------------------------


def test_a_list_by_ratings_is_the_models(outputs, client):
    expected = outputs.load().recommend(history=[(5003, 9), ("The Title 8", 2), (5020, None)], n=6)
    answer = client.post("/recommendations?n=6", json={"ratings": MINE})
    parsed = answers.ListAnswer.model_validate(answer.json())
    assert [row.item.item_id for row in parsed.recommendations] == [row.item_id for row in expected]
    assert (parsed.used_ratings, parsed.user_id, parsed.source) == (2, None, "model")
    titles = [reason.title for row in parsed.recommendations for reason in row.reasons]
    assert set(titles) <= {"The Title 3", "The Title 8"}


@pytest.mark.parametrize("packed", [False, True])
def test_an_export_is_a_list_of_ratings(client, packed):
    given = [{"item_id": 5003, "rating": 9}, {"item_id": 5008, "rating": 2}, {"item_id": 5020, "rating": None}]
    content = export((5003, 9, "Completed"), (5008, 2, "Dropped"), (5020, 0, "Watching"), (5030, 0, "Plan to Watch"))
    kind = "application/gzip" if packed else "text/xml; charset=utf-8"
    content = gzip.compress(content) if packed else content
    answer = client.post("/recommendations?n=8", content=content, headers={"content-type": kind})
    assert ids(answer) == ids(client.post("/recommendations?n=8", json={"ratings": given}))


def test_low_ratings_can_be_ignored_and_stay_seen(client):
    only = client.post("/recommendations?n=60", json={"ratings": [MINE[0], {"item_id": 5008, "rating": None}]})
    ignoring = client.post("/recommendations?n=60&ignore_below=7", json={"ratings": MINE[:2]})
    assert ids(ignoring) == ids(only)
    assert 5008 not in ids(ignoring)


def test_what_is_made_of_ratings_is_told(client):
    given = [{"title": "The Titel 3", "rating": 9}, {"item_id": 1, "rating": 5}]
    answer = client.post("/recommendations", json={"ratings": given}).json()
    assert answer["remarks"] == ["ratings[0]: 'The Titel 3' is taken for 'The Title 3'"]
    assert answer["not_found"] == ["ratings[1]: item_id 1 is not in the data"]


WRONG = {
    "no rating": ({"ratings": []}, "none of the 0 entries is a rating to go by: give at least one"),
    "off the scale": ({"ratings": [{"item_id": 5003, "rating": 11}]}, r"ratings\[0\]: rating 11 is no number of 1-10"),
    "no item": ({"ratings": [{"rating": 5}]}, r"ratings\[0\] has neither item_id nor title"),
    "a word": ({"ratings": [{"item_id": "x", "rating": 5}]}, "'x' is no whole number"),
    "no number": (
        {"ratings": [{"item_id": 5003, "rating": "good"}]},
        "ratings.0.rating: .* a valid number",
    ),
    "unknown key": ({"ratings": [], "stars": 3}, "stars: Extra inputs are not permitted"),
    "a list": ([1, 2], "Input should be an object"),
    "too many": ({"ratings": [MINE[0]] * 20_001}, "Tuple should have at most 20000 items"),
}


@pytest.mark.parametrize(("given", "message"), WRONG.values(), ids=WRONG)
def test_wrong_ratings_are_a_sentence(client, given, message):
    answer = client.post("/recommendations", json=given)
    assert answer.status_code == 422
    assert re.search(message, answer.json()["detail"])


def test_wrong_bodies_are_a_sentence(client):
    for content, kind, message in (
        (b"{", "application/json", "Invalid JSON"),
        (b"\xff\xfe", "application/json", "Invalid JSON"),
        (b"<anime>", "application/xml", "is no XML"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a/>', "application/xml", "has a DOCTYPE"),
        (b"\x1f\x8bnonsense", "application/gzip", "cannot be unpacked"),
        (gzip.compress(bytes(65 << 20)), "application/gzip", "has more than 64 MB"),
        (b"<a/>", "application/xml", "has no <anime>"),
    ):
        answer = client.post("/recommendations", content=content, headers={"content-type": kind})
        assert answer.status_code == 422
        assert message in answer.json()["detail"]


def test_a_model_that_cannot_take_ratings_says_so(tmp_path):
    outputs = make_outputs(tmp_path, BY_INDEX)
    client = TestClient(make_app(Service(outputs.config)))
    assert client.get("/model").json()["answers_ratings"] is False
    answer = client.post("/recommendations", json={"ratings": MINE})
    assert answer.status_code == 422
    assert "knows people by their index alone" in answer.json()["detail"]
    assert len(ids(client.get("/users/1003/recommendations?n=20"))) == 20


def test_identifiers_may_be_texts(tmp_path):
    outputs = make_outputs(tmp_path, dataset=PLAYS)
    client = TestClient(make_app(Service(outputs.config)))
    rows, _ = recommendations_of(outputs.config.recommendations, "u1003")
    assert ids(client.get("/users/u1003/recommendations?n=4")) == [row["item_id"] for row in rows[:4]]
    assert client.get("/items/é5003/similar?n=3").json()["item"]["item_id"] == "é5003"
    answer = client.post("/recommendations?n=5", json={"ratings": [{"item_id": "é5003", "rating": 1}]})
    assert len(ids(answer)) == 5
    assert client.get("/users/nobody/recommendations").json()["source"] == "most_rated"


# --- items ---------------------------------------------------------------------------------------


def test_similar_items_are_those_of_the_model(outputs, client):
    expected = outputs.load().similar(5003, n=4, min_ratings=1)
    answer = answers.SimilarAnswer.model_validate(client.get("/items/5003/similar?n=4").json())
    assert answer.item.title == "The Title 3"
    assert [row.item.item_id for row in answer.similar] == [row.id for row in expected]
    assert [row.cosine for row in answer.similar] == pytest.approx([row.cosine for row in expected])


def test_similar_items_are_told_of_data_that_are_gone(tmp_path):
    """The prepared directory may be replaced before a model of the new data is there."""
    outputs = make_outputs(tmp_path)
    client = TestClient(make_app(Service(outputs.config)))
    before = client.get("/items/5003/similar?n=4").json()
    shutil.rmtree(outputs.config.data)
    assert client.get("/items/5003/similar?n=4").json() == before


def test_search_forgives_errors_and_knows_other_titles(client):
    found = answers.SearchAnswer.model_validate(client.get("/items/search?q=english nmae 7&n=3").json())
    assert found.items[0].title == "The Title 7"
    assert found.items[0].titles == {"english": "English Name 7"}
    assert client.get("/items/search?q=☃☃☃").json() == {"items": []}


def test_filters_tell_values_and_bounds(outputs, client):
    answer = answers.FiltersAnswer.model_validate(client.get("/items/filters").json())
    filters = {one.name: one for one in answer.filters}
    names = outputs.load().trained.tables.items.category_names("type")
    assert {value.value: value.items for value in filters["type"].values} == {n: names.count(n) for n in names}
    assert filters["ratings"].highest == outputs.load().artifact.item_ratings.max()


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/users/x/recommendations", 422, "user 'x' is no whole number"),
        ("/users/1003/recommendations?n=0", 422, "query.n: Input should be greater than or equal to 1"),
        ("/users/1003/recommendations?n=101", 422, "query.n: Input should be less than or equal to 100"),
        ("/users/1003/recommendations?sort=up", 422, "there is no filter 'sort': filter by "),
        ("/users/1003/recommendations?type=tipe 2", 422, "type: there is no 'tipe 2'; the nearest are 'type 2'"),
        ("/users/1003/recommendations?ratings_min=1_0", 422, "ratings_min: '1_0' is no number"),
        ("/users/1003/recommendations?ratings_min=nan", 422, "ratings_min: 'nan' is no number"),
        ("/items/1/similar", 404, "item 1 is not among the 61 items of the data"),
        ("/items/search", 422, "query.q: Field required"),
        ("/items/search?q=" + "x" * 201, 422, "query.q: String should have at most 200 characters"),
        ("/nothing", 404, "Not Found"),
        ("/static/../app.py", 404, "Not Found"),
        ("/static/%2e%2e/app.py", 404, "Not Found"),
    ],
)
def test_wrong_questions_are_a_sentence(client, path, status, message):
    answer = client.get(path)
    assert answer.status_code == status
    assert message in answers.ErrorAnswer.model_validate(answer.json()).detail


# --- the server ----------------------------------------------------------------------------------


def test_the_model_tells_what_it_is(outputs, client):
    answer = answers.ModelAnswer.model_validate(client.get("/model").json())
    metrics = json.loads((outputs.config.run_dir / "metrics.json").read_text())
    assert answer.metrics["test"] == metrics["test"]
    assert (answer.users, answer.items, answer.liked) == (USERS, ITEMS, 8.0)
    assert answer.lists_of_this_model
    health = answers.HealthAnswer.model_validate(client.get("/health").json())
    assert health.model == health.lists == answer.sha256


def test_no_answer_lets_a_page_load_from_elsewhere(outputs, client):
    for path in ("/", "/static/main.js", "/docs", "/health", "/nothing"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "https:" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    assert "cdn" not in client.get("/docs").text
    pictures = TestClient(make_app(Service(outputs.config.model_copy(update={"posters": True}))))
    assert "img-src 'self' data: https:" in pictures.get("/").headers["content-security-policy"]


def test_requests_are_counted_by_route(outputs):
    client = TestClient(make_app(Service(outputs.config)))
    for path in ("/users/1003/recommendations", "/users/1004/recommendations", "/made/up", "/made/up/too"):
        client.get(path)
    text = client.get("/metrics").text
    route = 'route="/users/{user_id:path}/recommendations"'
    assert f'widedeep_requests_total{{{route},status="200"}} 2.0' in text
    assert 'widedeep_requests_total{route="none",status="404"} 2.0' in text
    assert 'widedeep_lists_total{source="stored"} 2.0' in text


def test_a_failure_is_told_without_details_and_logged(outputs, caplog):
    service = Service(outputs.config)
    client = TestClient(make_app(service))
    service.snapshot = None  # pyright: ignore[reportAttributeAccessIssue]
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (500, {"detail": "the server failed; its log says why"})
    assert 'route="/health",status="500"} 1.0' in client.get("/metrics").text
    assert "GET /health failed" in caplog.text


def test_too_many_requests_are_told_to_come_back(client, service):
    """Four may wait here; more than that are refused at once, and the first ones are answered."""
    go_on = threading.Event()

    def ask(_: int):
        return client.get("/items/search?q=title")

    holders = [service._threads.submit(go_on.wait, 30) for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, number) for number in range(8)]
        while sum(one.done() for one in asked) < 4:
            time.sleep(0.01)
        go_on.set()
    codes = sorted(one.result().status_code for one in asked)
    assert codes == [200] * 4 + [503] * 4
    assert all(holder.result() for holder in holders)


def test_long_bodies_are_refused(outputs):
    client = TestClient(make_app(Service(outputs.config.model_copy(update={"body_mb": 0.001}))))
    answer = client.post("/recommendations", json={"ratings": MINE * 40})
    assert (answer.status_code, answer.json()["detail"]) == (413, "the body has more than 1,000 bytes: send less")


# --- newer files ---------------------------------------------------------------------------------


def test_newer_lists_are_taken_and_the_older_ones_can_be_read_to_the_end(tmp_path):
    outputs = make_outputs(tmp_path)
    service = Service(outputs.config)
    client = TestClient(make_app(service))
    before, old = ids(client.get("/users/1003/recommendations?n=5")), service.snapshot
    model = outputs.load()
    store_lists(outputs.config.recommendations, model, length=STORED + 3)
    service.take_newer()
    assert client.get(f"/users/1003/recommendations?n={STORED + 3}").json()["source"] == "stored"
    assert ids(client.get("/users/1003/recommendations?n=5")) == before
    assert [row["rank"] for row in old.lists.rows_of(1100)] == [*range(1, STORED + 1)]  # of a group not read before
    assert service.snapshot.model is old.model  # lists alone are newer


def test_a_newer_model_answers_and_the_older_one_does_so_to_the_end(tmp_path):
    outputs = make_outputs(tmp_path)
    service = Service(outputs.config)
    client = TestClient(make_app(service))
    given = {"ratings": [{"item_id": 5003, "rating": 9}, {"item_id": 5008, "rating": 2}]}
    before, old = ids(client.post("/recommendations", json=given)), service.snapshot
    fit(outputs.folder, seed=1)
    service.take_newer()
    expected = outputs.load().recommend(history=[(5003, 9), (5008, 2)])
    assert ids(client.post("/recommendations", json=given)) == [row.item_id for row in expected]
    assert client.get("/health").json()["model"] == outputs.load().artifact.sha256 != old.model.artifact.sha256
    content, query = json.dumps(given).encode(), ListQuery(10, ~old.hidden)
    made = old.processes.submit(ModelLists.for_ratings, content, "application/json", query, None).result()
    assert [row.item_id for row in made.rows] == before
    service.close()


def test_a_newer_model_that_could_not_be_loaded_is_tried_again_with_newer_lists(tmp_path):
    """Such as one that was there before its data were."""
    outputs = make_outputs(tmp_path)
    service = Service(outputs.config)
    old = service.snapshot
    fit(tmp_path, seed=1)
    elsewhere = outputs.config.data / "items"
    away = elsewhere.rename(tmp_path / "away")
    service.take_newer()
    assert service.snapshot is old
    away.rename(elsewhere)
    service.take_newer()
    assert service.snapshot is old  # nothing has changed since
    store_lists(outputs.config.recommendations, outputs.load())
    service.take_newer()
    assert service.snapshot.model.artifact.sha256 == outputs.load().artifact.sha256 != old.model.artifact.sha256
    assert service.snapshot.lists_of_this_model
    service.close()


def test_an_unexpected_failure_does_not_end_the_look_for_newer_files(tmp_path, caplog):
    outputs = make_outputs(tmp_path)
    service = Service(outputs.config.model_copy(update={"reload_seconds": 0.05}))
    service.start()

    def replace_lists(config: dict, result: str) -> None:
        file, draft = (outputs.config.recommendations / name for name in (HIDDEN_MANIFEST, ".draft"))
        written = RecommendationManifest.unseal(file.read_text(), str(file))
        draft.write_text(written.model_copy(update={"config": config}).seal())
        draft.rename(file)
        for _ in range(3000):
            if f'widedeep_reloads_total{{result="{result}"}} 1.0'.encode() in service.meters.text():
                return
            time.sleep(0.01)
        raise AssertionError(f"no reload has {result}")

    replace_lists({"exclude": 5}, "failed")
    assert "newer files could not be taken, so the older ones stay\nTraceback" in caplog.text
    assert "'int' object is not iterable" in caplog.text
    replace_lists({"exclude": SPLITS}, "done")
    service.close()


def test_newer_files_that_cannot_be_used_change_nothing(tmp_path, caplog):
    outputs = make_outputs(tmp_path)
    service = Service(outputs.config)
    client = TestClient(make_app(service))
    before = client.get("/users/1003/recommendations?n=5").json()
    file = outputs.config.run_dir / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    service.take_newer()
    assert client.get("/users/1003/recommendations?n=5").json() == before
    assert 'widedeep_reloads_total{result="failed"} 1.0' in client.get("/metrics").text
    content[-1] ^= 1
    file.write_bytes(content)
    service.take_newer()
    assert 'widedeep_reloads_total{result="done"} 1.0' in client.get("/metrics").text
    manifest = outputs.config.recommendations / "_manifest.json"
    manifest.unlink()  # as while lists are being replaced
    service.take_newer()
    assert client.get("/users/1003/recommendations?n=5").json() == before
