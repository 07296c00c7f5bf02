"""A made source and the results of one frame, for several parts."""

import pytest

from tests.made_results import made_results, made_source


@pytest.fixture(scope="module")
def source():
    return made_source(64)


@pytest.fixture(scope="module")
def results(source):
    return made_results(1, source)
