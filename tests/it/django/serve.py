"""Serves one of the two projects on a free port of loopback, and prints the port: serve.py renaissance|biograph."""

import ctypes.util
import os
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

# psycopg without its binary part looks for libpq where the system keeps libraries; the one of the test's own server will do.
system_library = ctypes.util.find_library
libpq = os.environ.get("TEST_LIBPQ")
ctypes.util.find_library = lambda name: libpq if libpq and name in ("pq", "libpq.dylib") else system_library(name)

os.environ["DJANGO_SETTINGS_MODULE"] = f"{sys.argv[1]}.settings"

from django.core.wsgi import get_wsgi_application  # noqa: E402


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


server = make_server("127.0.0.1", 0, get_wsgi_application(), server_class=Server, handler_class=Quiet)
print(server.server_port, flush=True)
server.serve_forever()
