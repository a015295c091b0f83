"""What the stage ``pullback`` says about the metric it has made."""

from __future__ import annotations

import pytest

from stages import pullback
from tests.tiny import make_tiny_project

WAY = [{"size": 0.1, "ratio": 1.1}, {"size": 1.0, "ratio": 1.8}]


def said(tmp_path, monkeypatch, capsys, stable_after, changes):
    """What people read after an estimate of 400 products."""
    monkeypatch.chdir(make_tiny_project(tmp_path))
    rows = [{"products": n, "spectrum_change": c} for n, c in zip((50, 100, 200), changes, strict=True)]
    report = {"products": 400, "convergence": rows, "stable_after": stable_after, "validity": WAY}
    monkeypatch.setattr(pullback, "estimate_metric", lambda params, on_products: report)
    assert pullback.main() == 0
    return capsys.readouterr().out


def test_a_stable_spectrum_is_reported(tmp_path, monkeypatch, capsys):
    out = said(tmp_path, monkeypatch, capsys, 100, (0.2, 0.04, 0.02))
    assert "400 products, spectrum stable within 5% after 100, in data/pullback" in out
    assert "up to 10% of the way between two styles" in out
    assert "!" not in out


@pytest.mark.parametrize(("change", "advised"), [(0.1, "1,600"), (0.06, "600")])
def test_a_spectrum_that_still_moves_asks_for_more_products(tmp_path, monkeypatch, capsys, change, advised):
    out = said(tmp_path, monkeypatch, capsys, None, (0.2, 0.15, change))
    assert f"raise pullback.products to {advised} or so" in out
