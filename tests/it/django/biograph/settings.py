"""BioGraph, as small as it goes: its real one talks to MongoDB through djongo."""

SECRET_KEY = "only for tests, long enough for what Django checks"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = []
MIDDLEWARE = ["bridge_cutover.BioGraphMiddleware"]
BRIDGE_CUTOVER = {
    "OTHER_SIDE": "https://renaissance.example/",
    "PERSON": "biograph.urls.person_of",
    "MONGO": "biograph.urls.database",
}
ROOT_URLCONF = "biograph.urls"
USE_TZ = True
