"""recentMessages."""

from schemas.context import ConversationMessage
from schemas.journal import JournalEntry
from schemas.text_features import TextFeatures
from tests.views.interactions import NOON, WHO, known, like, message
from views import messages


def rendered(*entries: JournalEntry) -> tuple[ConversationMessage, ...]:
    return messages.render(known(*entries), WHO, NOON)


def test_the_newest_fifty_messages_stand_oldest_first_and_late_ones_in_their_place() -> None:
    history = [(i, message(NOON + i, event_id=str(i))) for i in range(60)]
    history += [(60, like(NOON + 100)), (61, message(NOON + 55, event_id="late"))]
    shown = [entry.event_id for entry in messages.newest_entries(history)]
    assert len(shown) == 50
    assert shown[0] == "11"
    assert shown[-5:] == ["55", "late", "56", "57", "58", "59"][-5:]


def test_both_senders_messages_carry_sentiment_and_topics() -> None:
    text = TextFeatures(sentiment="negative", topics=("cars",), language="de")
    (fan, creator) = rendered(message(text=text), message(sender="creator"))
    assert (fan.sentiment, fan.topics, fan.sender) == ("negative", ("cars",), "fan")
    assert (fan.fan_id, fan.creator_id, fan.timestamp) == (
        "fan",
        "creator",
        "2024-11-12T12:00:00.000Z",
    )
    assert (creator.sentiment, creator.topics, creator.sender) == ("neutral", (), "creator")


def test_metadata_is_as_received_plus_language_and_author() -> None:
    text = TextFeatures(language="fr")
    received = message(text=text, metadata=b'{"device":"phone"}', author="ai", sender="creator")
    (shown,) = rendered(received)
    assert shown.metadata == {"device": "phone", "language": "fr", "author": "ai"}


def test_a_language_that_the_sender_gave_stays_as_received() -> None:
    received = message(text=TextFeatures(language="fr"), metadata=b'{"language":"oc"}')
    (shown,) = rendered(received)
    assert shown.metadata == {"language": "oc"}
