"""Raw folders in the true formats, small."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np

from mamdr.seeds import generator

WIDTH = 4


def taobao(folder: Path, themes: int = 4, users: int = 30, items: int = 20, clicks: int = 400) -> Path:
    """Cloud Theme files: clicks of `themes` themes, and vectors for all users and items but the last ones."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = generator(1, "taobao")
    lines = ["user_id,theme_id,item_id,leaf_cate_id,cate_level1_id,clk_cnt,reach_time"]
    for _ in range(clicks):
        user, theme, item = draw.integers(users), draw.integers(themes), draw.integers(items)
        lines.append(f"{1000 + user},{70 - theme},{5000 + item},1,2,1,2018-04-01 10:00:00")
    (folder / "theme_click_log.csv").write_text("\n".join(lines) + "\n")
    for name, first, count in (("user", 1000, users - 1), ("item", 5000, items - 1)):
        vectors = [f"{first + n},{text(draw.normal(size=WIDTH))}" for n in range(count)]
        (folder / f"{name}_embedding.csv").write_text("\n".join([f"{name}_id,emb", *vectors]) + "\n")
    return folder


def text(vector: Any) -> str:
    return " ".join(f"{x:.6f}" for x in np.asarray(vector))


def amazon(folder: Path, categories: tuple[str, ...], users: int = 30, reviews: int = 200) -> Path:
    """Review files of 2018, with some pairs twice, in part with another rating."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = generator(1, "amazon")
    for category in categories:
        lines = [
            json.dumps(
                {
                    "overall": float(draw.integers(4, 6)),
                    "reviewerID": f"A{draw.integers(users)}",
                    "asin": f"{category[:3]}{draw.integers(25)}",
                    "unixReviewTime": int(draw.integers(1 << 30)),
                    "reviewText": "good",
                }
            )
            for _ in range(reviews)
        ]
        (folder / f"{category}_5.json.gz").write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    return folder


def authors(folder: Path, domains: int = 2, vectors: bool = True) -> Path:
    """What the authors' code prepares."""
    users, items = 6, 5
    processed = folder / "processed_data"
    processed.mkdir(parents=True)
    for name, count in (("uid", users), ("pid", items)):
        raw = {f"raw-{name}-{count - n}": n for n in range(count)}
        (processed / f"{name}2id.json").write_text(json.dumps({"id": count, "raw_id2id": raw}))
    if vectors:
        for name, count in (("user", users), ("item", items)):
            held = {str(n): text([n] * WIDTH) for n in range(count)}
            (processed / f"{name}_emb.json").write_text(json.dumps(held))
    for domain in range(domains):
        own = folder / f"domain_{domain}"
        own.mkdir()
        for part, rows in (("train", 8), ("val", 3), ("test", 3)):
            lines = [f"{(n + domain) % users},{n % items},{domain},{n % 2}" for n in range(rows)]
            (own / f"{part}.csv").write_text("\n".join(["uid,pid,domain,label", *lines]) + "\n")
        said = {"domain_name": f"theme_{domain}", "n_uid": 6, "n_pid": 5, "ctr_ratio": 0.3, "pid_range": [0]}
        (own / "domain_property.json").write_text(json.dumps(said))
    return folder
