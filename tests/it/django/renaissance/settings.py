"""Renaissance, as small as it goes."""

import os
from urllib.parse import unquote, urlsplit

SECRET_KEY = "only for tests, long enough for what Django checks"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "renaissance"]
MIDDLEWARE = ["bridge_cutover.RenaissanceMiddleware"]
BRIDGE_CUTOVER = {"OTHER_SIDE": "https://biograph.example/", "PERSON": "renaissance.accounts.person_of"}
ROOT_URLCONF = "renaissance.urls"
AUTH_USER_MODEL = "renaissance.User"
AUTHENTICATION_BACKENDS = ["renaissance.accounts.PhoneBackend", "renaissance.accounts.EmailBackend"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

database = urlsplit(os.environ["TEST_POSTGRES_URL"])
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": database.hostname,
        "PORT": database.port,
        "USER": database.username,
        "PASSWORD": unquote(database.password),
        "NAME": database.path.lstrip("/"),
    }
}
