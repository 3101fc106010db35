"""What platforms send and export, as InteractionEvents. Pure: no clock, no file, no network.

converted   what every platform gives: events, and what was left out and why
accepting   the JSON of an event, and whether the contract takes it
parts       reading payloads that may hold anything, and building an event
times       the forms of time that platforms use
amounts     the forms of money that platforms use
texts       texts whose encoding was spoiled
signatures  the ways in which platforms sign

One module per platform, with the same names (`converted.Platform`):
onlyfans    webhooks of the public API services
fansly      webhooks of the same services
patreon     webhooks of members and pledges
kofi        webhooks of Ko-fi
streamlabs  donations, as its socket sends them
stripe      webhooks of charges, refunds and disputes
telegram    the export of Telegram Desktop
instagram   the export of messages, and webhooks
whatsapp    an exported chat
generic     anything else, by a mapping that names where the fields are
platforms   all of them by name
"""
