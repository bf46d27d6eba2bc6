"""Small raw folders of other public data, in the formats in which they are published."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from mamdr.seeds import generator

MOVIES = [
    "1::Toy Story (1995)::Animation|Children's|Comedy",
    "260::Star Wars: Episode IV - A New Hope (1977)::Action|Sci-Fi",
    "2161::Fábula (1984)::Fantasy",
]
LOG = (
    *("user_id", "video_id", "date", "hourmin", "time_ms", "is_click", "is_like", "is_follow", "is_comment"),
    *("is_forward", "is_hate", "long_view", "play_time_ms", "duration_ms", "profile_stay_time"),
    *("comment_stay_time", "is_profile_enter", "is_rand", "tab"),
)
USER = (
    *("user_id", "user_active_degree", "is_lowactive_period", "is_live_streamer", "is_video_author"),
    *("follow_user_num", "follow_user_num_range", "fans_user_num", "fans_user_num_range", "friend_user_num"),
    *("friend_user_num_range", "register_days", "register_days_range"),
    *(f"onehot_feat{n}" for n in range(18)),
)
VIDEO = (
    *("video_id", "author_id", "video_type", "upload_dt", "upload_type", "visible_status", "video_duration"),
    *("server_width", "server_height", "music_id", "music_type", "tag"),
)


def write(path: Path, lines: list[str], encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))


def movielens(folder: Path, ratings: int = 60) -> Path:
    """Seven users, one of each age code, who rate three films."""
    ages = (1, 18, 25, 35, 45, 50, 56)
    users = [f"{n}::{'FM'[n % 2]}::{age}::{n}::0{n}117-1" for n, age in enumerate(ages, start=1)]
    draw, films = generator(1, "movielens"), (1, 260, 2161)
    rows = [f"{1 + n % 7}::{films[n % 3]}::{draw.integers(1, 6)}::{978300760 + n}" for n in range(ratings)]
    write(folder / "ratings.dat", rows, "latin-1")
    write(folder / "users.dat", users, "latin-1")
    write(folder / "movies.dat", MOVIES, "latin-1")
    return folder


def kuairand(folder: Path, rows: int = 80) -> Path:
    """Two standard logs and one of random exposure, of the shape of KuaiRand-1K."""
    draw = generator(1, "kuairand")
    for name, first in (("standard_4_08_to_4_21", 0), ("standard_4_22_to_5_08", rows), ("random_4_22", 9999)):
        lines = [",".join(LOG)]
        for n in range(first, first + rows):
            clicked, tab = int(draw.integers(2)), int(draw.integers(3))
            lines.append(
                f"{n % 8},{100 + n % 5},20220408,{n % 24}30,{1649467982289 + 1000 * n},{clicked},0,0,0,0,0,"
                f"{clicked},5332,11450,0,0,0,0,{tab}"
            )
        write(folder / f"log_{name}_1k.csv", lines)
    users = [
        f'{n},full_active,0,0,1,5,"(0,10]",0,0,0,0,200,181-365,{",".join("0" if k else "" for k in range(18))}'
        for n in range(8)
    ]
    write(folder / "user_features_1k.csv", [",".join(USER), *users])
    videos = [f'{100 + n},{n},NORMAL,2022-04-01,ShortImport,1,17000,720,1280,9,4,"{n},28"' for n in range(4)]
    write(folder / "video_features_basic_1k.csv", [",".join(VIDEO), *videos])
    return folder


def aliccp(folder: Path, rows: int = 60) -> Path:
    """Both parts, with fields that come several times and samples that lack some."""
    draw = generator(1, "ali-ccp")
    for part in ("train", "test"):
        common = [
            f"bacff{key},4,{_features(('101', key), ('121', 38 + key), ('109_14', 10), ('109_14', 20 + key))}"
            for key in range(5)
        ]
        samples = []
        for n in range(rows):
            click = int(draw.integers(2))
            own = [("205", 1000 + n % 7), ("206", n % 3), ("508", n % 4), ("301", 9351665 + n % 3)]
            more = [("210", 5), ("210", 6 + n % 2)] if n % 2 else []
            samples.append(f"{n + 1},{click},{click & n & 1},bacff{n % 5},9,{_features(*own, *more)}")
        write(folder / f"common_features_{part}.csv", common)
        write(folder / f"sample_skeleton_{part}.csv", samples)
    return folder


def _features(*fields: tuple[str, int]) -> str:
    return "\x01".join(f"{name}\x02{number}\x031.0" for name, number in fields)


def aliexpress(folder: Path, countries: tuple[str, ...] = ("nl", "es"), pages: int = 20) -> Path:
    """Pages of three products, of which the last page has none; one folder a country."""
    draw = generator(1, "aliexpress")
    for country in countries:
        for part in ("train", "test"):
            users = [
                f"{page},{','.join(str((page + k) % 3) for k in range(7))},"
                f"{','.join(f'{draw.random():.4f}' for _ in range(23))},1,{page % 2}"
                for page in range(pages + 1)
            ]
            items = []
            for n in range(3 * pages):
                numbers = [f"{draw.random():.4f}" for _ in range(47)]
                for k, column in enumerate((19, 34, 35, 36, 40, 41, 42)):
                    numbers[column - 2] = str((n + k) % 4)
                items.append(f"{n // 3},{','.join(numbers)},{draw.integers(3)}")
            place = folder / f"aliexpress_{country.upper()}_datasets"
            write(place / f"{country}_user_{part}.csv", users)
            write(place / f"{country}_item_{part}.csv", items)
    return folder


def ciao(folder: Path, rows: int = 90) -> Path:
    """Reviews of three categories."""
    folder.mkdir(parents=True, exist_ok=True)
    table = {
        "user": [n % 11 for n in range(rows)],
        "item": [n % 17 for n in range(rows)],
        "domain": [1 + n % 3 for n in range(rows)],
        "rating": [1 + n % 5 for n in range(rows)],
        "helpfulness": [n % 4 for n in range(rows)],
    }
    pl.DataFrame(table).write_parquet(folder / "interactions.parquet")
    return folder
