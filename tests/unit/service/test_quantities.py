"""Sizes and durations as text."""

import pytest

from service.kit.quantities import about, duration, figure, gib, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599.9, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (1_234_567, "1.23 MB"),
        (123e6, "123 MB"),
        (999_700, "1000 kB"),
        (2.5e12, "2.5 TB"),
    ],
)
def test_a_size_has_three_significant_digits(count: float, text: str) -> None:
    assert size(count) == text


def test_memory_is_counted_in_powers_of_two() -> None:
    assert gib(3 * 2**29) == "1.5 GiB"


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ((720, 600, 930), "about 12 min (10 to 16 min)"),
        ((62, 45, 130), "about 60 s (45 s to 2.2 min)"),
        ((3.04, 3.01, 3.02), "about 3 s"),
        ((0, 0, 0), "about 0 s"),
        ((5400, 4000, 8000), "about 1.5 h (65 min to 2.2 h)"),
        ((300_000, 200_000, 500_000), "about 3.5 d (2.3 to 5.8 d)"),
    ],
)
def test_an_estimate_names_its_range_in_few_digits(ends: tuple[float, float, float], text: str) -> None:
    assert about(*ends) == text


def test_an_estimate_without_a_range_is_its_value() -> None:
    assert about(720) == "about 12 min"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (25.454, "25.45"),
        (9.99996, "10.00"),
        (1203.1, "1,203"),
        (49440.544, "49,440"),
        (0.05204, "0.0520"),
        (-0.4121, "-0.412"),
        (0.0000321, "3.21e-05"),
        (12_345, "12,345"),
        (float("inf"), "inf"),
    ],
)
def test_a_figure_has_three_to_four_significant_digits(value: float, text: str) -> None:
    assert figure(value) == text
