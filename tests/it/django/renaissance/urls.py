"""All views of the project."""

import json

from bridge_cutover import RenaissanceMiddleware
from django.apps import apps
from django.contrib.auth import authenticate
from django.db import connection, transaction
from django.http import JsonResponse
from django.urls import path

from renaissance.accounts import person_of, token_of
from renaissance.models import Biograph, User, UserProfile


def login(request):
    user = authenticate(request, **json.loads(request.body))
    if user is None:
        return JsonResponse({"detail": "who is that?"}, status=401)
    answer = RenaissanceMiddleware.refusal(user.pk, writes=True)
    return answer or JsonResponse({"token": token_of(user)})


def profile(request):
    user = User.objects.select_related("profile").get(pk=person_of(request))
    if request.method == "POST":
        for name, value in json.loads(request.body).items():
            if name == "password":
                user.set_password(value)
            else:
                setattr(user if hasattr(user, name) else user.profile, name, value)
        with transaction.atomic():
            user.save()
            user.profile.save()
    return JsonResponse({"first_name": user.first_name, "visibility": user.profile.profile_visibility})


def register(request):
    told = json.loads(request.body)
    with transaction.atomic():
        user = User.objects.create_user(told["username"], told["email"], told["password"], first_name=told["name"])
        UserProfile.objects.create(user=user, profile_visibility="private")
        Biograph.objects.create(user=user, title=told["title"], all_keywords=["first"], is_published=True)
    return JsonResponse({"id": user.pk, "token": token_of(user)})


def careless(request):
    """Writes for somebody without asking where they are."""
    told = json.loads(request.body)
    return JsonResponse({"changed": User.objects.filter(pk=told["id"]).update(bio=told["bio"])})


def schema(request):
    """Where the models and the tables differ: names, and which columns may be null."""
    differences = []
    for model in apps.get_app_config("renaissance").get_models():
        with connection.cursor() as cursor:
            found = connection.introspection.get_table_description(cursor, model._meta.db_table)
        columns = {(column.name, column.null_ok) for column in found}
        expected = {(field.column, field.null) for field in model._meta.local_concrete_fields}
        differences += [f"{model._meta.db_table}.{name}" for name, _ in sorted(columns ^ expected)]
    return JsonResponse({"differences": differences})


urlpatterns = [path(view.__name__, view) for view in (login, profile, register, careless, schema)]
