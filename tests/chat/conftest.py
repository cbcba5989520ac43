import pytest

from cai_lite.inputs.constitution import load_constitution


@pytest.fixture
def constitution():
    return load_constitution("medical-embedded")
