"""Holders: every place that holds something of a fan, named once, and what erasing the fan, or
forgetting some of its events, does to it.

A table, a kind of cache key, a topic or a folder that is not named here fails the build
(`tests/privacy/test_holders.py`): what nobody lists, nobody erases. `WITHOUT_FANS` are the places
that hold nothing of any fan, each with the reason.

*Sealed* is what a relationship's own key opens, and nothing else; with the key it is gone wherever
a copy of it lies. *Clear* is readable by whoever can read the place.
"""

from dataclasses import dataclass
from typing import Final, Literal

from schemas.topics import (
    DEAD_LETTERS,
    ERASURES,
    INTENT_DEAD_LETTERS,
    INTENT_RESULTS,
    INTENTS,
    INTERACTIONS,
    JOURNAL,
    LLM_USAGE,
    MEMORY_UPDATES,
    WORKFLOW_TRACES,
)

Kind = Literal["table", "cache", "topic", "folder"]
Form = Literal["sealed", "clear", "random ids", "keyed hash"]


@dataclass(frozen=True, slots=True)
class Holder:
    """One place that holds something of a fan."""

    kind: Kind
    name: str
    holds: str
    form: Form
    kept: str
    """How long, if nobody erases."""
    erasure: str
    """What erasing a fan does to it."""
    forgetting: str
    """What forgetting some of a fan's events does to it."""


HOLDERS: Final = (
    Holder(
        "table",
        "subject",
        "the only place that knows who a random id is: creator, fan, and their wrapped key",
        "clear",
        "until the fan is erased",
        "the row is deleted, and with it the key of everything that is sealed",
        "the fan gets a new random id and key; the old row is deleted, and with it the key of all"
        " that was sealed before",
    ),
    Holder(
        "table",
        "fan_state",
        "scores and counts, never text; beside them, in clear, a hash of the creator and the few"
        " numbers that fans are found by; one table in each generation",
        "sealed",
        "until the fan is erased",
        "the row is deleted in every generation, one that is being built included",
        "the row is deleted, and made anew from what is left",
    ),
    Holder(
        "table",
        "interaction",
        "every event of the fan",
        "sealed",
        "until the fan is erased",
        "the rows are deleted",
        "what is left is sealed again; of a forgotten event its id stays, sealed, so that it does"
        " not come back",
    ),
    Holder(
        "table",
        "quarantine",
        "journal records that could not be folded",
        "sealed",
        "until the fan is erased",
        "the fan's rows are deleted",
        "the fan's rows are deleted; what still can't be folded is set aside again",
    ),
    Holder(
        "table",
        "refused",
        "what was refused of whom and why, never the value: keyed hashes of fan and event id, and"
        " both sealed",
        "keyed hash",
        "14 days, the newest million",
        "the fan's rows are deleted",
        "the fan's rows are deleted",
    ),
    Holder(
        "table",
        "erasure",
        "each erasure: its creator, keyed hashes of creator and fan; the fan, sealed, until it is"
        " completed",
        "keyed hash",
        "without limit",
        "it is the record of it",
        "nothing",
    ),
    Holder(
        "table",
        "forgetting",
        "each forgetting: its creator, a keyed hash of creator and fan; the fan and the events'"
        " ids, sealed, until it is completed",
        "clear",
        "without limit",
        "nothing: what is not completed yet finds nothing any more",
        "it is the record of it",
    ),
    Holder(
        "table",
        "erased_subject",
        "random ids that stand for nobody any more, and how many rows there were",
        "random ids",
        "without limit",
        "it is the record of it",
        "the old random id, and keyed hashes of the forgotten events' ids, whose key is gone",
    ),
    Holder(
        "table",
        "outbox",
        "what a worker of the first release has not published yet: which views moved",
        "random ids",
        "until it is published",
        "nothing: the relay drops what belongs to no subject",
        "nothing: the relay drops what belongs to no subject",
    ),
    Holder(
        "table",
        "outbox_pack",
        "what is not published yet: which views moved, sealed dead letters, who was erased, and in"
        " clear what was sent or composed a moment ago",
        "clear",
        "until it is published, at most as long as its topic keeps it",
        "the relay drops what belongs to no subject; that a fan was erased is told with both ids",
        "the relay drops what belongs to the old random id; that the views moved is told",
    ),
    Holder(
        "table",
        "outbox_record",
        "the same, of what the broker refuses",
        "random ids",
        "at most as long as its topic keeps it",
        "the fan's rows are deleted",
        "the fan's rows are deleted",
    ),
    Holder(
        "table",
        "suppression",
        "that nothing more of a fan is to be remembered",
        "keyed hash",
        "until it is lifted",
        "nothing: it has to outlive the fan's memory",
        "nothing",
    ),
    Holder(
        "table",
        "workflow",
        "what the LLM agent was asked to do about the fan",
        "sealed",
        "without limit",
        "what is under way ends; the row loses subject and text, and keeps its id and state",
        "the same as erasing: what is under way could quote the event, and ends",
    ),
    Holder(
        "table",
        "draft",
        "what was composed for the fan, each version",
        "sealed",
        "without limit",
        "the text is deleted",
        "the same as erasing: the text could quote the event, and is deleted",
    ),
    Holder(
        "table",
        "decision",
        "who decided what about a draft, and when; what they wrote is sealed",
        "sealed",
        "without limit",
        "what they wrote is deleted",
        "the same as erasing: what they wrote could quote the event, and is deleted",
    ),
    Holder(
        "table",
        "answer",
        "what a provider answered about the fan",
        "sealed",
        "a day",
        "the rows are deleted",
        "the rows are deleted: they could quote the event",
    ),
    Holder(
        "table",
        "usage",
        "what calls about the fan cost",
        "random ids",
        "without limit",
        "the row loses its subject",
        "the row gets the new random id",
    ),
    Holder(
        "table",
        "campaign_member",
        "that a campaign has still to write to the fan",
        "random ids",
        "until the message is begun, or the campaign has ended",
        "the row is deleted: the fan leaves the campaign",
        "the row gets the new random id",
    ),
    Holder(
        "table",
        "send_slot",
        "when the last message was sent to the fan",
        "random ids",
        "until the fan is erased",
        "the row is deleted",
        "the row gets the new random id",
    ),
    Holder(
        "table",
        "hold",
        "that the AI is silent for the fan",
        "random ids",
        "until the fan is erased",
        "the row is deleted",
        "the row gets the new random id: the AI stays silent",
    ),
    Holder(
        "cache",
        "c:",
        "a fan's state and newest messages, sealed, and wrapped key, or the lease of who fills it",
        "sealed",
        "FANMEMORY_CACHE_TTL_SECONDS after it was last moved",
        "the entry is dropped, with every lease",
        "the entry is dropped, with every lease",
    ),
    Holder(
        "cache",
        "w:",
        "where a write of the last seconds stands in interactions",
        "keyed hash",
        "some seconds",
        "nothing: it expires",
        "nothing: it expires",
    ),
    Holder(
        "cache",
        "l:",
        "how many requests somebody who asks has left; of creators, services and addresses",
        "keyed hash",
        "a minute",
        "nothing: no fan is named or asks",
        "nothing",
    ),
    Holder(
        "topic",
        INTERACTIONS.name,
        "every event as it was sent",
        "clear",
        "3 days",
        "retention removes it; `fanmemory topics trim` removes what ingest has read at once",
        "retention removes the event; `fanmemory topics trim` removes what ingest has read at once",
    ),
    Holder(
        "topic",
        DEAD_LETTERS.name,
        "what was refused, whole, and whose it is; under the fan's key, or the day's where nobody"
        " known is named",
        "sealed",
        "14 days",
        "nothing can open the fan's letters; a day's key is destroyed when its letters are gone",
        "nothing can open the fan's letters of before any more, whatever they hold",
    ),
    Holder(
        "topic",
        JOURNAL.name,
        "every accepted event",
        "sealed",
        "without limit",
        "nothing can open it once the key is gone",
        "nothing can open what stands there; what is left is written again, sealed anew",
    ),
    Holder(
        "topic",
        MEMORY_UPDATES.name,
        "that a fan's views moved, with both ids and a score",
        "clear",
        "1 day",
        "one more record tells those who copied something; retention removes it and all others",
        "one more record says that every view moved",
    ),
    Holder(
        "topic",
        ERASURES.name,
        "random ids that stand for nobody any more",
        "random ids",
        "without limit",
        "it is the record of it, outside the database",
        "the old random id, and keyed hashes of the forgotten events' ids, whose key is gone",
    ),
    Holder(
        "topic",
        INTENTS.name,
        "what the LLM agent is asked to do, with both ids",
        "clear",
        "3 days",
        "retention removes it",
        "retention removes it",
    ),
    Holder(
        "topic",
        INTENT_DEAD_LETTERS.name,
        "intents that were refused, whole; under the fan's key, or the day's where nobody known is"
        " named",
        "sealed",
        "14 days",
        "nothing can open the fan's letters; a day's key is destroyed when its letters are gone",
        "nothing can open the fan's letters of before any more, whatever they hold",
    ),
    Holder(
        "topic",
        INTENT_RESULTS.name,
        "what was composed or sent, by the workflow's id, without the fan's",
        "clear",
        "14 days",
        "retention removes it",
        "retention removes it",
    ),
    Holder(
        "folder",
        "kafka",
        "the segments of the topics",
        "clear",
        "as each topic",
        "as each topic; a segment goes when its newest record is old enough",
        "as each topic",
    ),
    Holder(
        "folder",
        "postgres",
        "the tables, what was deleted from them until it is cleaned away, and the write-ahead log"
        " until a checkpoint removes its files",
        "clear",
        "as each table",
        "as each table; within 10 minutes the tables with ids and keys are written into new files,"
        " half an hour later the log has none of them: the receipt says when",
        "the same: the key of before is among what is cleaned away",
    ),
    Holder(
        "folder",
        "fanmemory-import-",
        "the events of one import, while it runs",
        "clear",
        "until the import ends",
        "nothing: erase after the import",
        "nothing: forget after the import",
    ),
    Holder(
        "folder",
        "fanmemory-rebuild-",
        "sealed journal records that did not fit into memory",
        "sealed",
        "until the rebuild ends",
        "nothing can open it once the key is gone",
        "nothing can open what it holds of before",
    ),
    Holder(
        "folder",
        "fanmemory-verify-",
        "the same, of a verify",
        "sealed",
        "until the verify ends",
        "nothing can open it once the key is gone",
        "nothing can open what it holds of before",
    ),
)

WITHOUT_FANS: Final = {
    "table": {
        "migration": "names of files",
        "generation": "builds of the views",
        "position": "how far partitions are, and counters",
        "claim": "epochs of partitions",
        "unit_attempt": "offsets of partitions",
        "log_break": "offsets of partitions",
        "cleaning": "times, and places in the write-ahead log",
        "dead_letter_count": "counters",
        "dead_letter_retried": "places in a topic, and times",
        "day_key": "a key for each day",
        "key_binding": "how keys are wrapped",
        "ledger_position": "offsets of partitions",
        "platform_connection": "a creator's, not a fan's",
        "retention": "a creator's rule",
        "history_retention": "a creator's rule",
        "revocation": "hashes of tokens' and users' ids",
        "revocation_revision": "a counter",
        "retired_key": "ids of key-encryption keys",
        "creator_key": "the keys of creators, wrapped",
        "halt": "that a creator's sends stand still",
        "campaign": "a creator's, with counts: who its members are stands elsewhere",
        "creator_rule": "how a creator wants sends to be done",
        "budget_limit": "what users and creators may spend",
        "budget": "what users and creators have spent",
        "provider_pause": "names of providers",
        "suppression_key": "the key of keyed hashes, sealed",
        "suppressed_record": "places in a topic, and times",
    },
    "cache": {
        "era": "one random number",
        "p:": "how far a partition is",
    },
    "topic": {
        WORKFLOW_TRACES.name: "numbers, names and classes of ours, the creator's and the user's id",
        LLM_USAGE.name: "what calls cost, by the workflow's id",
    },
    "folder": {
        "valkey": "its password and settings: it writes no data to disk",
        "logs": "nothing personal is logged",
        ".train-": "an empty broker's first start, while installing",
        ".fetch-": "programs, while installing",
        "fanmemory-bench-": "invented fans of a bench",
    },
}
"""Kind -> name -> what is there instead."""
