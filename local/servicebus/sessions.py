"""An AMQP session: attaches links, moves deliveries and their outcomes, and keeps to the client's window."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol
from uuid import UUID

from local.servicebus.addresses import Node, node_of
from local.servicebus.broker import Broker, Entity, Settlement
from local.servicebus.cbs import Grant, put_token
from local.servicebus.codec import Described, Long, Symbol, Value
from local.servicebus.context import Context
from local.servicebus.errors import Condition, ProtocolViolation, Refusal
from local.servicebus.links import (
    REQUEST_BYTES,
    AnswerOutlet,
    Inlet,
    Link,
    QueueInlet,
    QueueOutlet,
    RequestInlet,
)
from local.servicebus.messages import Answer, Request
from local.servicebus.performatives import (
    ACCEPTED,
    COORDINATOR,
    MODIFIED,
    RECEIVED,
    RECEIVER,
    REJECTED,
    RELEASED,
    SENDER,
    SETTLED_BY_SENDER,
    TRANSACTIONAL_STATE,
    Attach,
    Begin,
    Detach,
    Disposition,
    End,
    Flow,
    Performative,
    Source,
    Target,
    Transfer,
    error,
    outcome,
    read_terminus,
    rejected,
    state_code,
    state_fields,
    terminus_code,
)

HANDLE_MAX = 254
WINDOW = 2**31 - 1
CBS_BYTES = 65_536
_SESSION_FILTER = "com.microsoft:session-filter"
_SERIAL = 0xFFFF_FFFF


class Connection(Protocol):
    """What sessions need of their connection."""

    context: Context
    grants: dict[str, Grant]
    max_frame_bytes: int

    @property
    def writable(self) -> bool: ...

    def send_body(self, channel: int, body: bytes) -> None: ...

    def check_room_for_link(self) -> None: ...


class Session:
    """One session of one connection; it uses the client's channel and handle numbers in both directions."""

    def __init__(self, connection: Connection, channel: int, begin: Begin) -> None:
        self._connection = connection
        self._context = connection.context
        self.channel = channel
        self._links: dict[int, Link] = {}
        self._unsettled: dict[int, tuple[QueueOutlet, UUID]] = {}
        self._next_incoming_id = begin.next_outgoing_id
        self._next_outgoing_id = 0
        self._next_delivery_id = 0
        self._remote_window = begin.incoming_window
        self._held: deque[tuple[bool, Callable[[], bytes]]] = deque()
        self._send(Begin(channel, 0, WINDOW, WINDOW, HANDLE_MAX))

    @property
    def link_count(self) -> int:
        """How many links are attached."""
        return len(self._links)

    # --- what the client sends

    def handle(self, frame: Performative, payload: bytes) -> None:
        """Act on a frame of this session; raises ProtocolViolation when it makes no sense."""
        match frame:
            case Transfer():
                self._transfer(frame, payload)
            case Disposition():
                self._disposition(frame)
            case Flow():
                self._flow(frame)
            case Attach():
                self._attach(frame)
            case Detach():
                self._detach(frame)
            case _:
                raise ProtocolViolation(Condition.NOT_ALLOWED, "a frame that does not belong into a session")

    def end(self) -> None:
        """The client ends the session."""
        self.close()
        self._send(End())

    def close(self) -> None:
        """Let go of everything; messages stay locked until their time is over."""
        for link in self._links.values():
            link.close()
        self._links.clear()
        self._unsettled.clear()
        self._held.clear()

    def resume(self) -> None:
        """The way to the client is free again: go on delivering."""
        for link in self._links.values():
            if isinstance(link, QueueOutlet):
                link.resume()

    def _transfer(self, transfer: Transfer, payload: bytes) -> None:
        self._next_incoming_id = (self._next_incoming_id + 1) & _SERIAL
        link = self._links.get(transfer.handle)
        if link is not None:
            link.transfer(transfer, payload)

    def _flow(self, flow: Flow) -> None:
        """The window is counted from what the client had seen when it sent the frame."""
        seen = flow.next_incoming_id or 0
        self._remote_window = max(0, seen + flow.incoming_window - self._next_outgoing_id)
        self._send_held()
        link = None if flow.handle is None else self._links.get(flow.handle)
        if link is not None:
            link.flow(flow)
        elif flow.handle is None and flow.echo:
            self._send_flow(None, None, None, drain=False)
        if not self._held:
            self.resume()

    def _detach(self, detach: Detach) -> None:
        """Unsettled deliveries are dropped without unlocking: their lock tokens hold on at `$management`."""
        link = self._links.pop(detach.handle, None)
        if link is None:
            return
        link.close()
        self._unsettled = {key: value for key, value in self._unsettled.items() if value[0] is not link}
        self._send(Detach(detach.handle, detach.closed))

    # --- attaching

    def _attach(self, attach: Attach) -> None:
        if attach.handle > HANDLE_MAX or attach.handle in self._links:
            raise ProtocolViolation(Condition.NOT_ALLOWED, "the handle of an attach is in use or too large")
        self._connection.check_room_for_link()
        try:
            link = self._inlet(attach) if attach.role == SENDER else self._outlet(attach)
        except Refusal as refusal:
            self._refuse(attach, refusal)
            return
        self._links[attach.handle] = link
        self._send(_attach_reply(attach, link))
        link.open()

    def _refuse(self, attach: Attach, refusal: Refusal) -> None:
        """A refused link is attached without ends and detached at once (AMQP 1.0, part 2, section 2.6.3)."""
        reply = _attach_reply(attach, None)
        self._send(replace(reply, source=None, target=None))
        self._send(Detach(attach.handle, True, error(refusal.condition, refusal.description)))

    def _inlet(self, attach: Attach) -> Link:
        if terminus_code(attach.target) == COORDINATOR:
            raise Refusal(Condition.NOT_IMPLEMENTED, "this endpoint has no transactions")
        target: Target = read_terminus(Target, attach.target)
        node = _node(target.address, target.dynamic)
        if node.is_cbs:
            return RequestInlet(self, attach.handle, CBS_BYTES, node.path, self._put_token)
        entity = self._permitted_entity(node)
        if node.is_management:
            limit = max(REQUEST_BYTES, entity.settings.max_message_bytes + 4096)
            management = self._context.management
            return RequestInlet(
                self, attach.handle, limit, node.path, lambda request: management.answer(entity, request)
            )
        if not entity.is_main:
            raise Refusal(Condition.NOT_ALLOWED, "a dead-letter queue cannot be sent to; send to the queue itself")
        return QueueInlet(self, attach.handle, entity, self._broker, self._context.faults)

    def _outlet(self, attach: Attach) -> Link:
        source: Source = read_terminus(Source, attach.source)
        node = _node(source.address, source.dynamic)
        _check_filter(source.filter)
        if node.is_cbs:
            return AnswerOutlet(self, attach.handle, node.path, _target_address(attach))
        entity = self._permitted_entity(node)
        if node.is_management:
            return AnswerOutlet(self, attach.handle, node.path, _target_address(attach))
        deletes = attach.snd_settle_mode == SETTLED_BY_SENDER
        return QueueOutlet(self, attach.handle, entity, self._broker, deletes=deletes)

    def _permitted_entity(self, node: Node) -> Entity:
        now = self._context.authority.now_seconds()
        if not any(grant.covers(node.path, now) for grant in self._connection.grants.values()):
            raise Refusal(Condition.UNAUTHORIZED, "no valid token was put for this address; put one to $cbs first")
        return self._broker.entity(node.queue, node.sub)

    def _put_token(self, request: Request) -> Answer:
        return put_token(
            self._context.authority,
            lambda path: self._broker.has(node_of(path).queue),
            request,
            self._connection.grants,
        )

    @property
    def _broker(self) -> Broker:
        return self._context.broker

    # --- settling

    def _disposition(self, frame: Disposition) -> None:
        if frame.role != RECEIVER or state_code(frame.state) == RECEIVED:
            return
        last = frame.first if frame.last is None else frame.last
        for delivery_id in self._unsettled_between(frame.first, last):
            self._settle(delivery_id, frame)

    def _unsettled_between(self, first: int, last: int) -> list[int]:
        """The range is the peer's word: walk over it or over what there is, whichever is shorter."""
        if last - first < len(self._unsettled):
            return [number for number in range(first, last + 1) if number in self._unsettled]
        return [number for number in self._unsettled if first <= number <= last]

    def _settle(self, delivery_id: int, frame: Disposition) -> None:
        """Apply an outcome and, unless the client has settled already, tell it which one was applied."""
        if frame.state is None and not frame.settled:
            return
        outlet, token = self._unsettled.pop(delivery_id)
        try:
            settlement, changes, echo = _settlement(frame.state)
            self._broker.settle(outlet.entity, token, settlement, changes)
        except Refusal as refusal:
            echo = rejected(refusal.condition, refusal.description)
        self._context.faults.check_settled()
        if not frame.settled:
            self._send(Disposition(SENDER, delivery_id, delivery_id, True, echo))

    # --- what links send

    @property
    def writable(self) -> bool:
        """Whether the client can take another delivery now."""
        return not self._held and self._remote_window > 0 and self._connection.writable

    def send_flow(self, handle: int, delivery_count: int, credit: int, *, drain: bool = False) -> None:
        """Tell a link's state."""
        self._send_flow(handle, delivery_count, credit, drain=drain)

    def _send_flow(self, handle: int | None, count: int | None, credit: int | None, *, drain: bool) -> None:
        self._hold(
            False,
            lambda: Flow(
                next_incoming_id=self._next_incoming_id,
                incoming_window=WINDOW,
                next_outgoing_id=self._next_outgoing_id,
                outgoing_window=WINDOW,
                handle=handle,
                delivery_count=count,
                link_credit=credit,
                drain=drain,
            ).encoded(),
        )

    def send_delivery(self, handle: int, encoded: bytes, tag: bytes | None, *, settled: bool) -> int:
        """Send a message in as many frames as it needs; gives its delivery id."""
        delivery_id = self._next_delivery_id
        self._next_delivery_id = (delivery_id + 1) & _SERIAL
        first = Transfer(handle, delivery_id, tag, 0, settled, more=True)
        for body in _frame_bodies(first, encoded, self._connection.max_frame_bytes - 8):
            self._hold(True, lambda body=body: body)  # type: ignore[misc]  # mypy cannot infer a defaulted lambda
        return delivery_id

    def send_outcome(self, delivery_id: int, state: Described) -> None:
        """Tell a sender what became of its delivery."""
        self._send(Disposition(RECEIVER, delivery_id, delivery_id, True, state))

    def await_settlement(self, delivery_id: int, outlet: QueueOutlet, token: UUID) -> None:
        """Remember a delivery until the client settles it or its link ends."""
        self._unsettled[delivery_id] = (outlet, token)

    def answers_for(self, path: str, reply_to: str | None) -> AnswerOutlet | None:
        """The link for answers of a node: the one with the wanted target, else any of that node."""
        outlets = [link for link in self._links.values() if isinstance(link, AnswerOutlet) and link.path == path]
        named = [outlet for outlet in outlets if reply_to is not None and outlet.reply_to == reply_to]
        return next(iter([*named, *outlets]), None)

    def _hold(self, is_transfer: bool, body: Callable[[], bytes]) -> None:
        self._held.append((is_transfer, body))
        self._send_held()

    def _send_held(self) -> None:
        """Send in order what the client's window allows; only transfers use it up."""
        while self._held:
            is_transfer, body = self._held[0]
            if is_transfer and not self._remote_window:
                return
            self._held.popleft()
            if is_transfer:
                self._remote_window -= 1
                self._next_outgoing_id = (self._next_outgoing_id + 1) & _SERIAL
            self._connection.send_body(self.channel, body())

    def _send(self, frame: Performative) -> None:
        self._connection.send_body(self.channel, frame.encoded())


def _node(address: Value, dynamic: bool | None) -> Node:
    if dynamic:
        raise Refusal(Condition.NOT_IMPLEMENTED, "this endpoint makes no nodes on demand")
    if not isinstance(address, str) or not address:
        raise Refusal(Condition.INVALID_FIELD, "the address of a link must name a queue")
    return node_of(address)


def _check_filter(filters: dict[Value, Value] | None) -> None:
    wanted = {str(name) for name, value in (filters or {}).items() if value is not None or name == _SESSION_FILTER}
    if _SESSION_FILTER in wanted:
        raise Refusal(Condition.NOT_ALLOWED, "queues of this endpoint have no message sessions; receive without one")
    if wanted:
        raise Refusal(Condition.NOT_IMPLEMENTED, "this endpoint has no filters; receive without one")


def _target_address(attach: Attach) -> str | None:
    target: Target = read_terminus(Target, attach.target)
    return target.address if isinstance(target.address, str) else None


def _attach_reply(attach: Attach, link: Link | None) -> Attach:
    """The client's own attach from the other side: same name, handle, ends and settle modes."""
    properties = None
    if isinstance(link, QueueInlet):
        properties = {Symbol("com.microsoft:max-message-batch-size"): Long(link.max_bytes)}
    return Attach(
        name=attach.name,
        handle=attach.handle,
        role=not attach.role,
        snd_settle_mode=attach.snd_settle_mode,
        rcv_settle_mode=attach.rcv_settle_mode,
        source=attach.source or Source(),
        target=attach.target or Target(),
        initial_delivery_count=0 if attach.role == RECEIVER else None,
        max_message_size=_max_message_size(link),
        properties=properties,
    )


def _max_message_size(link: Link | None) -> int:
    """Always told: some clients take a missing size for none at all."""
    if isinstance(link, Inlet):
        return link.max_bytes
    return link.entity.settings.max_message_bytes if isinstance(link, QueueOutlet) else REQUEST_BYTES


def _frame_bodies(first: Transfer, encoded: bytes, room: int) -> Iterator[bytes]:
    """Cut a delivery into frame bodies; id and tag stand in the first only."""
    head, position = first, 0
    while True:
        start = head.encoded()
        piece = encoded[position : position + room - len(start)]
        position += len(piece)
        if position >= len(encoded):
            yield replace(head, more=False).encoded() + piece
            return
        yield start + piece
        head = replace(head, delivery_id=None, delivery_tag=None, message_format=None)


def _settlement(state: Described | None) -> tuple[Settlement, dict[str, Value], Described]:
    """What a delivery state means here, which application properties it changes, and the outcome to answer with."""
    code = state_code(state)
    if state is None or code == RELEASED:
        return Settlement.RELEASE, {}, outcome(RELEASED)
    if code == ACCEPTED:
        return Settlement.COMPLETE, {}, outcome(ACCEPTED)
    if code == MODIFIED:
        _, undeliverable_here, changes = state_fields(state, 3)[:3]
        settlement = Settlement.DEFER if undeliverable_here is True else Settlement.ABANDON
        return settlement, _named(changes), outcome(MODIFIED)
    if code == REJECTED:
        return Settlement.DEAD_LETTER, _dead_letter_properties(state), outcome(REJECTED)
    if code == TRANSACTIONAL_STATE:
        raise Refusal(Condition.NOT_IMPLEMENTED, "this endpoint has no transactions")
    raise Refusal(Condition.INVALID_FIELD, "the delivery state is no outcome of AMQP 1.0")


def _named(values: Value) -> dict[str, Value]:
    """Application properties from a map: names must be text; a missing value changes nothing."""
    if not isinstance(values, dict):
        return {}
    return {str(name): value for name, value in values.items() if isinstance(name, str) and value is not None}


def _dead_letter_properties(state: Described) -> dict[str, Value]:
    """Reason and description travel in the info of the error that the client rejects with."""
    reported = state_fields(state, 1)[0]
    if not isinstance(reported, Described) or not isinstance(reported.value, list):
        return {}
    info = state_fields(reported, 3)[2]
    return _named(info)
