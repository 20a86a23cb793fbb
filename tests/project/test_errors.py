"""The one error for bad input."""

import pytest

from redlib.errors import BadInput


def test_an_unknown_name_is_refused_with_the_nearest_one():
    error = BadInput.named("study", "01_goood", ["01_good", "02_bad"], "see notebooks/")
    assert str(error).startswith("study = '01_goood'") and "Did you mean 01_good? Otherwise see notebooks/" in str(
        error
    )


@pytest.mark.parametrize(("known", "told"), [(["a"], "allowed is a. see"), ([], "allowed is nothing yet. see")])
def test_an_unknown_name_like_no_other_gets_no_hint(known, told):
    assert told in str(BadInput.named("study", "zzzz", known, "see notebooks/"))
