"""Latency figures, with numpy as the oracle."""

import numpy as np
import pytest

from hybridanim.live.latency import Latency, RecentLatency


def test_latency_agrees_with_numpy():
    values_ms = np.random.default_rng(3).gamma(4, 12, 5000)
    latency = Latency()
    for row, value in enumerate(values_ms):
        latency.add(row / 30, row / 30 + value / 1000)
    for share in (50, 95, 99):
        assert latency.percentile_ms(share) == pytest.approx(np.percentile(values_ms, share), abs=1)
    figures = latency.report()
    assert figures["pictures"] == 5000
    assert figures["pictures_per_s"] == pytest.approx(30, rel=0.01)
    assert figures["latency_ms"]["largest"] == pytest.approx(values_ms.max(), abs=0.1)
    assert abs(figures["latency_ms"]["growth_per_minute"]) < 5


def test_latency_sees_growth_and_stays_small():
    latency = Latency()
    for row in range(6 * 60 * 60):  # an hour, 2 ms a minute
        at_s = row / 6
        latency.add(at_s, at_s + 0.03 + 0.002 * at_s / 60)
    assert latency.growth_ms_per_minute() == pytest.approx(2, abs=0.1)
    assert len(latency.report()["spans"]) < 300


def test_latency_of_nothing():
    figures = Latency().report()
    assert figures["pictures"] == 0 and figures["latency_ms"]["p95"] == 0
    assert Latency().recent() == RecentLatency()


def test_recent_forgets():
    latency = Latency()
    for row in range(300):
        latency.add(row / 30, row / 30 + (0.5 if row < 150 else 0.02))
    assert latency.recent().p95_ms == pytest.approx(20, abs=1)
    assert latency.recent().rate_hz == pytest.approx(30, rel=0.02)
