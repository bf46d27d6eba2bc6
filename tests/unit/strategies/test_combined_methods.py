"""Training by each of the gradient methods passes the suite of every strategy."""

from __future__ import annotations

import pytest

from mamdr.combiners import FAMO, IMTLG, MGDA, AlignedMTL, CAGrad, GradVac, NashMTL, TorchJD, UPGrad
from mamdr.strategies import Combined
from mamdr.testing import StrategyConformance


class TestAlignedMTL(StrategyConformance):
    def strategy(self) -> Combined:
        return Combined(AlignedMTL())


class TestCAGrad(StrategyConformance):
    def strategy(self) -> Combined:
        return Combined(CAGrad(c=0.4), steps=4)


class TestFAMO(StrategyConformance):
    def strategy(self) -> Combined:
        return Combined(FAMO(lr=0.1))


class TestFAMOByDescent(StrategyConformance):
    def strategy(self) -> Combined:
        return Combined(FAMO(lr=1.0, rule="descent"), inner_state="fresh")


class TestGradVac(StrategyConformance):
    def strategy(self) -> Combined:
        return Combined(GradVac(beta=0.2))


class TestIMTLG(StrategyConformance):
    def strategy(self) -> Combined:
        return Combined(IMTLG())


class TestMGDA(StrategyConformance):
    def strategy(self) -> Combined:
        return Combined(MGDA())


class TestNashMTL(StrategyConformance):
    def strategy(self) -> Combined:
        return Combined(NashMTL(update_every=3))


class TestTorchJD(StrategyConformance):
    def strategy(self) -> Combined:
        pytest.importorskip("torchjd")
        return Combined(TorchJD(aggregator="PCGrad"))


class TestUPGrad(StrategyConformance):
    def strategy(self) -> Combined:
        return Combined(UPGrad(), steps=6)
