"""Servers of three kinds of data, one of each per file of tests."""

import pytest

from tests.browsers import browser  # noqa: F401, a fixture
from tests.conftest import Once
from tests.serving.servers import Server, make_mails, make_pictures, make_texts


@pytest.fixture(scope="module")
def texts(once: Once) -> Server:
    return Server(once("serving-texts", make_texts))


@pytest.fixture(scope="module")
def mails(once: Once) -> Server:
    return Server(once("serving-mails", make_mails))


@pytest.fixture(scope="module")
def pictures(once: Once) -> Server:
    return Server(once("serving-pictures", make_pictures))
