"""Keeps one application of two from writing for people who are moving or who live in the other one.

Copy this file into the project and add a middleware below the one that authenticates:

    MIDDLEWARE = [..., "bridge_cutover.RenaissanceMiddleware"]      # or BioGraphMiddleware
    BRIDGE_CUTOVER = {
        "OTHER_SIDE": "https://biograph.example/",      # where people of the other application go
        "PERSON": "accounts.auth.person_of",            # request -> id or None; default: request.user.pk
        "MONGO": "accounts.mongo.database",             # BioGraph only: () -> the pymongo database
    }

A login does not know its person before it has looked for them: let its view ask `refusal` before it hands out a session or a token.

    answer = RenaissanceMiddleware.refusal(user.pk, writes=True)
    if answer is not None:
        return answer

What is asked is one indexed lookup in the application's own database. Reads may go by an answer that is a second old; writes never
do. A request that has begun is let finish: the bridge waits before it moves anybody, longer than requests take.
"""

import threading
import time
from collections import namedtuple

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connection
from django.http import JsonResponse
from django.utils.module_loading import import_string

#: Where a person is: "legacy" (BioGraph), "renaissance" or "draining", as of an epoch that grows with every change.
Place = namedtuple("Place", "state epoch")

SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")
REMEMBERED_SECONDS = 1.0
REMEMBERED_PEOPLE = 10_000
RETRY_AFTER_SECONDS = 2


class Places:
    """Answers of the last second, of a bounded number of people."""

    def __init__(self, look):
        self._look = look
        self._known = {}
        self._lock = threading.Lock()

    def of(self, person, fresh):
        now = time.monotonic()
        with self._lock:
            known = self._known.get(person)
        if known is not None and not fresh and now - known[1] < REMEMBERED_SECONDS:
            return known[0]
        place = self._look(person)
        if known is not None and known[0].epoch > place.epoch:
            place = known[0]  # a replica that lags behind
        with self._lock:
            if len(self._known) >= REMEMBERED_PEOPLE:
                self._known.clear()
            self._known[person] = (place, now)
        return place


class CutoverMiddleware:
    """What both applications do; `side` is the one that this is."""

    side = None
    places = None

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        person = self.person(request)
        if person is not None:
            answer = self.refusal(person, request.method not in SAFE_METHODS)
            if answer is not None:
                return answer
        return self.get_response(request)

    def process_exception(self, request, exception):
        """What the fence triggers refuse (`init --fence-triggers`) is answered in the same way."""
        state = getattr(exception.__cause__, "sqlstate", None) or getattr(exception.__cause__, "pgcode", None)
        if isinstance(exception, DatabaseError) and state in ("BB002", "BB003"):
            return held() if state == "BB002" else elsewhere()
        return None

    @staticmethod
    def person(request):
        named = settings.BRIDGE_CUTOVER.get("PERSON")
        if named:
            return import_string(named)(request)
        user = getattr(request, "user", None)
        return user.pk if user is not None and user.is_authenticated else None

    @classmethod
    def refusal(cls, person, writes):
        """The response for a person who may not be served here now, else None."""
        place = cls.places.of(person, fresh=writes)
        if place.state == "draining":
            return held(place) if writes else None
        return elsewhere(place) if place.state != cls.side else None


def held(place=None):
    """Writes wait while the person moves: that takes seconds."""
    response = JsonResponse({"detail": "being moved, try again", **said(place)}, status=503)
    response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def elsewhere(place=None):
    """The person lives in the other application. 303: what was sent, a password perhaps, is not sent on."""
    response = JsonResponse({"detail": "served by the other application", **said(place)}, status=303)
    response["Location"] = settings.BRIDGE_CUTOVER["OTHER_SIDE"]
    return response


def said(place):
    return {} if place is None else place._asdict()


def in_postgres(person):
    """Of a person by the id of their row. Who has no row in `cutover` is where they were born: nobody has moved them."""
    users = connection.ops.quote_name(get_user_model()._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.state, c.epoch, u.migrated_from_old_system "
            f"FROM {users} u LEFT JOIN biograph_bridge.cutover c ON c.renaissance_id = u.id WHERE u.id = %s",
            [person],
        )
        row = cursor.fetchone()
    if row is None:
        return Place("renaissance", 0)  # nobody: the view says so
    state, epoch, born_in_biograph = row
    return Place(state, epoch) if state else Place("legacy" if born_in_biograph else "renaissance", 0)


def in_mongo(person):
    """Of a person by the `_id` of their document. Who has no document in `biograph_bridge_cutover` was never moved."""
    from bson import ObjectId  # comes with pymongo, which Renaissance need not have

    database = import_string(settings.BRIDGE_CUTOVER["MONGO"])()
    row = database["biograph_bridge_cutover"].find_one({"_id": ObjectId(str(person))}, {"state": 1, "epoch": 1})
    return Place(row["state"], row["epoch"]) if row else Place("legacy", 0)


class RenaissanceMiddleware(CutoverMiddleware):
    side = "renaissance"
    places = Places(in_postgres)


class BioGraphMiddleware(CutoverMiddleware):
    side = "legacy"
    places = Places(in_mongo)
