"""Uses the server of plain_server.cjs or plain_server.py at the URL in the first argument with Python's http.client, and prints what it saw."""
import http.client
import sys
from urllib.parse import urlsplit

url = urlsplit(sys.argv[1])
connection = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]:
    body = None if method in ("GET", "HEAD") else b"the body"
    connection.request(method, "/echo?a=b", body=body)
    response = connection.getresponse()
    print(method, response.status, response.read().decode())


def chunks():
    for n in range(5):
        yield f"chunk {n};".encode()


connection.request("POST", "/echo", body=b"".join(chunks()))
print(connection.getresponse().read().decode())
