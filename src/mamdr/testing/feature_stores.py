"""What every feature store must do, wherever it keeps what it holds."""

from __future__ import annotations

import functools
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import torch

from mamdr.data.building import build
from mamdr.data.domains import SPLITS, Dataset
from mamdr.data.market_features import with_features
from mamdr.data.rows import Batch
from mamdr.data.synthetic import MarketConfig, make_market
from mamdr.data.vocabulary import UNKNOWN
from mamdr.errors import DataError
from mamdr.feature_store import Entities, FeatureStore, UpdatableStore, batch_of, create
from mamdr.feature_store.content import ENTITIES

_MARKET = MarketConfig(domains=3, users=60, items=40, samples_per_domain=300)


@functools.cache
def raw_table() -> pl.DataFrame:
    """A small market with features of every kind, and ids that are text."""
    table = with_features(make_market(_MARKET), _MARKET)
    return table.with_columns(
        pl.format("u{}", "user_id").alias("user_id"),
        pl.format("ï/{}", "item_id").alias("item_id"),
        pl.col("user:history").list.eval(pl.format("ï/{}", pl.element())),
    )


@functools.cache
def market() -> Dataset:
    """The same, built."""
    return build(raw_table(), name="market", shared={"user:history": "item_id"})


class FeatureStoreConformance(ABC):
    """Tests of reading: subclass it, name the subclass Test..., and open a store of a folder."""

    @abstractmethod
    def store(self, folder: Path) -> FeatureStore:
        """A store of what `mamdr.feature_store.create` made."""

    def _made(self, tmp_path: Path) -> FeatureStore:
        return self.store(_folder(tmp_path))

    def test_rows_are_read_as_training_reads_them(self, tmp_path: Path) -> None:
        """Every row of train, from its raw ids and raw context, column by column, bit by bit."""
        store, data = self._made(tmp_path), market()
        words = data.vocabularies
        for domain in range(len(data.schema.domains)):
            for batch, _ in data.train.batches([domain], 64, None):
                raw = {name: [words[name].decode(i) for i in batch[name].tolist()] for name in _IDS}
                users, items = (store.lookup(owner, raw[f"{owner}_id"]) for owner in ENTITIES)
                assert users.known.all()
                assert items.known.all()
                _same(batch_of(store, users, items, domain, {_HOUR: raw[_HOUR]}), batch)

    def test_its_schema_and_fingerprint_are_the_data_s(self, tmp_path: Path) -> None:
        store = self._made(tmp_path)
        assert store.schema == market().schema
        assert store.fingerprint == market().fingerprint
        assert list(store.domains()) == list(market().schema.domains)
        assert store.health().state == "ok"

    def test_an_unknown_id_is_flagged_and_reads_as_nobody(self, tmp_path: Path) -> None:
        store = self._made(tmp_path)
        for odd in ("nobody", "", "u" * 100_000, "u\0", "../u1", "\ud800", "u1 ", -1, 10**30):
            user = store.lookup("user", ["u1", odd])
            assert user.known.tolist() == [True, False], odd
            assert user.columns["user_id"][1] == user.columns["user:group"][1] == UNKNOWN
            assert not user.columns["user:history"][1].any()
            assert store.lookup("item", [odd]).columns["item:price"].tolist() == [0.0]
            assert store.seen(market().schema.domains[0], odd) == frozenset()

    def test_a_lookup_keeps_the_order_and_repeats(self, tmp_path: Path) -> None:
        store = self._made(tmp_path)
        both = store.lookup("user", ["u3", "u1", "nobody", "u3"])
        each = [store.lookup("user", [name]) for name in both.ids]
        for place, one in enumerate(each):
            _same_row(both, place, one)

    def test_a_lookup_of_nobody_has_columns_of_no_rows(self, tmp_path: Path) -> None:
        for owner in ENTITIES:
            none = self._made(tmp_path / owner).lookup(owner, [])
            some = self._made(tmp_path / f"{owner}-2").lookup(owner, ["x"])
            assert len(none) == 0
            assert {name: c.dtype for name, c in none.columns.items()} == {
                name: c.dtype for name, c in some.columns.items()
            }
            assert all(column.shape[0] == 0 for column in none.columns.values())

    def test_a_domain_s_items_are_those_of_its_rows(self, tmp_path: Path) -> None:
        store = self._made(tmp_path)
        for domain, name in enumerate(market().schema.domains):
            found = store.candidates(name)
            assert sorted(found.ids) == sorted(_pairs(domain)["item_id"].unique())
            for place in (0, len(found) - 1):
                _same_row(found, place, store.lookup("item", [found.ids[place]]))

    def test_a_user_has_seen_what_the_labels_say(self, tmp_path: Path) -> None:
        store = self._made(tmp_path)
        for domain, name in enumerate(market().schema.domains):
            rows = _pairs(domain)
            for user in rows["user_id"].unique().to_list()[:10]:
                wanted = set(rows.filter((pl.col("user_id") == user) & (pl.col("label") == 1))["item_id"])
                assert store.seen(name, user) == wanted
                left = store.candidates(name, unseen_by=user)
                assert set(left.ids) == set(store.candidates(name).ids) - wanted
                assert len(left.ids) == len(left) == len(left.columns["item_id"])

    def test_a_domain_that_nobody_knows_is_refused(self, tmp_path: Path) -> None:
        store = self._made(tmp_path)
        _refused(lambda: store.candidates("no such domain"), "no domain is named 'no such domain'")
        assert store.seen("no such domain", "u1") == frozenset()

    def test_wrong_questions_are_refused(self, tmp_path: Path) -> None:
        store = self._made(tmp_path)
        _refused(lambda: store.lookup("context", ["u1"]), "owner 'context'")
        _refused(lambda: store.lookup("user", [1.5]), "an id 1.5")  # type: ignore[list-item]
        _refused(lambda: store.lookup("user", [True]), "an id True")
        _refused(lambda: store.encode(_HOUR, [1.5]), "holds Float64")
        _refused(lambda: store.encode("item:price", ["cheap"]), "holds String")

    def test_context_that_is_left_out_is_unknown(self, tmp_path: Path) -> None:
        store = self._made(tmp_path)
        user, items = store.lookup("user", ["u1"]), store.candidates(market().schema.domains[0])
        batch = batch_of(store, user, items, 0)
        assert batch[_HOUR].tolist() == [UNKNOWN] * len(items)
        assert batch["user_id"].tolist() == user.columns["user_id"].tolist() * len(items)

    def test_threads_may_share_it(self, tmp_path: Path) -> None:
        store = self._made(tmp_path)
        names = [f"u{number}" for number in range(60)]
        alone = store.lookup("user", names)
        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(lambda _: store.lookup("user", names), range(40)):
                _same(found.columns, alone.columns)

    def test_it_may_be_closed_again(self, tmp_path: Path) -> None:
        store = self._made(tmp_path)
        store.close()
        store.close()


class UpdatableStoreConformance(FeatureStoreConformance):
    """Tests of updates beside those of reading; a second store of the same folder must see what the first was told."""

    @abstractmethod
    def store(self, folder: Path) -> UpdatableStore:
        """A store of what `mamdr.feature_store.create` made."""

    @abstractmethod
    def compact(self, folder: Path) -> str:
        """Write the next snapshot, and return its version."""

    def _made(self, tmp_path: Path) -> UpdatableStore:
        return self.store(_folder(tmp_path))

    def test_an_update_is_coded_as_training_codes(self, tmp_path: Path) -> None:
        """A user who is given another's raw features reads as that one does, but for the id."""
        store, rows = self._made(tmp_path), raw_table().unique("user_id", keep="any").sort("user_id")
        rows = rows.filter(pl.col("user_id").is_in(market().vocabularies["user_id"].values.implode()))
        own = rows.select(name for name in rows.columns if name.startswith("user"))
        given = own[:5].with_columns(own["user_id"][5:10])
        assert store.update("user", given) == 5
        before = store.lookup("user", own["user_id"][:5].to_list())
        after = store.lookup("user", given["user_id"].to_list())
        assert after.known.all()
        for name in ("user:group", "user:history"):
            assert torch.equal(after.columns[name], before.columns[name]), name
        assert not torch.equal(after.columns["user_id"], before.columns["user_id"])

    def test_what_an_update_leaves_out_stays(self, tmp_path: Path) -> None:
        store = self._made(tmp_path)
        before, other = store.lookup("item", ["ï/1"]), store.lookup("item", ["ï/2"])
        store.update("item", pl.DataFrame({"item_id": ["ï/1"], "item:price": [1e6]}))
        after = store.lookup("item", ["ï/1"])
        assert after.columns["item:price"] > 100
        for name in ("item_id", "item:tags"):
            assert torch.equal(after.columns[name], before.columns[name])
        _same(store.lookup("item", ["ï/2"]).columns, other.columns)
        domain = next(name for name in store.domains() if "ï/1" in store.candidates(name).ids)
        found = store.candidates(domain)
        _same_row(found, list(found.ids).index("ï/1"), after)

    def test_an_item_that_is_new_has_features_and_no_id(self, tmp_path: Path) -> None:
        store = self._made(tmp_path)
        tags = raw_table()["item:tags"].list.first().drop_nulls()[0]
        table = pl.DataFrame({"item_id": ["nëw"], "item:tags": [[tags, "no such tag"]], "item:price": [20.0]})
        store.update("item", table)
        new = store.lookup("item", ["nëw"])
        assert new.known.tolist() == [False]
        assert new.columns["item_id"].tolist() == [UNKNOWN]
        assert torch.equal(new.columns["item:tags"], store.encode("item:tags", [[tags, "no such tag"]]))
        assert torch.equal(new.columns["item:price"], store.encode("item:price", [20.0]))

    def test_interactions_are_a_domain_s_items_and_what_was_seen(self, tmp_path: Path) -> None:
        store = self._made(tmp_path)
        first = store.domains()[0]
        before, seen = list(store.candidates(first).ids), store.seen(first, "u1")
        rows = {"user_id": ["u1", "u1", "zoë"], "item_id": ["x", before[0], "y"], "domain": [first] * 3}
        store.observe(pl.DataFrame(rows | {"label": [1, 1, 0]}))
        assert list(store.candidates(first).ids) == [*before, "x", "y"]
        assert store.seen(first, "u1") == seen | {"x", before[0]}
        assert store.seen(first, "zoë") == frozenset()
        assert set(store.candidates(first, unseen_by="u1").ids) == {*before, "y"} - seen - {before[0]}

    def test_a_domain_may_be_new(self, tmp_path: Path) -> None:
        store = self._made(tmp_path)
        names = list(store.domains())
        store.observe(
            pl.DataFrame({"user_id": ["u1", "u2"], "item_id": ["ï/3", "z"], "domain": ["späť/../1"] * 2})
        )
        assert list(store.domains()) == [*names, "späť/../1"]
        found = store.candidates("späť/../1")
        assert (list(found.ids), found.known.tolist()) == (["ï/3", "z"], [True, False])
        assert store.seen("späť/../1", "u2") == {"z"}

    def test_the_same_update_twice_is_as_once(self, tmp_path: Path) -> None:
        one, two = self._made(tmp_path / "1"), self._made(tmp_path / "2")
        for store in (one, two, two):
            _tell(store)
        assert _all(one) == _all(two)

    def test_another_store_sees_an_update_at_its_next_read(self, tmp_path: Path) -> None:
        folder = _folder(tmp_path)
        one, two = self.store(folder), self.store(folder)
        _tell(one)
        assert _all(two) == _all(one)
        _tell(two, price=7.0)
        assert _all(one) == _all(two)

    def test_updates_outlive_the_store(self, tmp_path: Path) -> None:
        folder = _folder(tmp_path)
        store = self.store(folder)
        _tell(store)
        told = _all(store)
        store.close()
        assert _all(self.store(folder)) == told

    def test_a_compaction_changes_no_answer(self, tmp_path: Path) -> None:
        folder = _folder(tmp_path)
        store, watcher = self.store(folder), self.store(folder)
        _tell(store)
        told, version = _all(store), store.version
        assert self.compact(folder) > version
        assert _all(watcher) == _all(store) == _all(self.store(folder)) == told
        assert watcher.version == store.version > version
        _tell(store, price=9.0)
        assert _all(watcher) == _all(store) != told
        told = _all(store)
        self.compact(folder)
        assert _all(watcher) == told

    def test_what_is_wrong_is_refused_and_changes_nothing(self, tmp_path: Path) -> None:
        store = self._made(tmp_path)
        told = _all(store)
        for table, said in _WRONG_UPDATES:
            _refused(lambda table=table: store.update("item", pl.DataFrame(table)), said)  # type: ignore[misc]
        for table, said in _WRONG_INTERACTIONS:
            _refused(lambda table=table: store.observe(pl.DataFrame(table)), said)  # type: ignore[misc]
        assert _all(store) == told


_HOUR = "context:hour"
_IDS = ("user_id", "item_id", _HOUR)

_WRONG_UPDATES: list[tuple[dict[str, Any], str]] = [
    ({"item:price": [1.0]}, "an update without item_id"),
    ({"item_id": ["a"], "user:group": ["x"]}, "column 'user:group' in an update of items"),
    ({"item_id": ["a", "a"]}, "item_id 'a' comes twice"),
    ({"item_id": ["a", None]}, "an empty item_id"),
    ({"item_id": ["a" * 201]}, "of 201 bytes"),
    ({"item_id": [1.5]}, "item_id holds Float64"),
    ({"item_id": ["a"], "item:price": ["cheap"]}, "column 'item:price' holds String"),
    ({"item_id": ["a"], "item:price": [float("nan")]}, "NaN or infinity"),
    ({"item_id": ["a"], "item:tags": ["red"]}, "column 'item:tags' holds String; expected lists"),
]
_WRONG_INTERACTIONS: list[tuple[dict[str, Any], str]] = [
    ({"user_id": ["a"], "item_id": ["b"]}, "an update without domain"),
    ({"user_id": ["a"], "item_id": [""], "domain": ["c"]}, "an empty item_id"),
    ({"user_id": ["a"], "item_id": ["b"], "domain": ["c"], "label": [5]}, "a label that is neither 0 nor 1"),
]


@functools.cache
def _original() -> tempfile.TemporaryDirectory[str]:
    """The folders of the data and of the store, made once."""
    place = tempfile.TemporaryDirectory()
    market().save(Path(place.name) / "data")
    create(Path(place.name) / "data", Path(place.name) / "store")
    return place


def _folder(tmp_path: Path) -> Path:
    shutil.copytree(_original().name, tmp_path, dirs_exist_ok=True)
    return tmp_path / "store"


def _tell(store: UpdatableStore, price: float = 5.0) -> None:
    """Updates of every kind."""
    store.update("item", pl.DataFrame({"item_id": ["ï/1", "new"], "item:price": [price, price + 1]}))
    store.update("user", pl.DataFrame({"user_id": ["u5", "late"], "user:history": [["ï/2", "new"], []]}))
    rows = {"user_id": ["u1", "late"], "item_id": ["new", "ï/4"], "domain": ["fresh", "fresh"]}
    store.observe(pl.DataFrame(rows))
    store.observe(
        pl.DataFrame({"item_id": ["only here", "ï/1"], "domain": [store.domains()[0], store.domains()[1]]})
    )


def _all(store: FeatureStore) -> dict[str, Any]:
    """Everything that a store can be asked."""
    users = [*(f"u{number}" for number in range(60)), "late"]
    items = [*(f"ï/{number}" for number in range(40)), "new", "only here"]
    found: dict[str, Any] = {"domains": list(store.domains())}
    for owner, ids in zip(ENTITIES, (users, items), strict=True):
        found[owner] = _plain(store.lookup(owner, ids))
    for domain in store.domains():
        candidates = store.candidates(domain)
        order = sorted(range(len(candidates)), key=lambda place: candidates.ids[place])
        found[domain] = _plain(candidates.at(torch.tensor(order, dtype=torch.int64)))
        found[f"{domain} seen"] = {user: sorted(store.seen(domain, user)) for user in users}
    return found


def _plain(entities: Entities) -> list[Any]:
    columns = {name: column.tolist() for name, column in entities.columns.items()}
    return [list(entities.ids), entities.known.tolist(), columns]


@functools.cache
def _pairs(domain: int) -> pl.DataFrame:
    """A domain's rows in all splits, as far as their ids have names."""
    parts = []
    for name in SPLITS:
        part = market().split(name)
        rows = slice(int(part.offsets[domain]), int(part.offsets[domain + 1]))
        columns = {
            column: [market().vocabularies[column].decode(i) for i in part.columns[column][rows].tolist()]
            for column in ("user_id", "item_id")
        }
        parts.append(pl.DataFrame(columns | {"label": part.labels[rows].tolist()}))
    return pl.concat(parts).drop_nulls()


def _same(one: Batch, other: Batch) -> None:
    assert set(one) == set(other)
    for name, column in one.items():
        assert column.dtype == other[name].dtype
        assert torch.equal(column, other[name]), name


def _same_row(entities: Entities, place: int, one: Entities) -> None:
    """A row, whose lists may be padded further than where it is alone."""
    assert entities.ids[place] == one.ids[0]
    assert entities.known[place] == one.known[0]
    for name, column in entities.columns.items():
        row, alone = column[place].reshape(-1), one.columns[name][0].reshape(-1)
        assert torch.equal(row[: len(alone)], alone), name
        assert not row[len(alone) :].any()


def _refused(ask: Callable[[], object], said: str) -> None:
    heard = "nothing"
    try:
        ask()
    except DataError as error:
        heard = str(error)
    assert said in heard
