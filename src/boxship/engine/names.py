"""Names and ids of containers: what is allowed, and what is made up where the user gives none."""

import re
import secrets
from collections.abc import Callable

from boxship.errors import Invalid

NAME_PATTERN = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
NAME_LIMIT = 255  # characters

MANNERS = (
    "able amber ample apt avid blithe bold brave bright brisk calm candid careful cheerful clear clever cordial crisp "
    "daring dapper deft eager earnest fair fleet fond frank fresh gentle glad golden hale hardy honest humble jolly "
    "keen kind lively loyal lucid mellow merry mild neat nimble noble patient placid plucky polite proud quick quiet "
    "ready robust rosy sage serene sharp silver smart snug solid spry steady sunny swift tidy trusty upbeat vivid warm "
    "wise witty zesty"
).split()
VESSELS = (
    "argosy barge bark brig caravel carrack catamaran clipper cog coracle corvette cruiser cutter dhow dinghy dory "
    "felucca ferry frigate galleon galley gig gondola hulk junk kayak ketch launch lighter liner lugger packet pinnace "
    "pinky pram proa punt raft sampan schooner scow shallop skiff sloop smack tanker tartane tender trawler trimaran "
    "tug umiak wherry xebec yacht yawl"
).split()


def new_id() -> str:
    """A fresh id of 64 hexadecimal digits whose short form never reads as a plain number (as Docker's)."""
    while True:
        identifier = secrets.token_hex(32)
        if not identifier[:12].isdecimal():
            return identifier


def check_name(name: str) -> str:
    """The name without its leading slash. Raises Invalid with Docker's text where it has a wrong form."""
    bare = name.removeprefix("/")
    if not NAME_PATTERN.fullmatch(bare) or len(bare) > NAME_LIMIT:
        raise Invalid(f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    return bare


def made_up_name(taken: Callable[[str], bool]) -> str:
    """A readable name that is free."""
    while True:
        name = f"{secrets.choice(MANNERS)}_{secrets.choice(VESSELS)}"
        if not taken(name):
            return name
        name = f"{name}{secrets.randbelow(10_000)}"
        if not taken(name):
            return name
