"""Who gets which recordings in a cluster, without a cluster."""

from __future__ import annotations

from appliance.engine.scoring.events import DetectionConfig
from appliance.errors import EngineLost, ModelNotFound
from appliance.worker.asks import RecordingAsk
from appliance.worker.crew import SHIPMENT_BYTES, SHIPMENT_FILES, Crew, Member, Shipment, Ticket


def ticket(name: str = "t", size_bytes: int = 1, *, alone: bool = False) -> Ticket:
    ask = RecordingAsk(
        name, "m@1", "d", size_bytes, "http://127.0.0.1/", "e", DetectionConfig(), keep_scores=True, look=True
    )
    return Ticket(ask, None, alone=alone)


def member(lanes: int = 2, seconds_each: float | None = 0.001) -> Member:
    return Member("n", None, lanes=lanes, seconds_each=seconds_each)


def send_all(crew: Crew) -> list[list[str]]:
    """Send until nothing goes. Returns the names in each shipment."""
    sent: list[list[str]] = []
    while following := crew.next_shipment():
        engine, tickets = following
        engine.shipments[len(sent)] = Shipment(tickets, 0.0)
        sent.append([item.ask.id for item in tickets])
    return sent


def test_what_waits_is_spread_over_the_room_there_is() -> None:
    crew = Crew()
    crew.members = [member(), member()]
    crew.waiting.extend(ticket(f"{number}") for number in range(12))
    assert [len(names) for names in send_all(crew)] == [2] * 6
    assert crew.capacity() == 12


def test_one_recording_goes_out_at_once() -> None:
    crew = Crew()
    crew.members = [member()]
    crew.waiting.append(ticket("only"))
    assert send_all(crew) == [["only"]]


def test_a_shipment_is_bounded_in_files_and_in_bytes() -> None:
    crew = Crew()
    crew.members = [member(lanes=1)]
    crew.waiting.extend(ticket() for _ in range(1000))
    assert [len(names) for names in send_all(crew)] == [SHIPMENT_FILES] * 2
    crew.members, crew.waiting = [member(lanes=1)], type(crew.waiting)()
    crew.waiting.extend(ticket(size_bytes=SHIPMENT_BYTES // 2) for _ in range(10))
    assert [len(names) for names in send_all(crew)] == [2, 2]


def test_a_slow_engine_gets_one_recording_at_a_time() -> None:
    engine = member(lanes=1, seconds_each=None)
    assert engine.shipment_files == 1
    engine.shipments["s"] = Shipment([ticket(), ticket()], 10.0)
    assert len(engine.came_back("s", 10.2)) == 2
    assert engine.shipment_files == 20
    engine.shipments["s"] = Shipment([ticket()], 10.0)
    engine.came_back("s", 100.0)
    assert engine.shipment_files == 1


def test_a_recording_that_was_lost_with_an_engine_travels_alone() -> None:
    crew = Crew()
    crew.members = [member(), member()]
    crew.members[0].shipments["old"] = Shipment([ticket("old")], 0.0)
    crew.members[1].shipments["older"] = Shipment([ticket("older")], 0.0)
    crew.waiting.extend([ticket("lost", alone=True), *(ticket(f"{number}") for number in range(4))])
    others = send_all(crew)
    assert ["lost"] not in others  # no engine is idle; one is kept from new work until it is
    keeper = next(item for item in crew.members if len(item.shipments) == 1)
    keeper.shipments.clear()
    assert send_all(crew)[0] == ["lost"]
    assert keeper.room == 0


def test_an_engine_that_is_not_ready_gets_nothing() -> None:
    crew = Crew()
    crew.members = [member(lanes=0)]
    crew.waiting.append(ticket())
    assert send_all(crew) == []
    assert crew.capacity() == 0


def test_only_the_first_answer_counts() -> None:
    item = ticket()
    item.end(EngineLost("lost"))
    item.end(ModelNotFound("late"))
    assert isinstance(item.result, EngineLost)


def test_what_ended_meanwhile_is_not_sent() -> None:
    crew = Crew()
    crew.members = [member()]
    crew.waiting.extend([ticket("a"), ticket("b")])
    crew.waiting[0].end(EngineLost("cancelled"))
    assert send_all(crew) == [["b"]]
