"""The examples of calls run.

pytest's own search misses them: for it, a class that says it is of `beedex.client` and its
methods are of two modules.
"""

import doctest
import inspect

import pytest
from tests.docs.pages import SERVED_AT

import beedex.client
from beedex.client import Client

PUBLIC = {name: getattr(beedex.client, name) for name in beedex.client.__all__}


def find_examples():
    """Every method of a public class that has an example."""
    finder = doctest.DocTestFinder(recurse=False)
    for kind in PUBLIC.values():
        for name, member in vars(kind).items() if inspect.isclass(kind) else ():
            if inspect.isfunction(member) and not name.startswith("_"):
                yield from (
                    test for test in finder.find(member, f"{kind.__name__}.{name}", globs=dict(PUBLIC)) if test.examples
                )


EXAMPLES = list(find_examples())


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("test", EXAMPLES, ids=lambda test: test.name)
def test_a_calls_example_does_what_its_docstring_shows(test, examples_address):
    for example in test.examples:
        example.source = example.source.replace(SERVED_AT, examples_address)
    said: list[str] = []
    with Client(examples_address) as client:
        test.globs["client"] = client
        result = doctest.DocTestRunner(verbose=False).run(test, out=said.append)

    assert result.attempted > 0
    assert result.failed == 0, "".join(said)


def test_no_example_of_the_client_is_skipped():
    assert [test.name for test in EXAMPLES for example in test.examples if doctest.SKIP in example.options] == []
