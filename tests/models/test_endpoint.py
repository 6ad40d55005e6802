"""`NAME@URL` taken apart, its credentials kept from sight."""

from __future__ import annotations

import pytest

from okrt.errors import SpecError
from okrt.models.endpoint import endpoint, names_server, pool


@pytest.mark.parametrize(
    ("spec", "name", "url"),
    [
        ("m@http://h:8000/v1", "m", "http://h:8000/v1"),
        ("org/m@https://h/v1/", "org/m", "https://h/v1"),
        ("qwen3:8b@http://[::1]:1/v1", "qwen3:8b", "http://[::1]:1/v1"),
        ("m@HTTP://u:p@H/a/b?key=1", "m", "http://h/a/b"),
    ],
)
def test_a_spec_has_a_name_and_an_address(spec: str, name: str, url: str) -> None:
    found = endpoint(spec)
    assert (found.name, found.url) == (name, url)


def test_credentials_are_used_and_never_shown() -> None:
    found = endpoint("m@https://us%40er:pa%2Fss@h/v1?key=secret1&api-version=2")
    assert found.headers == {"Authorization": "Basic dXNAZXI6cGEvc3M="}
    assert found.query == {"key": "secret1", "api-version": "2"}
    assert {"us@er", "pa/ss", "pa%2Fss", "secret1", "dXNAZXI6cGEvc3M="} <= set(found.secrets)
    for secret in found.secrets:
        assert secret == "2" or secret not in repr(found)


def test_a_pool_is_a_spec_for_each_of_its_servers() -> None:
    assert pool("m@http://a/v1,HTTPS://u:p@b:2/v1") == ("m@http://a/v1", "m@HTTPS://u:p@b:2/v1")
    assert pool("m@http://a/v1?x=1,2") == ("m@http://a/v1?x=1,2",)
    assert pool("expert:persistent,slips=0.3") == ("expert:persistent,slips=0.3",)
    with pytest.raises(SpecError, match="several servers, which takes: okrt run --engine ray"):
        endpoint("m@http://a/v1,http://b/v1")


def test_the_root_is_where_a_server_answers_besides() -> None:
    assert endpoint("m@http://h:1/v1").root == "http://h:1"
    assert endpoint("m@http://h:1/other").root == "http://h:1/other"


@pytest.mark.parametrize(
    "spec",
    ["m@localhost:8000/v1", "m@http://", "m@http:///v1", "m@http://h:port/v1", "m@http://h:99999",
     "m@http://[::1/v1", "m@http://h/v1 x", "m@http://h/v1#x", "m@gpu-7/v1"],
)  # fmt: skip
def test_what_names_no_server_is_one_line(spec: str) -> None:
    assert names_server(spec)
    with pytest.raises(SpecError, match=r"URL|write NAME@http://host:port/v1") as found:
        endpoint(spec)
    assert "\n" not in str(found.value)


def test_a_mistake_in_a_url_shows_no_password() -> None:
    with pytest.raises(SpecError) as found:
        endpoint("m@http://user:geheim77@h:port/v1?key=geheim88")
    assert "geheim" not in str(found.value)


@pytest.mark.parametrize("spec", ["expert:persistent", "tiny:base", "path/to/dir", "module:attr"])
def test_other_specs_name_no_server(spec: str) -> None:
    assert not names_server(spec)
