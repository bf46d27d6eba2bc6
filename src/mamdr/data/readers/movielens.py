"""MovieLens-1M, with age groups as domains.

    ratings.dat    UserID::MovieID::Rating::Timestamp
    users.dat      UserID::Gender::Age::Occupation::Zip-code
    movies.dat     MovieID::Title::Genres, in Latin-1, genres with | between

As in Scenario-Wise-Rec: a rating above 3 is label 1, others are 0; the seven age codes make three domains, `under 25`
(1, 18), `25 to 34` (25) and `35 and over` (35, 45, 50, 56), so that a user is in one domain alone. Differs from it: all
genres of a film are kept, as a list, where it keeps the first; age is a category, where it is a number.
Sources: Harper and Konstan 2015 ("The MovieLens Datasets"); Scenario-Wise-Rec's script for MovieLens.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from mamdr.data.interactions import canonical
from mamdr.data.readers import text

AGES = {"under 25": (1, 18), "25 to 34": (25,), "35 and over": (35, 45, 50, 56)}
LIKED = 3
"""A rating above it is label 1."""
_RATINGS: dict[str, text.Kind] = dict.fromkeys(("user", "movie", "rating", "timestamp"), pl.Int64)
_USERS: dict[str, text.Kind] = {
    "user": pl.Int64,
    "gender": pl.String,
    "age": pl.Int64,
    "occupation": pl.Int64,
    "zip": pl.String,
}
_MOVIES: dict[str, text.Kind] = {"movie": pl.Int64, "title": pl.String, "genres": pl.String}
_SOURCE = "Unpack ml-1m.zip of grouplens.org into the raw folder"


def read(raw: Path) -> pl.DataFrame:
    """The canonical table, with labels, user:gender, user:age, user:occupation, user:zip and item:genres.

    Raises: DataError naming file and line for what is wrong, an age that is none of the seven codes, and a user or a
        film that has ratings and no line of its own.
    Cost: half a second of one core and 0.3 GB for a million ratings.
    """
    users, movies = _table(raw, "users.dat", _USERS), _table(raw, "movies.dat", _MOVIES)
    ratings = _table(raw, "ratings.dat", _RATINGS)
    groups = {age: name for name, ages in AGES.items() for age in ages}
    ages, codes = users["age"], ", ".join(map(str, groups))
    text.check(raw / "users.dat", 1, "age", ages, ages.is_in(list(groups)), f"one of {codes}", _SOURCE)
    for side, file in ((users, "users.dat"), (movies, "movies.dat")):
        name = side.columns[0]
        known = ratings[name].is_in(side[name].implode())
        text.check(
            raw / "ratings.dat", 1, name, ratings[name], known, f"a {name} that has a line in {file}", _SOURCE
        )
    joined = ratings.join(users, on="user", maintain_order="left").join(
        movies, on="movie", maintain_order="left"
    )
    table = joined.select(
        user_id="user",
        item_id="movie",
        domain=pl.col("age").replace_strict(groups, return_dtype=pl.String),
        label=(pl.col("rating") > LIKED).cast(pl.Int8),
        timestamp="timestamp",
        **{f"user:{name}": pl.col(name) for name in ("gender", "age", "occupation", "zip")},
        **{"item:genres": pl.col("genres").str.split("|")},
    )
    return canonical(table, "MovieLens-1M")


def _table(raw: Path, name: str, kinds: dict[str, text.Kind]) -> pl.DataFrame:
    lines = text.Lines(kinds, tuple(kinds), "::", "latin-1", source=_SOURCE)
    return text.read(text.find(raw, name, _SOURCE), lines)
