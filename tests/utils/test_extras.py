import json

import pytest

from jld.errors import ConfigError
from jld.utils.extras import require


def test_what_is_missing_is_named_with_what_installs_it():
    assert require("json", "analysis") is json
    with pytest.raises(ConfigError, match=r"no_such_package is missing .*pip install 'jld\[analysis\]'"):
        require("no_such_package", "analysis")
