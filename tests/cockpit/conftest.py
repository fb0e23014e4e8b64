"""Sessions that are closed after each test."""

import pytest
from cockpit_cases import small_session


@pytest.fixture
def session():
    made = small_session()
    yield made
    made.close()
