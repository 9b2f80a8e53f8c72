"""Logging in: by phone (its one-time code is taken for given here) and by email and password, which gives a JWT."""

import base64
import hashlib
import hmac
import json
import time

from django.conf import settings
from django.contrib.auth.backends import BaseBackend
from django.db.models import Value
from django.db.models.functions import Concat

from renaissance.models import User


class PhoneBackend(BaseBackend):
    def authenticate(self, request, phone=None):
        if phone is None:
            return None
        login_name = Concat(Value("+"), "country_code", "phone_number")
        found = User.objects.annotate(login_name=login_name)
        return found.filter(login_name=phone, is_phone_verified=True, is_active=True).first()


class EmailBackend(BaseBackend):
    def authenticate(self, request, email=None, password=None):
        if email is None:
            return None
        user = User.objects.filter(email=email, is_active=True).first()
        return user if user is not None and user.check_password(password) else None


def encoded(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def signed(head_and_body):
    return encoded(hmac.new(settings.SECRET_KEY.encode(), head_and_body, hashlib.sha256).digest())


def token_of(user):
    head = encoded(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    body = encoded(json.dumps({"sub": str(user.pk), "exp": int(time.time()) + 3600}).encode())
    return b".".join([head, body, signed(head + b"." + body)]).decode()


def person_of(request):
    """The person of a request's token; None without a good one."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    head_and_body, _, signature = token.encode().rpartition(b".")
    if kind != "Bearer" or not hmac.compare_digest(signature, signed(head_and_body)):
        return None
    body = head_and_body.partition(b".")[2]
    claims = json.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
    return int(claims["sub"]) if claims["exp"] > time.time() else None
