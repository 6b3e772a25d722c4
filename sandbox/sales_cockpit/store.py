"""The Cockpit's database: ids, names of projects, solutions and evaluations, and nothing else of the CRM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from sandbox.disk import Disk
from sandbox.rows_on_disk import Row, RowsOnDisk

PROJECTS, SOLUTIONS, EVALUATIONS = "projects", "solutions", "evaluations"


class Store(RowsOnDisk):
    """Projects by project id, solutions and evaluations by id."""

    def __init__(self, now: Callable[[], datetime], disk: Disk) -> None:
        super().__init__(now, disk, (PROJECTS, SOLUTIONS, EVALUATIONS))

    def project_of(self, opportunity: str) -> tuple[str, Row] | None:
        """The project of an opportunity; there is one at most."""
        return next(((key, row) for key, row in self.rows(PROJECTS) if row["externalId"] == opportunity), None)

    def evaluations_of(self, project: str) -> Iterator[tuple[str, Row]]:
        """The evaluations of a project, the oldest first."""
        return ((key, row) for key, row in self.rows(EVALUATIONS) if row["projectId"] == project)
