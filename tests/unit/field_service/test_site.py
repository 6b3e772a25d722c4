"""What an installation words otherwise, from its setting."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from shared.connectors.field_service.site import FsmSite, IfsCloudSite


def test_without_a_word_everything_is_as_in_the_contract() -> None:
    """Both dialects."""
    fsm, cloud = FsmSite(), IfsCloudSite()
    assert fsm.path("read", table="task", key="T-1") == "tables/task/T-1"
    assert fsm.path("schema") == "schema"
    assert fsm.changed_in("task") == "modified_dttm"
    assert cloud.changed_in("WorkTaskHandling.JtTaskSet") == "ModifiedTime"


def test_tables_may_differ_in_the_column_of_the_last_change() -> None:
    """A table that is not named has the usual one, or none where there is no usual one."""
    site = FsmSite.model_validate_json('{"changed_at": {"*": "changed", "task": "task_changed"}}')
    assert [site.changed_in(table) for table in ("task", "place")] == ["task_changed", "changed"]
    assert FsmSite(changed_at={"task": "task_changed"}).changed_in("place") == ""


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"pathes": {}}', "pathes"),
        ('{"paths": {"read": "tables/{table}"}}', "read needs {table} and {key}"),
        ('{"paths": {"query": "tables/{table}/{key}"}}', "query needs {table}"),
        ('{"paths": {"create": "https://other.example/{table}"}}', "below the address"),
        ('{"paths": {"create": "../{table}"}}', "create"),
        ('{"paths": {"wipe": "x"}}', "paths"),
        ('{"flags": ["Y", "Y"]}', "alike"),
        ('{"page_size": 1}', "page_size"),
        ('{"time_zone": "Europe/Rom"}', "time zone"),
        ('{"changed_at": "a b"}', "changed_at"),
        ('{"outbound": {"Done": {"table": "task", "key": []}}}', "outbound"),
    ],
)
def test_what_is_wrong_is_named(text: str, named: str) -> None:
    """So that it can be corrected."""
    with pytest.raises(ValidationError) as wrong:
        FsmSite.model_validate_json(text)
    assert named in str(wrong.value)


def test_flags_and_paths_are_the_other_dialects() -> None:
    """OData has neither."""
    for text in ('{"flags": ["J", "N"]}', '{"paths": {}}', '{"base": "//x"}'):
        with pytest.raises(ValidationError):
            IfsCloudSite.model_validate_json(text)
