"""The sizes that the paper prints for its data sets, to stand beside what is built (MAMDR, Tables I to IV).

Domains are named as the builders name them. Known slips are in `Published.remarks`; the numbers stay as printed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PublishedDomain:
    """A column of Tables II to IV; `percentage` is None where it is of another data set's samples."""

    samples: int
    percentage: float | None
    ctr_ratio: float


@dataclass(frozen=True)
class Published:
    """A row of Table I, and the table of its domains (empty where the paper prints none)."""

    users: int
    items: int
    train: int
    val: int
    test: int
    samples_per_domain: int
    domains: Mapping[str, PublishedDomain] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """All of them."""
        return self.train + self.val + self.test


def published(name: str) -> Published | None:
    """What the paper prints of a data set; None for one that is not among its own.

    >>> found = published("amazon-13")
    >>> found.samples, found.domains["Gift_Cards"].samples
    (20439886, 11951)
    >>> published("ciao") is None
    True
    """
    return _SETS.get(name)


def _table(
    names: Sequence[str], samples: Sequence[int], shares: Sequence[float | None], ratios: Sequence[float]
) -> dict[str, PublishedDomain]:
    columns = zip(names, samples, shares, ratios, strict=True)
    return {name: PublishedDomain(count, share, ratio) for name, count, share, ratio in columns}


_TABLE_2 = _table(
    (
        *("Musical_Instruments", "Office_Products", "Patio_Lawn_and_Garden"),
        *("Prime_Pantry", "Toys_and_Games", "Video_Games"),
    ),
    (1_204_340, 3_921_259, 3_025_218, 694_758, 5_382_501, 2_698_800),
    (7.11, 23.17, 17.87, 4.10, 31.80, 15.94),
    (0.22, 0.23, 0.32, 0.23, 0.47, 0.21),
)
_TABLE_3 = _table(
    (
        *("Arts_Crafts_and_Sewing", "Digital_Music", "Gift_Cards", "Industrial_and_Scientific"),
        *("Luxury_Beauty", "Magazine_Subscriptions", "Musical_Instruments", "Office_Products"),
        *("Patio_Lawn_and_Garden", "Prime_Pantry", "Software", "Toys_and_Games", "Video_Games"),
    ),
    (
        *(2_419_005, 770_132, 11_951, 380_386, 87_360, 13_103),
        *(814_928, 3_178_096, 2_317_603, 655_970, 11_022, 7_541_261, 459_646),
    ),
    (11.86, 3.78, 0.06, 1.86, 0.43, 0.06, 3.99, 15.58, 11.36, 3.22, 0.05, 36.97, 10.78),
    (0.22, 0.23, 0.32, 0.23, 0.47, 0.21, 0.36, 0.30, 0.46, 0.25, 0.30, 0.30, 0.27),
)
_TABLE_4_SAMPLES = (
    *(13_255, 7_007, 20_130, 62_460, 11_563, 7_190, 4_185, 24_052, 5_582, 17_860),
    *(29_302, 6_472, 8_873, 125_586, 15_560, 5_458, 14_095, 53_910, 12_102, 2_936),
    *(4_710, 29_256, 41_609, 7_354, 68_119, 5_308, 24_918, 38_919, 24_297, 34_253),
)
_TABLE_4_SHARES = (
    *(1.82, 0.96, 2.77, 8.60, 1.59, 0.99, 0.58, 3.31, 0.77, 2.46, 4.03, 0.89, 1.22, 17.29, 2.14),
    *(0.75, 1.94, 7.42, 1.67, 0.40, 0.65, 4.03, 5.73, 1.01, 9.38, 0.73, 3.43, 5.36, 3.35, 4.72),
)
_TABLE_4_RATIOS = (
    *(0.22, 0.23, 0.32, 0.23, 0.47, 0.21, 0.36, 0.30, 0.46, 0.25, 0.30, 0.30, 0.27, 0.20, 0.33),
    *(0.23, 0.38, 0.22, 0.29, 0.33, 0.47, 0.23, 0.24, 0.44, 0.21, 0.47, 0.37, 0.28, 0.45, 0.43),
)


def _table_4(themes: int) -> dict[str, PublishedDomain]:
    """The first themes of Table IV, whose percentages are of all thirty."""
    return _table(
        [f"D{number}" for number in range(1, themes + 1)],
        _TABLE_4_SAMPLES[:themes],
        _TABLE_4_SHARES if themes == 30 else (None,) * themes,
        _TABLE_4_RATIOS[:themes],
    )


_RATIOS = "Table III's first six ratios are Table II's: each data set takes the same sequence from its start"
_GAMES = "Table III's 459,646 samples of Video_Games contradict its own 10.78 %, which is 2.20 million"
_SUM = "Table III's percentages are of 20.40 million samples, Table I has 20.44 million"
_MORE = "Table IV's domains have 895 samples more than Table I has"
_SETS = {
    "amazon-6": Published(445_789, 172_653, 9_968_333, 3_372_666, 3_585_877, 2_821_146, _TABLE_2),
    "amazon-13": Published(
        *(502_222, 215_403, 11_999_607, 4_100_756, 4_339_523, 1_572_299), _TABLE_3, (_RATIOS, _GAMES, _SUM)
    ),
    "taobao-10": Published(23_778, 6_932, 92_137, 37_645, 43_502, 17_328, _table_4(10)),
    "taobao-20": Published(58_190, 16_319, 243_592, 96_591, 106_500, 22_334, _table_4(20), (_MORE,)),
    "taobao-30": Published(99_143, 29_945, 394_805, 151_369, 179_252, 24_180, _table_4(30), (_MORE,)),
    "taobao-online": Published(84_307_785, 16_385_662, 420_097_203, 23_340_352, 46_415_298, 7_088),
}
