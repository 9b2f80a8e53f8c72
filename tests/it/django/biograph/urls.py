"""Logging in by phone (its one-time code is taken for given here) and changing one's name."""

import functools
import json
import os

from bridge_cutover import BioGraphMiddleware
from bson import ObjectId
from django.core import signing
from django.http import JsonResponse
from django.urls import path
from pymongo import MongoClient


@functools.cache
def database():
    return MongoClient(os.environ["TEST_MONGO_URI"]).get_default_database()


def person_of(request):
    token = request.headers.get("Authorization", "").partition("Bearer ")[2]
    return signing.loads(token) if token else None


def login(request):
    user = database().authapp_usermodel.find_one({"phone_number": json.loads(request.body)["phone_number"]})
    if user is None:
        return JsonResponse({"detail": "who is that?"}, status=401)
    answer = BioGraphMiddleware.refusal(user["_id"], writes=True)
    return answer or JsonResponse({"token": signing.dumps(str(user["_id"]))})


def profile(request):
    me = {"_id": ObjectId(person_of(request))}
    if request.method == "POST":
        database().authapp_usermodel.update_one(me, {"$set": json.loads(request.body)})
    return JsonResponse({"name": database().authapp_usermodel.find_one(me)["name"]})


urlpatterns = [path(view.__name__, view) for view in (login, profile)]
