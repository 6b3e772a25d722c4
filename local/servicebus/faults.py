"""Misfortunes on demand, so that what must survive them can be tested."""

from __future__ import annotations

from local.servicebus.errors import Condition, Refusal


class ConnectionDropped(Exception):
    """A fault wants this connection cut without a word."""


class Faults:
    """What shall go wrong next; each call adds to what is still outstanding, and each event uses one up.

    server_busy: sends and schedules are refused with com.microsoft:server-busy. drop_before_storing: the connection
    is cut when a message arrives; nothing is kept. drop_after_storing: the message is kept and the connection is cut
    before the sender is told. drop_after_settling: the same for a settlement. fail_commits: the store refuses to
    commit, as with a full disk; all connections are closed with an error and the changes since the last commit undone.
    """

    def __init__(self) -> None:
        self._busy = 0
        self._drop_before_storing = 0
        self._drop_after_storing = 0
        self._drop_after_settling = 0
        self._fail_commits = 0

    def server_busy(self, times: int = 1) -> None:
        """Refuse the next sends and schedules."""
        self._busy += times

    def drop_before_storing(self, times: int = 1) -> None:
        """Cut the connection of the next sends, keeping nothing."""
        self._drop_before_storing += times

    def drop_after_storing(self, times: int = 1) -> None:
        """Cut the connection of the next sends after keeping the message."""
        self._drop_after_storing += times

    def drop_after_settling(self, times: int = 1) -> None:
        """Cut the connection of the next settlements after carrying them out."""
        self._drop_after_settling += times

    def fail_commits(self, times: int = 1) -> None:
        """Let the next commits fail."""
        self._fail_commits += times

    def clear(self) -> None:
        """Let nothing more go wrong."""
        self._busy = self._drop_before_storing = self._drop_after_storing = 0
        self._drop_after_settling = self._fail_commits = 0

    def check_busy(self) -> None:
        """Raise Refusal when the server is to seem busy."""
        if self._busy:
            self._busy -= 1
            # The text follows the service's, whose code 50009 names throttling of the namespace.
            raise Refusal(
                Condition.SERVER_BUSY, "The request was terminated because it is throttled. Error code: 50009"
            )

    def check_arrival(self) -> None:
        """Raise ConnectionDropped when an arriving message is to be lost."""
        if self._drop_before_storing:
            self._drop_before_storing -= 1
            raise ConnectionDropped

    def check_stored(self) -> None:
        """Raise ConnectionDropped when the sender of a kept message is not to be told."""
        if self._drop_after_storing:
            self._drop_after_storing -= 1
            raise ConnectionDropped

    def check_settled(self) -> None:
        """Raise ConnectionDropped when a settlement's answer is to be lost."""
        if self._drop_after_settling:
            self._drop_after_settling -= 1
            raise ConnectionDropped

    def next_commit_fails(self) -> bool:
        """Whether this commit is to fail."""
        if not self._fail_commits:
            return False
        self._fail_commits -= 1
        return True
